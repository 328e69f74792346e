"""A stream counts until the client has let it go; whoever finds none free waits for it."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from protocol.drivers.stream import TunnelStream
from protocol.limits import CANCELLED_COST_BYTES, KIB
from protocol.mux.codec import pack_code
from protocol.mux.memory import OWN_BYTES
from protocol.mux.wire import FrameType, frame, split_message
from tests.edge_fakes import HELLO, Visitor, World, get, hello, logged, tunnel_error
from tests.tunnel_server.control_client import APP, bearer, claim, connected, message, received
from tests.tunnel_server.visitors import test_any_upgrade as any_upgrade
from tunnel_server.owners.waiting import WAIT_S

RESET = frame(FrameType.RESET, 1, pack_code("cancelled"))


async def opened(client: Visitor) -> int:
    """The id of the stream that is opened next."""
    while True:
        _, payload = await received(client)
        for kind, stream_id, _ in split_message(payload):
            if kind == FrameType.OPEN:
                return stream_id


@pytest.fixture
async def client(world: World) -> Visitor:
    """A client that takes two streams at once, and says nothing by itself."""
    client = await connected(world, bearer("ti_alice"))
    assert (await claim(client, APP))["name"] == "app"
    [session] = world.directory.sessions
    session.core.max_streams = 2
    return client


async def asking(world: World) -> Visitor:
    visitor = await world.visit_by_tcp()
    await visitor.send(get())
    await wait_all_tasks_blocked(0.01)
    return visitor


async def test_a_request_waits_until_the_client_has_let_go_of_another(
    world: World, client: Visitor, autojump_clock: MockClock
) -> None:
    visitors = [await asking(world) for _ in range(2)]
    assert [await opened(client) for _ in visitors] == [1, 2]
    await visitors[0].reset()
    await wait_all_tasks_blocked(0.01)
    late = await asking(world)
    [session] = world.directory.sessions
    assert list(session.core.streams) == [1, 2]  # of the first the client knows nothing yet
    began = trio.current_time()
    await client.send(message(RESET))
    assert await opened(client) == 3
    assert trio.current_time() == began
    await late.nothing_comes()
    assert repr(world.directory.streams.of(session)) == "<RoomShare 2 of 2, 1 keys>"


async def test_an_upgrade_counts_as_any_other_stream_also_behind_its_101(
    world: World, autojump_clock: MockClock
) -> None:
    async def app(stream: TunnelStream) -> None:
        await (any_upgrade.Peer() if stream.opened.kind == "upgrade" else hello)(stream)

    client = await world.client(app, max_streams=2)
    raw = any_upgrade.asking(body=b"")
    visitors = [await world.visit_by_tcp() for _ in range(2)]
    for visitor in visitors:
        await visitor.send(raw)
        await visitor.expect(any_upgrade.SWITCHED)
    [session] = world.directory.sessions
    share = world.directory.streams.of(session)
    assert repr(share) == "<RoomShare 2 of 2, 1 keys>"
    late = await asking(world)
    assert len(client.streams) == 2
    await visitors[0].reset()
    assert (await late.head()).startswith(b"HTTP/1.1 200 ")
    kinds = [stream.opened.kind for stream in client.streams]
    assert kinds == ["upgrade", "upgrade", "http"]


async def test_where_the_client_lets_go_of_none_it_is_told_after_two_seconds(
    world: World,
    client: Visitor,
    autojump_clock: MockClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    visitors = [await asking(world) for _ in range(2)]
    await visitors[0].reset()
    began = trio.current_time()
    late = await asking(world)
    assert tunnel_error(await late.head()) == (503, "overloaded")
    assert trio.current_time() - began == pytest.approx(WAIT_S)
    why = "none is free of the 2 that its client takes at once"
    assert f"127.0.0.1: overloaded: a request for tunnel app: {why}" in logged(caplog.records)


async def test_where_the_session_ends_it_is_told_at_once(
    world: World, client: Visitor, autojump_clock: MockClock
) -> None:
    for _ in range(2):
        await asking(world)
    late = await asking(world)
    began = trio.current_time()
    [session] = world.directory.sessions
    session.close("its client has stopped")
    assert tunnel_error(await late.head()) == (503, "tunnel-offline")
    assert trio.current_time() == began
    assert repr(world.directory.streams) == "<StreamShares of 0 carriers>"


async def test_a_client_that_lets_go_of_nothing_has_the_memory_of_its_share_and_no_more(
    world: World, autojump_clock: MockClock
) -> None:
    world.directory.memory.most = 100 * KIB
    client = await connected(world, bearer("ti_alice"))
    assert (await claim(client, APP))["name"] == "app"
    [session] = world.directory.sessions
    while session.has_room:
        visitor = await asking(world)
        await opened(client)
        await visitor.reset()
        await wait_all_tasks_blocked(0.01)
    kept = session.stream_count
    assert OWN_BYTES < kept * CANCELLED_COST_BYTES < OWN_BYTES + 100 * KIB
    assert tunnel_error(await (await asking(world)).head()) == (503, "overloaded")
    other = await world.client(hello, "other")
    visitor = world.visit()
    await visitor.send(get(host=b"other.localhost"))
    await visitor.expect(HELLO)
    for stream_id in range(1, kept + 1):
        await client.send(message(frame(FrameType.RESET, stream_id, pack_code("cancelled"))))
    await wait_all_tasks_blocked(0.01)
    await asking(world)
    assert await opened(client) == kept + 1
    assert len(other.streams) == 1


async def test_where_its_name_has_changed_hands_it_is_served_by_the_new_client(
    world: World, autojump_clock: MockClock
) -> None:
    async def answer_never(_stream: TunnelStream) -> None:
        await trio.sleep_forever()

    await world.client(answer_never, max_streams=2)
    for _ in range(2):
        await asking(world)
    late = await asking(world)
    await world.client(hello)  # takes the name over, and has room
    await late.expect(HELLO)
