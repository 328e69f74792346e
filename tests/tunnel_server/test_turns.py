"""Whatever a visitor or a client sends, no turn of the server's loop takes 20 ms (docs/limits.md).

Each case is as much of one thing as fits a buffer, from somebody who wants the loop for itself.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from protocol.drivers.session import Session
from protocol.drivers.stream import TunnelStream
from protocol.limits import CLAIMS_MAX, FIELDS_MAX, MESSAGE_MAX_BYTES, STREAMS_MAX
from protocol.mux.control import Heartbeat
from protocol.mux.core import Core
from protocol.mux.messages import Claim, Claimed, Head, Refused
from protocol.mux.wire import HEADER_BYTES
from tests.edge_fakes import (
    VISITOR,
    Visitor,
    World,
    answer,
    get,
    hello,
    make_edge,
    open_world,
    transport_pair,
)
from tests.hostile_peers import CLOSED, ack, claim, credit, data, goaway, release, websocket_frame
from tests.tls_records import KEY_UPDATE_BYTES, ClientRecords, logging_context
from tests.tunnel_server.test_hostile_clients import Hostile, hostile
from tests.tunnel_server.tunnels.test_control_resume import away
from tests.turns import short_turns
from tests.upgrade_peers import SWITCH, SWITCHED, UPGRADE
from tunnel_server.observing.strangers import crowd_key
from tunnel_server.owners import names as names_module
from tunnel_server.owners.auth_file import add_token
from tunnel_server.owners.names import IN_ALL_MAX, SEEN_EVERY_S
from tunnel_server.owners.tokens import digest_of, make_token
from tunnel_server.settings.values import parse_networks
from tunnel_server.tunnels.directory import EXPECT_S, SEE_NAMES_EVERY_S, Directory, Login
from tunnel_server.tunnels.parking import PARKED_MAX
from tunnel_server.tunnels.resumes import CLOSED_AT_ONCE, HELD_MAX
from tunnel_server.visitors.draining import drain
from tunnel_server.visitors.tls_stream import READ_FIRST_BYTES, WITHOUT_PLAIN_TEXT_MAX_BYTES

pytestmark = pytest.mark.alone

LOT_BYTES = 1 << 20  # sixteen reads
TOO_MANY = WITHOUT_PLAIN_TEXT_MAX_BYTES // KEY_UPDATE_BYTES + 1  # KeyUpdates


async def swallow(stream: TunnelStream) -> None:
    """An app that reads all, and then answers."""
    while await stream.receive_some():
        pass
    await hello(stream)


async def answered(visitor: Visitor, heads: int = 1) -> bytes:
    """So many heads, and what has come behind them."""
    data = b""
    while data.count(b"\r\n\r\n") < heads:
        more = await visitor.stream.receive_some(65_536)
        assert more, data
        data += more
    return data


# --- visitors ------------------------------------------------------------------------------------

CHUNKED = get(b"/", b"Transfer-Encoding: chunked").replace(b"GET", b"POST")


def repeated(piece: bytes, total_bytes: int = LOT_BYTES) -> bytes:
    return piece * (total_bytes // len(piece))


# After so much of them more is read at once.
PLAIN_CHUNK = b"80000\r\n" + bytes(512 * 1024) + b"\r\n"
MANY_FIELDS = [b"a: b"] * (FIELDS_MAX - 20)


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(CHUNKED + repeated(b"1\r\nx\r\n"), id="chunks of one byte"),
        pytest.param(CHUNKED + repeated(b"1;a=b\r\nx\r\n"), id="chunks with extensions"),
        *(
            pytest.param(CHUNKED + PLAIN_CHUNK + repeated(piece), id=f"plain bytes, then {about}")
            for about, piece in {
                "extensions": b"1;a\r\nx\r\n",
                "sizes in turn": b"1\r\nx\r\n2\r\nxy\r\n",
                "zeros now and then": b"1\r\nx\r\n" * 3 + b"01\r\nx\r\n" * 3,
                "16 bytes": b"10\r\n0123456789abcdef\r\n",
            }.items()
        ),
        pytest.param(CHUNKED + repeated(b"0001\r\nx\r\n"), id="chunks of one byte, with zeros"),
        pytest.param(
            CHUNKED + b"0\r\n" + repeated(b"a: b\r\n", 1_500) + b"\r\n", id="a trailer of fields"
        ),
        pytest.param(repeated(get(b"/", *MANY_FIELDS), 60_000), id="requests of many fields"),
        pytest.param(repeated(get(b"/" + b"x" * 8_000), 100_000), id="requests with long targets"),
        pytest.param(get(b"/", b"Cookie: " + b"; " * 10_000), id="one field of separators"),
        pytest.param(get(b"/", b"Connection: " + b"a," * 10_000), id="Connection lists names"),
        *(
            pytest.param(
                get(b"/", b"Connection: Upgrade", b"Upgrade: " + repeated(member, 31 * 1024)),
                id=f"Upgrade lists {about}",
            )
            for about, member in {"nothing": b",", "names": b"a,", "versions": b"a/b,"}.items()
        ),
        pytest.param(get(b"/", b"X-Forwarded-For: " + b"1.2.3.4," * 3_000), id="addresses"),
        pytest.param(get(b"/", b"Accept: " + b"text/html;q=0.1," * 1_500), id="Accept"),
        pytest.param(repeated(b"\r\n"), id="empty lines"),
        pytest.param(repeated(get(), 40_000), id="pipelined"),
    ],
)
async def test_a_visitor_takes_no_long_turn(world: World, sent: bytes) -> None:
    await world.client(swallow)
    visitor = world.visit()
    with short_turns():
        await visitor.send(sent)
        await visitor.end()
        await visitor.rest()
        await visitor.done.wait()


async def test_behind_a_proxy_that_is_trusted_neither() -> None:
    async with open_world(trusted_proxies=parse_networks(f"{VISITOR},10.0.0.0/8", "")) as world:
        await world.client(hello)
        visitor = world.visit()
        said = (b"X-Forwarded-For: " + b"10.0.0.1," * 2_500, b"Forwarded: " + b"for=x," * 1_000)
        with short_turns():
            await visitor.send(get(b"/", *said))
            assert (await answered(visitor)).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("requested", [False, True], ids=["told", "asked for"])
@pytest.mark.parametrize("plain", [b"", b"x"], ids=["alone", "with plain text between"])
async def test_neither_do_key_updates(
    world: World, tmp_path: Path, plain: bytes, requested: bool
) -> None:
    log = tmp_path / "keys"
    visitor = await world.visit_by_tls(logging_context(log))
    assert isinstance(visitor.stream, trio.SSLStream)
    below, records, sent = visitor.stream.transport_stream, ClientRecords(log), 0
    with short_turns() as turns:
        while sent < (LOT_BYTES // 2 if plain else WITHOUT_PLAIN_TEXT_MAX_BYTES - READ_FIRST_BYTES):
            data = records.key_updates(READ_FIRST_BYTES // KEY_UPDATE_BYTES, requested=requested)
            data += records.plain(plain) if plain else b""
            await below.send_all(data)
            sent += len(data)
        await wait_all_tasks_blocked()
        assert not visitor.done.is_set()
        await below.send_all(records.key_updates(TOO_MANY, requested=requested))
        await visitor.done.wait()
    assert turns.count > sent // READ_FIRST_BYTES


@pytest.mark.parametrize("piece", [b"", b"x", b"x" * 100], ids=["0 bytes", "1 byte", "100 bytes"])
@pytest.mark.parametrize("keepalive", [{}, {"ws-keepalive": 20}], ids=["plain", "with pings"])
async def test_neither_do_frames_of_a_websocket(
    world: World, piece: bytes, keepalive: dict[str, object]
) -> None:
    async def app(stream: TunnelStream) -> None:
        await stream.send_head(SWITCH)
        while await stream.receive_some():
            pass
        stream.send_eof()

    await world.client(app, options=keepalive)
    visitor = world.visit()
    await visitor.send(UPGRADE)
    await visitor.expect(SWITCHED)
    with short_turns():
        await visitor.send(repeated(websocket_frame(piece, masked=True)))
        await visitor.end()
        await visitor.rest()
        await visitor.done.wait()


async def test_a_head_byte_by_byte_is_as_cheap(world: World) -> None:
    await world.client(hello)
    visitor = world.visit()
    with short_turns() as turns:
        for byte in get(b"/", b"X: " + b"x" * 4_000):
            await visitor.send(bytes([byte]))
            await trio.lowlevel.checkpoint()
        await visitor.head()
    assert turns.count > 4_000


@pytest.mark.parametrize(
    "field", [b"Set-Cookie: a=b; Domain=localhost", b"Set-Cookie: a=b" + b"; x=y" * 30]
)
async def test_an_apps_answer_takes_no_long_turn(world: World, field: bytes) -> None:
    fields = tuple((b"Set-Cookie", field[12:]) for _ in range(FIELDS_MAX - 10))

    async def app(stream: TunnelStream) -> None:
        for _ in range(30):
            await stream.send_head(Head(103, b"Early Hints", fields, None))
        await answer(stream, Head(200, b"OK", fields, 0))

    await world.client(app)
    visitor = world.visit()
    with short_turns():
        await visitor.send(get())
        await answered(visitor, 31)


# --- clients -------------------------------------------------------------------------------------

Attack = Callable[[Hostile], Awaitable[None]]


def a_message_of(piece: bytes) -> Attack:
    """As many of these frames as fit a message, thirty times."""

    async def attack(peer: Hostile) -> None:
        frames = MESSAGE_MAX_BYTES // len(piece)
        for _ in range(30):
            await peer.message(*[piece] * frames)

    return attack


async def claims(peer: Hostile) -> None:
    for number in range(2, CLAIMS_MAX + 1):
        await peer.message(claim(number, f"name-{number}"))
    for number in range(2, CLAIMS_MAX + 1):
        await peer.message(release(number))


async def goaways(peer: Hostile) -> None:
    await peer.message(*[goaway()] * (MESSAGE_MAX_BYTES // len(goaway())))


async def data_of_one_byte(peer: Hostile) -> None:
    stream_id = await peer.opened()
    frames = MESSAGE_MAX_BYTES // (HEADER_BYTES + 1)
    await peer.message(*[data(stream_id, b"x")] * frames)


@pytest.mark.parametrize(
    "attack",
    [
        pytest.param(a_message_of(ack(0)), id="acks"),
        pytest.param(a_message_of(credit(1, 1)), id="credit for a stream that is not open"),
        pytest.param(claims, id="claims"),
        pytest.param(goaways, id="goaways"),
        pytest.param(data_of_one_byte, id="data of one byte"),
    ],
)
async def test_a_client_takes_no_long_turn(world: World, attack: Attack) -> None:
    peer = await hostile(world, world.visit())
    with short_turns():
        with suppress(*CLOSED):
            await attack(peer)
        await peer.stream.aclose()
        await peer.done.wait()


async def in_a_task(work: Callable[[], Awaitable[object]]) -> None:
    """What this task does is not measured."""

    async def run() -> None:
        await work()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)


async def test_a_session_with_all_its_streams_ends_in_short_turns(world: World) -> None:
    async def never(stream: TunnelStream) -> None:
        await trio.sleep_forever()

    client = await world.client(never)
    share = world.directory.streams.of(client.server)
    visitors = []
    for number in range(STREAMS_MAX):
        address = f"198.51.{number // 250}.{number % 250}"
        if not share.is_open(crowd_key(address)):
            break
        visitors.append(world.visit(address=address))
        await visitors[-1].send(get())
    await wait_all_tasks_blocked()
    assert len(client.streams) > STREAMS_MAX // 2

    async def end() -> None:
        client.server.close("as the test wants")

    with short_turns():
        await in_a_task(end)
        for visitor in visitors:
            assert b"\r\nTunnel-Error: tunnel-lost\r\n" in await answered(visitor)


async def test_requests_that_wait_are_woken_in_short_turns(world: World) -> None:
    await away(world)
    visitors = [world.visit(address=f"198.51.{n // 250}.{n % 250}") for n in range(PARKED_MAX)]
    with short_turns():
        for visitor in visitors:
            await visitor.send(get())
        await wait_all_tasks_blocked()
        assert world.directory.parking.count == PARKED_MAX * 3 // 4  # they are one owner's
        await in_a_task(world.directory.drain)
        for visitor in visitors:
            assert (await answered(visitor)).startswith(b"HTTP/1.1 503 ")
    assert world.directory.parking.count == 0


# --- many sessions and names at once -------------------------------------------------------------

# What one owner gets of the sessions that are held, each with as many names as it may claim.
SESSIONS = HELD_MAX * 3 // 4
HOLD_S = 60
TOKEN = make_token(bytes(32))
LOGIN = Login("alice", digest_of(TOKEN))


def many_sessions(directory: Directory, count: int = SESSIONS) -> None:
    """So many sessions of one owner, each with its names; nothing runs them."""
    with pytest.MonkeyPatch.context() as roomy:
        # As many owners would have them kept. What is too much of one goes as they leave.
        roomy.setattr(names_module, "OF_OWNER_MAX", IN_ALL_MAX)
        _fill(directory, count)


def _fill(directory: Directory, count: int) -> None:
    for number in range(count):
        session = Session(
            Core(is_server=True, heartbeat=Heartbeat(15, 30), lender=directory.memory.lender("a")),
            transport_pair()[0],
            session_id=number.to_bytes(16, "big"),
            hold_s=HOLD_S,
        )
        session.on_closed = partial(directory.end_session, session)
        directory.sessions[session] = LOGIN
        directory.resumes.add(session, LOGIN.owner, number.to_bytes(16, "big"), bytes(32))
        for claim_id in range(1, CLAIMS_MAX + 1):
            asked = Claim(claim_id, f"n{number}-{claim_id}", b"i" * 16, True, {}, "")
            assert isinstance(directory.claim(session, asked), Claimed)


def hold_all(directory: Directory) -> None:
    """Their router has failed."""
    for session in tuple(directory.sessions):
        session.drop_connection()
        directory.resumes.hold(session)
    assert len(directory.resumes.held()) == SESSIONS


def nothing_is_left(directory: Directory) -> bool:
    registry = directory.registry
    return not (directory.sessions or directory.resumes.held() or registry.holders())


@pytest.mark.slow
async def test_sessions_whose_hold_is_over_at_once_end_in_short_turns(world: World) -> None:
    directory = world.directory
    many_sessions(directory)
    hold_all(directory)
    with short_turns() as turns:
        await in_a_task(partial(directory.sweep, trio.current_time() + HOLD_S))
    assert nothing_is_left(directory)
    assert turns.count > SESSIONS // CLOSED_AT_ONCE


@pytest.mark.slow
async def test_sessions_of_a_token_that_is_taken_away_end_in_short_turns(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    add_token(tokens, LOGIN.owner, TOKEN)
    directory = make_edge(tokens).directory
    many_sessions(directory)
    tokens.write_text("")
    add_token(tokens, "bob", TOKEN[:-1] + "_")
    with short_turns() as turns:
        await in_a_task(directory.look_at_owners)
    assert nothing_is_left(directory)
    assert turns.count > SESSIONS // CLOSED_AT_ONCE


@pytest.mark.slow
async def test_a_server_that_stops_ends_held_sessions_in_short_turns(world: World) -> None:
    directory = world.directory
    many_sessions(directory)
    hold_all(directory)
    with short_turns() as turns:
        await in_a_task(directory.drain)
    assert nothing_is_left(directory)
    assert turns.count > SESSIONS // CLOSED_AT_ONCE


@pytest.mark.slow
async def test_many_sessions_end_with_a_server_in_short_turns(world: World) -> None:
    directory = world.directory
    many_sessions(directory)
    with short_turns() as turns:
        await in_a_task(partial(drain, world.edge))
    assert nothing_is_left(directory)
    assert turns.count > SESSIONS // CLOSED_AT_ONCE


@pytest.mark.slow
async def test_live_names_that_are_due_together_are_noted_in_short_turns(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = world.directory
    many_sessions(directory, IN_ALL_MAX // CLAIMS_MAX)
    assert len(directory.names) == IN_ALL_MAX
    later = int(directory.wall_time() + SEEN_EVERY_S + 1)
    monkeypatch.setattr(directory, "wall_time", lambda: later)
    monkeypatch.setattr(names_module, "OF_OWNER_MAX", IN_ALL_MAX)
    with short_turns() as turns:
        await in_a_task(partial(directory.sweep, trio.current_time() + SEE_NAMES_EVERY_S))
    assert {kept.seen_at for _, kept in directory.names} == {later}
    assert turns.count > 10


async def test_names_that_are_expected_no_more_are_forgotten_in_short_turns(world: World) -> None:
    directory = world.directory
    names = {f"n{number}": LOGIN.owner for number in range(IN_ALL_MAX)}
    directory.expect(names)
    with short_turns() as turns:
        await in_a_task(partial(directory.sweep, trio.current_time() + EXPECT_S))
    assert not any(map(directory.is_away, names))
    assert turns.count > 10


@pytest.mark.slow
async def test_claims_that_waited_at_the_gate_are_answered_in_short_turns(world: World) -> None:
    directory = world.directory
    answers: list[Claimed | Refused] = []

    def answer(session: Session, asked: Claim) -> None:
        answers.append(directory.claim(session, asked))

    many_sessions(directory)
    directory.gate.close()
    for number, session in enumerate(directory.sessions):
        directory.release(session)
        asked = Claim(1, f"late-{number}", b"i" * 16, True, {}, "")
        directory.gate.answer(session, partial(answer, session, asked))
    with short_turns() as turns:
        await in_a_task(directory.gate.open)
    names = [each.name for each in answers if isinstance(each, Claimed)]
    assert names == [f"late-{number}" for number in range(SESSIONS)]
    assert turns.count > 10
