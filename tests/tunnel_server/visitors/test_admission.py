from __future__ import annotations

import trio
from trio.testing import wait_all_tasks_blocked

from tests.edge_fakes import World, echo, hello
from tunnel_server.answers.refusal import Refusal
from tunnel_server.visitors.admission import admission, missing
from tunnel_server.visitors.visitor import Visitor

VISITOR = Visitor("192.0.2.1", "192.0.2.1/32", connected=True)

UPLOAD = b"POST / HTTP/1.1\r\nHost: app.localhost\r\nContent-Length: 10\r\n\r\n"


async def test_admission_waits_for_a_name_that_should_come_back(world: World) -> None:
    assert isinstance(admission(world.directory, "app", VISITOR), Refusal)
    world.directory.expect({"app": "alice"})
    assert admission(world.directory, "app", VISITOR) is None


async def test_admission_looks_at_the_carrier_that_holds_the_name_now(world: World) -> None:
    client = await world.client(echo, max_streams=1)
    tunnel = world.directory.registry.find("app")
    assert admission(world.directory, "app", VISITOR) is tunnel
    visitor = world.visit()
    await visitor.send(UPLOAD)
    await wait_all_tasks_blocked()
    assert admission(world.directory, "app", VISITOR) is tunnel  # it waits for a stream
    client.server.detached_at = trio.current_time()
    assert admission(world.directory, "app", VISITOR) is None
    client.server.detached_at = None


async def test_a_missing_tunnel_was_never_there_or_is_offline(world: World) -> None:
    assert missing(world.directory, "app") == Refusal("tunnel-not-found")
    client = await world.client(hello)
    world.directory.release(client.server)
    refusal = missing(world.directory, "app")
    assert refusal.code == "tunnel-offline"
    assert "for 0 seconds" in refusal.cause
