"""A server that is upgraded again and again under load, and a count of everything that was sent.

For each upgrade some downloads and WebSockets begin before it and end after it; requests go on all
the time, on connections of their own and on kept-alive ones. As a measurement:

    python -m tests.system.upgrades UPGRADES REQUESTS DOWNLOADS WEBSOCKETS BETWEEN_S [OLD]

OLD is where an older version is installed (`/tmp/old/bin`): servers are of this version and that
one in turn, and all is done once with a client of each.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count, cycle
from pathlib import Path

import trio
from wsproto.events import CloseConnection, TextMessage

from tests.programs import SCRIPTS, STOP_S, Address, Program, Programs, open_programs
from tests.system.origin import Exchange, Origin, blocks, digest, serve
from tests.system.peer import WsEvents
from tests.system.visitor import SMALL_S, Visitor, fetch, visit

# Longer than anything takes here: what is under way ends by itself, and not because of this.
DRAIN_TIMEOUT_S = 120
# Each sends a request, waits for the answer, and pauses: about 300 requests in a second.
VISITORS_WITH_NEW_CONNECTIONS = 2
VISITORS_WITH_KEPT_CONNECTIONS = 2
PAUSE_S = 0.01
DOWNLOAD_BYTES = 3 << 20
MESSAGE_EVERY_S = 0.02


@dataclass
class Totals:
    """What was sent, and what came back; nothing is tried twice."""

    upgrades: int = 0
    requests: int = 0
    answered: int = 0
    connections: int = 0
    slowest_s: float = 0.0
    downloads: int = 0
    downloaded: int = 0
    websockets: int = 0
    closed: int = 0
    messages: int = 0
    echoes: int = 0

    @property
    def lost(self) -> int:
        asked = self.requests + self.downloads + self.websockets + self.messages
        return asked - self.answered - self.downloaded - self.closed - self.echoes


class Load:
    """Visitors of one tunnel, and what came of their requests.

    A failure of any kind is raised, and ends everything.
    """

    def __init__(self, address: Address, origin: Origin, nursery: trio.Nursery) -> None:
        self.totals = Totals()
        self._address = address
        self._nursery = nursery
        self._stop_requests = trio.Event()
        self._enough = trio.Event()
        self._wanted = 0
        self._upgraded: list[trio.Event] = []
        origin.routes["/over"] = self._half_before_and_half_after

    def __repr__(self) -> str:
        return f"<Load {self.totals}>"

    # --- requests ---

    def start_requests(self) -> None:
        for _ in range(VISITORS_WITH_NEW_CONNECTIONS):
            self._nursery.start_soon(self._ask, False)
        for _ in range(VISITORS_WITH_KEPT_CONNECTIONS):
            self._nursery.start_soon(self._ask, True)

    async def answered(self, wanted: int) -> None:
        """Wait until so many requests have been answered, and stop sending."""
        self._wanted = wanted
        if self.totals.answered < wanted:
            await self._enough.wait()
        self._stop_requests.set()

    async def _ask(self, keep: bool) -> None:
        while not self._stop_requests.is_set():
            self.totals.connections += 1
            async with visit(self._address) as visitor:
                while await self._ask_once(visitor) and keep and not self._stop_requests.is_set():
                    if has_ended(visitor):
                        break
                    visitor.connection.start_next_cycle()

    async def _ask_once(self, visitor: Visitor) -> bool:
        """Whether another request may follow."""
        totals = self.totals
        totals.requests += 1
        began = trio.current_time()
        answer = await visitor.fetch("/")
        assert (answer.status, answer.body) == (200, b"hello"), answer
        totals.answered += 1
        totals.slowest_s = max(totals.slowest_s, trio.current_time() - began)
        if totals.answered >= self._wanted:
            self._enough.set()
        await trio.sleep(PAUSE_S)
        return answer.fields.get("connection") != "close"

    # --- what lasts over an upgrade ---

    async def begin(self, downloads: int, websockets: int) -> trio.Event:
        """Begin so many of each; they have begun when this returns, and end after the event."""
        self._upgraded.append(upgraded := trio.Event())
        async with trio.open_nursery() as beginning:
            for number in range(downloads):
                beginning.start_soon(self._nursery.start, self._download, number)
            for _ in range(websockets):
                beginning.start_soon(self._nursery.start, self._talk, upgraded)
        return upgraded

    async def _download(
        self, seed: int, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        upgrade = len(self._upgraded) - 1
        self.totals.downloads += 1
        async with visit(self._address) as visitor:
            await visitor.request(f"/over?upgrade={upgrade}&seed={seed}")
            assert (await visitor.answer()).status == 200
            body = visitor.body()
            parts = [await anext(body)]
            task_status.started()
            parts += [part async for part in body]
        assert digest(parts) == digest(blocks(seed, DOWNLOAD_BYTES))
        self.totals.downloaded += 1

    async def _half_before_and_half_after(self, exchange: Exchange) -> None:
        first, *others = blocks(exchange.number("seed"), DOWNLOAD_BYTES)
        await exchange.head([("Content-Length", str(DOWNLOAD_BYTES))])
        await exchange.send(first)
        await self._upgraded[exchange.number("upgrade")].wait()
        for block in others:
            await exchange.send(block)
        await exchange.end()

    async def _talk(
        self, upgraded: trio.Event, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Numbered messages, one after the other, until the upgrade is over; then a Close."""
        totals = self.totals
        totals.websockets += 1
        async with visit(self._address) as visitor:
            frames = await visitor.upgrade("/ws")
            events = WsEvents(visitor.stream, frames)
            for number in count():
                totals.messages += 1
                await visitor.stream.send_all(frames.send(TextMessage(str(number))))
                with trio.fail_after(SMALL_S):
                    event = await anext(events)
                assert isinstance(event, TextMessage)
                assert event.data == str(number)
                totals.echoes += 1
                if number == 0:
                    task_status.started()
                if upgraded.is_set():
                    break
                await trio.sleep(MESSAGE_EVERY_S)
            await visitor.stream.send_all(frames.send(CloseConnection(1000)))
            with trio.fail_after(SMALL_S):
                closed = await anext(events)
            assert isinstance(closed, CloseConnection)
            assert closed.code == 1000
            totals.closed += 1


def has_ended(visitor: Visitor) -> bool:
    """Whether the server has ended an idle connection: then nothing is sent on it."""
    assert isinstance(visitor.stream, trio.SocketStream)
    return visitor.stream.socket.is_readable()


async def upgrade_under_load(
    programs: Programs,
    origin: Origin,
    *,
    upgrades: int,
    requests: int,
    downloads: int,
    websockets: int,
    between_s: float = 0,
    servers: Sequence[Path] = (SCRIPTS,),
) -> Totals:
    """Upgrade a server so many times with --replace; requests go on until so many were answered.

    Args:
        programs: start the servers and one client.
        origin: is shared.
        upgrades: how many times the server is replaced.
        requests: at least so many are sent; as many more as fit into the time of the upgrades.
        downloads: for each upgrade; begun before it and ended after it.
        websockets: the same.
        between_s: how long each server serves before it is replaced. A client whose sessions live
            for less than 10 s waits longer and longer before it connects again.
        servers: where they are installed, in turn.

    Returns:
        The count of everything. Whatever fails raises instead.
    """
    drain = ("--drain-timeout", str(DRAIN_TIMEOUT_S))
    client_of, scripts = programs.scripts, cycle(servers)
    programs.scripts = next(scripts)
    server, port = await programs.server(*drain)
    programs.scripts = client_of
    client = await programs.client(origin.port, port, "--subdomain", "app")
    await client.event("ready")
    address = Address(port, "app.localhost")
    async with trio.open_nursery() as nursery:
        load = Load(address, origin, nursery)
        load.start_requests()
        for _ in range(upgrades):
            await trio.sleep(between_s)
            over = await load.begin(downloads, websockets)
            programs.scripts = next(scripts)
            server = await _upgrade(programs, server, client, port, over, drain)
            load.totals.upgrades += 1
        await load.answered(requests)
    assert (await fetch(address)).body == b"hello"
    assert await server.stop() == 0
    return load.totals


async def _upgrade(
    programs: Programs,
    old: Program,
    client: Program,
    port: int,
    over: trio.Event,
    drain: tuple[str, ...],
) -> Program:
    new, _ = await programs.server(*drain, "--replace", bind=f"127.0.0.1:{port}")
    await client.event("ready")  # on the new one
    assert old.process.returncode is None  # it still has the downloads and the WebSockets
    over.set()
    assert await old.exit_code(STOP_S) == 0
    return new


async def _measure(client: Path, servers: Sequence[Path], numbers: Mapping[str, int]) -> None:
    began = trio.current_time()
    with tempfile.TemporaryDirectory() as folder:
        async with trio.open_nursery() as nursery, open_programs(Path(folder), client) as programs:
            origin = await serve(Origin(), nursery)
            totals = await upgrade_under_load(programs, origin, servers=servers, **numbers)
            nursery.cancel_scope.cancel()
    print(f"client of {client}, servers of {', '.join(map(str, servers))}:")
    print(totals, f"lost={totals.lost}", f"in {trio.current_time() - began:.1f} s", flush=True)


def main(*arguments: str) -> None:
    names = ("upgrades", "requests", "downloads", "websockets", "between_s")
    numbers = {name: int(text) for name, text in zip(names, arguments, strict=False)}
    installed = (SCRIPTS, *map(Path, arguments[len(names) :]))
    for client in installed:
        trio.run(_measure, client, installed, numbers)


if __name__ == "__main__":
    main(*sys.argv[1:])
