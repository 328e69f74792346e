"""The client as a whole while its network is bad, but for its terminal and the network itself."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import trio
import trio.testing

from protocol.drivers.stream import TunnelStream
from tests.clocks import elapsed_s
from tests.origin_fakes import OK, App, RawOrigin, Told, listen
from tests.server_fakes import Network, Server, a_config
from tunnel_client import app as app_module
from tunnel_client.app import LAST_WORD_S, serve
from tunnel_client.settings.addresses import ServerUrl
from tunnel_client.settings.config import ClientConfig
from tunnel_client.settings.proxy import Proxy
from tunnel_client.uplink import link as link_module, sleep as sleep_module
from tunnel_client.uplink.agent import Agent
from tunnel_client.uplink.sleep import LOOK_EVERY_S

DOWN = "nobody is there"


class Life:
    """A client, its machine's clocks, and its network."""

    def __init__(self, nursery: trio.Nursery, network: Network, origin: RawOrigin) -> None:
        self.nursery = nursery
        self.network = network
        self.origin = origin
        self.told = Told()
        self.exit_code: int | None = None
        self.over = trio.Event()
        self.slept_s = 0.0
        self.hangs = False  # an attempt to connect
        self.attempts = 0
        self._attempted = trio.Event()
        self._signal, self._signals = trio.open_memory_channel[int](9)

    def start(self, *, give_up_after_s: float = 0.0) -> None:
        config = a_config(self.origin.target)
        config = replace(config, give_up_after_s=give_up_after_s)
        self.nursery.start_soon(self._run, config)

    async def connected(self, *, hold_s: int = 0, give_up_after_s: float = 0.0) -> Server:
        """Started, and with a session that has its name."""
        self.start(give_up_after_s=give_up_after_s)
        server = await self.network.accept()
        await server.open(self.nursery, hold_s=hold_s)
        await server.claimed()
        await self.origin.looked_at()
        await trio.testing.wait_all_tasks_blocked()
        return server

    async def request(self, server: Server) -> tuple[TunnelStream, App]:
        """A visitor's, which has reached the app."""
        stream = server.request()
        app = await self.origin.accept()
        await app.request()
        return stream, app

    async def _run(self, config: ClientConfig) -> None:
        self.exit_code = await serve(config, self.told, self._signals)
        self.over.set()

    async def open_stream(
        self, server: ServerUrl, proxy: Proxy | None, ca: Path | None
    ) -> trio.abc.Stream:
        self.attempts += 1
        self._attempted.set()
        self._attempted = trio.Event()
        if self.hangs:
            await trio.sleep_forever()
        return await self.network.open_stream(server, proxy, ca)

    async def next_attempt(self) -> float:
        """Wait for one; in how many seconds it came."""
        begun_at = trio.current_time()
        await self._attempted.wait()
        return trio.current_time() - begun_at

    def stop(self) -> None:
        self._signal.send_nowait(signal.SIGTERM)

    async def end(self) -> None:
        self.stop()
        await self.over.wait()

    def time(self) -> float:
        return 1.8e9 + trio.current_time() + self.slept_s

    def events(self, kind: str) -> list[tuple[object, ...]]:
        return [fields for told, fields in self.told.events if told == kind]


@pytest.fixture
async def life(monkeypatch: pytest.MonkeyPatch, nursery: trio.Nursery) -> AsyncIterator[Life]:
    network = Network()
    origin = await listen()
    life = Life(nursery, network, origin)
    clocks = SimpleNamespace(monotonic=trio.current_time, time=life.time)
    monkeypatch.setattr(link_module, "open_stream", life.open_stream)
    monkeypatch.setattr(sleep_module, "time", clocks)
    longest = SimpleNamespace(SystemRandom=lambda: SimpleNamespace(random=lambda: 0.999))
    monkeypatch.setattr(app_module, "random", longest)
    yield life
    with trio.CancelScope(shield=True):
        await origin.end()


# --- sleep ---------------------------------------------------------------------------------------


async def test_after_sleep_a_connection_is_made_anew_at_once(
    life: Life, autojump_clock: trio.testing.MockClock
) -> None:
    await life.connected()
    await trio.sleep(60)
    assert life.attempts == 1
    life.slept_s = 7200
    assert await life.next_attempt() <= LOOK_EVERY_S
    assert life.events("reconnecting") == [(1, 0.0, "this machine slept for 2 h", None, "slept")]
    await life.network.serve(life.nursery)
    await trio.sleep(60)
    assert life.attempts == 2
    assert len(life.events("ready")) == 2
    await life.end()


async def test_after_sleep_the_session_is_resumed_and_nothing_is_lost(
    life: Life, autojump_clock: trio.testing.MockClock
) -> None:
    old = await life.connected(hold_s=60)
    stream, app = await life.request(old)
    life.slept_s = 20
    new = await life.network.accept()
    assert elapsed_s() <= LOOK_EVERY_S
    assert old.session is not None
    await trio.sleep(2)
    new.give_back(life.nursery, old.session, await new.resume_asked(life.nursery))
    await app.send(OK)
    assert (await stream.receive_head()).status == 200
    assert await stream.receive_some() == b"ok"
    assert life.events("resumed") == [(2.0,)]
    assert len(life.events("ready")) == 1
    await life.end()


async def test_sleep_ends_an_attempt_to_resume(
    life: Life, autojump_clock: trio.testing.MockClock
) -> None:
    server = await life.connected(hold_s=60)
    await trio.sleep(20)
    life.hangs = True
    await server.stream.aclose()
    await life.next_attempt()
    await trio.sleep(5)
    assert life.attempts == 2
    life.hangs = False
    life.slept_s = 20
    again = await life.network.accept()
    assert (await again.resume_asked(life.nursery)).attempt == 1
    await life.end()


async def test_sleep_ends_a_pause(life: Life, autojump_clock: trio.testing.MockClock) -> None:
    life.network.down = DOWN
    life.start()
    await trio.sleep(600)
    await life.next_attempt()
    life.slept_s = 3600
    assert await life.next_attempt() <= LOOK_EVERY_S
    await trio.testing.wait_all_tasks_blocked()
    assert life.events("reconnecting")[-1][0] == 1
    await life.end()


async def test_sleep_ends_an_attempt_that_is_under_way(
    life: Life, autojump_clock: trio.testing.MockClock
) -> None:
    life.hangs = True
    life.start()
    await trio.sleep(5.1)
    assert life.attempts == 1
    life.slept_s = 3600
    assert await life.next_attempt() <= LOOK_EVERY_S
    await life.end()


# --- giving up -----------------------------------------------------------------------------------


async def test_it_gives_up_says_why_and_ends_with_4(
    life: Life, autojump_clock: trio.testing.MockClock
) -> None:
    life.network.down = DOWN
    life.start(give_up_after_s=60)
    await life.over.wait()
    assert elapsed_s() == 60
    assert life.exit_code == 4
    why = "gave up after 60 s without a connection to http://tunnel.test: nobody is there"
    assert life.events("stopped") == [(why, 0)]
    assert life.told.events[-1][0] == "stopped"


async def test_an_attempt_that_hangs_does_not_put_it_off(
    life: Life, autojump_clock: trio.testing.MockClock
) -> None:
    life.hangs = True
    life.start(give_up_after_s=60)
    await life.over.wait()
    assert elapsed_s() == 60
    assert life.exit_code == 4


async def test_it_does_not_give_up_while_it_is_connected(
    life: Life, autojump_clock: trio.testing.MockClock
) -> None:
    life.start(give_up_after_s=60)
    server = await life.network.serve(life.nursery)
    await trio.sleep(1000)
    life.network.down = DOWN
    await server.stream.aclose()
    await life.over.wait()
    assert life.exit_code == 4
    assert elapsed_s() == pytest.approx(1060)


async def test_giving_up_ends_a_session_that_waits_to_be_resumed(
    life: Life, autojump_clock: trio.testing.MockClock
) -> None:
    server = await life.connected(hold_s=3600, give_up_after_s=60)
    _, app = await life.request(server)
    life.network.down = DOWN
    await server.stream.aclose()
    assert await app.is_reset()
    assert elapsed_s() == pytest.approx(60)
    await life.over.wait()
    assert life.exit_code == 4
    assert [kind for kind, _ in life.told.events][-2:] == ["request", "stopped"]


async def test_what_an_old_session_serves_is_finished_before_it_stops(
    life: Life, autojump_clock: trio.testing.MockClock
) -> None:
    server = await life.connected(give_up_after_s=5)
    stream, app = await life.request(server)
    assert server.session is not None
    life.network.down = DOWN
    server.session.goaway("shutting-down", "an update", 60)
    await trio.sleep(6)
    assert not life.over.is_set()
    await app.send(OK)
    assert (await stream.receive_head()).status == 200
    assert await stream.receive_some() == b"ok"
    await life.over.wait()
    assert life.exit_code == 4
    assert [kind for kind, _ in life.told.events][-2:] == ["request", "stopped"]


# --- a second signal -----------------------------------------------------------------------------


async def test_a_second_signal_tells_the_server_that_the_session_has_ended(
    life: Life, mock_clock: trio.testing.MockClock
) -> None:
    server = await life.connected()
    _, app = await life.request(server)
    life.stop()
    await server.event()
    life.stop()
    assert await app.is_reset()
    await life.over.wait()  # the clock stands still
    await server.ended.wait()
    assert server.ended_because.startswith("the WebSocket was closed (1000)")
    assert life.exit_code == 0


async def test_a_server_that_does_not_answer_the_goodbye_is_not_waited_for(
    life: Life, monkeypatch: pytest.MonkeyPatch, mock_clock: trio.testing.MockClock
) -> None:
    async def never(agent: Agent) -> None:
        await trio.sleep_forever()

    async def leave(agent: Agent) -> None:
        for link in agent._links:
            assert link.session is not None
            link.session.goaway("shutting-down", "the client stops", 8)
        await trio.sleep_forever()

    monkeypatch.setattr(Agent, "end", never)
    monkeypatch.setattr(Agent, "stop", leave)  # nor does it acknowledge what was cut off
    server = await life.connected()
    await life.request(server)
    life.stop()
    await server.event()
    life.stop()
    await trio.testing.wait_all_tasks_blocked(0.01)
    mock_clock.jump(LAST_WORD_S - 0.01)
    await trio.testing.wait_all_tasks_blocked(0.01)
    assert not life.over.is_set()
    mock_clock.jump(0.01)
    await life.over.wait()
