"""The connections that carry sessions are shared between owners, and between addresses."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from protocol.errors import HandshakeRefused
from protocol.limits import PING_INTERVAL_S
from protocol.mux.codec import pack
from protocol.mux.handshake import read_answer_to_hello
from protocol.mux.messages import Resume, Resumed, Welcome
from protocol.mux.wire import FrameType, frame
from tests.edge_fakes import VISITOR, Visitor, World, logged, open_world, tunnel_error
from tests.tunnel_server.control_client import (
    APP,
    HELLO_MESSAGE,
    bearer,
    claim,
    connected,
    handshake,
    message,
    opened,
    received,
    resumed,
    welcomed,
)
from tunnel_server.observing.strangers import Sparing
from tunnel_server.owners.auth_file import add_token
from tunnel_server.owners.tokens import make_token
from tunnel_server.tunnels.connected import LATE_S
from tunnel_server.tunnels.directory import sessions_for

ALICE, BOB = make_token(b"a" * 32), make_token(b"b" * 32)


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[World]:
    """A server that wants tokens, and has eight sessions: alone an owner gets six."""
    for name, token in (("alice", ALICE), ("bob", BOB)):
        add_token(tmp_path / "tokens", name, token)
    async with open_world(tmp_path / "tokens", max_sessions=8) as world:
        yield world


class Lines(logging.Handler):
    """What is told."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


async def refused(world: World, *fields: bytes) -> bytes:
    visitor = world.visit()
    await visitor.send(handshake(*fields))
    return await visitor.rest()


async def answer_to_hello(world: World, *fields: bytes) -> str:
    """The refusal of somebody that has come for a new session."""
    client = await opened(world, *fields)
    await client.send(message(HELLO_MESSAGE))
    with pytest.raises(HandshakeRefused) as caught:
        read_answer_to_hello((await received(client))[1])
    assert await received(client) == (8, b"\x03\xe8")  # and a Close
    return f"{caught.value.code}: {caught.value.message}"


async def six(world: World, *fields: bytes) -> list[Visitor]:
    return [await connected(world, *fields) for _ in range(6)]


async def test_an_owner_has_its_share_of_the_sessions_and_one_more_is_told_whose_that_is(
    guarded: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    clients = await six(guarded, bearer(ALICE))
    answer = await answer_to_hello(guarded, bearer(ALICE))
    why = "This token has its share of the 8 sessions of this server."
    assert answer.startswith(f"overloaded: {why} It is tried again by itself. Stop clients that")
    told = "overloaded: alice has its share of the 8 sessions; --max-sessions allows more"
    assert any(f"control handshake refused: {told}" in line for line in logged(caplog.records))
    await connected(guarded, bearer(BOB))  # who is unharmed
    await clients[0].stream.aclose()
    await clients[0].done.wait()
    await connected(guarded, bearer(ALICE))


async def test_where_all_are_taken_that_is_what_is_said(guarded: World) -> None:
    for token in (ALICE, ALICE, ALICE, ALICE, ALICE, BOB):
        await connected(guarded, bearer(token))
    for _ in range(2):
        guarded.directory.clients.take("somebody")
    answer = await answer_to_hello(guarded, bearer(BOB))
    assert answer.startswith("overloaded: This server has as many sessions as it may, 8.")
    answer = await answer_to_hello(guarded, bearer(ALICE))
    assert answer.startswith("overloaded: This token has its share of the 8 sessions")


async def test_where_no_token_is_needed_an_address_has_a_share_as_well() -> None:
    """An install key costs nothing: each of these is another owner."""
    async with open_world(max_sessions=8) as world:
        for number in range(6):
            await connected(world, bearer(f"ti_{number}"))
        raw = await refused(world, bearer("ti_7"), b"Accept: application/json")
        assert tunnel_error(raw) == (503, "overloaded")
        assert b"\r\nRetry-After: 1\r\n" in raw
        assert b"Your address has its share of the 8 sessions of this server." in raw
        assert b"--max-sessions" in raw
        other = world.visit(address="198.51.100.7")
        await other.send(handshake(bearer("ti_8")))
        assert (await other.head()).startswith(b"HTTP/1.1 101 ")


async def test_the_answer_to_a_handshake_says_that_it_is_the_servers_side() -> None:
    async with open_world(max_sessions=1) as world:
        await connected(world, bearer("ti_1"))
        raw = await refused(world, bearer("ti_2"))
        assert b"503 This tunnel service is busy (overloaded)" in raw
        assert b"Whose side:     this tunnel service\n" in raw
        assert b"What to do:     It is tried again by itself." in raw


async def refused_once_more(world: World, sparing: Sparing, *fields: bytes) -> list[str]:
    """The log's lines about two more that are refused."""
    sink = Lines()
    sink.addFilter(sparing)
    log = logging.getLogger("tunnel_server.tunnels.opening_handshake")
    log.addHandler(sink)
    try:
        for _ in range(2):
            assert tunnel_error(await refused(world, *fields))[1] == "overloaded"
    finally:
        log.removeHandler(sink)
    return sink.said


async def test_each_reason_is_told_once_a_minute_and_none_hides_behind_another(
    guarded: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    sparing, refusal = Sparing(), f"{VISITOR}: control handshake refused: overloaded: "
    for _ in range(6):
        guarded.directory.clients.take("alice")
    assert await refused_once_more(guarded, sparing, bearer(ALICE)) == [
        f"{refusal}alice has its share of the 8 sessions; --max-sessions allows more"
    ]
    for _ in range(2):
        guarded.directory.clients.take("carol")
    assert await refused_once_more(guarded, sparing, bearer(BOB)) == [
        f"{refusal}there are as many sessions as may be, 8, and bob wants one;"
        " --max-sessions allows more"
    ]
    for number in range(3):
        guarded.directory.clients.give("alice" if number < 2 else "carol")
        guarded.directory.clients.take("bob")
    assert await refused_once_more(guarded, sparing, bearer(BOB)) == [
        f"{refusal}bob has its share of the 8 sessions; --max-sessions allows more"
    ]


async def test_an_address_whose_share_is_full_is_told_with_one_of_its_owners(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    async with open_world(max_sessions=8) as world:
        for number in range(6):
            await connected(world, bearer(f"ti_{number}"))
        for number in range(2):  # whose owners cost nothing
            [line] = await refused_once_more(world, Sparing(), bearer(f"ti_{number + 6}"))
            assert f"its address {VISITOR}/32 has its share of the 8 sessions, and key:" in line
            assert line.endswith("... wants one; --max-sessions allows more")
        sparing = Sparing()
        lines = [await refused_once_more(world, sparing, bearer(f"ti_{n}")) for n in (6, 7)]
        assert [len(said) for said in lines] == [1, 0]


async def test_a_session_is_given_back_though_its_owner_has_its_share(guarded: World) -> None:
    client, welcome = await welcomed(guarded, bearer(ALICE))
    assert (await claim(client, APP))["name"] == "app"  # else there is nothing to hold it for
    for _ in range(5):
        await connected(guarded, bearer(ALICE))
    await client.stream.aclose()
    await client.done.wait()
    asked = Resume(welcome.session, welcome.secret, 1, 0)
    _, answer = await resumed(guarded, asked, bearer(ALICE))
    assert answer == Resumed(0)


async def test_a_session_that_waits_needs_room_as_a_new_one_does(guarded: World) -> None:
    client, welcome = await welcomed(guarded, bearer(ALICE))
    assert (await claim(client, APP))["name"] == "app"
    await client.stream.aclose()
    await client.done.wait()
    others = await six(guarded, bearer(ALICE))
    asked = Resume(welcome.session, welcome.secret, 1, 0)
    with pytest.raises(HandshakeRefused, match="its share of the 8 sessions"):
        await resumed(guarded, asked, bearer(ALICE))
    await others[0].stream.aclose()
    await others[0].done.wait()
    _, answer = await resumed(guarded, asked._replace(attempt=2), bearer(ALICE))
    assert answer == Resumed(0)


# --- connections that are dead, and that nobody has closed ---------------------------------------


async def named(world: World, *fields: bytes) -> list[tuple[Visitor, Welcome]]:
    """Six clients, each with a name."""
    clients = []
    for number in range(6):
        client, welcome = await welcomed(world, *fields)
        assert "name" in await claim(client, APP._replace(name=f"app{number}"))
        clients.append((client, welcome))
    return clients


async def test_clients_whose_router_starts_anew_all_have_their_sessions_back_at_once(
    guarded: World,
) -> None:
    clients = await named(guarded, bearer(ALICE))
    for number, (dead, welcome) in enumerate(clients):
        asked = Resume(welcome.session, welcome.secret, 1, 0)
        _, answer = await resumed(guarded, asked, bearer(ALICE))
        assert answer == Resumed(0)
        await dead.done.wait()
        assert guarded.directory.registry.find(f"app{number}") is not None
    assert repr(guarded.directory.clients) == "<Share 6 of 8, 1 keys>"


async def test_new_sessions_take_the_place_of_those_that_have_not_been_heard_of(
    guarded: World, autojump_clock: MockClock
) -> None:
    """Whoever starts its clients anew does not have its sessions any more."""
    clients = await named(guarded, bearer(ALICE))
    await trio.sleep(PING_INTERVAL_S + LATE_S)
    assert "its share" in await answer_to_hello(guarded, bearer(ALICE))
    await trio.sleep(1)  # and a second before they are given up
    for _ in range(6):
        await connected(guarded, bearer(ALICE))
    assert repr(guarded.directory.clients) == "<Share 6 of 8, 1 keys>"
    assert "its share" in await answer_to_hello(guarded, bearer(ALICE))
    for dead, _ in clients:
        await dead.done.wait()
    assert len(guarded.directory.resumes.held()) == 6  # no name is lost by it
    await connected(guarded, bearer(BOB))


async def test_one_that_answers_pings_is_there_and_keeps_its_connection(
    guarded: World, autojump_clock: MockClock
) -> None:
    clients = [client for client, _ in await named(guarded, bearer(ALICE))]
    for _ in range(4):
        await trio.sleep(PING_INTERVAL_S - 1)
        for client in clients:
            await client.send(message(frame(FrameType.PING, 0, pack(1))))
    await wait_all_tasks_blocked()
    assert "its share" in await answer_to_hello(guarded, bearer(ALICE))
    assert not any(client.done.is_set() for client in clients)


async def test_silent_ones_of_an_address_give_way_to_its_own_and_to_no_others(
    autojump_clock: MockClock,
) -> None:
    async with open_world(max_sessions=8) as world:
        for number in range(6):
            await connected(world, bearer(f"ti_{number}"))
        for _ in range(2):
            world.directory.clients.take("somebody")
        await trio.sleep(PING_INTERVAL_S + LATE_S + 1)
        other = world.visit(address="198.51.100.7")
        await other.send(handshake(bearer("ti_8")))
        assert (await other.head()).startswith(b"HTTP/1.1 503 ")
        world.directory.clients.give("somebody")
        await connected(world, bearer("ti_9"))


async def test_a_handshake_that_fails_takes_nothing(guarded: World) -> None:
    for _ in range(20):
        client = guarded.visit()
        await client.send(handshake(bearer(ALICE)))
        await client.head()
        await client.stream.aclose()
        await client.done.wait()
    await wait_all_tasks_blocked()
    assert repr(guarded.directory.clients) == "<Share 0 of 8, 0 keys>"


@pytest.mark.parametrize(
    ("descriptors", "sessions"),
    [(40, 16), (128, 16), (1024, 128), (8192, 1024), (8200, 1024), (1 << 30, 1024)],
)
def test_sessions_are_an_eighth_of_the_descriptors_and_a_thousand_at_most(
    descriptors: int, sessions: int
) -> None:
    assert sessions_for(descriptors) == sessions
