"""The rounds: in each, every peer is started afresh, and takes its turn in every measure.

A machine's speed drifts over minutes. So the peers are measured next to each other, one measure
after another, and a ratio is taken within one round; in each round another peer comes first.
"""

from __future__ import annotations

import http.client
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import trio

from benchmarks.measures import SETTLE_S, Measure, Tools
from benchmarks.peers.route import Peer, Route
from benchmarks.programs import BenchmarkError
from benchmarks.table import Readings
from benchmarks.wrk import GET_BYTES

CHECK_S = 5.0


class Rounds:
    """Runs the rounds, and keeps the readings and what went wrong."""

    def __init__(
        self, tools: Tools, backend_port: int, peers: Sequence[Peer], measures: Sequence[Measure]
    ) -> None:
        self._tools = tools
        self._backend_port = backend_port
        self._peers = peers
        self._measures = measures
        self.readings = Readings()
        self.notes: list[str] = []

    def __repr__(self) -> str:
        return f"<Rounds of {len(self._peers)} peers, {len(self.notes)} notes>"

    async def run(self, number: int, folder: Path) -> None:
        """One round; its programs have ended when this returns, also when it is cancelled."""
        async with AsyncExitStack() as stack:
            running: list[tuple[Peer, Route]] = []
            for peer in rotated(self._peers, number):
                try:
                    running.append((peer, await self._start(peer, stack, folder / peer.name)))
                except BenchmarkError as error:
                    self._note(f"{peer.name} does not start: {error}")
            await trio.sleep(SETTLE_S)
            for measure in self._measures:
                for peer, route in running:
                    await self._measure(number, measure, peer, route)

    async def _start(self, peer: Peer, stack: AsyncExitStack, folder: Path) -> Route:
        await trio.Path(folder).mkdir(parents=True)
        route = await stack.enter_async_context(peer.open(self._backend_port, folder))
        await trio.to_thread.run_sync(check, route)
        return route

    async def _measure(self, number: int, measure: Measure, peer: Peer, route: Route) -> None:
        if measure.of_programs and not route.programs:
            return
        if peer.most_websockets is not None and measure.websockets > peer.most_websockets:
            most = f"{peer.most_websockets} WebSockets at once"
            self._note(f"{peer.name} is left out of {measure.name}: it carries at most {most}")
            return
        try:
            found = await measure.run(self._tools, route)
        except (BenchmarkError, OSError) as error:
            self._note(f"{peer.name}, {measure.name}, round {number}: {error}")
            return
        self.readings.add(number, peer.name, found)
        shown = ", ".join(f"{key} {value:,.3f}" for key, value in found.items())
        print(f"round {number}: {peer.name}: {shown}", file=sys.stderr)

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)
            print(text, file=sys.stderr)


def rotated(peers: Sequence[Peer], number: int) -> list[Peer]:
    first = number % len(peers)
    return [*peers[first:], *peers[:first]]


def check(route: Route) -> None:
    """One GET that must come back whole. Raises BenchmarkError otherwise."""
    connection = http.client.HTTPConnection("127.0.0.1", route.port, timeout=CHECK_S)
    try:
        connection.request("GET", f"/bytes/{GET_BYTES}", headers={"Host": route.host})
        answer = connection.getresponse()
        body = answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise BenchmarkError(f"no answer to a GET: {error}") from error
    finally:
        connection.close()
    if answer.status != 200 or len(body) != GET_BYTES:
        raise BenchmarkError(f"a GET is answered with {answer.status} and {len(body)} bytes")
