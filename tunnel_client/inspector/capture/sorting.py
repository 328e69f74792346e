"""Sorts what a tap noted: heads and marks to its exchange, pieces to bodies, frames to rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, cast

from protocol.mux.streams import WEBSOCKET
from tunnel_client.inspector.capture.exchange import SWITCHING, KeptExchange, status_of
from tunnel_client.inspector.capture.frames import FED_AT_ONCE_BYTES, Frames
from tunnel_client.inspector.capture.ring import Kept, Ring
from tunnel_client.inspector.capture.tap import (
    BODY_MAX_BYTES,
    HEADS_MAX_BYTES,
    THING_BYTES,
    CaptureTap,
    Kind,
    Note,
    waiting_bytes,
)
from tunnel_client.origin.socket_tally import SocketEnd

# An exchange in more notes than these is sorted: what came in many pieces is joined.
_WHOLE_MAX_NOTES: Final = 24 * 3
_BODY_IN: Final[int] = Kind.BODY_IN.value
_BODY_OUT: Final[int] = Kind.BODY_OUT.value
_GAP_IN: Final[int] = Kind.GAP_IN.value
_FIRST_OF_BODIES: Final[int] = Kind.BODY_IN.value

_Triple = tuple[int, float, Note]
_Piece = tuple[int, float, bytes | Kept]


class Sorter:
    """Sorts notes into exchanges.

    Args:
        ring: has the large pieces, and gets the rows of frames.
        keeps_payloads: see Frames.

    Attributes:
        dropped_pieces: that taps dropped since too much waited.
    """

    __slots__ = ("_keeps_payloads", "_ring", "dropped_pieces")

    def __init__(self, ring: Ring, *, keeps_payloads: bool = True) -> None:
        self._ring = ring
        self._keeps_payloads = keeps_payloads
        self.dropped_pieces = 0

    def __repr__(self) -> str:
        return f"<Sorter {self._ring!r}, {self.dropped_pieces} pieces dropped>"

    def whole_bytes(self, tap: CaptureTap) -> int:
        """Return the bytes that wait of one that is over, and needs no sorting; 0: it does."""
        notes = tap.notes
        if tap.stream is not None or not tap.is_whole or len(notes) > _WHOLE_MAX_NOTES:
            return 0
        # Of a body that is longer than what is kept the last piece may be, too.
        if tap.bytes_in + tap.bytes_out > BODY_MAX_BYTES or tap.has_frames:
            return 0
        return waiting_bytes(notes)

    def sort(self, exchange: KeptExchange, tap: CaptureTap, notes: list[Note]) -> Iterator[None]:
        """Sort notes, a portion between two items."""
        parts = iter(notes)
        each = cast("Iterator[_Triple]", zip(parts, parts, parts, strict=True))
        if exchange.frames is None:
            self._sort_plain(exchange, each)
            yield
        if exchange.frames is not None:
            before = exchange.frames.taken_bytes
            exchange.frames.sizes_bytes = tap.bytes_in, tap.bytes_out
            yield from self._sort_frames(exchange, exchange.frames, each, tap.socket)
            exchange.taken_bytes += exchange.frames.taken_bytes - before
            return
        for side, size in enumerate((tap.bytes_in, tap.bytes_out)):
            if size:
                exchange.body(side).size_bytes = size

    def _sort_plain(self, exchange: KeptExchange, each: Iterator[_Triple]) -> None:
        """Sort notes up to the 101 of a WebSocket, if there is one."""
        told: list[Note] = []
        pieces: list[_Piece] = []
        for kind, when, said in each:
            if kind < _FIRST_OF_BODIES:
                if kind == Kind.HEAD and _is_too_much(exchange, said):
                    continue
                told += (kind, when, said)
                if kind == Kind.HEAD and self._begin_frames(exchange, said):
                    break
            elif kind <= _BODY_OUT:
                pieces.append((kind, when, cast("bytes | Kept", said)))
            else:
                self.dropped_pieces += 1
                self._add_pieces(exchange, pieces)
                exchange.body(kind - _GAP_IN).drop()
        exchange.note(told)
        exchange.taken_bytes += waiting_bytes(told)
        self._add_pieces(exchange, pieces)

    def _begin_frames(self, exchange: KeptExchange, said: Note) -> bool:
        assert isinstance(said, bytes)
        if status_of(said) != SWITCHING or exchange.kind != WEBSOCKET:
            return False
        exchange.frames = Frames(self._ring, said, keeps_payloads=self._keeps_payloads)
        return True

    def _sort_frames(
        self,
        exchange: KeptExchange,
        frames: Frames,
        each: Iterator[_Triple],
        end: SocketEnd | None,
    ) -> Iterator[None]:
        told: list[Note] = []
        done_bytes = 0
        for kind, when, said in each:
            if isinstance(said, bytes):
                if kind >= _FIRST_OF_BODIES:
                    frames.take(kind - _BODY_IN, said, when)
                else:
                    frames.add_own(said, when)
                done_bytes += len(said) + THING_BYTES
                if done_bytes >= FED_AT_ONCE_BYTES:
                    frames.settle()
                    yield
                    done_bytes = 0
            elif kind >= _FIRST_OF_BODIES:
                yield from self._frames(frames, kind, when, said)
            else:
                told += (kind, when, said)
        if told and told[-3] == Kind.ENDED:
            frames.end(cast("float", told[-2]), end)
        frames.settle()
        exchange.note(told)
        exchange.taken_bytes += waiting_bytes(told)
        yield

    def _frames(self, frames: Frames, kind: int, when: float, said: Note) -> Iterator[None]:
        if kind > _BODY_OUT:
            self.dropped_pieces += 1
            frames.skip(kind - _GAP_IN, cast("tuple[int]", said)[0], when)
            return
        data = self._ring.get(cast("Kept", said))
        if data is None:  # the task was so late that the ring has come round
            self.dropped_pieces += 1
            frames.skip(kind - _BODY_IN, cast("Kept", said)[1], when)
            return
        if not self._keeps_payloads:
            self._ring.wipe(cast("Kept", said))
        for _ in frames.feed(kind - _BODY_IN, data, when):
            yield

    def _add_pieces(self, exchange: KeptExchange, pieces: list[_Piece]) -> None:
        if not pieces:
            return
        for side, kind in enumerate((_BODY_IN, _BODY_OUT)):
            mine = [(when, piece) for noted, when, piece in pieces if noted == kind]
            if mine:
                body = exchange.body(side)
                exchange.taken_bytes += body.add([piece for _, piece in mine], mine[0][0])
                body.last_at = mine[-1][0]
        pieces.clear()


def _is_too_much(exchange: KeptExchange, said: Note) -> bool:
    """Whether a head is one more of those without end."""
    assert isinstance(said, bytes)
    return exchange.taken_bytes > HEADS_MAX_BYTES and said.startswith(b"1", 9)
