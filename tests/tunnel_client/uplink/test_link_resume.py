"""A link whose connection was lost, and what becomes of its session."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from protocol import VERSION
from protocol.drivers.session import Session
from protocol.drivers.stream import TunnelStream
from protocol.errors import SessionClosed
from protocol.mux.handshake import resumed_message
from protocol.mux.messages import Claim, Head, Refused
from tests.server_fakes import WELCOME, Network, Server
from tests.tunnel_client.uplink.test_link import INSTANCE, Client, settled
from tunnel_client.uplink import link as link_module

HOLD_S = 60


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Network:
    network = Network()
    monkeypatch.setattr(link_module, "open_stream", network.open_stream)
    return network


class Held:
    """A client with one request under way, whose connection has just been lost."""

    def __init__(self, client: Client, session: Session, at_server: TunnelStream) -> None:
        self.client = client
        self.session = session
        self.at_server = at_server

    @property
    def at_client(self) -> TunnelStream:
        return self.client.streams[0]

    def go_on(self) -> None:
        """The pause before the next attempt is over."""
        self.client.go_on.set()


async def held(
    network: Network, nursery: trio.Nursery, silent_s: float = 0, version: int = VERSION
) -> Held:
    """A session that is kept; the line ends, or says nothing for so long and is then given up."""
    client = Client(nursery)
    server = await network.accept()
    await server.open(nursery, hold_s=HOLD_S, version=version)
    await server.claimed("app")
    stream = server.request()
    await settled()
    if silent_s:
        await trio.sleep(silent_s)
        client.link.drop_connection("the line is dead")
    else:
        await server.stream.aclose()
    await settled()
    assert server.session is not None
    return Held(client, server.session, stream)


async def came_back(network: Network, nursery: trio.Nursery, held: Held) -> Server:
    held.go_on()
    server = await network.accept()
    server.give_back(nursery, held.session, await server.resume_asked(nursery))
    await settled()
    return server


async def test_a_lost_session_is_asked_for_and_its_streams_go_on(
    network: Network, nursery: trio.Nursery
) -> None:
    lost = await held(network, nursery)
    link = lost.client.link
    assert [reason for _, reason in lost.client.pauses] == ["the connection was lost"]
    assert not link.leaving.is_set()
    await lost.at_client.send_all(b"")  # nothing is wrong with it
    lost.go_on()
    server = await network.accept()
    asked = await server.resume_asked(nursery)
    assert asked.session == WELCOME.session
    assert asked.secret == WELCOME.secret
    assert (asked.attempt, asked.received) == (1, lost.session.core.sent.count)
    server.give_back(nursery, lost.session, asked)
    lost.at_client.cancel("as the test wants")
    await settled()
    assert lost.at_server.is_readable
    assert len(lost.client.resumed) == 1
    assert len(lost.client.claimed) == 1
    nursery.cancel_scope.cancel()


async def test_a_server_of_version_1_is_spoken_to_in_that(
    network: Network, nursery: trio.Nursery
) -> None:
    client = Client(nursery)
    server = await network.accept()
    await server.open(nursery, version=1)
    await server.claimed("app")
    stream = server.request()
    await settled()
    [asked] = client.streams
    assert (asked.opened.target, asked.opened.connection) == (b"/", None)
    await asked.send_head(Head(204, b"No Content", (), None, closes=True))
    asked.send_eof()
    assert await stream.receive_head() == Head(204, b"No Content", (), None, closes=None)
    nursery.cancel_scope.cancel()


async def test_a_session_is_not_asked_of_a_server_that_speaks_another_version_now(
    network: Network, nursery: trio.Nursery
) -> None:
    lost = await held(network, nursery, version=1)
    lost.go_on()
    server = await network.accept()
    await server.open(nursery)  # it is greeted as a new one
    await server.claimed("app")
    await settled()
    assert lost.client.resumed == []
    with pytest.raises(SessionClosed):
        await lost.at_client.send_all(b"x")
    nursery.cancel_scope.cancel()


async def test_every_attempt_has_a_number_of_its_own(
    network: Network, nursery: trio.Nursery
) -> None:
    lost = await held(network, nursery)
    lost.go_on()
    for number in (1, 2, 3):
        server = await network.accept()
        assert (await server.resume_asked(nursery)).attempt == number
        await server.stream.aclose()
    nursery.cancel_scope.cancel()


async def test_an_unknown_session_ends_visibly_and_a_new_one_begins_on_the_same_connection(
    network: Network, nursery: trio.Nursery
) -> None:
    lost = await held(network, nursery)
    lost.go_on()
    server = await network.accept()
    await server.resume_asked(nursery)
    await server.refuse_resume()
    await server.welcome(nursery, hold_s=HOLD_S)
    assert await server.claimed() == Claim(1, "app", INSTANCE, False, {}, "")
    with pytest.raises(SessionClosed, match="does not have the session any more"):
        await lost.at_client.send_all(b"x")
    await settled()
    assert len(lost.client.claimed) == 2
    assert not lost.client.link.leaving.is_set()
    nursery.cancel_scope.cancel()


async def test_a_session_that_the_server_cannot_have_any_more_ends_by_itself(
    network: Network, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    lost = await held(network, nursery)
    await trio.sleep(WELCOME.timeout_s + HOLD_S - 1)
    assert lost.client.link.session is not None
    assert lost.client.link.session.closed_reason is None
    await trio.sleep(3)
    with pytest.raises(SessionClosed, match="not resumed within 90 s"):
        await lost.at_client.send_all(b"x")
    lost.go_on()
    server = await network.accept()
    await server.open(nursery)  # a hello
    assert not (await server.claim_asked()).start
    nursery.cancel_scope.cancel()


async def test_the_time_of_a_kept_session_counts_from_the_last_byte_and_not_from_the_loss(
    network: Network, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    silent_s = 10  # nothing is pinged so early
    assert silent_s < WELCOME.ping_interval_s
    lost = await held(network, nursery, silent_s)
    session = lost.client.link.session
    assert session is not None
    await trio.sleep(WELCOME.timeout_s + HOLD_S - silent_s - 1)
    assert lost.client.link.session is session
    assert not session.closed_reason
    await trio.sleep(3)
    with pytest.raises(SessionClosed, match="not resumed within 90 s"):
        await lost.at_client.send_all(b"x")
    nursery.cancel_scope.cancel()


async def test_a_refusal_for_good_ends_what_was_kept(
    network: Network, nursery: trio.Nursery
) -> None:
    lost = await held(network, nursery)
    lost.go_on()
    refusal = b"HTTP/1.1 401 x\r\nTunnel-Error: unauthorized\r\nContent-Length: 0\r\n\r\n"
    await (await network.accept()).answer(refusal)
    await lost.client.link.ended.wait()
    assert lost.client.link.refused == Refused(0, "unauthorized", "unauthorized")
    with pytest.raises(SessionClosed):
        await lost.at_client.send_all(b"x")


async def test_a_server_that_claims_to_have_too_much_loses_the_session(
    network: Network, nursery: trio.Nursery
) -> None:
    lost = await held(network, nursery)
    lost.go_on()
    server = await network.accept()
    await server.resume_asked(nursery)
    assert server.transport is not None
    await server.transport.send(resumed_message(99))
    await lost.client.link.ended.wait()
    assert "an ack of 99" in lost.client.link.reason
    nursery.cancel_scope.cancel()


async def test_a_connection_that_is_not_believed_in_is_replaced(
    network: Network, nursery: trio.Nursery
) -> None:
    client = Client(nursery)
    client.go_on.set()
    server = await network.accept()
    await server.open(nursery, hold_s=HOLD_S)
    await server.claimed("app")
    await settled()
    client.link.drop_connection("this machine slept")
    newer = await network.accept()
    assert (await newer.resume_asked(nursery)).attempt == 1
    client.link.drop_connection("again")  # there is none
    assert [reason for _, reason in client.pauses] == ["this machine slept"]
    nursery.cancel_scope.cancel()


async def test_finish_does_not_wait_for_a_connection_without_a_request_under_way(
    network: Network, nursery: trio.Nursery
) -> None:
    client = Client(nursery)
    server = await network.accept()
    await server.open(nursery, hold_s=HOLD_S)
    await server.claimed("app")
    await server.stream.aclose()
    await settled()
    await client.link.finish(8)
    assert client.link.ended.is_set()
    nursery.cancel_scope.cancel()


async def test_finish_waits_for_what_is_under_way_to_end_on_the_next_connection(
    network: Network, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    lost = await held(network, nursery)
    before = trio.current_time()
    async with trio.open_nursery() as finishing:
        finishing.start_soon(lost.client.link.finish, 8)
        await settled()
        server = await came_back(network, nursery, lost)
        assert server.session is not None
        assert server.session.core.control.peer_leaving is not None
        lost.at_client.cancel("done")
        lost.at_server.cancel("done")
    assert trio.current_time() - before < 8


async def test_finish_without_a_connection_gives_up_at_its_deadline(
    network: Network, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    lost = await held(network, nursery)
    before = trio.current_time()
    lost.client.go_on.set()
    await lost.client.link.finish(8)
    assert trio.current_time() - before == pytest.approx(8)
    told = [fields for kind, fields in lost.client.told.events if kind == "reconnecting"]
    assert told[-1][3] == pytest.approx(8)  # and "until it works" is not promised


async def test_finish_begins_no_new_session_where_the_old_one_is_unknown(
    network: Network, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    lost = await held(network, nursery)
    async with trio.open_nursery() as finishing:
        finishing.start_soon(lost.client.link.finish, 8)
        await settled()
        lost.go_on()
        server = await network.accept()
        await server.resume_asked(nursery)
        await server.refuse_resume()
        await server.welcome(nursery, hold_s=HOLD_S)
        nursery.start_soon(server.claimed)  # it would be granted
        with trio.fail_after(1):
            await lost.client.link.ended.wait()
            await server.ended.wait()
    with pytest.raises(SessionClosed):
        await lost.at_client.send_all(b"x")
    assert len(lost.client.claimed) == 1
    nursery.cancel_scope.cancel()


async def test_finish_ends_in_the_middle_of_a_handshake(
    network: Network, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    lost = await held(network, nursery)
    async with trio.open_nursery() as finishing:
        finishing.start_soon(lost.client.link.finish, 8)
        await settled()
        lost.go_on()
        server = await network.accept()
        asked = await server.resume_asked(nursery)
        await trio.sleep(9)  # the deadline has passed
        server.give_back(nursery, lost.session, asked)
        with trio.fail_after(20):
            await lost.client.link.ended.wait()


async def test_a_session_that_ends_while_it_is_given_back_is_not_taken(
    network: Network, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    lost = await held(network, nursery)
    lost.go_on()
    server = await network.accept()
    asked = await server.resume_asked(nursery)
    assert lost.client.link.session is not None
    lost.client.link.session.close("not resumed within 90 s")
    server.give_back(nursery, lost.session, asked)
    with trio.fail_after(5):
        await lost.client.link.ended.wait()
        await server.ended.wait()
    assert lost.session.closed_reason is not None


async def test_finish_waits_for_the_end_of_an_answer_that_was_sent_and_lost(
    network: Network, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    client = Client(nursery)
    server = await network.accept()
    await server.open(nursery, hold_s=HOLD_S)
    await server.claimed("app")
    assert server.session is not None
    session, stream = server.session, server.request()
    await settled()
    session.drop_connection()  # the client has not missed it
    await client.streams[0].send_head(Head(204, b"No Content", (), None))
    client.streams[0].send_eof()
    await settled()
    assert client.link.session is not None
    assert client.link.session.stream_count == 0
    async with trio.open_nursery() as finishing:
        finishing.start_soon(client.link.finish, 8)
        await settled()
        client.go_on.set()
        with trio.fail_after(5):
            server = await network.accept()
            server.give_back(nursery, session, await server.resume_asked(nursery))
    assert (await stream.receive_head()).status == 204


@pytest.mark.parametrize("began", [False, True])
async def test_without_a_connection_finish_waits_for_nothing_that_was_cut_off(
    network: Network, nursery: trio.Nursery, autojump_clock: MockClock, began: bool
) -> None:
    lost = await held(network, nursery)
    if began:
        await lost.at_client.send_head(Head(200, b"OK", (), "chunked"))
        await lost.at_client.send_all(b"some")
    before = trio.current_time()
    async with trio.open_nursery() as finishing:
        finishing.start_soon(lost.client.link.finish, 600)
        await settled()
        lost.at_client.reset("draining", "the client stops")
    assert trio.current_time() - before < 1
