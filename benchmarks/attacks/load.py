"""The load of one attack: how fast it goes, how much of it is there, and what became of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import trio

from benchmarks.attacks.tenants import Rejected, first_of
from benchmarks.attacks.visitors import read_head
from benchmarks.attacks.ways import Entrance
from protocol.drivers.transport import TransportClosed
from protocol.errors import HandshakeRefused, SessionClosed

# What any call on a connection may raise that the server has ended.
ENDED = (
    OSError,
    trio.BrokenResourceError,
    trio.ClosedResourceError,
    TransportClosed,
    SessionClosed,
)
REFUSED = (Rejected, HandshakeRefused)


@dataclass
class Load:
    """What an attack works with.

    Attributes:
        entrance: how it comes to the server.
        counts: how often it has asked, and was served, refused or closed.
        refusals: what was said.
        places: connections of visitors that are open.
        most_places: at once, so far.
        ready: set when all of the attack is there.
    """

    entrance: Entrance
    counts: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    places: int = 0
    most_places: int = 0
    ready: trio.Event = field(default_factory=trio.Event)

    async def keep(self, most: int, per_s: float, run: Callable[[int], Awaitable[None]]) -> None:
        """Have so many of `run` at once, of which so many begin in a second, for ever.

        Args:
            most: what ends is begun anew.
            per_s: no more than these, also when some were late.
            run: gets its number, below `most`.
        """
        numbers = list(range(most - 1, -1, -1))

        async def one(number: int) -> None:
            self.counts["asked"] += 1
            try:
                await run(number)
            except* REFUSED as group:
                self.counts["refused"] += 1
                self.refusals[str(first_of(group))] += 1
            except* ENDED:
                self.counts["closed"] += 1
            numbers.append(number)

        begun, due = 0, trio.current_time()
        async with trio.open_nursery() as nursery:
            while True:
                await trio.sleep_until(due)
                due = max(due + 1 / per_s, trio.current_time() - 1)
                if numbers:
                    nursery.start_soon(one, numbers.pop())
                    begun += 1
                if begun >= most or not numbers:
                    self.ready.set()

    @asynccontextmanager
    async def visitor(self, address: str) -> AsyncIterator[trio.SocketStream]:
        """A connection of a visitor. Raises OSError."""
        async with await self.entrance.connect(address) as stream:
            self.places += 1
            self.most_places = max(self.most_places, self.places)
            try:
                yield stream
            finally:
                self.places -= 1

    async def ask(self, stream: trio.SocketStream, asked: bytes, wanted: int) -> None:
        """Send a request, and read the head of the answer. Raises Rejected for another status."""
        await stream.send_all(asked)
        status, _ = await read_head(stream)
        if status == 0:
            raise trio.BrokenResourceError("closed before an answer")
        if status != wanted:
            raise Rejected(str(status))
        self.counts["served"] += 1

    async def visit(
        self,
        address: str,
        asked: bytes,
        then: Callable[[trio.SocketStream], Awaitable[None]],
        *,
        wanted: int = 200,
    ) -> None:
        """One request of a new connection; `then` has the connection when it is answered."""
        async with self.visitor(address) as stream:
            await self.ask(stream, asked, wanted)
            await then(stream)

    def report(self) -> dict[str, object]:
        """The counts, for the program that has started this one."""
        return {
            **{name: self.counts[name] for name in ("asked", "served", "refused", "closed")},
            "places": self.most_places,
            "refusals": self.refusals,
        }
