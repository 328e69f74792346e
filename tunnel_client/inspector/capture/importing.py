"""Exchanges that passed elsewhere, put on the shelf beside the others.

They go the way of all: by a tap, whose notes get the times that they are said to have had. So one
budget holds for all, and whatever shows, filters or repeats an exchange does it with these.
"""

from __future__ import annotations

from typing import Final, NamedTuple, cast

from protocol.mux.messages import Open
from tunnel_client.inspector.capture.store import CaptureStore
from tunnel_client.inspector.capture.tap import SMALL_BYTES, CaptureTap
from tunnel_client.origin.visitor_stream import VisitorStream

_FIN: Final = 0x80
_LENGTH_IN_2: Final = 126
_LENGTH_IN_8: Final = 127


class ImportedBody(NamedTuple):
    """A body.

    Fields:
        size_bytes: its true size; more than is here where it was cut.
    """

    data: bytes = b""
    size_bytes: int = 0


class ImportedMessage(NamedTuple):
    """A message of a WebSocket; `at_s`: after the exchange began."""

    at_s: float
    is_from_visitor: bool
    opcode: int
    data: bytes


class ImportedTimes(NamedTuple):
    """The times of it, in seconds after it began; `connecting` None: by a connection of before."""

    connecting: float | None = None
    connected: float = 0.0
    asked: float = 0.0
    sent: float = 0.0
    head: float = 0.0
    ended: float = 0.0


class ImportedExchange(NamedTuple):
    """An exchange, as somebody says that it was.

    Fields:
        began: in seconds since the epoch.
        opened: its claim is NO_CLAIM.
        asked, head: the heads; None: there was none.
        error: None: it did not fail.
    """

    began: float
    opened: Open
    asked: bytes | None
    posted: ImportedBody
    head: bytes | None
    answered: ImportedBody
    times: ImportedTimes
    messages: list[ImportedMessage]
    error: str | None = None


class _GoneVisitor:
    """The part of a VisitorStream that a tap looks at."""

    def __init__(self, opened: Open) -> None:
        self.opened = opened

    def __repr__(self) -> str:
        return f"<_GoneVisitor {self.opened.method!r}>"


def add_imported(store: CaptureStore, found: ImportedExchange) -> int | None:
    """Keep an exchange; returns its number. None: too many are under way."""
    tap = store.tap_for(cast("VisitorStream", _GoneVisitor(found.opened)))
    if tap is None:
        return None
    tap.opened_at = store.clock_at(found.began)
    _TapAt(tap).say(found)
    return tap.number


class _TapAt:
    """A tap whose notes get the time that is said."""

    def __init__(self, tap: CaptureTap) -> None:
        self._tap = tap
        self._noted = 0

    def __repr__(self) -> str:
        return f"<_TapAt {self._tap!r}>"

    def say(self, found: ImportedExchange) -> None:
        times, tap = found.times, self._tap
        if times.connecting is not None:
            tap.connecting()
            self._at(times.connecting)
            tap.connected()
            self._at(times.connected)
        if found.asked is not None:
            tap.asked(found.asked)
            self._at(times.asked)
        self._body(found.posted, times.sent, is_request=True)
        tap.request_sent()
        self._at(times.sent)
        if found.head is not None:
            tap.head(found.head)
            self._at(times.head)
        self._body(found.answered, times.ended, is_request=False)
        for message in found.messages:
            send = tap.body_in if message.is_from_visitor else tap.body_out
            send(_frame(message))
            self._at(message.at_s)
        tap.ended(found.error)
        self._at(times.ended)

    def _body(self, body: ImportedBody, at_s: float, *, is_request: bool) -> None:
        tap = self._tap
        send = tap.body_in if is_request else tap.body_out
        # In pieces that a stream would have: the ring takes none over a segment.
        for begin in range(0, len(body.data), SMALL_BYTES * 4):
            send(body.data[begin : begin + SMALL_BYTES * 4])
        self._at(at_s)
        missing = body.size_bytes - len(body.data)
        if missing > 0:
            tap.is_whole = False
            if is_request:
                tap.bytes_in += missing
            else:
                tap.bytes_out += missing

    def _at(self, at_s: float) -> None:
        notes = self._tap.notes
        for place in range(self._noted + 1, len(notes), 3):
            notes[place] = self._tap.opened_at + at_s
        self._noted = len(notes)


def _frame(message: ImportedMessage) -> bytes:
    """Return a message as one frame without a mask, which is legal from neither side but read."""
    size = len(message.data)
    first = _FIN | message.opcode
    if size < _LENGTH_IN_2:
        return bytes([first, size]) + message.data
    if size < 1 << 16:
        return bytes([first, _LENGTH_IN_2]) + size.to_bytes(2, "big") + message.data
    return bytes([first, _LENGTH_IN_8]) + size.to_bytes(8, "big") + message.data
