"""Honest loads, which must not meet a share with the defaults."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial

import trio

from benchmarks.attacks.app import BODY
from benchmarks.attacks.by_visitors import SWITCHED, UPGRADE
from benchmarks.attacks.load import ENDED, Load
from benchmarks.attacks.visitors import read_answer, read_head, request, until_end
from benchmarks.attacks.ways import address_of
from tunnel_server.listening.descriptors import FEW_DESCRIPTORS

OFFICE = address_of(20)

# A page of a Vite dev server: the page, its client, and a module for each file of the app, by the
# six connections that a browser makes to a host; and the WebSocket of its hot reload.
PAGES, PAGE_CONNECTIONS, GETS_A_CONNECTION = 50, 6, 20
TESTED_CONNECTIONS = 500
WEBHOOKS = 700
EVENT = bytes(2048)
IDLE, IDLE_ADDRESSES, IDLE_TUNNELS = 10_000, 100, 12
HANDSHAKES_AT_ONCE = 100


@dataclass(frozen=True)
class HonestLoad:
    """One load.

    Attributes:
        name: by which it is chosen.
        run: ends when all of it was answered.
        says: what it is, for the table.
        descriptors: the limit without which the server has not the places for it, `ulimit -n`.
        tunnels: that it goes to.
    """

    name: str
    run: Callable[[Load], Awaitable[None]]
    says: str
    descriptors: int = FEW_DESCRIPTORS
    tunnels: Sequence[str] = ("honest",)


async def pages(load: Load) -> None:
    async with trio.open_nursery() as nursery:
        for _ in range(PAGES):
            nursery.start_soon(page, load)


async def page(load: Load) -> None:
    """The page first, then all else; its WebSocket stays until then."""
    async with load.visitor(OFFICE) as stream:
        await gets(load, stream, 1)
        async with load.visitor(OFFICE) as reload:
            await idle(load, reload, "honest", OFFICE)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(gets, load, stream, GETS_A_CONNECTION - 1)
                for _ in range(PAGE_CONNECTIONS - 1):
                    nursery.start_soon(by_own_connection, load, GETS_A_CONNECTION)


async def tested(load: Load) -> None:
    await at_once(load, TESTED_CONNECTIONS, partial(gets, load, count=GETS_A_CONNECTION))


async def by_own_connection(load: Load, count: int) -> None:
    async with load.visitor(OFFICE) as stream:
        await gets(load, stream, count)


async def webhooks(load: Load) -> None:
    length = (b"Content-Length", b"%d" % len(EVENT))
    asked = request("POST", "honest", "/hook", length, *load.entrance.fields(OFFICE)) + EVENT

    await at_once(load, WEBHOOKS, partial(one, load, asked=asked))


async def at_once(
    load: Load, count: int, use: Callable[[trio.SocketStream], Awaitable[None]]
) -> None:
    """So many connections, all of which are there before one of them is used."""
    all_there = trio.Event()

    async def connect() -> None:
        async with load.visitor(OFFICE) as stream:
            if load.places == count:
                all_there.set()
            await all_there.wait()
            await use(stream)

    async with trio.open_nursery() as nursery:
        for _ in range(count):
            nursery.start_soon(connect)


async def websockets(load: Load) -> None:
    """All of them open, and then nothing for two seconds."""
    async with idle_websockets(load):
        await trio.sleep(2)


@asynccontextmanager
async def idle_websockets(load: Load) -> AsyncIterator[None]:
    """When the block begins each was answered, and those that were let in stay until its end."""
    async with trio.open_nursery() as staying:

        async def stay(number: int, task_status: trio.TaskStatus[None]) -> None:
            address = address_of(100 + number % IDLE_ADDRESSES)
            async with load.visitor(address) as stream:
                is_open = await idle(load, stream, f"honest{number % IDLE_TUNNELS}", address)
                task_status.started()
                if is_open:
                    await until_closed(load, stream)

        async def open_some(first: int) -> None:
            for number in range(first, IDLE, HANDSHAKES_AT_ONCE):
                await staying.start(stay, number)

        async with trio.open_nursery() as opening:
            for first in range(HANDSHAKES_AT_ONCE):
                opening.start_soon(open_some, first)
        yield
        staying.cancel_scope.cancel()


async def until_closed(load: Load, stream: trio.SocketStream) -> None:
    """Wait for the end that none should have; it counts."""
    with suppress(*ENDED):
        await until_end(stream)
    load.counts["closed"] += 1


async def gets(load: Load, stream: trio.SocketStream, count: int) -> None:
    asked = request("GET", "honest", "/module.js", *load.entrance.fields(OFFICE))
    for _ in range(count):
        await one(load, stream, asked)


async def one(load: Load, stream: trio.SocketStream, asked: bytes) -> None:
    load.counts["asked"] += 1
    try:
        await stream.send_all(asked)
        count(load, await read_answer(stream, len(BODY)), 200)
    except ENDED:
        load.counts["closed"] += 1


async def idle(load: Load, stream: trio.SocketStream, name: str, address: str) -> bool:
    """Open a WebSocket; whether it is open."""
    load.counts["asked"] += 1
    try:
        await stream.send_all(request("GET", name, "/", *UPGRADE, *load.entrance.fields(address)))
        status, _ = await read_head(stream)
        count(load, status, SWITCHED)
    except ENDED:
        load.counts["closed"] += 1
        return False
    return status == SWITCHED


def count(load: Load, status: int, wanted: int) -> None:
    load.counts["served" if status == wanted else "refused" if status else "closed"] += 1
    if status not in (0, wanted):
        load.refusals[str(status)] += 1


HONEST = (
    HonestLoad("pages", pages, "50 Vite pages of one address, 120 GETs and a WebSocket each"),
    HonestLoad("load-test", tested, "500 connections of one address, 20 GETs each"),
    HonestLoad("webhooks", webhooks, "700 webhooks of one address at once"),
    HonestLoad(
        "websockets",
        websockets,
        "10,000 idle WebSockets of 100 addresses, through 12 tunnels",
        descriptors=12_000,  # benchmarks/README.md has the sum
        tunnels=tuple(f"honest{number}" for number in range(IDLE_TUNNELS)),
    ),
)
