"""Sorts what a tap noted: heads and marks to its exchange, pieces to bodies, frames to rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, cast

from protocol.mux.streams import WEBSOCKET
from tunnel_client.inspector.capture.exchange import SWITCHING, KeptExchange, status_of
from tunnel_client.inspector.capture.frames import Frames
from tunnel_client.inspector.capture.ring import Kept, Ring
from tunnel_client.inspector.capture.tap import THING_BYTES, CaptureTap, Kind, Note

# An exchange in more notes than these is sorted: what came in many pieces is joined.
_WHOLE_MAX_NOTES: Final = 24 * 3
_BODY_IN: Final[int] = Kind.BODY_IN.value
_BODY_OUT: Final[int] = Kind.BODY_OUT.value
_BODIES: Final = (_BODY_IN, _BODY_OUT)
_GAP_IN: Final[int] = Kind.GAP_IN.value
_FIRST_OF_BODIES: Final[int] = Kind.BODY_IN.value


class Sorter:
    """Sorts notes into exchanges.

    Args:
        ring: has the large pieces, and gets the rows of frames.

    Attributes:
        dropped_pieces: that taps dropped since too much waited.
    """

    __slots__ = ("_ring", "dropped_pieces")

    def __init__(self, ring: Ring) -> None:
        self._ring = ring
        self.dropped_pieces = 0

    def __repr__(self) -> str:
        return f"<Sorter {self._ring!r}, {self.dropped_pieces} pieces dropped>"

    def adopt(self, exchange: KeptExchange, tap: CaptureTap) -> int:
        """Take an exchange that is over as it was noted; returns the bytes that waited.

        Returns: 0 if it has to be sorted.
        """
        notes = tap.notes
        if len(notes) > _WHOLE_MAX_NOTES or not tap.is_over or tap.has_frames:
            return 0
        waited = len(notes) // 3 * THING_BYTES
        size = tap.bytes_in + tap.bytes_out
        each = iter(notes)
        for kind, _, said in zip(each, each, each, strict=True):
            if isinstance(said, bytes):
                waited += len(said)
                if kind in _BODIES:
                    size -= len(said)
            elif kind in _BODIES:
                size -= cast("Kept", said)[1]
        if size:
            return 0
        exchange.adopt(notes)
        exchange.taken_bytes += waited
        return waited

    def sort(self, exchange: KeptExchange, tap: CaptureTap, notes: list[Note]) -> Iterator[int]:
        """Sort notes, and yield the bytes that they waited with, a portion between two items."""
        told: list[Note] = []
        frames_bytes = 0 if exchange.frames is None else exchange.frames.taken_bytes
        pieces: list[tuple[int, float, bytes | Kept]] = []
        waited = 0
        each = iter(notes)
        for kind, when, said in zip(each, each, each, strict=True):
            assert isinstance(kind, int)
            assert isinstance(when, float)
            waited += THING_BYTES
            if kind < _FIRST_OF_BODIES:
                told += (kind, when, said)
                if isinstance(said, bytes):
                    waited += len(said)
                    exchange.taken_bytes += len(said)
                if exchange.frames is not None or kind == Kind.HEAD:
                    yield from self._mark(exchange, kind, when, said)
            elif exchange.frames is not None:
                waited += len(said) if isinstance(said, bytes) else 0
                yield waited
                waited = 0
                yield from self._frames(exchange.frames, kind, when, said)
            elif kind <= _BODY_OUT:
                waited += len(said) if isinstance(said, bytes) else 0
                pieces.append((kind, when, cast("bytes | Kept", said)))
            else:
                self.dropped_pieces += 1
                self._add_pieces(exchange, pieces)
                exchange.body(kind - _GAP_IN).drop()
        exchange.note(told)
        exchange.taken_bytes += len(told) // 3 * THING_BYTES
        self._add_pieces(exchange, pieces)
        for side, size in enumerate((tap.bytes_in, tap.bytes_out)):
            if size and exchange.frames is None:
                exchange.body(side).size_bytes = size
        if exchange.frames is not None:
            exchange.taken_bytes += exchange.frames.taken_bytes - frames_bytes
        yield waited

    def _mark(self, exchange: KeptExchange, kind: int, when: float, said: Note) -> Iterator[int]:
        """Do what follows from a note that is of no body."""
        if kind == Kind.HEAD:
            assert isinstance(said, bytes)
            if status_of(said) == SWITCHING and exchange.kind == WEBSOCKET:
                exchange.frames = Frames(self._ring, said)
        elif exchange.frames is not None:
            if kind in (Kind.OWN_TO_APP, Kind.OWN_TO_VISITOR):
                exchange.frames.add_own(cast("bytes", said), when)
            elif kind == Kind.ENDED:
                exchange.frames.end(when)
        yield 0

    def _frames(self, frames: Frames, kind: int, when: float, said: Note) -> Iterator[int]:
        if kind > _BODY_OUT:
            self.dropped_pieces += 1
            frames.skip(kind - _GAP_IN, cast("int", said), when)
            return
        data = said if isinstance(said, bytes) else self._ring.get(cast("Kept", said))
        if data is None:  # the task was so late that the ring has come round
            self.dropped_pieces += 1
            frames.skip(kind - _BODY_IN, cast("Kept", said)[1], when)
            return
        for _ in frames.feed(kind - _BODY_IN, data, when):
            yield 0

    def _add_pieces(
        self, exchange: KeptExchange, pieces: list[tuple[int, float, bytes | Kept]]
    ) -> None:
        if not pieces:
            return
        for side, kind in enumerate((_BODY_IN, _BODY_OUT)):
            mine = [(when, piece) for noted, when, piece in pieces if noted == kind]
            if mine:
                body = exchange.body(side)
                exchange.taken_bytes += body.add([piece for _, piece in mine], mine[0][0])
                body.last_at = mine[-1][0]
        pieces.clear()
