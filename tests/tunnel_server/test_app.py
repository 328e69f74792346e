from __future__ import annotations

import signal
import socket
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from protocol.http.websocket import accept_for, close_frame
from protocol.mux.messages import Goaway
from protocol.mux.stream import TunnelStream
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
from tunnel_server.app import drain, run
from tunnel_server.config import ServerConfig
from tunnel_server.output import Output

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
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
    """A request that is being served."""
    app = Gated()
    client = await world.client(app)
    visitor = world.visit()
    await visitor.send(get())
    await wait_all_tasks_blocked()
    return app, client, visitor


# --- the order of a stop -------------------------------------------------------------------------


async def test_clients_are_told_first_and_sessions_end_last(world: World) -> None:
    app, client, visitor = await begun(world)
    world.tasks.start_soon(drain, world.edge)
    await wait_all_tasks_blocked()
    assert world.edge.draining
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
    assert trio.current_time() == pytest.approx(7, abs=0.2)
    assert client.server.closed_reason == "the server has stopped"
    assert not world.edge.sessions
    assert not world.edge.connections


async def test_idle_connections_end_at_once(world: World, autojump_clock: MockClock) -> None:
    client = await world.client(hello)
    fresh, idle = world.visit(), world.visit()
    await idle.send(get())
    await idle.expect(HELLO)
    await drain(world.edge)
    assert trio.current_time() < 0.5
    assert await fresh.rest() == b""
    assert await idle.rest() == b""
    assert len(client.goaways) == 1  # it was told, although nothing had to be waited for


async def test_a_head_that_has_begun_is_waited_for(world: World, autojump_clock: MockClock) -> None:
    await world.client(hello)
    visitor = world.visit()
    await visitor.send(get()[:10])
    await wait_all_tasks_blocked()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(drain, world.edge)
        await trio.sleep(3)
        await visitor.send(get()[10:])
        assert await visitor.rest() == HELLO_AND_CLOSE
        await visitor.end()


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


async def test_at_the_deadline_answers_are_cut_off_and_websockets_closed(
    world: World, autojump_clock: MockClock
) -> None:
    _, client, visitor = await begun(world)
    browser = world.visit()
    await browser.send(UPGRADE)
    await browser.head()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(drain, world.edge)
        await trio.sleep(7.9)
        await browser.nothing_comes()
        await browser.expect(close_frame(1012))
        assert trio.current_time() == pytest.approx(8, abs=0.1)
        assert await visitor.rest() == b""
        assert trio.current_time() == pytest.approx(8, abs=0.1)
        await browser.send(close_frame(1012, mask=bytes(4)))
        assert await browser.rest() == b""
        await browser.end()
    assert trio.current_time() <= 12
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
        assert trio.current_time() <= 11
        assert not world.edge.connections


# --- the program ---------------------------------------------------------------------------------


@pytest.fixture
def config(tmp_path: Path) -> ServerConfig:
    return ServerConfig(bind_port=0, state_dir=tmp_path, json=True, drain_timeout_s=1.0)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_stops_it_with_0(
    config: ServerConfig,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
) -> None:
    listening = Output.listening

    def say(self: Output, port: int) -> None:
        listening(self, port)
        signal.raise_signal(getattr(signal, name))

    monkeypatch.setattr(Output, "listening", say)
    assert run(config) == 0
    out = capsys.readouterr().out
    assert out.startswith('{"event": "listening", "bind": "127.0.0.1:')
    assert out.count("\n") == 1


def test_a_second_signal_stops_it_at_once(
    config: ServerConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def forever(_: object) -> None:
        signal.raise_signal(signal.SIGINT)
        await trio.sleep_forever()

    monkeypatch.setattr(Output, "listening", lambda *_: signal.raise_signal(signal.SIGTERM))
    monkeypatch.setattr("tunnel_server.app.drain", forever)
    assert run(config) == 0


def test_a_port_that_is_taken_is_one_line_and_1(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert run(ServerConfig(bind_port=port, state_dir=tmp_path)) == 1
    out, err = capfd.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    assert f"127.0.0.1:{port} is in use by another program" in line
    assert "--bind" in line


def test_an_address_that_is_not_ours_is_one_line_and_1(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(ServerConfig(bind_host="192.0.2.1", bind_port=1, open=True, state_dir=tmp_path)) == 1
    (line,) = [line for line in capfd.readouterr().err.splitlines() if "cannot listen" in line]
    assert "192.0.2.1:1" in line
