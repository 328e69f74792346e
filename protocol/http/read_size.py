"""The size of a read, where a peer decides how much work its bytes are.

A chunk, or a WebSocket frame, of one byte costs nearly what one of 64 KiB does. A task that reads
64 KiB of them keeps everybody waiting for milliseconds, and of two hundred such tasks each has its
turn before the others come round. So a read is small to begin with and after a read that brought
many pieces, and doubles while there are few.
"""

from __future__ import annotations

from protocol.http.limits import READ_FIRST_BYTES, READ_MOST_BYTES, READ_PIECE_BYTES


class ReadSize:
    """The size of the next read of one direction.

    Args:
        most_bytes: it never grows beyond.

    Attributes:
        next_bytes: at most so many.
    """

    __slots__ = ("_most_bytes", "next_bytes")

    def __init__(self, most_bytes: int = READ_MOST_BYTES) -> None:
        self.next_bytes: int = READ_FIRST_BYTES
        self._most_bytes = most_bytes

    def __repr__(self) -> str:
        return f"<ReadSize {self.next_bytes}>"

    def learn(self, size: int, pieces: int) -> None:
        """A read of `size` bytes had so many pieces that each need work of their own."""
        if size < pieces * READ_PIECE_BYTES:
            self.next_bytes = READ_FIRST_BYTES
        elif self.next_bytes < self._most_bytes:
            self.next_bytes *= 2
