"""Loads: one of each kind in the middle of which a fault comes, and what arrives while it lasts."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from functools import partial
from random import Random
from typing import Protocol

import trio

from tests.faults.app import App
from tests.faults.echoes import echo, idle
from tests.faults.exchanges import Place, download, events, get, give_up, post, upload

# Of which a line of 50 Mbit/s, and the middlebox at its rate, carry a third of a second's worth
# before all kinds are under way, and more than two seconds' worth after that.
DOWNLOAD_BYTES = 20 << 20
UPLOAD_BYTES = 12 << 20
EVENTS, EVERY_MS = 80, 40
MESSAGES, PAUSE_S = 40, 0.02
KINDS = ("download", "upload", "events", "echo", "idle")


class GatedPlace(Place, Protocol):
    """A place whose app has a gate."""

    app: App


async def everything(place: GatedPlace, nursery: trio.Nursery, random: Random) -> None:
    """Start one of each kind; returns when all are in the middle.

    There they stay until `let_end`, however long the fault and its programs take: each keeps its
    last part back.
    """
    large_ones(place, nursery, random, place.app.gate)
    await place.ledger.until_moved(download=100_000, upload=100_000, events=2, echo=2, idle=1)


def let_end(place: GatedPlace) -> None:
    """The fault has come; none of what `everything` began has ended, and all of it may now."""
    ended = [kind for kind in KINDS if place.ledger.ended(kind)]
    assert not ended, f"{ended} ended by the fault: {place.ledger}"
    place.app.gate.set()


def large_ones(
    place: Place, nursery: trio.Nursery, random: Random, gate: trio.Event | None = None
) -> None:
    """Start one of each kind; with a gate, which is the app's, none ends before it is open."""
    gated = gate is not None
    rest = gate.wait if gate is not None else trio.lowlevel.checkpoint
    idle_s = EVENTS * EVERY_MS / 1000
    resting = gate.wait if gate is not None else partial(trio.sleep, idle_s)
    for one in (
        partial(download, size_bytes=DOWNLOAD_BYTES, gated=gated),
        partial(upload, size_bytes=UPLOAD_BYTES, rest=rest),
        partial(events, count=EVENTS, every_ms=EVERY_MS, gated=gated),
        partial(echo, count=MESSAGES, pause_s=PAUSE_S, rest=rest),
        partial(idle, rest=resting),
    ):
        nursery.start_soon(one, place, random)


def small_ones(place: Place, nursery: trio.Nursery, random: Random, count: int) -> None:
    """Start so many pages, and as many small POSTs."""
    for _ in range(count):
        nursery.start_soon(get, place, random)
        nursery.start_soon(post, place, random)


Kind = Callable[[Place, Random], Awaitable[None]]
MIXED: list[Kind] = [
    *[get] * 4,
    *[post] * 4,
    *[give_up] * 3,
    partial(download, size_bytes=256 << 10),
    partial(upload, size_bytes=256 << 10),
    partial(events, count=10, every_ms=20),
    partial(echo, count=5, pause_s=0.01),
]


class Mixed:
    """Visitors of all kinds, who come one after the other and do not wait for one another.

    Args:
        seed: of what they do.
        every_s: between two of them.
        at_once_max: who finds so many there does not come, so that an outage does not pile them up.
    """

    def __init__(
        self, place: Place, seed: int, *, every_s: float = 0.01, at_once_max: int = 300
    ) -> None:
        self.place = place
        self.started = 0
        self._random = Random(seed)
        self._every_s = every_s
        self._at_once_max = at_once_max
        self._open = 0
        self._stopped = False

    def __repr__(self) -> str:
        return f"<Mixed {self.started} started, {self._open} open>"

    async def run(self, count: float = math.inf) -> None:
        """Until so many have come, or `stop` was called, and all have ended."""
        async with trio.open_nursery() as nursery:
            while self.started < count and not self._stopped:
                if self._open < self._at_once_max:
                    self.started += 1
                    nursery.start_soon(self._visit, Random(self._random.randrange(1 << 60)))
                await trio.sleep(self._every_s)

    def stop(self) -> None:
        self._stopped = True

    async def _visit(self, random: Random) -> None:
        self._open += 1
        try:
            await random.choice(MIXED)(self.place, random)
        finally:
            self._open -= 1
