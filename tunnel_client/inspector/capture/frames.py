"""The frames of one WebSocket: a row for each, both directions in the order in which they came.

A row and its payload stand in the ring, decoded, and here stands its place alone. So a frame that
gives way there is no gap: the inflater has been through it.
"""

from __future__ import annotations

import bisect
import struct
from array import array
from collections.abc import Iterator
from functools import partial
from itertools import accumulate
from typing import Final, Literal, NamedTuple

from tunnel_client.inspector.capture.inflating import Inflater, agreed
from tunnel_client.inspector.capture.ring import Ring
from tunnel_client.inspector.capture.walking import (
    NO_MASK,
    SHORT_MESSAGES,
    FrameWalker,
    Problem,
    short_payload,
    unmasked,
)
from tunnel_client.origin.socket_tally import EndedHow, SocketEnd

# Time, sizes on the wire and decoded, first byte, sender, problem, is text, mask, bytes behind it.
_ROW: Final = struct.Struct("<dQQBBBB4sI")
_AS_IT_CAME: Final = 0x80  # beside the sender: the whole frame stands behind it, and says the rest
_PLACE_BYTES: Final = 8  # of a row in the index

# A turn of the task is 20 ms at most, and frames may have 2 bytes and take 4 us each.
FED_AT_ONCE_BYTES: Final = 4096
PRUNED_EVERY: Final = 1024  # rows
# A message in more fragments, or with more frames of the other side between them, is shown in part.
LOOKED_AT_ROWS: Final = 4096

TEXT_CHARS: Final = 200
_UTF8_MAX_BYTES: Final = 4  # of one character
_CLOSE_CODE_BYTES: Final = 2

_OPCODE: Final = 0x0F
_FIN: Final = 0x80
_RSV1: Final = 0x40
CLOSE: Final = 0x08

Sender = Literal["visitor", "app", "tunnel"]
_SENDERS: Final[tuple[Sender, ...]] = ("visitor", "app", "tunnel")
VISITOR, APP, TUNNEL = range(3)

PROBLEMS: Final = {
    Problem.NONE: None,
    Problem.DAMAGED: "a part of it was dropped",
    Problem.COMPRESSED: "compressed; cannot be read since something before it was",
    Problem.ILLEGAL: "what follows from this side is no frame",
    Problem.GAP: "something was dropped; frames of this side cannot be told apart since",
    Problem.UNFINISHED: "it was not finished",
    Problem.NOT_AGREED: "compressed, and nobody had agreed on that",
}


class FrameRow(NamedTuple):
    """One frame, or a place where some are missing.

    Fields:
        number: of the row, from 0 on.
        at: when it was whole, by the clock of the taps.
        sender: the visitor, the app, or the tunnel itself.
        opcode: None: it is no frame, and `problem` says what is there.
        is_final, rsv1: as on the wire.
        size_bytes, decoded_bytes: of its payload.
        text: the first characters of a text; "": it is none.
        close: code and reason of a Close; None: it is none, or says none.
        problem: for people.
    """

    number: int
    at: float
    sender: Sender
    opcode: int | None
    is_final: bool
    rsv1: bool
    size_bytes: int
    decoded_bytes: int
    text: str
    close: tuple[int, str] | None
    problem: str | None


class Message(NamedTuple):
    """The payload of a message, as far as it is kept."""

    data: bytes
    is_whole: bool
    is_text: bool


class Frames:
    """The frames of a WebSocket; the store's task alone adds to them.

    Args:
        ring: has the rows.
        head: of the 101, which says how messages are compressed.
        keeps_payloads: what frames say is kept; else of a Close its code, and nothing else.

    Attributes:
        first: number of the first row that may still be kept.
        messages: begun by the visitor, and by the app.
        sizes_bytes: of all that came from the visitor, and from the app, frames' headers too.
        closed_by: the side from where the end came first: a Close, or else; None: from none so far.
        ended_how: see SocketEnd; None as long as it is open.
    """

    __slots__ = (
        *("_between", "_now", "_places", "_ring", "_rows", "_walkers"),
        *("closed_by", "ended_how", "first", "keeps_payloads", "messages", "sizes_bytes"),
    )

    def __init__(self, ring: Ring, head: bytes, *, keeps_payloads: bool = True) -> None:
        self._ring = ring
        self.keeps_payloads = keeps_payloads
        self.sizes_bytes = 0, 0
        self.ended_how: EndedHow | None = None
        self._places = array("Q")
        self._rows: list[bytes] = []  # that have no place yet
        self._between = [keeps_payloads] * 2  # a side is between two frames, which stay as they are
        self._now = 0.0
        self.first = 0
        self.messages = [0, 0]
        self.closed_by: Sender | None = None
        deflate = agreed(head)
        room = ring.segment_bytes - _ROW.size if keeps_payloads else _CLOSE_CODE_BYTES
        inflaters = [Inflater(forgets=forgets) for forgets in deflate] if deflate else [None, None]
        self._walkers = [
            self._walker(side, inflater, room) for side, inflater in enumerate(inflaters)
        ]

    def __repr__(self) -> str:
        return f"<Frames {self.count} from {self.first} on, closed by {self.closed_by}>"

    @property
    def count(self) -> int:
        """The rows so far."""
        return self.first + len(self._places)

    @property
    def taken_bytes(self) -> int:
        """The memory that they take outside of the ring."""
        return len(self._places) * _PLACE_BYTES

    # --- what the store's task does ---

    def take(self, side: int, data: bytes, at: float) -> None:
        """Walk over what a side sent; FED_AT_ONCE_BYTES at most. `settle` has to follow."""
        size = len(data)
        # By far most are one short message alone. It is kept as it came, until somebody looks.
        if size > 1 and self._between[side] and SHORT_MESSAGES[data[0]][data[1]] == size:
            self.messages[side] += 1
            first, sender = data[0], side | _AS_IT_CAME
            self._rows.append(_ROW.pack(at, 0, 0, first, sender, 0, 0, NO_MASK, size) + data)
            return
        self._now = at
        self._feed(side, data)

    def settle(self) -> None:
        """Give the rows of late their places."""
        rows, places, ring = self._rows, self._places, self._ring
        if not rows:
            return
        self._rows = []
        before = len(places)
        whole = b"".join(rows)
        if len(whole) <= ring.segment_bytes:  # one by one it takes four times as long
            places.extend(accumulate(map(len, rows[:-1]), initial=ring.keep(whole)[0]))
        else:
            places.extend(ring.keep(row)[0] for row in rows)
        if before // PRUNED_EVERY != len(places) // PRUNED_EVERY:
            self.prune()

    def _feed(self, side: int, data: bytes) -> None:
        walker = self._walkers[side]
        walker.feed(data)
        self._between[side] = self.keeps_payloads and walker.is_between

    def feed(self, side: int, data: bytes, at: float) -> Iterator[None]:
        """Walk over what a side sent, a portion between two items."""
        walker = self._walkers[side]
        begin = 0
        while begin < len(data):
            self._now = at
            end = begin + max(FED_AT_ONCE_BYTES, walker.left_bytes)
            self._feed(side, data[begin:end])
            self.settle()
            begin = end
            yield

    def skip(self, side: int, size: int, at: float) -> None:
        """Tell of bytes that were dropped."""
        self._now = at
        walker = self._walkers[side]
        walker.skip(size)
        self._between[side] = self.keeps_payloads and walker.is_between
        self.settle()

    def add_own(self, frame: bytes, at: float) -> None:
        """Add a frame of the tunnel's own."""
        self._now = at
        self._walker(TUNNEL, None, self._ring.segment_bytes).feed(frame)
        self.settle()

    def _walker(self, side: int, inflater: Inflater | None, room_bytes: int) -> FrameWalker:
        add_whole = self._add_whole if self.keeps_payloads else self._add_size
        emits = partial(self._add, side), partial(add_whole, side)
        return FrameWalker(*emits, inflater, room_bytes)

    def end(self, at: float, end: SocketEnd | None = None) -> None:
        """The connection has ended; None: nobody knows how."""
        self._now = at
        for walker in self._walkers:
            walker.end()
        self.settle()
        if end is not None:  # it has seen all of it, with no gap
            self.messages = [end.messages_in, end.messages_out]
            self.closed_by = end.closed_by
            self.ended_how = end.how

    def prune(self) -> None:
        """Forget the places of rows that are not kept any more."""
        gone = bisect.bisect_left(self._places, self._ring.first)
        if gone:
            del self._places[:gone]
            self.first += gone

    # --- what is asked ---

    def rows(self, begin: int, count: int) -> list[FrameRow]:
        """Return the rows from this number on that are still kept, `count` at most."""
        last = min(begin + count, self.count)
        rows = (self.row(number) for number in range(max(begin, self.first), last))
        return [row for row in rows if row is not None]

    def row(self, number: int) -> FrameRow | None:
        """Return a row; None: it is not kept any more."""
        found = self._read(number)
        if found is None:
            return None
        at, wire, decoded, first, side, problem, is_text, payload = found
        opcode = first & _OPCODE
        is_frame = problem not in (Problem.ILLEGAL, Problem.GAP)
        return FrameRow(
            *(number, at, _SENDERS[side], opcode if is_frame else None),
            *(bool(first & _FIN), bool(first & _RSV1), wire, decoded),
            _beginning(payload) if is_text else "",
            _close(payload) if opcode == CLOSE and is_frame else None,
            PROBLEMS[Problem(problem)],
        )

    def message(self, number: int) -> Message | None:
        """Return the message that this row is a frame of; None: it is not kept any more."""
        found = self._read(number)
        if found is None:
            return None
        numbers = self._fragments(number, found)
        parts = [self._read(each) for each in numbers]
        kept = [part for part in parts if part is not None]
        data = b"".join(part[-1] for part in kept)
        sizes_hold = all(len(part[-1]) == part[2] and not part[5] for part in kept)
        is_whole = len(kept) == len(parts) and sizes_hold and bool(kept[-1][3] & _FIN)
        return Message(data, is_whole and not _is_rest(kept[0]), bool(found[6]))

    def _fragments(self, number: int, row: _Read) -> list[int]:
        """Return the numbers of the rows that make up a message, in order."""
        if row[3] & CLOSE or (row[3] & _FIN and row[3] & _OPCODE):
            return [number]
        begin = number
        if not row[3] & _OPCODE:
            for begin in self._same_side(row, range(number - 1, self.first - 1, -1)):
                found = self._read(begin)
                if found is None or found[3] & _OPCODE:
                    break
        last = min(begin + LOOKED_AT_ROWS, self.count)
        numbers = [begin]
        first = self._read(begin)
        if first is not None and first[3] & _FIN:
            return numbers
        for each in self._same_side(row, range(begin + 1, last)):
            found = self._read(each)
            if found is not None and found[3] & _OPCODE:
                break
            numbers.append(each)
            if found is None or found[3] & _FIN:
                break
        return numbers

    def _same_side(self, row: _Read, numbers: range) -> Iterator[int]:
        """Yield those rows of a message's side that are no control frames."""
        for number in numbers[:LOOKED_AT_ROWS]:
            found = self._read(number)
            if found is None or (found[4] == row[4] and not found[3] & CLOSE):
                yield number

    def _read(self, number: int) -> _Read | None:
        index = number - self.first
        if not 0 <= index < len(self._places):
            return None
        place = self._places[index]
        header = self._ring.get((place, _ROW.size))
        if header is None:
            return None
        at, wire, decoded, first, side, problem, is_text, mask, size = _ROW.unpack(header)
        payload = self._ring.get((place + _ROW.size, size))
        assert payload is not None
        if side & _AS_IT_CAME:
            side ^= _AS_IT_CAME
            mask, payload = short_payload(payload)
            wire = decoded = len(payload)
            is_text = first & _OPCODE == 1
        plain = payload if mask == NO_MASK else unmasked(payload, mask)
        return at, wire, decoded, first, side, problem, is_text, plain

    def _add(
        self,
        side: int,
        first: int,
        size: int,
        payload: bytes,
        decoded: int,
        problem: Problem,
        is_text: bool,
    ) -> None:
        opcode = first & _OPCODE
        if opcode in (1, 2) and side != TUNNEL:
            self.messages[side] += 1
        elif opcode == CLOSE and self.closed_by is None and not problem:
            self.closed_by = _SENDERS[side]
        if not self.keeps_payloads and opcode != CLOSE:
            payload = b""
        fields = self._now, size, decoded, first, side, problem, is_text, NO_MASK, len(payload)
        self._rows.append(_ROW.pack(*fields) + payload)

    def _add_whole(self, side: int, first: int, payload: bytes, mask: bytes) -> None:
        size = len(payload)
        if side != TUNNEL:
            self.messages[side] += 1
        is_text = first & _OPCODE == 1
        fields = self._now, size, size, first, side, 0, is_text, mask, size
        self._rows.append(_ROW.pack(*fields) + payload)

    def _add_size(self, side: int, first: int, payload: bytes, mask: bytes) -> None:
        size = len(payload)
        if side != TUNNEL:
            self.messages[side] += 1
        is_text = first & _OPCODE == 1
        self._rows.append(_ROW.pack(self._now, size, size, first, side, 0, is_text, NO_MASK, 0))


_Read = tuple[float, int, int, int, int, int, int, bytes]


def _is_rest(row: _Read) -> bool:
    """Whether a message's first row is none that begins one."""
    return not row[3] & _OPCODE


def _beginning(payload: bytes) -> str:
    return payload[: TEXT_CHARS * _UTF8_MAX_BYTES].decode("utf-8", "replace")[:TEXT_CHARS]


def _close(payload: bytes) -> tuple[int, str] | None:
    if len(payload) < 2:
        return None
    return int.from_bytes(payload[:2], "big"), payload[2:].decode("utf-8", "replace")
