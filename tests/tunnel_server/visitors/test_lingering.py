"""What becomes of a connection behind its last answer."""

from __future__ import annotations

import contextlib

import trio
from trio.testing import MockClock, memory_stream_pair

from tests.edge_fakes import VISITOR, World, make_edge
from tests.tunnel_server.visitors.test_answering import EARLY, POST, early
from tunnel_server.visitors.connection import Connection
from tunnel_server.visitors.lingering import linger
from tunnel_server.visitors.visitor import Source


async def test_lingering_is_fin_first_and_then_reads_to_the_end(nursery: trio.Nursery) -> None:
    visitor, stream = memory_stream_pair()
    connection = Connection(make_edge(), stream, Source(VISITOR))
    nursery.start_soon(linger, connection)
    assert await visitor.receive_some() == b""
    await visitor.send_all(b"late")
    await visitor.send_eof()


async def test_what_lingers_ends_after_1_mib(world: World) -> None:
    await world.client(early)
    visitor = world.visit(lockstep=True)
    await visitor.send(POST + b"Content-Length: 10000000\r\n\r\n")
    assert await visitor.rest() == EARLY
    dropped = 0
    with contextlib.suppress(trio.BrokenResourceError):
        while True:
            await visitor.send(bytes(1024))
            dropped += 1024
    assert 1 << 20 <= dropped <= (1 << 20) + 65536
    await visitor.done.wait()


async def test_what_lingers_ends_after_2_s(world: World, autojump_clock: MockClock) -> None:
    await world.client(early)
    visitor = world.visit()
    await visitor.send(POST + b"Content-Length: 10\r\n\r\n")
    assert await visitor.rest() == EARLY
    began = trio.current_time()
    await visitor.done.wait()
    assert trio.current_time() - began == 2
