"""WebSocket as it passes through: handshake values, and where frames begin and end (RFC 6455).

Frames cross as they came, so only their headers are read. Nothing is unmasked, joined or
allocated: the payload of a data frame is what happens to be in each read. Only what has to stay
whole, so that one can always cut between two frames, is held: a header, and a control frame.

A header that RFC 6455 5.2 forbids is not ours to judge: the end that gets it answers with a Close
of its own, as it would without a tunnel. From there on that direction is bytes without frames,
which cross as they come and in which nobody can cut.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from typing import Final

from protocol.http.grammar import WEBSOCKET_KEY
from protocol.http.limits import CONTROL_PAYLOAD_MAX_BYTES

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 1.3

_FIN: Final = 0x80
_MASK: Final = 0x80
_LENGTH: Final = 0x7F
_LENGTH_IN_2: Final = 126
_OPCODE: Final = 0x0F
_CLOSE: Final = 0x08
PING: Final = 0x09
PONG: Final = 0x0A

_ILLEGAL, _REST, _MESSAGE, _CONTROL, _CLOSING = 0, 1, 2, 3, 4
"""Of a frame: none that RFC 6455 has; more of a message, its beginning; ping or pong; Close."""


def _kind(first: int) -> int:
    """Return the kind of frame by its first byte. RSV bits belong to extensions, and cross."""
    opcode = first & _OPCODE
    if opcode in (0x0, 0x1, 0x2):
        return _MESSAGE if opcode else _REST
    if opcode not in (_CLOSE, PING, PONG) or not first & _FIN:
        return _ILLEGAL
    return _CLOSING if opcode == _CLOSE else _CONTROL


_KINDS: Final = bytes(_kind(first) for first in range(256))

# Frames are counted in the low bits, and messages that begin above them: one sum for both.
_MESSAGES_SHIFT: Final = 32
_FRAMES: Final = (1 << _MESSAGES_SHIFT) - 1


def _weight(first: int) -> int:
    """Return what a short frame that is whole adds to the sum; 0: it may not be stepped over."""
    kind = _kind(first)
    if kind in (_ILLEGAL, _CLOSING):  # a Close has to be noticed
        return 0
    return 1 + (1 << _MESSAGES_SHIFT if kind == _MESSAGE else 0)


# By their first byte. A tuple and not bytes: that is quicker to ask.
_STEPPED_OVER: Final = tuple(map(_weight, range(256)))


def _short_frames(mask_bit: int) -> tuple[int, ...]:
    """Return the length of a frame by its second byte; 0: it is longer, or has a wrong mask."""
    header = 6 if mask_bit else 2
    lengths = [second ^ mask_bit for second in range(256)]
    return tuple(
        header + length if length <= CONTROL_PAYLOAD_MAX_BYTES else 0 for length in lengths
    )


_SHORT_FRAMES: Final = {mask_bit: _short_frames(mask_bit) for mask_bit in (0, _MASK)}
_SHORT_MAX_BYTES: Final = 6 + CONTROL_PAYLOAD_MAX_BYTES


def valid_key(key: bytes) -> bool:
    """Whether this can be a Sec-WebSocket-Key: 16 bytes in base64."""
    return WEBSOCKET_KEY.fullmatch(key) is not None


def accept_for(key: bytes) -> bytes:
    """The Sec-WebSocket-Accept that answers this key (RFC 6455 4.2.2)."""
    # SHA-1 is what the RFC asks for; nothing rests on its strength.
    return base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())


def close_frame(code: int, *, mask: bytes | None = None) -> bytes:
    """A whole Close frame without a reason.

    Args:
        code: the status code, 1000 to 4999.
        mask: 4 fresh random bytes towards a server; none towards a client.
    """
    assert 1000 <= code <= 4999
    return _control_frame(_CLOSE, code.to_bytes(2, "big"), mask)


def ping_frame(payload: bytes, *, mask: bytes | None = None) -> bytes:
    """A whole Ping frame.

    Args:
        payload: 125 bytes at most.
        mask: 4 fresh random bytes towards a server; none towards a client.
    """
    return _control_frame(PING, payload, mask)


def _control_frame(opcode: int, payload: bytes, mask: bytes | None) -> bytes:
    assert len(payload) <= CONTROL_PAYLOAD_MAX_BYTES
    if mask is None:
        return bytes([_FIN | opcode, len(payload)]) + payload
    assert len(mask) == 4
    return bytes([_FIN | opcode, _MASK | len(payload)]) + mask + _masked(payload, mask)


def _masked(payload: bytes, mask: bytes) -> bytes:
    """Masked, or unmasked: the same (RFC 6455 5.3). Only for control frames, which are short."""
    return bytes(byte ^ mask[index & 3] for index, byte in enumerate(payload))


class FrameCutter:
    """One direction of a WebSocket: bytes in, the same bytes out, cut where one may cut.

    Args:
        masked: whether frames must be masked (a client's) or must not be (a server's).

    Attributes:
        closed: a Close frame has passed.
        lost: an illegal header has passed: a reserved opcode, a mask that is missing or must not be
            there, a control frame that is fragmented or longer than 125 bytes, a length not in its
            shortest form or over 2**63 - 1.
        held: bytes kept back: a header that is not whole, or a control frame that is not; at most
            130 bytes.
        pieces: how many frames began in what was fed last.
        messages: how many messages have begun in all.
        on_close: called once, when the first Close frame has passed whole, with its code; None:
            that has none. It must not raise.
    """

    __slots__ = (
        *("_header_bytes", "_left", "_mask_bit", "_short_frames", "_stepped_over"),
        *("closed", "held", "lost", "messages", "on_close", "pieces"),
    )

    def __init__(self, masked: bool) -> None:
        self._mask_bit = _MASK if masked else 0
        self._short_frames = _SHORT_FRAMES[self._mask_bit]
        self._stepped_over = _STEPPED_OVER  # frames that `_end_of_frame` need not see
        self._header_bytes = 6 if masked else 2  # without an extended length
        self._left = 0  # payload of the frame under way that has not come yet
        self.closed = False
        self.lost = False
        self.held = b""
        self.pieces = 0
        self.messages = 0
        self.on_close: Callable[[int | None], None] | None = None

    def __repr__(self) -> str:
        masked = bool(self._mask_bit)
        return (
            f"<{type(self).__name__} masked={masked} left={self._left} held={len(self.held)}"
            f" closed={self.closed} lost={self.lost}>"
        )

    @property
    def at_boundary(self) -> bool:
        """Whether what feed() has returned so far ends between two frames; never once lost."""
        return not self._left and not self.lost

    def feed(self, data: bytes) -> bytes:
        """Return what may go on now: `data` itself where nothing has to be held. Never raises.

        Whether fragments follow one another in order is for the ends to judge.
        """
        if self.lost:
            return data
        if self.held:
            data = self.held + data
            self.held = b""
        size = len(data)
        at = self._left
        count = 0
        weights, lengths, rest = self._stepped_over, self._short_frames, size - _SHORT_MAX_BYTES
        while at < size:
            # A call for each of many short frames would cost three times as much as this.
            while at < rest and (weight := weights[data[at]]) and (length := lengths[data[at + 1]]):
                at += length
                count += weight
            count += 1
            end = self._end_of_frame(data, at, size)
            if end < 0:
                self.held = data[at:]
                self._left = 0
                self._counted(count)
                return data[:at]
            at = end
        self._left = at - size
        self.pieces = count
        if count > _FRAMES:
            self._counted(count)
        return data

    def _counted(self, count: int) -> None:
        self.pieces = count & _FRAMES
        self.messages += count >> _MESSAGES_SHIFT

    def _end_of_frame(self, data: bytes, at: int, size: int) -> int:
        """Return where the frame at `at` ends, in `data` or behind it; -1 to hold it.

        An illegal one has no end: it is all that there is.
        """
        kind = _KINDS[data[at]]
        if kind == _ILLEGAL:
            return self._lose(size)
        if at + 1 == size:
            return -1
        second = data[at + 1]
        if second & _MASK != self._mask_bit:
            return self._lose(size)
        length = second & _LENGTH
        if length <= CONTROL_PAYLOAD_MAX_BYTES:
            payload = at + self._header_bytes
        elif kind >= _CONTROL:
            return self._lose(size)
        else:
            width = 2 if length == _LENGTH_IN_2 else 8
            payload = at + self._header_bytes + width
            if payload > size:
                return -1
            length = int.from_bytes(data[at + 2 : at + 2 + width], "big")
            if length >> 63 or length <= (125 if width == 2 else 0xFFFF):
                return self._lose(size)
        end = payload + length
        if payload > size or (kind >= _CONTROL and end > size):
            return -1
        self.messages += kind == _MESSAGE
        if kind == _CLOSING:
            self._close(data, at, end)
        return end

    def _close(self, data: bytes, at: int, end: int) -> None:
        is_first, self.closed = not self.closed, True
        if is_first and self.on_close is not None:
            code = self._payload(data, at, end)[:2]
            self.on_close(int.from_bytes(code, "big") if len(code) == 2 else None)

    def _payload(self, data: bytes, at: int, end: int) -> bytes:
        """Of a control frame that is whole, unmasked."""
        payload = data[at + self._header_bytes : end]
        return _masked(payload, data[at + 2 : at + 6]) if self._mask_bit else payload

    def _lose(self, size: int) -> int:
        self.lost = True
        return size


_WITHOUT: Final = {
    opcode: tuple(
        0 if first & _OPCODE == opcode else weight for first, weight in enumerate(_STEPPED_OVER)
    )
    for opcode in (PING, PONG)
}


class WatchingCutter(FrameCutter):
    """A cutter that tells of each control frame of one kind, and can take it out.

    Args:
        masked: as FrameCutter's.
        opcode: `PING` or `PONG`.
        on_frame: is given the payload, unmasked, of each such frame when it is whole, in the order
            of the bytes. The frame goes on if it returns true; else it is not in what `feed`
            returns. It must not raise.
    """

    __slots__ = ("_on_frame", "_opcode", "_taken_out")

    def __init__(self, masked: bool, opcode: int, on_frame: Callable[[bytes], bool]) -> None:
        super().__init__(masked)
        self._stepped_over = _WITHOUT[opcode]
        self._opcode = opcode
        self._on_frame = on_frame
        self._taken_out: list[tuple[int, int]] = []  # where they stand in what is being fed

    def feed(self, data: bytes) -> bytes:
        """Return what may go on now, without the frames that were taken out. Never raises."""
        data = super().feed(data)  # offsets stay right: only what stands behind may be held
        if not self._taken_out:
            return data
        kept: list[bytes] = []
        at = 0
        for start, end in self._taken_out:
            kept.append(data[at:start])
            at = end
        self._taken_out.clear()
        return b"".join([*kept, data[at:]])

    def _end_of_frame(self, data: bytes, at: int, size: int) -> int:
        end = super()._end_of_frame(data, at, size)
        watched = data[at] & _OPCODE == self._opcode and end > 0 and not self.lost
        if watched and not self._on_frame(self._payload(data, at, end)):
            self._taken_out.append((at, end))
        return end
