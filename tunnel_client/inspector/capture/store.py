"""DRIVER. The store of exchanges: one task sorts what the taps noted, ten times a second at most.

What it cannot keep up with is dropped by the taps, and counted. One budget holds for all that is
kept. Bodies and frames have the ring, which gives way as heads need more; exchanges that are over
go, the oldest first, when they have taken HEADS_SHARE of it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Final, NamedTuple

import trio

from tunnel_client.inspector.capture.exchange import KeptExchange
from tunnel_client.inspector.capture.pacing import WorkPace
from tunnel_client.inspector.capture.ring import Ring
from tunnel_client.inspector.capture.shelf import Shelf
from tunnel_client.inspector.capture.sorting import Sorter
from tunnel_client.inspector.capture.states import state_of
from tunnel_client.inspector.capture.tap import (
    BODY_MAX_BYTES,
    CaptureTap,
    Intake,
    waiting_bytes,
)
from tunnel_client.origin.visitor_stream import VisitorStream

log = logging.getLogger(__name__)

EXCHANGES_MAX: Final = 10_000
SORTED_EVERY_S: Final = 0.1  # a page is told as fast as a person can see
# Bodies keep an eighth, or each would be gone before somebody looks at it; what waits has the rest.
HEADS_SHARE: Final = 6 / 8
WAITING_SHARE: Final = 1 / 8
KEPT_OPEN_MAX: Final = 20  # nobody looks at more at a time
BEGUN_AT_ONCE: Final = 8  # each takes 3 us, and to look at the clock a part of one
LOOKED_AT_ONCE: Final = 256  # exchanges under way in which nothing was noted; each takes 1 us


class Counts(NamedTuple):
    """The numbers of a store.

    Fields:
        kept: exchanges, among them those under way.
        dropped: exchanges that gave way to newer ones, or that there was no room for.
        dropped_pieces: of bodies and frames, since too much came at once.
        used_bytes: of the budget.
        memory_bytes: the budget.
    """

    kept: int
    dropped: int
    dropped_pieces: int
    used_bytes: int
    memory_bytes: int


class CaptureStore:
    """Keeps exchanges.

    Args:
        memory_bytes: for everything that is kept.
        bodies: bodies and frames are kept, too; else their sizes, and a row of each frame.
        exchanges_max: how many are kept.
        clock: for the times of what happens, in seconds; it need not be trio's.
        now: seconds since the epoch.
    """

    def __init__(
        self,
        *,
        memory_bytes: int,
        bodies: bool = True,
        exchanges_max: int = EXCHANGES_MAX,
        clock: Callable[[], float] = time.perf_counter,
        now: Callable[[], float],
    ) -> None:
        self._memory_bytes = memory_bytes
        self._room_bytes = BODY_MAX_BYTES if bodies else 0
        self._exchanges_max = exchanges_max
        self._now = now
        waiting_max_bytes = int(memory_bytes * WAITING_SHARE)
        self._ring = Ring(memory_bytes - waiting_max_bytes)
        self._intake = Intake(self._ring, waiting_max_bytes, clock)
        self._sorter = Sorter(self._ring, keeps_payloads=bodies)
        self._shelf = Shelf(exchanges_max, int(memory_bytes * HEADS_SHARE))
        self._open: dict[int, tuple[KeptExchange, CaptureTap]] = {}
        self._kept_open: dict[int, int] = {}
        self._news = trio.Event()
        self._work = trio.Event()

    def __repr__(self) -> str:
        return f"<CaptureStore {self._shelf!r} {self._ring!r} {self._intake!r}>"

    # --- the data path ---

    def tap_for(self, stream: VisitorStream) -> CaptureTap | None:
        """Return the tap of a request; None: too many are under way."""
        intake = self._intake
        if len(self._open) + len(intake.opened) >= self._exchanges_max:
            self._shelf.dropped += 1
            return None
        if not intake.opened:
            self._work.set()
        return CaptureTap(intake, stream, self._room_bytes)

    # --- what is asked ---

    @property
    def seq(self) -> int:
        """A number that grows with each change."""
        return self._shelf.seq

    @property
    def first(self) -> int:
        """The lowest number of an exchange that is kept; 0: none is."""
        return self._shelf.first

    @property
    def counts(self) -> Counts:
        """The numbers of what is kept and dropped."""
        shelf, intake = self._shelf, self._intake
        used = shelf.taken_bytes + self._ring.used_bytes + intake.waiting_bytes
        dropped_pieces = self._sorter.dropped_pieces
        return Counts(len(shelf), shelf.dropped, dropped_pieces, used, self._memory_bytes)

    def get(self, number: int) -> KeptExchange | None:
        """Return the exchange of this number; None: it is not kept."""
        return self._shelf.get(number)

    def changed_since(self, seq: int, limit: int) -> list[KeptExchange]:
        """Return those that have changed since, the oldest change first."""
        return self._shelf.changed_since(seq, limit)

    def newest(self, limit: int) -> list[KeptExchange]:
        """Return those with the highest numbers, the highest first."""
        return self._shelf.newest(limit)

    def stream_of(self, number: int) -> VisitorStream | None:
        """Return the stream of an exchange under way; None: it is over, or not kept."""
        found = self._open.get(number)
        return None if found is None else found[1].stream

    @property
    def now_s(self) -> float:
        """The time, in seconds since the epoch."""
        return self._now()

    def clock_at(self, epoch_s: float) -> float:
        """Return the time by the clock of the taps; seconds since the epoch may be long past."""
        return epoch_s - self._now() + self._intake.clock()

    async def changed(self) -> None:
        """Wait for the next change. Cancellation: at any time."""
        await self._news.wait()

    @contextmanager
    def keep_open(self, number: int) -> Iterator[None]:
        """Keep the bodies of an exchange, as far as they have come, while the block runs.

        KEPT_OPEN_MAX are at a time, and no more than fit into the budget; others give way as ever.
        """
        exchange = self._shelf.get(number)
        if exchange is None:
            yield
            return
        self._pin(exchange)
        try:
            yield
        finally:
            self._unpin(exchange)

    def clear(self) -> None:
        """Drop all exchanges that are over. Those under way stay."""
        self._shelf.clear()
        self._tell()

    # --- the task ---

    async def run(self) -> None:
        """Sort for ever. Only Cancelled is raised: a fault costs the exchange that it is met in."""
        while True:
            if not self._open:
                await self._work.wait()
            self._work = trio.Event()
            await self.sort()
            await trio.sleep(SORTED_EVERY_S)

    async def sort(self) -> None:
        """Sort what has been noted so far."""
        intake, shelf = self._intake, self._shelf
        pace = WorkPace()
        before = shelf.seq
        opened, intake.opened = intake.opened, []
        await self._begin(opened, pace)
        for exchange, tap in [found for found in self._open.values() if found[1].notes]:
            try:
                await self._sort_one(exchange, tap, pace)
            except Exception:  # logged; the others are still sorted
                log.exception("what was noted of request %d cannot be sorted", tap.number)
                tap.stop_keeping()
        self._look()
        shelf.make_room()
        self._ring.allow(self._memory_bytes - intake.waiting_max_bytes - shelf.taken_bytes)
        if shelf.seq != before:
            self._tell()

    async def _begin(self, opened: list[CaptureTap], pace: WorkPace) -> None:
        """Make the exchanges of taps. Those that are over are done with; others are to be sorted.

        There is one of each request, so no more is called or looked up here than has to be.
        """
        intake, shelf, whole_bytes, ring = (
            self._intake,
            self._shelf,
            self._sorter.whole_bytes,
            self._ring,
        )
        epoch = self._now() - intake.clock()
        for number, tap in enumerate(opened):
            size = whole_bytes(tap)
            exchange = KeptExchange(ring, tap, epoch + tap.opened_at, size)
            if size:
                intake.waiting_bytes -= size
            else:
                self._open[tap.number] = exchange, tap
            shelf.put(exchange)
            if number % BEGUN_AT_ONCE == 0 and pace.is_due:
                shelf.make_room()
                await pace.rest()

    async def _sort_one(self, exchange: KeptExchange, tap: CaptureTap, pace: WorkPace) -> None:
        notes, tap.notes = tap.notes, []
        before = exchange.taken_bytes
        try:
            for _ in self._sorter.sort(exchange, tap, notes):
                if pace.is_due:
                    await pace.rest()
        finally:
            self._intake.waiting_bytes -= waiting_bytes(notes)
            exchange.state = state_of(exchange, tap)
            if exchange.state == "over":
                exchange.freeze()
                del self._open[tap.number]
            self._shelf.change(exchange, exchange.taken_bytes - before)

    def _look(self) -> None:
        """See whether some of those in which nothing was noted wait for somebody else now.

        All have their turn: those that were looked at go to the end.
        """
        for number in list(islice(self._open, LOOKED_AT_ONCE)):
            exchange, tap = self._open[number] = self._open.pop(number)
            state = state_of(exchange, tap)
            if state != exchange.state and not tap.notes:
                exchange.state = state
                self._shelf.change(exchange, 0)

    def _pin(self, exchange: KeptExchange) -> None:
        count = self._kept_open.get(exchange.id, 0)
        self._kept_open[exchange.id] = count + 1
        if count or len(self._kept_open) > KEPT_OPEN_MAX:
            return
        for body in exchange.keep_bodies():
            room = self._memory_bytes * HEADS_SHARE - self._shelf.taken_bytes
            if body is not None and body.kept_bytes <= room:
                self._shelf.taken_bytes += body.pin()

    def _unpin(self, exchange: KeptExchange) -> None:
        self._kept_open[exchange.id] -= 1
        if self._kept_open[exchange.id]:
            return
        del self._kept_open[exchange.id]
        for body in exchange.bodies:
            if body is not None:
                self._shelf.taken_bytes -= body.unpin()

    def _tell(self) -> None:
        self._news.set()
        self._news = trio.Event()
