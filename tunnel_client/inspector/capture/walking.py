"""A walk over the frames of one direction of a WebSocket, for people to look at (RFC 6455 5.2).

What is missing is said, and never guessed over: if a piece was dropped within one frame, that frame
is told as damaged; else nobody knows where the next one begins, and the walk is over.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import Final

from tunnel_client.inspector.capture.inflating import Inflater

_OPCODE: Final = 0x0F
_CONTROL: Final = 0x08
_TEXT: Final = 0x01
_FIN: Final = 0x80
_RSV1: Final = 0x40
_MASK: Final = 0x80
_LENGTH: Final = 0x7F
_LENGTH_IN_8: Final = 127
_CONTROL_MAX_BYTES: Final = 125
_HEADER_MAX_BYTES: Final = 14

_TEXT_ALONE: Final = 0x81
_WHOLE_MESSAGES: Final = (_TEXT_ALONE, 0x82)


def _sizes() -> tuple[int, ...]:
    """Return the size of a short frame by its second byte; 0: it is longer."""
    headers = [6 if second & _MASK else 2 for second in range(256)]
    lengths = [second & _LENGTH for second in range(256)]
    pairs = zip(headers, lengths, strict=True)
    return tuple(head + length if length <= _CONTROL_MAX_BYTES else 0 for head, length in pairs)


_NONE_IS_SHORT: Final = (0,) * 256
# By the first byte and the second: a table is asked in a third of the time that sums take.
SHORT_MESSAGES: Final = tuple(
    _sizes() if first in _WHOLE_MESSAGES else _NONE_IS_SHORT for first in range(256)
)
"""The size of a frame that is a message of its own, short, not compressed; 0: it is none."""

_LEGAL: Final = frozenset({0x0, 0x1, 0x2, 0x8, 0x9, 0xA})


class Problem(IntEnum):
    """The reason why a frame is not shown, or not whole."""

    NONE = 0
    DAMAGED = 1  # a part of it was dropped
    COMPRESSED = 2  # and cannot be read since something before it was dropped or wrong
    ILLEGAL = 3  # what followed is no frame
    GAP = 4  # something was dropped between frames, and none can be told apart since
    UNFINISHED = 5  # the connection ended within it
    NOT_AGREED = 6  # RSV1, and no extension that it would stand for


_NONE: Final = Problem.NONE  # a global costs a third of an enum's member

NO_MASK: Final = b"\0\0\0\0"

Emit = Callable[[int, int, bytes, int, Problem, bool], None]
"""Given of each frame: its first byte, its payload's size on the wire, as much as is kept of it
decoded, its decoded size, the problem, whether its message is text."""

EmitWhole = Callable[[int, bytes, bytes], None]
"""Given of each: its first byte, its payload, and the mask that this has still, as few are read."""


def unmasked(data: bytes, mask: bytes) -> bytes:
    """Return data without its mask; the same again masks it (RFC 6455 5.3)."""
    size = len(data)
    key = (mask * (size // 4 + 1))[:size]
    number = int.from_bytes(data, "little") ^ int.from_bytes(key, "little")
    return number.to_bytes(size, "little")


def short_payload(frame: bytes) -> tuple[bytes, bytes]:
    """Return the mask of a short frame, and its payload, which has that mask still."""
    return (frame[2:6], frame[6:]) if frame[1] & _MASK else (NO_MASK, frame[2:])


class FrameWalker:
    """One direction: bytes in, cut anywhere; frames out.

    Args:
        emit: is given each frame when it is whole.
        emit_whole: is given it instead if it is a short message of its own, not compressed.
        inflater: of this direction; None: messages are not compressed.
        room_bytes: how much is kept of each frame, decoded.

    Attributes:
        is_over: frames cannot be told apart any more.
        left_bytes: of the frame under way.
    """

    __slots__ = (
        *(
            "_collected",
            "_decoded_bytes",
            "_emit",
            "_emit_whole",
            "_first",
            "_held",
            "_inflater",
            "_mask",
        ),
        *("_message", "_problem", "_room_bytes", "_size_bytes", "is_over", "left_bytes"),
    )

    def __init__(
        self, emit: Emit, emit_whole: EmitWhole, inflater: Inflater | None, room_bytes: int
    ) -> None:
        self._emit = emit
        self._emit_whole = emit_whole
        self._inflater = inflater
        self._room_bytes = room_bytes
        self._held = b""  # a header that is not whole
        self._message = 0  # first byte of the message under way
        self._first = 0  # of the frame under way, from here on
        self._mask = b""
        self._size_bytes = 0
        self._decoded_bytes = 0
        self._collected: bytes | bytearray = b""
        self._problem = Problem.NONE
        self.left_bytes = 0
        self.is_over = False

    def __repr__(self) -> str:
        state = "over" if self.is_over else f"{self.left_bytes} bytes left"
        return f"<FrameWalker {state} {self._problem.name} {self._inflater!r}>"

    @property
    def is_between(self) -> bool:
        """Whether the next byte begins a frame."""
        return not (self.left_bytes or self._held or self.is_over)

    def feed(self, data: bytes) -> None:
        """Walk on over what has come."""
        if self.is_over:
            return
        if self._held:
            data = self._held + data
            self._held = b""
        at, size = 0, len(data)
        if self.left_bytes:
            at = min(self.left_bytes, size)
            self._go_on(data[:at])
        while at < size and not self.is_over:
            # The commonest by far is a message of its own, short, not compressed, and all there; by
            # the long way it would take three times as long.
            if data[at] in _WHOLE_MESSAGES and at + 1 < size:
                second = data[at + 1]
                payload = at + 6 if second & _MASK else at + 2
                end = payload + (second & _LENGTH)
                if end <= size and second & _LENGTH <= _CONTROL_MAX_BYTES:
                    self._message = data[at]
                    mask = data[at + 2 : payload] if second & _MASK else NO_MASK
                    self._emit_whole(data[at], data[payload:end], mask)
                    at = end
                    continue
            payload = self._header(data, at, size)
            if payload < 0:
                self._held = data[at:]
                return
            at = min(payload + self.left_bytes, size)
            self._go_on(data[payload:at])

    def skip(self, size: int) -> None:
        """Tell of bytes that are missing here."""
        if self.is_over:
            return
        if self.left_bytes < size:
            self._stop(Problem.GAP)
            return
        self._damage(Problem.DAMAGED)
        self._turn_mask(size)
        self.left_bytes -= size
        if not self.left_bytes:
            self._finish()

    def end(self) -> None:
        """The direction has ended."""
        if self.left_bytes and not self.is_over:
            self._stop(Problem.UNFINISHED)

    def _header(self, data: bytes, at: int, size: int) -> int:
        """Begin a frame; returns where its payload begins, or -1: its header is not whole."""
        if size - at < 2:
            return -1
        first, second = data[at], data[at + 1]
        length = second & _LENGTH
        payload = at + 2
        if length > _CONTROL_MAX_BYTES:
            payload += 8 if length == _LENGTH_IN_8 else 2
            if payload > size:
                return -1
            length = int.from_bytes(data[at + 2 : payload], "big")
        mask = b""
        if second & _MASK:
            mask = data[payload : payload + 4]
            payload += 4
            if payload > size:
                return -1
        self._begin(first, length, mask)
        return payload

    def _begin(self, first: int, length: int, mask: bytes) -> None:
        opcode = first & _OPCODE
        self._first = first
        self._mask = mask if mask != NO_MASK else b""
        self._size_bytes = self.left_bytes = length
        self._decoded_bytes = 0
        self._collected = b""
        self._problem = Problem.NONE
        if opcode & _CONTROL:
            is_legal = first & _FIN and length <= _CONTROL_MAX_BYTES
        else:
            is_legal = True
            if opcode:
                self._message = first
                if first & _RSV1:
                    if self._inflater is None:
                        self._problem = Problem.NOT_AGREED
                    else:
                        self._inflater.begin()
        if opcode not in _LEGAL or not is_legal or length >> 63:
            self._size_bytes = 0
            self._stop(Problem.ILLEGAL)

    def _go_on(self, data: bytes) -> None:
        """Take a piece of the payload, which may be all of it, or b"" where it has none."""
        if self.is_over:
            return
        self.left_bytes -= len(data)
        room = self._room_bytes - len(self._collected)
        inflater = self._inflating
        wanted = room > 0 or inflater is not None
        if data and self._problem is not Problem.DAMAGED and wanted:
            if self._mask:
                plain = unmasked(data, self._mask)
                self._turn_mask(len(data))
            else:
                plain = data
            if inflater is not None:
                self._add_inflated(inflater, inflater.feed(plain, room))
            else:
                self._add(plain[:room] if room < len(plain) else plain, len(data))
        else:
            self._turn_mask(len(data))
            self._decoded_bytes += len(data)
        if not self.left_bytes:
            self._finish()

    def _finish(self) -> None:
        first, inflater = self._first, self._inflating
        if inflater is not None and first & _FIN:
            room = self._room_bytes - len(self._collected)
            self._add_inflated(inflater, inflater.end(room))
        is_text = not first & _CONTROL and self._message & _OPCODE == _TEXT
        shown = bytes(self._collected), self._decoded_bytes, self._problem, is_text
        self._emit(first, self._size_bytes, *shown)
        self._collected = b""

    @property
    def _inflating(self) -> Inflater | None:
        """The inflater where it concerns the frame under way."""
        if self._inflater is None or self._first & _CONTROL or not self._message & _RSV1:
            return None
        return self._inflater

    def _add_inflated(self, inflater: Inflater, inflated: tuple[bytes, int]) -> None:
        if inflater.is_lost and self._problem is Problem.NONE:
            self._problem = Problem.COMPRESSED
            self._collected = b""
        elif self._problem is Problem.NONE:
            self._add(*inflated)

    def _add(self, data: bytes, size: int) -> None:
        """Add what is kept of a decoded piece, and its size."""
        self._decoded_bytes += size
        if not self._collected:
            self._collected = data
        elif isinstance(self._collected, bytearray):
            self._collected += data
        elif data:  # pieces may be a byte each
            self._collected = bytearray(self._collected + data)

    def _damage(self, problem: Problem) -> None:
        self._problem = problem
        if (inflater := self._inflating) is not None:
            inflater.lose()

    def _turn_mask(self, size: int) -> None:
        turn = size & 3
        self._mask = self._mask[turn:] + self._mask[:turn]

    def _stop(self, problem: Problem) -> None:
        """Tell what there was of the frame under way, or that none follows."""
        if self.left_bytes:
            self._problem = problem
            is_text = not self._first & _CONTROL and self._message & _OPCODE == _TEXT
            shown = bytes(self._collected), self._decoded_bytes, problem, is_text
            self._emit(self._first, self._size_bytes, *shown)
        else:
            self._emit(0, 0, b"", 0, problem, False)
        self.left_bytes = 0
        self._collected = b""
        self.is_over = True
