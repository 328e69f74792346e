from __future__ import annotations

import signal
from collections.abc import AsyncIterator

import pytest
import trio
import trio.testing

from protocol.drivers.stream import TunnelStream
from protocol.errors import StreamReset
from protocol.http.websocket import close_frame
from protocol.mux.events import GoingAway
from protocol.program.line_writer import LineWriter
from tests.origin_fakes import KEY, OK, SWITCHED, App, RawOrigin, Told, listen
from tests.server_fakes import Network, Server, a_config
from tunnel_client import app as app_module
from tunnel_client.app import serve
from tunnel_client.observing.footer import Footer
from tunnel_client.observing.output import ClientOutput
from tunnel_client.origin.stopping import LOOK_EVERY_S
from tunnel_client.settings.config import ClientConfig
from tunnel_client.uplink import link as link_module
from tunnel_client.uplink.agent import CUT_OFF_S
from tunnel_client.uplink.lookups import Lookups


class Program:
    """The client as a whole, but for its terminal and the network."""

    def __init__(self, nursery: trio.Nursery, origin: RawOrigin, drain_timeout_s: float) -> None:
        self.told = Told()
        self.footer = Footer("3000")
        self.exit_code: int | None = None
        self.over = trio.Event()
        self._signal, self._signals = trio.open_memory_channel[int](9)
        config = a_config(origin.target, drain_timeout_s=drain_timeout_s)
        nursery.start_soon(self._run, config)

    async def _run(self, config: ClientConfig) -> None:
        self.exit_code = await serve(config, self.told, self._signals, self.footer)
        self.over.set()

    def send_signal(self) -> None:
        self._signal.send_nowait(signal.SIGINT)

    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.told.events]


class World:
    """A program, its server and its app."""

    def __init__(self, nursery: trio.Nursery, network: Network, origin: RawOrigin) -> None:
        self.nursery = nursery
        self.network = network
        self.origin = origin

    async def start(self, drain_timeout_s: float = 8.0) -> tuple[Program, Server]:
        program = Program(self.nursery, self.origin, drain_timeout_s)
        server = await self.network.serve(self.nursery)
        await self.origin.looked_at()
        await trio.testing.wait_all_tasks_blocked()
        return program, server

    async def request(self, server: Server, method: bytes = b"GET") -> tuple[TunnelStream, App]:
        stream = server.request(method)
        app = await self.origin.accept()
        await app.request()
        return stream, app


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch, nursery: trio.Nursery) -> AsyncIterator[World]:
    network = Network()
    monkeypatch.setattr(link_module, "open_stream", network.open_stream)
    origin = await listen()
    yield World(nursery, network, origin)
    with trio.CancelScope(shield=True):
        await origin.end()


async def test_a_signal_finishes_what_is_in_flight_and_tells_stopped_once_at_the_end(
    world: World, mock_clock: trio.testing.MockClock
) -> None:
    program, server = await world.start()
    stream, app = await world.request(server)
    program.send_signal()
    assert isinstance(await server.event(), GoingAway)
    await trio.testing.wait_all_tasks_blocked(0.01)
    assert program.kinds() == ["ready"]
    mock_clock.jump(LOOK_EVERY_S)
    await trio.testing.wait_all_tasks_blocked(0.01)
    assert program.kinds() == ["ready", "stopping"]
    under_way, wait_s, method, path, ms, *progress = program.told.events[-1][1]
    assert (under_way, wait_s, method, path, progress) == (1, 8, b"GET", b"/", [0, None, 0, None])
    assert isinstance(ms, float)
    await app.send(OK)
    assert (await stream.receive_head()).status == 200
    assert await stream.receive_some() == b"ok"
    mock_clock.jump(CUT_OFF_S)  # for the acknowledgements
    await program.over.wait()
    assert program.exit_code == 0
    assert program.kinds() == ["ready", "stopping", "request", "stopped"]
    assert program.told.events[-1][1] == ("stopped by the user", 0)
    await server.ended.wait()
    assert await app.rest() == b""  # the idle connection is closed, and not reset


async def test_a_footer_sees_what_the_program_does(world: World) -> None:
    program, server = await world.start()
    await world.request(server)
    sight = program.footer.sight
    assert sight is not None
    round_trip_s, *counts = sight.numbers()
    assert round_trip_s is None or round_trip_s < 60
    assert counts == [1, 1, ()]
    assert repr(sight).startswith("<ProgramSight of <Agent ")


async def test_a_signal_ends_the_waiting_for_an_app_that_is_not_there(world: World) -> None:
    await world.origin.stop_listening()
    program, server = await world.start()
    stream = server.request()
    await trio.testing.wait_all_tasks_blocked(0.01)
    assert program.kinds() == ["ready", "origin_down"]  # the look has found it, and is told once
    program.send_signal()
    with pytest.raises(StreamReset, match="nothing listens"):
        await stream.receive_head()
    await program.over.wait()
    assert program.kinds() == ["ready", "origin_down", "request", "stopped"]


async def test_an_idle_client_stops_at_once_and_without_a_word_about_requests(
    world: World,
) -> None:
    program, server = await world.start()
    program.send_signal()
    await program.over.wait()
    assert program.kinds() == ["ready", "stopped"]
    await server.ended.wait()


async def test_what_is_not_done_by_the_deadline_is_cut_off_and_the_exit_is_0(
    world: World, mock_clock: trio.testing.MockClock
) -> None:
    program, server = await world.start(drain_timeout_s=3)
    _, app = await world.request(server, b"DELETE")
    program.send_signal()
    assert isinstance(await server.event(), GoingAway)
    await trio.testing.wait_all_tasks_blocked(0.01)
    mock_clock.jump(2.9)
    await trio.testing.wait_all_tasks_blocked(0.01)
    assert not program.over.is_set()
    mock_clock.jump(0.1)
    assert await app.is_reset()
    mock_clock.jump(CUT_OFF_S)  # the clock of the acknowledgements stands still as well
    await program.over.wait()
    assert program.exit_code == 0
    assert program.kinds() == ["ready", "stopping", "request", "stopped"]
    assert program.told.requests()[0][3] == "cut off: this client was stopped"
    assert program.told.events[-1][1] == ("stopped by the user, 1 request cut off", 1)


async def test_a_websocket_gets_its_1001_at_once(
    world: World, mock_clock: trio.testing.MockClock
) -> None:
    program, server = await world.start(drain_timeout_s=3)
    assert server.session is not None
    opened = server.request().opened
    app = await world.origin.accept()
    await app.request()
    await app.send(OK)
    fields = (*opened.fields, (b"Sec-WebSocket-Key", KEY))
    stream = server.session.open(opened._replace(kind="websocket", fields=fields))
    app = await world.origin.accept()
    await app.request()
    await app.send(SWITCHED)
    assert (await stream.receive_head()).status == 101
    program.send_signal()
    await server.event()
    frame = await app.exactly(8)
    assert frame[:2] == b"\x88\x82"
    assert await stream.receive_some() == close_frame(1001)
    await trio.testing.wait_all_tasks_blocked(0.01)
    assert not program.over.is_set()  # both may answer
    await app.send_eof()
    await stream.send_all(close_frame(1001, mask=bytes(4)))
    stream.send_eof()
    assert await app.rest() == b""
    assert await stream.receive_some() == b""
    mock_clock.jump(CUT_OFF_S)  # for the acknowledgements
    await program.over.wait()
    assert program.kinds() == ["ready", "request", "request", "stopped"]
    assert program.told.requests()[1][3] is None
    assert program.told.events[-1][1] == ("stopped by the user", 0)


async def test_a_second_signal_drops_everything_at_once(
    world: World, mock_clock: trio.testing.MockClock
) -> None:
    program, server = await world.start()
    _, app = await world.request(server)
    program.send_signal()
    await server.event()
    program.send_signal()
    assert await app.is_reset()
    await program.over.wait()  # the clock stands still
    assert program.exit_code == 0
    assert program.kinds()[-1] == "stopped"


async def test_a_client_that_is_not_connected_stops_at_once(
    world: World, mock_clock: trio.testing.MockClock
) -> None:
    world.network.down = "nobody is there"
    program = Program(world.nursery, world.origin, 8)
    await trio.testing.wait_all_tasks_blocked(0.01)
    program.send_signal()
    await program.over.wait()
    assert program.exit_code == 0
    assert program.kinds() == ["reconnecting", "stopped"]


async def test_a_refusal_ends_the_program_with_3(world: World) -> None:
    program = Program(world.nursery, world.origin, 8)
    refusal = b"HTTP/1.1 401 x\r\nTunnel-Error: unauthorized\r\nContent-Length: 0\r\n\r\n"
    await (await world.network.accept()).answer(refusal)
    await program.over.wait()
    assert program.exit_code == 3
    assert program.kinds() == ["refused"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_it_connects_for_the_first_time_is_a_stop(
    monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    network = Network()
    network.down = "nobody is there"
    resolvers: list[object] = []

    def on_attempt() -> None:
        resolvers.append(trio.socket.set_custom_hostname_resolver(None))
        signal.raise_signal(number)

    network.on_attempt = on_attempt
    told = Told()
    monkeypatch.setattr(link_module, "open_stream", network.open_stream)
    monkeypatch.setattr(ClientOutput, "report", lambda self: told)
    writer = LineWriter(lambda _: None, lambda _: b"")
    monkeypatch.setattr(app_module, "set_up_logging", lambda level, write: writer)
    assert app_module.run(a_config()) == 0
    assert network.attempts_at
    assert [type(resolver) for resolver in resolvers] == [Lookups]
