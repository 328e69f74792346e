"""The order of a stop, and what it waits for."""

from __future__ import annotations

import socket

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from protocol.drivers.portions import LOOKED_AT_ONCE
from protocol.drivers.stream import TunnelStream
from protocol.http.stopping import Pace, Verdict
from protocol.http.websocket import accept_for, close_frame
from protocol.mux.messages import Goaway
from tests.clocks import elapsed_s
from tests.edge_fakes import (
    HELLO,
    HELLO_AND_CLOSE,
    FakeClient,
    Visitor,
    World,
    get,
    head,
    hello,
    open_world,
)
from tunnel_server.visitors.connection import SETTLE_S, STOP_SETTLE_S, Connection
from tunnel_server.visitors.draining import drain
from tunnel_server.visitors.edge import Swept
from tunnel_server.visitors.stopping import Stop

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
POST = get().replace(b"GET", b"POST")
UPGRADE = get(b"/", b"Connection: upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Key: " + KEY)


class Gated:
    """An app that answers when the test lets it."""

    def __init__(self) -> None:
        self.go = trio.Event()

    async def __call__(self, stream: TunnelStream) -> None:
        if stream.opened.kind == "websocket":
            accept = b"Sec-WebSocket-Accept: " + accept_for(KEY)
            await stream.send_head(head(101, b"Go On", accept, body=None))
            await stream.receive_some()
            await trio.sleep_forever()
        await self.go.wait()
        await hello(stream)


async def begun(world: World) -> tuple[Gated, FakeClient, Visitor]:
    """A request that is being served, and may not be sent again."""
    app = Gated()
    client = await world.client(app)
    visitor = world.visit()
    await visitor.send(POST)
    await wait_all_tasks_blocked()
    return app, client, visitor


def _is_unused(connection: Swept) -> bool:
    assert isinstance(connection, Connection)
    return connection.exchange is None


async def quiet(world: World) -> Swept:
    """The newest connection, and it is as if nothing had come on it for long."""
    await wait_all_tasks_blocked()
    (connection,) = [each for each in world.edge.connections if _is_unused(each)]
    assert isinstance(connection, Connection)
    connection.deadlines.read -= SETTLE_S
    return connection


# --- the order of a stop -------------------------------------------------------------------------


async def test_clients_are_told_first_and_sessions_end_last(world: World) -> None:
    app, client, visitor = await begun(world)
    world.tasks.start_soon(drain, world.edge)
    await wait_all_tasks_blocked()
    assert world.edge.directory.draining
    assert client.goaways == [Goaway("shutting-down", "the server stops", 8)]
    assert client.server.closed_reason is None
    app.go.set()
    assert await visitor.rest() == HELLO_AND_CLOSE
    await visitor.end()


async def test_what_is_in_flight_ends_before_its_session_does(
    world: World, autojump_clock: MockClock
) -> None:
    app, client, visitor = await begun(world)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(drain, world.edge)
        await trio.sleep(7)
        app.go.set()
        assert await visitor.rest() == HELLO_AND_CLOSE
        await visitor.end()
    assert elapsed_s() == pytest.approx(7, abs=0.2)
    assert client.server.closed_reason == "the server has stopped"
    assert not world.directory.sessions
    assert not world.edge.connections


async def test_idle_connections_end_at_once(world: World, autojump_clock: MockClock) -> None:
    client = await world.client(hello)
    fresh, idle = world.visit(), world.visit()
    await idle.send(get())
    await idle.expect(HELLO)
    await trio.sleep(SETTLE_S)
    await drain(world.edge)
    assert elapsed_s() < SETTLE_S + 0.5
    assert await fresh.rest() == b""
    assert await idle.rest() == b""
    assert len(client.goaways) == 1  # it was told, although nothing had to be waited for


@pytest.mark.parametrize(("replaced", "settle_s"), [(True, SETTLE_S), (False, STOP_SETTLE_S)])
async def test_connections_that_were_just_used_or_opened_may_bring_one_more_request(
    world: World, autojump_clock: MockClock, replaced: bool, settle_s: float
) -> None:
    """A visitor cannot know that the server stops: what it sends now crosses our end."""
    await world.client(hello)
    used, fresh, late = world.visit(), world.visit(), world.visit()
    await used.send(get())
    await used.expect(HELLO)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(drain, world.edge, lambda: 0, Stop(replaced=replaced))
        await trio.sleep(settle_s * 0.9)
        for visitor in (used, fresh):
            await visitor.send(get())
            assert await visitor.rest() == HELLO_AND_CLOSE
            await visitor.end()
        assert await late.rest() == b""
    assert elapsed_s() == pytest.approx(settle_s, abs=0.2)


async def test_what_is_in_a_sockets_buffer_is_answered_however_idle_it_was(world: World) -> None:
    await world.client(hello)
    visitor = await world.visit_by_tcp()
    connection = await quiet(world)
    assert isinstance(visitor.stream, trio.SocketStream)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(drain, world.edge)
        # Not a moment for the reading task to see it before the stop looks.
        raw = socket.fromfd(visitor.stream.socket.fileno(), socket.AF_INET, socket.SOCK_STREAM)
        with raw:
            raw.send(get())
        assert connection.busy
        connection.stop_when_idle()
        assert await visitor.rest() == HELLO_AND_CLOSE
        await visitor.end()


async def test_a_request_that_waits_for_its_turn_is_not_dropped(
    world: World, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has been read whole, and its session has enough to send."""
    await world.client(hello)
    turn = trio.Event()

    async def pace(*_: object) -> None:
        await turn.wait()

    monkeypatch.setattr("tunnel_server.visitors.admission.wait_for_batch", pace)
    visitor = world.visit()
    await visitor.send(get())
    await trio.sleep(2 * SETTLE_S)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(drain, world.edge)
        await trio.sleep(3)
        turn.set()
        assert await visitor.rest() == HELLO_AND_CLOSE
        await visitor.end()


async def test_an_idle_connection_ends_with_fin_and_what_crosses_it_is_not_reset(
    world: World, autojump_clock: MockClock
) -> None:
    app, _, visitor = await begun(world)  # holds up the stop
    idle = await world.visit_by_tcp()
    await quiet(world)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(drain, world.edge)
        assert await idle.rest() == b""
        await idle.send(get())
        await idle.end()
        await idle.done.wait()  # read to its end, and so closed without a reset
        assert isinstance(idle.stream, trio.SocketStream)
        assert idle.stream.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
        app.go.set()
        assert await visitor.rest() == HELLO_AND_CLOSE
        await visitor.end()


@pytest.mark.parametrize(("replaced", "late_s"), [(True, 5), (False, STOP_SETTLE_S - 0.1)])
async def test_connections_in_their_tls_handshake_are_waited_for(
    world: World, autojump_clock: MockClock, replaced: bool, late_s: float
) -> None:
    """They are not among the edge's yet."""
    await world.client(hello)
    arriving = 1
    async with trio.open_nursery() as nursery:
        nursery.start_soon(drain, world.edge, lambda: arriving, Stop(replaced=replaced))
        await trio.sleep(late_s)
        visitor = world.visit()
        await visitor.send(get())
        await wait_all_tasks_blocked()
        arriving = 0
        assert await visitor.rest() == HELLO_AND_CLOSE
        await visitor.end()
    assert elapsed_s() < 6


@pytest.mark.parametrize(("replaced", "took_s"), [(True, 8), (False, STOP_SETTLE_S)])
async def test_a_handshake_without_end_does_not_hold_up_a_stop_for_ever(
    world: World, autojump_clock: MockClock, replaced: bool, took_s: float
) -> None:
    await drain(world.edge, lambda: 1, Stop(replaced=replaced))
    assert elapsed_s() == pytest.approx(took_s, abs=0.1)


async def test_health_is_alive_and_ready_is_not_while_the_server_stops(
    world: World, autojump_clock: MockClock
) -> None:
    app, _, visitor = await begun(world)
    probes = [world.visit(), world.visit()]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(drain, world.edge)
        for probe, path, status in zip(
            probes, (b"/_tunnel/health", b"/_tunnel/ready"), (b"200", b"503"), strict=True
        ):
            await probe.send(get(path, host=b"localhost"))
            answer = await probe.rest()
            assert answer.startswith(b"HTTP/1.1 " + status)
            assert b"Connection: close" in answer
            await probe.end()
        app.go.set()
        await visitor.rest()
        await visitor.end()


async def test_idle_sessions_do_not_hold_up_a_stop(world: World, autojump_clock: MockClock) -> None:
    clients = [await world.client(hello, f"app{number}") for number in range(5)]
    await drain(world.edge)
    assert elapsed_s() < 0.5
    assert [len(client.goaways) for client in clients] == [1] * 5
    assert not world.directory.sessions


@pytest.mark.parametrize(("replaced", "late_s"), [(True, 3), (False, STOP_SETTLE_S - 0.1)])
async def test_a_head_that_has_begun_is_waited_for(
    world: World, autojump_clock: MockClock, replaced: bool, late_s: float
) -> None:
    await world.client(hello)
    visitor = world.visit()
    await visitor.send(get()[:10])
    await wait_all_tasks_blocked()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(drain, world.edge, lambda: 0, Stop(replaced=replaced))
        await trio.sleep(late_s)
        await visitor.send(get()[10:])
        assert await visitor.rest() == HELLO_AND_CLOSE
        await visitor.end()


async def test_half_a_head_holds_a_stop_up_no_longer_than_a_new_connection(
    world: World, autojump_clock: MockClock
) -> None:
    visitor = world.visit()
    await visitor.send(get()[:10])
    await wait_all_tasks_blocked()
    await drain(world.edge)
    assert elapsed_s() == pytest.approx(STOP_SETTLE_S, abs=0.1)
    assert await visitor.rest() == b""


async def test_a_pipelined_request_is_served_while_the_server_stops(
    world: World, autojump_clock: MockClock
) -> None:
    """Its bytes had come before; which of the two answers closes is up to when it leaves."""
    app, client, visitor = await begun(world)
    await visitor.send(get(b"/2"))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(drain, world.edge)
        await trio.sleep(1)
        app.go.set()
        assert await visitor.rest() == HELLO_AND_CLOSE
        await visitor.end()
    assert len(client.streams) == 1


async def test_at_the_deadline_of_a_server_that_is_replaced_all_is_cut_off_or_closed(
    world: World, autojump_clock: MockClock
) -> None:
    """Nobody waits for its end, so that until then all goes on."""
    _, client, visitor = await begun(world)
    browser = world.visit()
    await browser.send(UPGRADE)
    await browser.head()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(drain, world.edge, lambda: 0, Stop(replaced=True))
        await trio.sleep(7.9)
        await browser.nothing_comes()
        await browser.expect(close_frame(1012))
        assert elapsed_s() == pytest.approx(8, abs=0.1)
        assert await visitor.rest() == b""
        assert elapsed_s() == pytest.approx(8, abs=0.1)
        await browser.send(close_frame(1012, mask=bytes(4)))
        assert await browser.rest() == b""
        await browser.end()
    assert elapsed_s() <= 12
    assert client.server.closed_reason == "the server has stopped"
    assert not world.edge.connections


async def test_nobody_holds_up_a_stop_for_ever(autojump_clock: MockClock) -> None:
    async with open_world(drain_timeout_s=0.0) as world:
        app = Gated()
        await world.client(app)
        visitors = [world.visit(lockstep=True) for _ in range(3)]
        for visitor, sent in zip(visitors, [UPGRADE, get(), get()[:9]], strict=True):
            await visitor.send(sent)
        await wait_all_tasks_blocked()
        await drain(world.edge)
        assert elapsed_s() <= 11
        assert not world.edge.connections


async def test_clients_of_a_server_that_is_replaced_are_told_so(
    world: World, autojump_clock: MockClock
) -> None:
    client = await world.client(hello)
    await drain(world.edge, stop=Stop(replaced=True))
    assert client.goaways == [Goaway("shutting-down", "another server takes its place", 8)]


class Many:
    """One of many connections; it is busy when it is looked at so often."""

    def __init__(self, busy_looks: int = 0) -> None:
        self.looks: list[bool] = []  # whether it was told to stop while it was busy
        self._busy_looks = busy_looks

    @property
    def busy(self) -> bool:
        return len(self.looks) < self._busy_looks

    under_way = progress = None
    waits_for_client = False

    def sweep(self, now: float) -> None:
        raise AssertionError("a stop is no sweep")

    def pace(self, now: float) -> Pace:
        raise AssertionError("nothing is under way")

    def hurry(self) -> None:
        pass

    held_up = carried_by = None

    def stop(self, how: Verdict, code: str = "") -> None:
        raise AssertionError("nothing is under way")

    def stop_when_idle(self) -> None:
        self.looks.append(self.busy)

    def close_upgrade(self, code: int) -> bool:
        return False

    def end(self) -> None:
        assert self.looks[-1] is False, "it was cut off, and not told to stop"


async def test_one_of_many_that_becomes_idle_between_two_portions_is_told_to_stop(
    world: World, autojump_clock: MockClock
) -> None:
    many = [Many(1), *(Many() for _ in range(2 * LOOKED_AT_ONCE))]
    world.edge.connections.update(many)
    await drain(world.edge)
    world.edge.connections.difference_update(many)
    assert all(each.looks[-1] is False for each in many)
    assert many[0].looks[0] is True
