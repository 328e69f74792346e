"""Progress of what a peer sends: bytes, frames and seconds since the last whole message.

Bytes alone are life, so that a large message on a slow line is none too many. Three floods pass
every limit on messages and on silence, and are stopped here:

* bytes without end that are no message: empty fragments, WebSocket pongs that nobody asked for;
* the same cut up by a message now and then: taking 10,000 frames of six bytes apart holds up every
  other session for a tenth of a second, as often as the peer likes;
* half a message, and then a byte now and then for ever.

Until a client has said hello it has shown nothing, so less is taken of it.
"""

from __future__ import annotations

from typing import Final

from protocol.http.websocket import FrameCutter
from protocol.limits import (
    BYTES_BEFORE_HELLO_MAX,
    BYTES_BETWEEN_MESSAGES_MAX,
    MESSAGE_TIMEOUT_S,
    WEBSOCKET_FRAMES_A_MESSAGE_MAX,
)

_END_OF_HEAD: Final = b"\r\n\r\n"
# FIN and an opcode: the frame that ends a message. RSV bits are refused by the library.
_LAST: Final = frozenset({0x80, 0x81, 0x82})


class Progress:
    """One direction of a control connection, from the head of its handshake on.

    Args:
        masked: whether it is a client's.

    Attributes:
        opened: the handshake is done; before that, what follows a head need not be frames.
        bytes_since_message: what came since the last whole message was taken.
    """

    def __init__(self, *, masked: bool) -> None:
        self.opened = False
        self.bytes_since_message = 0
        self._most_bytes: int = BYTES_BEFORE_HELLO_MAX if masked else BYTES_BETWEEN_MESSAGES_MAX
        self._begun_at = 0.0
        self._frames = _FrameCounter(masked)
        self._head_end: bytes | None = b""  # what came last of the head; None: it is over

    def __repr__(self) -> str:
        return f"<Progress {self.bytes_since_message} bytes since the last message>"

    def feed(self, data: bytes | bytearray, now: float) -> str | None:
        """Count bytes that came; return what is wrong with them, if they must be the last.

        Args:
            data: as it was read.
            now: seconds of any one clock.
        """
        if not self.bytes_since_message:
            self._begun_at = now
        self.bytes_since_message += len(data)
        if self._head_end is None:
            self._frames.feed(bytes(data))
        else:
            self._count_behind_head(self._head_end + data)
        if self.bytes_since_message > self._most_bytes:
            return "too many bytes without a whole message"
        if self.opened and self._frames.most > WEBSOCKET_FRAMES_A_MESSAGE_MAX:
            return "too many WebSocket frames for one message"
        if now - self._begun_at > MESSAGE_TIMEOUT_S:
            return f"no whole message within {MESSAGE_TIMEOUT_S} s"
        return None

    def message_taken(self) -> None:
        """A whole message has been taken."""
        self.bytes_since_message = 0
        self._most_bytes = BYTES_BETWEEN_MESSAGES_MAX

    def _count_behind_head(self, data: bytes) -> None:
        at = data.find(_END_OF_HEAD)
        if at < 0:
            self._head_end = data[-3:]
            return
        self._head_end = None
        self._frames.feed(data[at + len(_END_OF_HEAD) :])


class _FrameCounter(FrameCutter):
    """Counts the WebSocket frames of each message, those between its fragments included.

    Attributes:
        most: of any message so far.
    """

    __slots__ = ("_count", "most")

    def __init__(self, masked: bool) -> None:
        super().__init__(masked)
        self._stepped_over = (0,) * 256  # each of them counts
        self.most = 0
        self._count = 0

    def _end_of_frame(self, data: bytes, at: int, size: int) -> int:
        end = super()._end_of_frame(data, at, size)
        if end > 0:
            self._count += 1
            self.most = max(self.most, self._count)
            if data[at] in _LAST:
                self._count = 0
        return end
