"""A fault at the other end, and a visitor whose connection breaks under an answer."""

from __future__ import annotations

import trio

from protocol.drivers.stream import TunnelStream
from tests.edge_fakes import World, get, head, open_world, tunnel_error


async def test_a_fault_of_the_client_is_a_500(world: World) -> None:
    async def app(stream: TunnelStream) -> None:
        stream.reset("internal", "the tunnel's client has a fault")
        stream.stop_sending("internal")

    await world.client(app)
    visitor = world.visit()
    await visitor.send(get())
    assert tunnel_error(await visitor.head()) == (500, "internal")


async def test_a_write_that_fails_aborts_the_request_at_once() -> None:
    async def endless(stream: TunnelStream) -> None:
        await stream.send_head(head(body="chunked"))
        while True:
            await stream.send_all(bytes(10_000))

    async with open_world() as world:
        client = await world.client(endless)
        visitor = await world.visit_by_tcp()
        await visitor.send(get())
        await visitor.head()
        began = trio.current_time()
        await visitor.reset()
        await client.stopped[0].wait()
        assert client.streams[0].stopped == "visitor-gone"
        await visitor.done.wait()
        assert trio.current_time() - began < 5  # and no time limit had to pass
        await world.nothing_is_left()
