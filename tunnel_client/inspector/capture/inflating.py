"""permessage-deflate (RFC 7692), read along: one direction of a WebSocket, all its messages.

Each message is compressed with what went before it, unless the handshake said otherwise. So one
that is missing makes all later ones unreadable, and that is said in place of a text.
"""

from __future__ import annotations

import zlib
from typing import Final, NamedTuple

EXTENSION: Final = b"permessage-deflate"

# Of one piece that is fed. It has to be inflated whole, or all that follows is lost; more is a
# bomb, and a turn of the task: 4 MiB take 10 ms.
INFLATED_MAX_BYTES: Final = 4 * 1024 * 1024
_STEP_BYTES: Final = 256 * 1024
_TAIL: Final = b"\x00\x00\xff\xff"  # 7.2.2: the sender takes it off each message
_RAW: Final = -15  # zlib's word for no head, and the largest window: it reads smaller ones as well


class Deflate(NamedTuple):
    """The parameters that a 101 agreed on.

    Fields:
        visitor_forgets: each message of the visitor's is compressed by itself
            (client_no_context_takeover).
        app_forgets: each of the app's (server_no_context_takeover).
    """

    visitor_forgets: bool
    app_forgets: bool


def agreed(head: bytes) -> Deflate | None:
    """Read them from the head of a 101; None: messages are not compressed."""
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() != b"sec-websocket-extensions":
            continue
        for extension in value.split(b","):
            said, *parameters = (word.strip().lower() for word in extension.split(b";"))
            if said == EXTENSION:
                client, server = b"client_no_context_takeover", b"server_no_context_takeover"
                return Deflate(client in parameters, server in parameters)
    return None


class Inflater:
    """Inflates the messages of one direction.

    Args:
        forgets: each message is compressed by itself.

    Attributes:
        is_lost: what comes cannot be read: the rest of this message if it `forgets`, else all.
    """

    __slots__ = ("_forgets", "_inflating", "is_lost")

    def __init__(self, *, forgets: bool) -> None:
        self._forgets = forgets
        self._inflating = zlib.decompressobj(_RAW)
        self.is_lost = False

    def __repr__(self) -> str:
        return f"<Inflater forgets={self._forgets} is_lost={self.is_lost}>"

    def begin(self) -> None:
        """A message begins."""
        if self._forgets or (self._inflating.eof and not self.is_lost):
            self._inflating = zlib.decompressobj(_RAW)
            self.is_lost = False

    def feed(self, data: bytes, room_bytes: int) -> tuple[bytes, int]:
        """Inflate a piece of a message.

        Args:
            room_bytes: how much of it is wanted.

        Returns: so much of its beginning, and its whole size. b"" and 0 once it is lost.
        """
        if self.is_lost:
            return b"", 0
        try:
            return self._feed(data, room_bytes)
        except zlib.error:
            self.lose()
            return b"", 0

    def end(self, room_bytes: int) -> tuple[bytes, int]:
        """The message has ended; returns what was left of it, as `feed`."""
        return self.feed(_TAIL, room_bytes)

    def lose(self) -> None:
        """Something is missing."""
        self.is_lost = True

    def _feed(self, data: bytes, room_bytes: int) -> tuple[bytes, int]:
        inflating = self._inflating
        out = inflating.decompress(data, _STEP_BYTES)
        size = len(out)
        if size < _STEP_BYTES:
            return out[:room_bytes], size
        kept = [out]
        while len(out) == _STEP_BYTES:  # it may hold something back even where no input is left
            if size >= INFLATED_MAX_BYTES:
                self.lose()
                break
            out = inflating.decompress(inflating.unconsumed_tail, _STEP_BYTES)
            if size < room_bytes:
                kept.append(out)
            size += len(out)
        return b"".join(kept)[:room_bytes], size
