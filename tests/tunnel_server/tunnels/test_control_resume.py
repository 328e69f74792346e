"""Sessions whose connection was lost: who gets them back, and what visitors see meanwhile."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from protocol.drivers.session import Session
from protocol.mux.handshake import read_answer_to_resume, resume_message
from protocol.mux.head_bodies import pack_head
from protocol.mux.map_bodies import pack_map
from protocol.mux.messages import (
    Claim,
    Goaway,
    Head,
    Refused,
    Release,
    Resume,
    Resumed,
    Welcome,
)
from protocol.mux.wire import FrameType, frame, split_message
from tests.edge_fakes import (
    HELLO,
    VISITOR,
    Visitor,
    World,
    echo,
    get,
    hello,
    logged,
    open_world,
    tunnel_error,
)
from tests.tunnel_server.control_client import (
    APP,
    TOKEN,
    bearer,
    claim,
    connected,
    handshake,
    message,
    opened,
    received,
    resumed,
    said,
    welcomed,
)
from tunnel_server.owners.auth_file import add_token
from tunnel_server.owners.held import HeldShare
from tunnel_server.owners.tokens import make_token
from tunnel_server.tunnels.directory import EXPECT_S
from tunnel_server.tunnels.parking import PARKED_MAX
from tunnel_server.tunnels.resumes import CLOSED_AT_ONCE, NAMELESS_HOLD_S
from tunnel_server.tunnels.totals import totals
from tunnel_server.visitors.admission import missing
from tunnel_server.visitors.connection import IDLE_TIMEOUT_S

BEARER = bearer("ti_alice")
HOLD_S = 60


async def online(world: World) -> tuple[Visitor, Welcome]:
    """A client that holds `app`."""
    client, welcome = await welcomed(world, BEARER)
    assert (await claim(client, APP))["name"] == "app"
    return client, welcome


async def away(world: World) -> Welcome:
    """A client that held `app` when its connection was lost."""
    client, welcome = await online(world)
    await client.stream.aclose()
    await client.done.wait()
    return welcome


async def told(visitor: Visitor) -> str | None:
    """The Tunnel-Error of the answer."""
    return tunnel_error(await visitor.head())[1]


def asking(welcome: Welcome, attempt: int = 1, received: int = 0) -> Resume:
    return Resume(welcome.session, welcome.secret, attempt, received)


async def is_held(world: World) -> bool:
    await wait_all_tasks_blocked()
    return bool(world.directory.resumes.held())


# --- who gets a session back ---------------------------------------------------------------------


async def test_a_lost_session_is_held_with_its_name_and_given_back(
    world: World, autojump_clock: MockClock
) -> None:
    welcome = await away(world)
    assert welcome.hold_s == HOLD_S
    tunnel = world.directory.registry.find("app")
    assert tunnel is not None
    await trio.sleep(HOLD_S - 1)
    client, answer = await resumed(world, asking(welcome), BEARER)
    assert answer == Resumed(0)
    assert not tunnel.carrier.away
    assert world.directory.registry.find("app") is tunnel
    assert not world.directory.resumes.held()
    await client.stream.aclose()


async def test_after_the_hold_the_name_is_free_and_the_session_unknown(
    world: World, autojump_clock: MockClock
) -> None:
    welcome = await away(world)
    await trio.sleep(HOLD_S + 2)
    assert world.directory.registry.find("app") is None
    assert not world.directory.sessions
    _, answer = await resumed(world, asking(welcome), BEARER)
    assert answer is None


async def test_a_session_goes_on_in_its_own_version_alone(world: World) -> None:
    welcome = await away(world)
    older = world.visit()
    await older.send(handshake(BEARER, protocol=b"Sec-WebSocket-Protocol: trio-tunnel.1"))
    await older.head()
    await older.send(message(resume_message(asking(welcome, attempt=7))))
    _, payload = await received(older)
    assert read_answer_to_resume(payload) is None
    client, answer = await resumed(world, asking(welcome), BEARER)  # nothing has changed
    assert answer == Resumed(0)
    await client.stream.aclose()


@pytest.mark.parametrize("wrong", ["session", "secret", "owner", "no owner", "attempt", "draining"])
async def test_a_resume_that_is_not_right_in_every_point_is_refused_and_changes_nothing(
    wrong: str, world: World
) -> None:
    welcome = await away(world)
    right = asking(welcome, attempt=5)
    asked = right
    fields: tuple[bytes, ...] = (BEARER,)
    if wrong == "session":
        asked = right._replace(session=bytes(16))
    elif wrong == "secret":
        asked = right._replace(secret=bytes(32))
    elif wrong == "owner":
        fields = (bearer("ti_mallory"),)
    elif wrong == "no owner":
        fields = ()
    elif wrong == "attempt":
        client, answer = await resumed(world, right, BEARER)
        assert answer is not None
        await client.stream.aclose()
        await client.done.wait()
    elif wrong == "draining":
        [session] = world.directory.sessions
        session.core.control.goaway(Goaway("shutting-down", "", 8))
    _, answer = await resumed(world, asked, *fields)
    assert answer is None
    assert await is_held(world)
    if wrong != "draining":
        _, answer = await resumed(world, right._replace(attempt=6), BEARER)
        assert answer is not None


async def test_a_held_session_ends_when_its_token_is_taken_away(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    add_token(tokens, "alice", TOKEN)
    async with open_world(tokens) as world:
        client = await connected(world, bearer())
        await claim(client, APP)
        await client.stream.aclose()
        await client.done.wait()
        await world.directory.look_at_owners()
        assert await is_held(world)
        tokens.write_text(tokens.read_text().replace(hash_of(TOKEN), hash_of("another")))
        await world.directory.look_at_owners()
        assert not world.directory.sessions
        assert world.directory.registry.find("app") is None


async def test_a_session_depends_on_the_token_by_which_it_was_resumed(tmp_path: Path) -> None:
    tokens, other = tmp_path / "tokens", make_token(bytes(range(32)))
    add_token(tokens, "alice", TOKEN)
    async with open_world(tokens) as world:
        client, welcome = await welcomed(world, bearer())
        await claim(client, APP)
        tokens.write_text(tokens.read_text().replace(hash_of(TOKEN), hash_of(other)))
        _, answer = await resumed(world, asking(welcome), bearer(other))
        assert answer is not None
        await world.directory.look_at_owners()
        assert world.directory.registry.find("app") is not None


def hash_of(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


async def test_an_attached_session_is_taken_at_once_and_the_old_connection_dropped(
    world: World,
) -> None:
    client, welcome = await online(world)
    newer, answer = await resumed(world, asking(welcome), BEARER)
    assert answer == Resumed(0)
    await client.done.wait()
    assert not await is_held(world)
    visitor = world.visit()
    await visitor.send(get())
    await stream_opened(newer)


async def stream_opened(client: Visitor) -> int:
    """The id of the stream that is opened next, on this connection."""
    while True:
        _, payload = await received(client)
        for kind, stream_id, _ in split_message(payload):
            if kind == FrameType.OPEN:
                return stream_id


async def test_a_count_that_cannot_be_ends_the_session(world: World) -> None:
    welcome = await away(world)
    client = await opened(world, BEARER)
    await client.send(message(resume_message(asking(welcome, received=99))))
    assert (await said(client, FrameType.GOAWAY))["code"] == "protocol-error"
    assert not world.directory.sessions
    assert world.directory.registry.find("app") is None


async def test_what_was_not_received_goes_again(world: World) -> None:
    client, welcome = await online(world)
    visitor = world.visit()
    await visitor.send(get())
    assert await stream_opened(client) == 1
    await client.stream.aclose()
    await client.done.wait()
    client, answer = await resumed(world, asking(welcome, received=0), BEARER)
    assert answer is not None
    assert await stream_opened(client) == 1


async def test_a_claim_whose_answer_was_lost_is_answered_again(world: World) -> None:
    welcome = await away(world)
    client, answer = await resumed(world, asking(welcome), BEARER)
    assert answer is not None
    assert (await claim(client, APP))["name"] == "app"
    assert world.directory.registry.find("app") is not None


# --- what is not held ----------------------------------------------------------------------------


async def test_a_session_without_a_name_and_streams_is_not_held(world: World) -> None:
    client, _ = await welcomed(world, BEARER)
    await client.stream.aclose()
    await client.done.wait()
    assert not world.directory.sessions


async def test_a_client_that_shows_nothing_could_not_show_it_again(world: World) -> None:
    client, welcome = await welcomed(world)
    assert welcome.hold_s == 0
    await claim(client, APP)
    await client.stream.aclose()
    await client.done.wait()
    assert not world.directory.sessions


async def test_a_client_that_closes_its_websocket_is_not_waited_for(world: World) -> None:
    client, _ = await online(world)
    await client.send(b"\x88\x82\x00\x00\x00\x00\x03\xe8")  # Close, 1000
    await client.receive(4)
    await client.stream.aclose()
    await client.done.wait()
    assert not world.directory.sessions
    assert world.directory.registry.find("app") is None


async def test_of_too_many_held_sessions_the_longest_held_ends(
    world: World, autojump_clock: MockClock
) -> None:
    world.directory.resumes._held = HeldShare(4)
    names = ("one", "two", "three", "four")
    for name in names:
        client = await connected(world, BEARER)
        await claim(client, APP._replace(name=name))
        await client.stream.aclose()
        await client.done.wait()
        await trio.sleep(0.1)
    held = [name for name in names if world.directory.registry.find(name)]
    assert held == ["two", "three", "four"]


async def test_a_server_that_stops_holds_nothing(world: World) -> None:
    await away(world)
    await world.directory.drain()
    assert not world.directory.sessions


# --- visitors meanwhile --------------------------------------------------------------------------


async def test_a_request_in_the_gap_is_parked_and_goes_afterwards(world: World) -> None:
    welcome = await away(world)
    visitor = world.visit()
    await visitor.send(get())
    await wait_all_tasks_blocked()
    assert world.directory.parking.count == 1
    details = totals(world.directory)
    assert (details.held_sessions, details.parked_requests) == (1, 1)
    client, _ = await resumed(world, asking(welcome), BEARER)
    assert await stream_opened(client) == 1
    assert world.directory.parking.count == 0


async def test_what_follows_a_parked_head_is_read_and_goes_with_it(world: World) -> None:
    await away(world)
    visitor = world.visit()
    await visitor.send(b"POST / HTTP/1.1\r\nHost: app.localhost\r\nContent-Length: 6\r\n\r\nab")
    await wait_all_tasks_blocked()
    await visitor.send(b"cdef")
    await wait_all_tasks_blocked()
    [login] = world.directory.sessions.values()
    await world.client(echo, login=login)
    await visitor.expect(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabcdef")


async def test_parked_requests_move_to_another_client_that_takes_the_name(world: World) -> None:
    await away(world)
    visitor = world.visit()
    await visitor.send(get())
    await wait_all_tasks_blocked()
    newer = await connected(world, BEARER)
    await claim(newer, APP._replace(instance=b"j" * 16))
    await wait_all_tasks_blocked()
    tunnel = world.directory.registry.find("app")
    assert tunnel is not None
    assert isinstance(tunnel.carrier, Session)
    assert tunnel.carrier.stream_count == 1


async def test_after_the_hold_a_parked_request_is_told_that_the_tunnel_is_offline(
    world: World, autojump_clock: MockClock
) -> None:
    await away(world)
    visitor = world.visit()
    await visitor.send(get())
    assert await told(visitor) == "tunnel-offline"
    assert world.directory.parking.count == 0


async def test_a_visitor_who_leaves_a_parked_request_is_noticed(world: World) -> None:
    await away(world)
    visitor = world.visit()
    await visitor.send(get())
    await wait_all_tasks_blocked()
    await visitor.stream.aclose()
    await wait_all_tasks_blocked()
    assert world.directory.parking.count == 1  # it may only have ended its direction
    client = await connected(world, BEARER)
    await claim(client, APP._replace(instance=b"j" * 16))
    await wait_all_tasks_blocked()
    assert world.directory.parking.count == 0


async def test_the_longest_parked_of_a_full_share_is_told_and_the_newest_waits(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    await away(world)
    longest, newest = world.visit(), world.visit()
    await longest.send(get())
    await wait_all_tasks_blocked()
    owner = world.directory.registry.owner_of("app")
    while world.directory.parking.count < PARKED_MAX * 3 // 4:
        world.directory.parking.enter("app", owner, f"{VISITOR}/32")
    await newest.send(get())
    raw = await longest.head()
    assert tunnel_error(raw) == (503, "overloaded")
    assert b"\r\nRetry-After: 1\r\n" in raw
    said = await longest.receive(int(raw.partition(b"Content-Length: ")[2].partition(b"\r\n")[0]))
    assert b"Your address has its share of the requests that wait for a client to come" in said
    line = f"{VISITOR}: a request that waits for a client is refused: visitor"
    assert line in logged(caplog.records)
    assert world.directory.parking.count == PARKED_MAX * 3 // 4


async def test_a_server_that_stops_answers_what_is_parked(world: World) -> None:
    await away(world)
    visitor = world.visit()
    await visitor.send(get())
    await wait_all_tasks_blocked()
    await world.directory.drain()
    assert await told(visitor) == "tunnel-offline"


async def test_while_held_sessions_end_with_a_server_their_tunnels_are_answered_as_afterwards(
    world: World,
) -> None:
    names = [f"n{number}" for number in range(2 * CLOSED_AT_ONCE + 1)]
    for name in names:
        client = await connected(world, BEARER)
        await claim(client, APP._replace(name=name))
        await client.stream.aclose()
        await client.done.wait()
    directory, codes = world.directory, []
    first, *_, last = directory.resumes.held()

    async def ask_meanwhile() -> None:
        while first.closed_reason is None:
            await trio.lowlevel.checkpoint()
        assert last.closed_reason is None
        assert directory.is_away(names[-1])
        asked = Claim(2, "late", b"i" * 16, True, {})
        codes.append(directory.claim(last, asked))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask_meanwhile)
        nursery.start_soon(directory.drain)
    assert codes == [Refused(2, "draining", "the server stops")]
    assert not directory.sessions
    assert [missing(directory, name).code for name in names] == ["tunnel-offline"] * len(names)


async def test_names_that_are_expected_after_a_start_are_waited_for(
    world: World, autojump_clock: MockClock
) -> None:
    world.directory.expect({"app": "alice", "other": "alice"})
    visitor, late, stranger = world.visit(), world.visit(), world.visit()
    await visitor.send(get())
    await stranger.send(get(host=b"nobody.localhost:8080"))
    assert await told(stranger) == "tunnel-not-found"
    await wait_all_tasks_blocked()
    assert world.directory.parking.count == 1
    await world.client(hello)
    await visitor.expect(HELLO)
    await late.send(get(host=b"other.localhost:8080"))
    before = trio.current_time()
    assert await told(late) == "tunnel-not-found"
    assert 0 < trio.current_time() - before <= EXPECT_S + 1


async def test_names_that_are_expected_are_kept_for_their_owners(
    world: World, autojump_clock: MockClock
) -> None:
    await online(world)
    [login] = world.directory.sessions.values()
    world.directory.expect({"other": login.owner})
    stranger = await connected(world, bearer("ti_mallory"))
    asked = APP._replace(name="other", instance=b"j" * 16)
    assert (await claim(stranger, asked))["code"] == "name-taken"
    owner = await connected(world, BEARER)
    assert (await claim(owner, asked))["name"] == "other"
    world.directory.expect({"third": login.owner})
    await trio.sleep(EXPECT_S + 1.5)
    stranger = await connected(world, bearer("ti_mallory"))
    assert (await claim(stranger, asked._replace(name="third")))["name"] == "third"


# --- names ---------------------------------------------------------------------------------------


async def test_a_start_of_the_same_owner_takes_the_name_of_a_held_session_at_once(
    world: World,
) -> None:
    welcome = await away(world)
    newer = await connected(world, BEARER)
    assert (await claim(newer, APP._replace(instance=b"j" * 16)))["name"] == "app"
    # The client that had it is told as soon as it is back, and does not get the name.
    client, _ = await resumed(world, asking(welcome), BEARER)
    assert (await said(client, FrameType.RELEASE))["code"] == "taken-over"
    again = APP._replace(claim=2, start=False)
    assert (await claim(client, again))["code"] == "taken-over"


async def test_a_held_session_whose_name_was_taken_ends_soon(
    world: World, autojump_clock: MockClock
) -> None:
    await away(world)
    old: Session = next(iter(world.directory.sessions))
    newer = await connected(world, BEARER)
    await claim(newer, APP._replace(instance=b"j" * 16))
    await trio.sleep(NAMELESS_HOLD_S - 1)
    assert old in world.directory.sessions
    await trio.sleep(2.5)
    assert old.closed_reason == f"not resumed within {NAMELESS_HOLD_S} s"
    # Whose session it was asks for the name again, and is told for good.
    client = await connected(world, BEARER)
    assert (await claim(client, APP._replace(start=False)))["code"] == "taken-over"


@pytest.mark.parametrize("start", [True, False])
async def test_another_owner_never_gets_a_name_that_is_held(world: World, start: bool) -> None:
    await away(world)
    stranger = await connected(world, bearer("ti_mallory"))
    asked = APP._replace(instance=b"j" * 16, start=start)
    assert (await claim(stranger, asked))["code"] == "name-taken"


async def test_a_release_that_was_lost_is_said_again(world: World) -> None:
    client, welcome = await online(world)
    newer = await connected(world, BEARER)
    await claim(newer, APP._replace(instance=b"j" * 16))
    await said(client, FrameType.RELEASE)
    client, _ = await resumed(world, asking(welcome), BEARER)
    assert (await said(client, FrameType.RELEASE))["claim"] == 1


async def test_a_client_that_gives_its_name_up_twice_is_no_fault(world: World) -> None:
    client, welcome = await online(world)
    release = frame(FrameType.RELEASE, 0, pack_map(Release(1, "given-up", "")))
    await client.send(message(release))
    await wait_all_tasks_blocked()
    client, _ = await resumed(world, asking(welcome), BEARER)
    await client.send(message(release))
    assert (await claim(client, APP))["name"] == "app"


async def test_deadlines_of_visitors_run_again_after_the_hold(
    world: World, autojump_clock: MockClock
) -> None:
    client, _ = await online(world)
    visitor = world.visit()
    await visitor.send(get())
    await stream_opened(client)
    await client.stream.aclose()
    assert await told(visitor) == "tunnel-lost"  # after the hold
    before = trio.current_time()
    with trio.fail_after(2 * IDLE_TIMEOUT_S):
        await visitor.rest()  # it says no more, and its connection is closed
    assert trio.current_time() - before >= IDLE_TIMEOUT_S


async def test_a_request_that_waits_its_turn_when_the_connection_is_lost_is_parked(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, welcome = await online(world)

    async def lose(session: Session) -> None:
        session.drop_connection()
        await trio.lowlevel.checkpoint()

    with monkeypatch.context() as patched:
        patched.setattr(Session, "batch_is_full", property(lambda session: session.attached))
        patched.setattr(Session, "wait_for_batch", lose)
        visitor = world.visit()
        await visitor.send(get())
        await wait_all_tasks_blocked()
        assert world.directory.parking.count == 1
    client, _ = await resumed(world, asking(welcome), BEARER)
    assert await stream_opened(client) == 1


async def test_a_nameless_session_is_held_for_what_its_client_lacks(world: World) -> None:
    client, welcome = await online(world)
    visitor = world.visit()
    await visitor.send(get())
    assert await stream_opened(client) == 1
    answered = frame(FrameType.HEAD, 1, pack_head(Head(204, b"No Content", (), None)))
    answered += frame(FrameType.END, 1, b"")
    released = frame(FrameType.RELEASE, 0, pack_map(Release(1, "given-up", "")))
    await client.send(message(answered + released))
    assert (await visitor.head()).startswith(b"HTTP/1.1 204 ")
    [session] = world.directory.sessions
    assert not session.core.streams
    await client.stream.aclose()
    await client.done.wait()
    assert await is_held(world)
    _, answer = await resumed(world, asking(welcome, received=1), BEARER)
    assert answer == Resumed(2)


async def test_a_client_that_leaves_a_server_that_stops_does_not_make_it_resumable(
    world: World,
) -> None:
    client, _ = await online(world)
    [session] = world.directory.sessions
    session.goaway("shutting-down", "the server stops", 8)
    assert (await said(client, FrameType.GOAWAY))["code"] == "shutting-down"
    leaving = Goaway("shutting-down", "the client stops", 8)
    await client.send(message(frame(FrameType.GOAWAY, 0, pack_map(leaving))))
    await wait_all_tasks_blocked()
    assert world.directory.registry.find("app") is None
    assert not session.resumable
