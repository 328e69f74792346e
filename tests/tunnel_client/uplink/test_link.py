from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import trio
import trio.testing

from protocol.drivers.session import Session
from protocol.drivers.stream import TunnelStream
from protocol.errors import SessionClosed
from protocol.limits import CLOSE_TIMEOUT_S, HANDSHAKE_TIMEOUT_S
from protocol.mux.events import GoingAway
from protocol.mux.messages import Claim, Claimed, Refused, Release
from tests.clocks import elapsed_s
from tests.origin_fakes import Told
from tests.server_fakes import WELCOME, Network, a_config
from tests.state_tables import walk
from tunnel_client.uplink import link as link_module, link_states
from tunnel_client.uplink.attempts import Attempts
from tunnel_client.uplink.claims import Claims, WantedName
from tunnel_client.uplink.link import Link
from tunnel_client.uplink.link_states import LinkEvent, LinkState

INSTANCE = bytes(range(16))


class Client:
    """A link that runs, and what it told."""

    def __init__(
        self,
        nursery: trio.Nursery,
        *,
        ws_keepalive_s: float = 0.0,
        names: Sequence[str] = ("app",),
    ) -> None:
        self.streams: list[TunnelStream] = []
        self.claimed: list[Claimed] = []
        config = a_config(ws_keepalive_s=ws_keepalive_s)
        self.told = Told()
        self.pauses: list[tuple[float, str]] = []
        self.go_on = trio.Event()
        self.link = Link(
            config,
            "1.2",
            on_stream=self.streams.append,
            claims=Claims([*map(WantedName, names)], INSTANCE, config, self.claimed.append),
            attempts=FakeAttempts(self),
        )
        nursery.start_soon(self._run)

    @property
    def resumed(self) -> list[tuple[object, ...]]:
        return [fields for kind, fields in self.told.events if kind == "resumed"]

    async def _run(self) -> None:
        await self.link.run()


class FakeAttempts(Attempts):
    """Attempts that pause until the test lets them go on."""

    def __init__(self, client: Client) -> None:
        super().__init__(client.told, server="http://tunnel.test", random=lambda: 0.0)
        self._client = client

    async def pause(
        self,
        lived_s: float,
        reason: str = "",
        *,
        held: bool = False,
        asked_s: float | None = None,
        code: str = "lost",
    ) -> bool:
        self._client.pauses.append((lived_s, reason))
        await self._client.go_on.wait()
        return await super().pause(lived_s, reason, held=held, asked_s=asked_s, code=code)


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Network:
    network = Network()
    monkeypatch.setattr(link_module, "open_stream", network.open_stream)
    return network


async def settled() -> None:
    await trio.testing.wait_all_tasks_blocked()


A_LINK = """
                   OPENED    LOST               GOAWAY    FINISH             END
CONNECTING         OPEN      CONNECTING         .         FINISHING_DETACHED ENDED
OPEN               .         CONNECTING         SENT_AWAY FINISHING          ENDED
SENT_AWAY          SENT_AWAY SENT_AWAY          SENT_AWAY FINISHING          ENDED
FINISHING          .         FINISHING_DETACHED FINISHING .                  ENDED
FINISHING_DETACHED FINISHING FINISHING_DETACHED .         .                  ENDED
ENDED              .         .                  .         .                  ENDED
"""


async def test_a_link_moves_as_its_table_says(network: Network, nursery: trio.Nursery) -> None:
    def begin(
        state: LinkState,
    ) -> tuple[Callable[[LinkEvent], object], Callable[[], LinkState]]:
        link = Client(nursery).link
        link._state = state
        return link._happened, lambda: link._state

    walk(link_states.TRANSITIONS, A_LINK, begin, LinkState, LinkEvent)
    nursery.cancel_scope.cancel()


# --- from start to end ---------------------------------------------------------------------------


async def test_a_link_claims_its_name_and_gives_on_what_is_opened(
    network: Network, nursery: trio.Nursery
) -> None:
    client = Client(nursery)
    server = await network.accept()
    await server.open(nursery)
    assert await server.claimed() == Claim(1, "app", INSTANCE, True, {}, "")
    server.request()
    await settled()
    assert client.claimed == [Claimed(1, "app", "http://app.tunnel.test")]
    [stream] = client.streams
    assert stream.opened.target == b"/"
    nursery.cancel_scope.cancel()


async def test_a_link_knows_the_round_trip_of_its_connection_while_it_has_one(
    network: Network, nursery: trio.Nursery
) -> None:
    client = Client(nursery)
    trips_s = [client.link.round_trip_s]
    server = await network.accept()
    await server.open(nursery)
    await server.claimed()
    await settled()
    session = client.link.session
    assert session is not None
    session.core.control.heartbeat.round_trip_s = 0.041
    trips_s.append(client.link.round_trip_s)
    session.core.control.heartbeat.resume()
    assert [*trips_s, client.link.round_trip_s] == [None, 0.041, None]
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize(("asked_s", "claimed_s"), [(1, 1), (20, 20), (1.9, 1), (86_400, 86_400)])
async def test_keepalive_is_an_option_of_the_claim_in_whole_seconds(
    network: Network, nursery: trio.Nursery, asked_s: float, claimed_s: int
) -> None:
    Client(nursery, ws_keepalive_s=asked_s)
    server = await network.accept()
    await server.open(nursery)
    assert (await server.claim_asked()).options == {"ws-keepalive": claimed_s}
    nursery.cancel_scope.cancel()


async def test_a_server_without_the_option_refuses_for_good_and_by_name(
    network: Network, nursery: trio.Nursery
) -> None:
    client = Client(nursery, ws_keepalive_s=20)
    server = await network.accept()
    await server.open(nursery)
    await server.refuse("unknown-option", "this server has no option 'ws-keepalive'")
    await client.link.leaving.wait()
    assert isinstance(client.link.refused, Refused)
    assert "'ws-keepalive'" in client.link.refused.message


async def test_no_connection_is_a_reason_and_no_refusal(
    network: Network, nursery: trio.Nursery
) -> None:
    network.down = "cannot reach it"
    client = Client(nursery)
    await client.link.ended.wait()
    assert client.link.leaving.is_set()
    assert (client.link.reason, client.link.refused) == ("cannot reach it", None)
    assert client.link.lived_s() == 0


async def test_a_failed_handshake_is_a_reason(network: Network, nursery: trio.Nursery) -> None:
    client = Client(nursery)
    await (await network.accept()).answer(b"HTTP/1.1 502 x\r\nContent-Length: 0\r\n\r\n")
    await client.link.ended.wait()
    assert "answered 502" in client.link.reason
    assert client.link.refused is None


async def test_a_refused_handshake_is_final(network: Network, nursery: trio.Nursery) -> None:
    client = Client(nursery)
    refusal = b"HTTP/1.1 401 x\r\nTunnel-Error: unauthorized\r\nContent-Length: 0\r\n\r\n"
    await (await network.accept()).answer(refusal)
    await client.link.ended.wait()
    assert client.link.refused == Refused(0, "unauthorized", "unauthorized")


async def test_a_connection_that_is_lost_is_a_reason_and_has_lived(
    network: Network, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    client = Client(nursery)
    server = await network.serve(nursery)
    server.request()
    await trio.sleep(7)
    await server.stream.aclose()
    await client.link.leaving.wait()
    assert client.link.reason == "the connection was lost"
    assert client.link.lived_s() == pytest.approx(7, abs=0.1)
    assert client.link.refused is None
    with pytest.raises(SessionClosed):
        await client.streams[0].send_all(b"x")


async def test_a_claim_that_is_refused_ends_the_link(
    network: Network, nursery: trio.Nursery
) -> None:
    client = Client(nursery)
    server = await network.accept()
    await server.open(nursery)
    await server.refuse("name-taken", "somebody has it")
    await client.link.ended.wait()
    assert client.link.refused == Refused(1, "name-taken", "somebody has it")
    assert client.link.reason == ("somebody has it; whoever runs the server can see whose it is")


async def test_a_claim_that_is_refused_for_now_is_only_a_reason(
    network: Network, nursery: trio.Nursery
) -> None:
    client = Client(nursery)
    server = await network.accept()
    await server.open(nursery)
    await server.refuse("draining", "not now")
    await client.link.ended.wait()
    assert (client.link.refused, client.link.reason) == (None, "not now")


async def test_a_claim_that_is_never_answered_ends_the_link(
    network: Network, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    client = Client(nursery)
    server = await network.accept()
    await server.open(nursery)
    await client.link.ended.wait()
    assert client.link.reason == f"the server gave no name within {HANDSHAKE_TIMEOUT_S} s"


async def test_a_fault_in_a_session_is_logged_and_ends_the_link_alone(
    network: Network,
    nursery: trio.Nursery,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fail(session: Session) -> str:
        raise ZeroDivisionError

    monkeypatch.setattr(Session, "run", fail)
    client = Client(nursery)
    server = await network.accept()
    async with trio.open_nursery() as at_server:
        server_run = trio.Event()

        async def run(session: Session) -> None:
            await trio.sleep_forever()

        monkeypatch.setattr(server, "_run", run)
        await server.open(at_server)
        await client.link.ended.wait()
        server_run.set()
        at_server.cancel_scope.cancel()
    assert client.link.reason == "this client has a fault; its log says more"
    assert client.link.refused is None
    (record,) = caplog.records
    assert record.message == "the session failed"
    assert record.__dict__["ids"] == f"session {WELCOME.session[:4].hex()}: "


# --- a server that leaves, a name that is taken --------------------------------------------------


async def test_a_goaway_says_to_leave_while_the_session_goes_on(
    network: Network, nursery: trio.Nursery
) -> None:
    client = Client(nursery)
    server = await network.serve(nursery)
    assert server.session is not None
    await settled()
    server.session.goaway("shutting-down", "an update", 8)
    await client.link.leaving.wait()
    assert client.link.reason == "the server said: an update"
    server.session.core.control._leaving = None
    server.request()  # of a visitor whose connection the server still holds
    await settled()
    assert len(client.streams) == 1
    assert not client.link.ended.is_set()
    server.session.close("done")
    await client.link.ended.wait()


async def test_a_server_that_does_not_end_the_session_after_its_deadline_is_left(
    network: Network, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    client = Client(nursery)
    server = await network.serve(nursery)
    assert server.session is not None
    await settled()
    begun_at = trio.current_time()
    server.session.goaway("shutting-down", "an update", 8)
    server.request()
    await client.link.ended.wait()
    assert trio.current_time() - begun_at == pytest.approx(8 + 2 * CLOSE_TIMEOUT_S, abs=0.1)


async def test_a_name_that_is_taken_over_says_to_leave_while_the_session_goes_on(
    network: Network, nursery: trio.Nursery
) -> None:
    client = Client(nursery)
    server = await network.serve(nursery)
    assert server.session is not None
    await settled()
    server.session.release(1, "taken-over", "another client of yours has taken app")
    await client.link.leaving.wait()
    assert client.link.refused == Release(1, "taken-over", "another client of yours has taken app")
    assert not client.link.ended.is_set()
    nursery.cancel_scope.cancel()


# --- the end from here ---------------------------------------------------------------------------


async def test_finish_says_goaway_serves_what_crosses_and_ends_when_all_is_quiet(
    network: Network, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    client = Client(nursery)
    server = await network.serve(nursery)
    server.request()
    await settled()
    finished = trio.Event()

    async def finish() -> None:
        await client.link.finish(8)
        finished.set()

    nursery.start_soon(finish)
    event = await server.event()
    assert isinstance(event, GoingAway)
    assert event.goaway.deadline_s == 8
    await trio.sleep(5)
    assert not finished.is_set()
    client.streams[0].cancel("done")
    await finished.wait()
    assert elapsed_s() < 5.1
    assert client.link.ended.is_set()
    assert client.link.reason == "the client has stopped"


async def test_finish_cuts_off_what_is_not_done_in_time(
    network: Network, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    client = Client(nursery)
    server = await network.serve(nursery)
    server.request()
    await settled()
    begun_at = trio.current_time()
    await client.link.finish(3)
    assert trio.current_time() - begun_at == pytest.approx(3, abs=0.1)
    await server.ended.wait()


async def test_an_idle_link_does_not_wait_long_for_an_answer_to_its_goaway(
    network: Network, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    client = Client(nursery)
    server = await network.serve(nursery)
    server.answer_goaway = False
    await settled()
    begun_at = trio.current_time()
    await client.link.finish(8)
    assert trio.current_time() - begun_at == pytest.approx(1, abs=0.11)


async def test_a_server_that_hangs_does_not_keep_a_link_that_has_nothing_left_to_do(
    network: Network,
    nursery: trio.Nursery,
    autojump_clock: trio.testing.MockClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client = Client(nursery)
    server = await network.accept()
    receive, hangs = server.stream.receive_some, False

    async def receive_some(max_bytes: int | None = None) -> bytes | bytearray:
        data = await receive(max_bytes)
        if hangs:
            await trio.sleep_forever()
        return data

    monkeypatch.setattr(server.stream, "receive_some", receive_some)
    await server.open(nursery)
    await server.claimed()
    server.request()
    await settled()
    hangs = True
    client.streams[0].cancel("draining")
    begun_at = trio.current_time()
    await client.link.finish(8)
    assert trio.current_time() - begun_at == pytest.approx(1.1, abs=0.05)


async def test_finish_twice_waits_for_the_same_end(network: Network, nursery: trio.Nursery) -> None:
    client = Client(nursery)
    server = await network.serve(nursery)
    await settled()
    async with trio.open_nursery() as both:
        both.start_soon(client.link.finish, 8)
        both.start_soon(client.link.finish, 8)
    assert isinstance(await server.event(), GoingAway)
    assert client.link.ended.is_set()


async def test_a_link_that_is_still_connecting_ends_at_once_when_it_is_to_finish(
    network: Network, nursery: trio.Nursery
) -> None:
    client = Client(nursery)
    server = await network.accept()
    await server.head()
    await client.link.finish(8)
    assert client.link.ended.is_set()
    with pytest.raises((trio.BrokenResourceError, AssertionError)):
        assert await server.stream.receive_some()


async def test_a_cancelled_link_ends_at_once(
    network: Network, autojump_clock: trio.testing.MockClock
) -> None:
    async with trio.open_nursery() as at_server:
        async with trio.open_nursery() as nursery:
            Client(nursery)
            server = await network.serve(at_server)
            await settled()
            begun_at = trio.current_time()
            nursery.cancel_scope.cancel()
        assert trio.current_time() == begun_at
        await server.ended.wait()
        at_server.cancel_scope.cancel()
