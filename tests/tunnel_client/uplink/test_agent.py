from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
import trio
import trio.testing

from protocol.backoff import FIRST_SPAN_S, LIVED_S, LONGEST_HELD_SPAN_S
from protocol.mux.events import GoingAway
from protocol.program.process import EXIT_FAILED, EXIT_GAVE_UP, EXIT_REFUSED
from tests.clocks import elapsed_s
from tests.origin_fakes import OK, RawOrigin, Told, listen
from tests.server_fakes import Network, Server, a_config
from tunnel_client.origin.dial import Dialer
from tunnel_client.origin.dispatch import Dispatcher
from tunnel_client.settings.target import Target
from tunnel_client.uplink import agent as agent_module, link as link_module
from tunnel_client.uplink.agent import Agent

TAKEN = (
    "somebody has it; choose another with --subdomain; whoever runs the server can see whose it is"
)


class Client:
    """An agent that runs."""

    def __init__(
        self,
        nursery: trio.Nursery,
        network: Network,
        *,
        host: str = "tunnel.test",
        subdomain: str | None = None,
        stable_name: str = "",
        drain_timeout_s: float = 8.0,
        give_up_after_s: float = 0.0,
        target: Target | None = None,
    ) -> None:
        self.told = Told()
        self.exit_code: int | None = None
        self.over = trio.Event()
        config = replace(
            a_config(target, host=host, subdomain=subdomain, drain_timeout_s=drain_timeout_s),
            give_up_after_s=give_up_after_s,
            stable_name=stable_name,
        )
        dispatcher = Dispatcher(Dialer(config.target), self.told, nursery, origin_timeout_s=600)
        self.agent = Agent(
            *(config, self.told, dispatcher.serve),
            version="1.2",
            instance=bytes(16),
            random=lambda: 0.999,  # the longest wait
        )
        nursery.start_soon(self._run)

    async def _run(self) -> None:
        self.exit_code = await self.agent.run()
        self.over.set()

    def events(self, kind: str) -> list[tuple[object, ...]]:
        return [fields for told, fields in self.told.events if told == kind]


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Network:
    network = Network()
    monkeypatch.setattr(link_module, "open_stream", network.open_stream)
    return network


async def settled() -> None:
    await trio.testing.wait_all_tasks_blocked()


NOT_FOUND = b"HTTP/1.1 404 x\r\nContent-Length: 0\r\n\r\n"


async def network_says(server: Server, answer: bytes) -> None:
    await server.answer(answer)
    await server.stream.aclose()


async def lost(server: Server) -> None:
    await server.stream.aclose()


# --- sleep, and giving up ------------------------------------------------------------------------


async def test_after_sleep_the_session_is_resumed_on_a_new_connection_at_once(
    network: Network, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    wakers: list[Callable[[float], None]] = []

    async def watch(woke: Callable[[float], None]) -> None:
        wakers.append(woke)
        await trio.sleep_forever()

    monkeypatch.setattr(agent_module, "watch_for_sleep", watch)
    client = Client(nursery, network)
    server = await network.accept()
    await server.open(nursery, hold_s=60)
    await server.claimed()
    await settled()
    assert server.session is not None
    [woke] = wakers
    woke(3600.0)
    newer = await network.accept()  # the clock is real: a pause would be one
    newer.give_back(nursery, server.session, await newer.resume_asked(nursery))
    await settled()
    assert len(client.events("resumed")) == 1
    assert [fields[1] for fields in client.events("reconnecting")] == [0.0]
    nursery.cancel_scope.cancel()


async def test_sleep_does_not_cut_off_what_a_server_that_stops_still_serves(
    network: Network, nursery: trio.Nursery
) -> None:
    client = Client(nursery, network)
    server = await network.accept()
    await server.open(nursery, hold_s=60)
    await server.claimed()
    await settled()
    assert server.session is not None
    server.session.goaway("shutting-down", "an update", 8)
    await settled()
    client.agent._woke(3600.0)
    await settled()
    assert server.session.attached
    nursery.cancel_scope.cancel()


async def test_it_gives_up_when_it_was_told_to_and_the_exit_is_4(
    network: Network, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    network.down = "nobody is there"
    client = Client(nursery, network, give_up_after_s=20.0)
    await client.over.wait()
    assert elapsed_s() == pytest.approx(20)
    assert client.exit_code == EXIT_GAVE_UP
    [(said, _)] = client.events("stopped")
    assert "gave up after 20 s" in str(said)
    assert "nobody is there" in str(said)


async def test_giving_up_ends_a_session_that_waited(
    network: Network, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    client = Client(nursery, network, give_up_after_s=20.0)
    server = await network.accept()
    await server.open(nursery, hold_s=60)
    await server.claimed()
    await trio.sleep(100)
    assert not client.over.is_set()
    network.down = "the cable is out"
    await server.stream.aclose()
    await trio.sleep(19.9)
    assert not client.over.is_set()
    await client.over.wait()
    assert client.exit_code == EXIT_GAVE_UP
    # Pauses are short while the server holds the session.
    waits = [float(str(fields[1])) for fields in client.events("reconnecting")]
    assert max(waits) < LONGEST_HELD_SPAN_S


# --- connecting ----------------------------------------------------------------------------------


async def test_a_server_that_is_not_there_is_tried_for_ever_with_longer_pauses(
    network: Network, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    network.down = "nobody is there"
    client = Client(nursery, network)
    await trio.sleep(3600)
    assert len(network.attempts_at) > 100
    assert not client.over.is_set()
    told = client.events("reconnecting")
    assert [fields[0] for fields in told[:3]] == [1, 2, 3]
    assert [fields[2] for fields in told[:3]] == ["nobody is there"] * 3
    waits = [fields[1] for fields in told]
    assert waits[:9] == pytest.approx([0.5, 1, 2, 4, 8, 16, 30, 30, 30], rel=0.01)
    network.down = None
    server = await network.serve(nursery)
    await settled()
    assert server.session is not None
    ready = ("http://app.tunnel.test", "app", "http://tunnel.test", "local", "random", None, None)
    assert client.events("ready") == [ready]
    nursery.cancel_scope.cancel()


async def test_a_mistake_ends_it_before_the_first_success_and_never_after(
    network: Network, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    client = Client(nursery, network)
    await network_says(await network.accept(), b"HTTP/1.1 503 x\r\nContent-Length: 0\r\n\r\n")
    await network_says(await network.accept(), NOT_FOUND)
    await client.over.wait()
    assert client.exit_code == EXIT_FAILED
    said = "http://tunnel.test answered 404, and not as a tunnel-server"
    assert client.events("stopped") == [(f"{said} (trying again would change nothing)", 0)]
    client = Client(nursery, network)
    server = await network.serve(nursery)
    await settled()
    await lost(server)
    await network_says(await network.accept(), NOT_FOUND)  # the proxy in front is set up anew
    await network.serve(nursery)
    await settled()
    assert not client.over.is_set()
    nursery.cancel_scope.cancel()


async def test_a_server_of_this_machine_is_tried_every_2_s_at_least(
    network: Network, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    network.down = "nobody is there"
    client = Client(nursery, network, host="localhost")
    await trio.sleep(60)
    assert max(float(str(fields[1])) for fields in client.events("reconnecting")) < 2
    nursery.cancel_scope.cancel()


async def test_a_server_is_left_alone_for_as_long_as_it_asks(
    network: Network, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    client = Client(nursery, network)
    fields = b"Retry-After: 7\r\nTunnel-Error: overloaded\r\nContent-Length: 0\r\n"
    for _ in range(3):
        await network_says(await network.accept(), b"HTTP/1.1 503 x\r\n%b\r\n" % fields)
    await settled()
    waits = [float(str(fields[1])) for fields in client.events("reconnecting")]
    assert waits == pytest.approx([7.5, 8, 9], rel=0.01)
    nursery.cancel_scope.cancel()


async def test_a_first_claim_is_a_start_and_asks_for_the_name_of_the_config(
    network: Network, nursery: trio.Nursery
) -> None:
    Client(nursery, network, subdomain="mine")
    server = await network.accept()
    await server.open(nursery)
    claim = await server.claim_asked()
    assert (claim.name, claim.start, claim.instance) == ("mine", True, bytes(16))
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("given", "source"), [("calm-otter-22222222", "folder"), ("other", "random")]
)
async def test_a_first_claim_without_a_name_has_the_stable_one_beside_it(
    network: Network, nursery: trio.Nursery, given: str, source: str
) -> None:
    stable = "calm-otter-22222222"
    client = Client(nursery, network, stable_name=stable)
    server = await network.accept()
    await server.open(nursery)
    claim = await server.claimed(given)
    assert (claim.name, claim.default) == ("", stable)
    await settled()
    assert client.events("ready")[0][4] == source
    await lost(server)
    # The name that it has is what it asks for next, and nobody chose it.
    server = await network.accept()
    await server.open(nursery)
    claim = await server.claim_asked()
    assert (claim.name, claim.default, claim.start) == (given, given, False)
    nursery.cancel_scope.cancel()


async def test_a_failed_first_attempt_leaves_the_next_one_a_start(
    network: Network, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    Client(nursery, network)
    await lost(await network.accept())
    server = await network.accept()
    await server.open(nursery)
    assert (await server.claim_asked()).start
    nursery.cancel_scope.cancel()


async def test_after_a_reconnect_the_given_name_is_claimed_again_and_not_as_a_start(
    network: Network, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    client = Client(nursery, network)
    server = await network.serve(nursery, "word-word-abcdefgh")
    await settled()
    await lost(server)
    server = await network.accept()
    await server.open(nursery)
    claim = await server.claimed()
    assert (claim.name, claim.start, claim.instance) == ("word-word-abcdefgh", False, bytes(16))
    await settled()
    assert len(client.events("ready")) == 2
    assert client.events("reconnecting")[0][2] == "the connection was lost"
    nursery.cancel_scope.cancel()


async def test_the_pauses_begin_anew_only_after_a_connection_has_lived(
    network: Network, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    client = Client(nursery, network)
    for lived_s in (0.0, 0.0, LIVED_S - 0.1, LIVED_S, 0.0):
        server = await network.serve(nursery)
        await trio.sleep(lived_s)
        await lost(server)
    await network.accept()
    waits = [fields[1] for fields in client.events("reconnecting")]
    assert waits == pytest.approx([0.5, 1, 2, 0.5, 1], rel=0.01)
    nursery.cancel_scope.cancel()


# --- refusals ------------------------------------------------------------------------------------


async def test_a_final_refusal_is_told_and_ends_with_3(
    network: Network, nursery: trio.Nursery
) -> None:
    client = Client(nursery, network)
    refusal = b"HTTP/1.1 401 x\r\nTunnel-Error: unauthorized\r\nContent-Length: 0\r\n\r\n"
    await (await network.accept()).answer(refusal)
    await client.over.wait()
    assert client.exit_code == EXIT_REFUSED
    assert client.told.events == [
        (
            "refused",
            (
                "unauthorized",
                "unauthorized; whoever runs the server makes a new one"
                " (tunnel-server token create NAME)",
            ),
        )
    ]


async def test_a_name_that_is_taken_at_the_start_ends_with_3(
    network: Network, nursery: trio.Nursery
) -> None:
    client = Client(nursery, network, subdomain="app")
    server = await network.accept()
    await server.open(nursery)
    await server.refuse("name-taken", "somebody has it")
    await client.over.wait()
    assert client.exit_code == EXIT_REFUSED
    assert client.told.events == [("refused", ("name-taken", TAKEN))]


async def test_a_name_that_is_taken_after_a_first_ready_is_asked_for_again_and_again(
    network: Network, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    client = Client(nursery, network)
    server = await network.serve(nursery)
    await settled()
    await lost(server)
    for _ in range(5):
        server = await network.accept()
        await server.open(nursery)
        await server.refuse("name-taken", "somebody has it")
    await network.serve(nursery)
    await settled()
    assert client.events("refused") == []
    assert len(client.events("ready")) == 2
    assert client.events("reconnecting")[-1][2] == (
        "somebody has it; whoever runs the server can see whose it is"
    )
    nursery.cancel_scope.cancel()


async def test_another_refusal_after_a_first_ready_is_final(
    network: Network, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    client = Client(nursery, network)
    server = await network.serve(nursery)
    await settled()
    await lost(server)
    server = await network.accept()
    await server.open(nursery)
    await server.refuse("name-invalid")
    await client.over.wait()
    assert client.exit_code == EXIT_REFUSED


@asynccontextmanager
async def an_app() -> AsyncIterator[RawOrigin]:
    origin = await listen()
    try:
        yield origin
    finally:
        with trio.move_on_after(1, shield=True):
            await origin.end()


async def test_when_the_name_is_taken_over_streams_are_finished_and_the_exit_is_3(
    network: Network, nursery: trio.Nursery
) -> None:
    async with an_app() as origin:
        client = Client(nursery, network, target=origin.target)
        server = await network.serve(nursery)
        stream = server.request()
        app = await origin.accept()
        await app.request()
        assert server.session is not None
        server.session.release(1, "taken-over", "another client of yours has taken app")
        assert isinstance(await server.event(), GoingAway)
        await settled()
        assert client.events("refused") == [("taken-over", "another client of yours has taken app")]
        assert not client.over.is_set()
        await app.send(OK)
        assert (await stream.receive_head()).status == 200
        assert await stream.receive_some() == b"ok"
        await client.over.wait()
        assert client.exit_code == EXIT_REFUSED
        assert len(network.attempts_at) == 1
    nursery.cancel_scope.cancel()


# --- a server that goes away ---------------------------------------------------------------------


async def test_after_a_goaway_a_new_connection_is_made_at_once_while_the_old_one_serves(
    network: Network, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    async with an_app() as origin:
        client = Client(nursery, network, target=origin.target)
        old = await network.serve(nursery)
        await trio.sleep(60)
        with trio.fail_after(1):
            stream = old.request()
            app = await origin.accept()
            await app.request()
        assert old.session is not None
        left_at = trio.current_time()
        old.session.goaway("shutting-down", "an update", 8)
        new = await network.serve(nursery)
        assert trio.current_time() - left_at < FIRST_SPAN_S
        assert new is not old
        await app.send(OK)
        assert (await stream.receive_head()).status == 200
        assert await stream.receive_some() == b"ok"
        old.session.close("done")
        await settled()
        assert len(client.events("ready")) == 2
        assert len(network.attempts_at) == 2
        assert client.events("reconnecting")[0][2] == "the server said: an update"
    nursery.cancel_scope.cancel()


async def test_a_token_that_is_taken_away_ends_it_at_once_with_what_to_do(
    network: Network, nursery: trio.Nursery
) -> None:
    client = Client(nursery, network)
    server = await network.serve(nursery)
    assert server.session is not None
    await settled()
    server.session.refuse("unauthorized", "the token is not valid any more", "it was taken away")
    await client.over.wait()
    assert client.exit_code == EXIT_REFUSED
    [(code, message)] = client.events("refused")
    assert code == "unauthorized"
    assert str(message).startswith("the token is not valid any more; ")
    assert client.events("reconnecting") == []
    assert len(network.attempts_at) == 1
    assert server.session.closed_reason == "it was taken away"


async def test_being_sent_away_again_and_again_makes_the_pauses_no_longer(
    network: Network, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    client = Client(nursery, network)
    for _ in range(5):
        server = await network.accept()
        await server.open(nursery)
        await server.claimed()
        await settled()
        assert server.session is not None
        server.session.goaway("shutting-down", "an upgrade", 8)
    await network.accept()
    waits = [float(str(fields[1])) for fields in client.events("reconnecting")]
    assert len(waits) == 5
    assert max(waits) < FIRST_SPAN_S
    nursery.cancel_scope.cancel()


async def test_a_final_refusal_lets_the_old_session_finish_what_it_serves(
    network: Network, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    async with an_app() as origin:
        client = Client(nursery, network, target=origin.target)
        old = await network.serve(nursery)
        stream = old.request()
        app = await origin.accept()
        await app.request()
        assert old.session is not None
        old.session.goaway("shutting-down", "an update", 8)
        new = await network.accept()
        await new.open(nursery)
        await new.refuse("name-invalid")
        await settled()
        assert len(client.events("refused")) == 1
        assert not client.over.is_set()
        await app.send(OK)
        assert (await stream.receive_head()).status == 200
        assert await stream.receive_some() == b"ok"
        await client.over.wait()
        assert client.exit_code == EXIT_REFUSED
    nursery.cancel_scope.cancel()


# --- stop ----------------------------------------------------------------------------------------


async def test_stop_says_goaway_and_makes_no_new_connection(
    network: Network, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    client = Client(nursery, network)
    server = await network.serve(nursery)
    await settled()
    await client.agent.stop()
    assert isinstance(await server.event(), GoingAway)
    await server.ended.wait()
    await trio.sleep(100)
    assert len(network.attempts_at) == 1
    assert not client.over.is_set()
    assert client.events("reconnecting") == []
    nursery.cancel_scope.cancel()


async def test_stop_during_a_pause_makes_no_new_connection(
    network: Network, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    network.down = "nobody is there"
    client = Client(nursery, network)
    await trio.sleep(0.1)
    network.down = None
    await client.agent.stop()
    await trio.sleep(100)
    assert len(network.attempts_at) == 1
    nursery.cancel_scope.cancel()


async def test_stop_while_an_old_session_drains_ends_both_and_connects_no_more(
    network: Network, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    client = Client(nursery, network, drain_timeout_s=3)
    old = await network.serve(nursery)
    await settled()
    assert old.session is not None
    old.session.goaway("shutting-down", "an update", 60)
    await settled()
    begun_at = trio.current_time()
    await client.agent.stop()
    assert trio.current_time() - begun_at < 3
    await old.ended.wait()
    await trio.sleep(100)
    assert len(network.attempts_at) == 1
    nursery.cancel_scope.cancel()
