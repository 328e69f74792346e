"""What the server does where a client stops: it ends what a visitor that reads no more holds up."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from protocol.drivers.peer_progress import PeerProgress
from protocol.http.stopping import CLOSED_S, STILL_S, VISITOR_STUCK
from tests.edge_fakes import FakeClient, World, get, head
from tests.tunnel_server.visitors.test_stopping import EVENTS, QUICK, SLOW, Answer, Kernel
from tunnel_server.visitors.draining import IDLE_CHECK_EVERY_S
from tunnel_server.visitors.edge import Swept
from tunnel_server.visitors.leaving import look_after_leaving

SOON_S = 3 * IDLE_CHECK_EVERY_S


@pytest.fixture
async def world(world: World) -> World:
    world.tasks.start_soon(look_after_leaving, world.edge)
    return world


async def begin_large(world: World, name: str = "app") -> FakeClient:
    """A large answer that nobody reads."""
    client = await world.client(Answer(head(200, body=1 << 30), *[bytes(1 << 20)] * 9), name=name)
    await world.visit(lockstep=True).send(get(host=name.encode() + b".localhost"))
    await wait_all_tasks_blocked()
    return client


async def stop(client: FakeClient) -> None:
    """The client says that it stops."""
    client.session.goaway("shutting-down", "the client stops", 8)
    await wait_all_tasks_blocked()


async def test_a_visitor_that_has_stopped_reading_holds_up_no_client_that_stops(
    world: World, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await begin_large(world)
    Kernel(monkeypatch, QUICK)
    await stop(client)
    await trio.sleep(CLOSED_S - SOON_S)
    assert not client.stopped[0].is_set()
    await trio.sleep(2 * SOON_S)
    assert client.streams[0].stopped == VISITOR_STUCK
    await world.nothing_is_left()


@pytest.mark.parametrize(
    "said", [SLOW, QUICK._replace(is_closed=False), None], ids=["slow", "bad line", "unknown"]
)
async def test_one_that_may_be_reading_is_waited_for(
    world: World,
    autojump_clock: MockClock,
    monkeypatch: pytest.MonkeyPatch,
    said: PeerProgress | None,
) -> None:
    client = await begin_large(world)
    Kernel(monkeypatch, said)
    await stop(client)
    await trio.sleep(3.0 - SOON_S)
    assert not client.stopped[0].is_set()


async def test_what_has_reached_the_server_is_not_cut_off(
    world: World, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its client waits for it no more, and what its visitor takes is the server's own business."""
    client = await world.client(Answer(head(200, body=2 << 10), bytes(2 << 10), ends=True))
    await world.visit(lockstep=True).send(get())
    await wait_all_tasks_blocked()
    Kernel(monkeypatch, QUICK)
    await stop(client)
    await trio.sleep(3 * CLOSED_S)
    assert not client.stopped[0].is_set()
    assert world.edge.connections


async def test_all_else_is_the_business_of_the_client(
    world: World, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Long polls and event streams, which it ends itself; and what another one serves."""
    other = await begin_large(world, "other")
    client = await world.client(Answer(EVENTS, b"first"))
    await world.visit().send(get())
    poll = await world.client(Answer(None), name="poll")
    await world.visit().send(get(host=b"poll.localhost"))
    await wait_all_tasks_blocked()
    Kernel(monkeypatch, QUICK)
    await stop(client)
    await stop(poll)
    await trio.sleep(2 * STILL_S)
    for each in (client, poll, other):
        assert not each.stopped[0].is_set()


async def test_what_ends_meanwhile_is_looked_at_no_more(
    world: World, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await begin_large(world)
    Kernel(monkeypatch, SLOW)
    await stop(client)
    client.session.close("it is gone")
    await wait_all_tasks_blocked()
    assert client.server not in world.directory.sessions
    await trio.sleep(SOON_S)
    assert "0 sessions" in repr(world.directory.leaving)
    again = await begin_large(world)  # and the next is served as well
    Kernel(monkeypatch, QUICK)
    await stop(again)
    await trio.sleep(CLOSED_S + SOON_S)
    assert again.streams[0].stopped == VISITOR_STUCK


async def test_many_clients_that_leave_cost_one_walk_over_the_visitors(
    world: World, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    clients = [await begin_large(world, f"app{number}") for number in range(5)]
    Kernel(monkeypatch, QUICK)
    walks, look_at_all = 0, world.edge.look_at_all

    async def counted(do: Callable[[Swept], object]) -> None:
        nonlocal walks
        walks += 1
        await look_at_all(do)

    monkeypatch.setattr(world.edge, "look_at_all", counted)
    for client in clients:
        client.session.goaway("shutting-down", "the client stops", 8)
    await trio.sleep(CLOSED_S + SOON_S)
    assert [client.streams[0].stopped for client in clients] == [VISITOR_STUCK] * 5
    assert walks <= 2  # the first to be heard, and all others
