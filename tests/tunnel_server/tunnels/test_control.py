from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from protocol.drivers.session import Session
from protocol.drivers.transport import TransportClosed
from protocol.http.websocket import accept_for
from protocol.limits import STREAMS_MAX
from protocol.mux.events import ClaimAsked, GoingAway
from protocol.mux.handshake import hello_message
from protocol.mux.map_bodies import pack_map
from protocol.mux.messages import Claim, Claimed, Goaway, Hello, Release, Resume
from protocol.mux.wire import FrameType, frame, split_message
from tests.edge_fakes import (
    HELLO,
    VISITOR,
    World,
    get,
    hello,
    logged,
    open_world,
    tunnel_error,
)
from tests.tunnel_server.control_client import (
    APP,
    HELLO_MESSAGE,
    KEY,
    NEWER,
    TOKEN,
    bearer,
    claim,
    connected,
    handshake,
    message,
    received,
    said,
    welcomed,
)
from tunnel_server.owners.auth_file import add_token
from tunnel_server.tunnels.control import ControlEndpoint
from tunnel_server.tunnels.directory import Login


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[World]:
    """A server that wants tokens."""
    add_token(tmp_path / "tokens", "alice", TOKEN)
    async with open_world(tmp_path / "tokens") as world:
        yield world


# --- the opening handshake -----------------------------------------------------------------------


async def test_a_good_handshake_gets_its_101(world: World) -> None:
    client = world.visit()
    await client.send(handshake())
    head = await client.head()
    assert head.startswith(b"HTTP/1.1 101 ")
    assert b"sec-websocket-accept: " + accept_for(KEY) in head.replace(
        b"Sec-WebSocket-A", b"sec-websocket-a"
    )
    assert b"trio-tunnel.2" in head


@pytest.mark.parametrize(
    ("offered", "taken", "version"),
    [
        (b"trio-tunnel.2, trio-tunnel.1", b"trio-tunnel.2", 2),
        (b"trio-tunnel.1, trio-tunnel.2", b"trio-tunnel.2", 2),
        (b"trio-tunnel.3, trio-tunnel.1", b"trio-tunnel.1", 1),
        (b"trio-tunnel.1", b"trio-tunnel.1", 1),
    ],
)
async def test_the_newest_version_that_both_speak_is_taken(
    world: World, offered: bytes, taken: bytes, version: int
) -> None:
    client = world.visit()
    await client.send(handshake(protocol=b"Sec-WebSocket-Protocol: " + offered))
    assert b"Protocol: " + taken + b"\r\n" in await client.head()
    await client.send(message(HELLO_MESSAGE))
    assert (await received(client))[0] == 2
    [session] = world.directory.sessions
    assert session.core.version == version


@pytest.mark.parametrize(
    "sent",
    [
        handshake(protocol=b"Sec-WebSocket-Protocol: other, trio-tunnel.1"),
        handshake(protocol=b"Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: trio-tunnel.1"),
        handshake(connection=b"Connection: Upgrade\r\nConnection: keep-alive"),
        handshake(upgrade=b"Upgrade: h2c, WebSocket"),
        handshake(b"Sec-WebSocket-Extensions: permessage-deflate; x=\"y"),
        handshake().replace(b"localhost:8080", b"127.0.0.1"),
        handshake().replace(b"localhost:8080", b"[::1]:1"),
        handshake().replace(b"/_tunnel/control", b"/_tunnel/control?x=1"),
        handshake().replace(b"/_tunnel", b"http://localhost:8080/_tunnel"),
    ],
)  # fmt: skip
async def test_what_the_library_would_stumble_over_does_not_reach_it(
    world: World, sent: bytes
) -> None:
    client = world.visit()
    await client.send(sent)
    assert (await client.head()).startswith(b"HTTP/1.1 101 ")


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (get(b"/_tunnel/control", host=b"localhost"), 426, "upgrade-required"),
        (handshake(upgrade=b""), 426, "upgrade-required"),
        (handshake(connection=b""), 426, "upgrade-required"),
        (handshake().replace(b"GET", b"POST"), 426, "upgrade-required"),
        (handshake().replace(b"HTTP/1.1", b"HTTP/1.0"), 426, "upgrade-required"),
        (handshake(version=b"12"), 426, "upgrade-required"),
        (handshake(version=b"13\r\nSec-WebSocket-Version: 13"), 426, "upgrade-required"),
        (handshake(key=b"short"), 400, "bad-request"),
        (handshake(key=b""), 400, "bad-request"),
        (handshake(key=KEY + b"\r\nSec-WebSocket-Key: " + KEY), 400, "bad-request"),
        (handshake(b"X: \xff"), 400, "bad-request"),
        (handshake(b"Content-Length: 3") + b"abc", 400, "bad-request"),
        (handshake(protocol=b""), 400, "version-not-supported"),
        (handshake(protocol=NEWER), 400, "version-not-supported"),
        (handshake(b"Origin: http://localhost:8080"), 403, "forbidden"),
        (handshake(b"ORIGIN:"), 403, "forbidden"),
        (handshake(b"Origin: null", key=b"short", protocol=b""), 403, "forbidden"),
        (handshake(b"Origin: \xff", upgrade=b""), 403, "forbidden"),
        (handshake(b"Origin: a\r\nOrigin: b"), 403, "forbidden"),
    ],
)  # fmt: skip
async def test_a_bad_handshake_gets_its_coded_answer_and_one_line_in_the_log(
    world: World, caplog: pytest.LogCaptureFixture, sent: bytes, status: int, code: str
) -> None:
    caplog.set_level("INFO")
    client = world.visit()
    await client.send(sent)
    raw = await client.rest()
    assert tunnel_error(raw) == (status, code)
    assert raw.count(b"\r\nConnection: ") == 1
    await client.end()
    await client.done.wait()
    await world.nothing_is_left()
    lines = [line for line in logged(caplog.records) if "handshake" in line]
    assert lines == [f"{VISITOR}: control handshake refused: {code}"] or b"Content-L" in sent


async def test_a_browser_is_told_before_the_token_and_what_a_library_has_to_switch_off(
    guarded: World,
) -> None:
    client = guarded.visit()
    await client.send(handshake(b"Origin: null", bearer(), b"Accept: application/json"))
    raw = await client.rest()
    assert tunnel_error(raw) == (403, "forbidden")
    said = json.loads(raw.partition(b"\r\n\r\n")[2])
    assert "a browser's request" in said["cause"]
    assert "suppress_origin=True" in said["next"]
    assert guarded.edge.directory.sessions == {}


async def test_a_version_that_is_not_spoken_gets_the_list(world: World) -> None:
    client = world.visit()
    await client.send(handshake(b"Accept: application/json", protocol=b""))
    raw = await client.rest()
    assert b"\r\nSec-WebSocket-Protocol: trio-tunnel.2, trio-tunnel.1\r\n" in raw
    assert b'"versions": ["trio-tunnel.2", "trio-tunnel.1"]' in raw


@pytest.mark.parametrize(
    "field",
    [
        b"X: y",
        b"Authorization: Bearer wrong",
        b"Authorization: Basic " + TOKEN.encode(),
        bearer() + b"\r\n" + bearer(),
    ],
)
async def test_without_a_valid_token_it_is_401(
    guarded: World, field: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    client = guarded.visit()
    await client.send(handshake(field))
    raw = await client.rest()
    assert tunnel_error(raw) == (401, "unauthorized")
    assert b"\r\nWWW-Authenticate: Bearer" in raw
    assert TOKEN not in caplog.text


async def test_with_a_valid_token_the_session_is_its_owners(guarded: World) -> None:
    client = await connected(guarded, bearer())
    assert [login.owner for login in guarded.edge.directory.sessions.values()] == ["alice"]
    assert (await claim(client, APP))["url"] == "http://app.localhost:8080"
    assert TOKEN not in repr(list(guarded.edge.directory.sessions.values()))


async def test_a_wrong_version_is_told_before_the_token(guarded: World) -> None:
    client = guarded.visit()
    await client.send(handshake(protocol=b""))
    assert tunnel_error(await client.rest()) == (400, "version-not-supported")


async def test_a_server_that_stops_takes_no_session(world: World) -> None:
    client = world.visit()
    await wait_all_tasks_blocked()
    world.directory.draining = True
    await client.send(handshake())
    assert tunnel_error(await client.rest()) == (503, "draining")


async def test_the_control_path_of_a_tunnel_is_the_tunnels(world: World) -> None:
    await world.client(hello)
    visitor = world.visit()
    await visitor.send(get(b"/_tunnel/control"))
    await visitor.expect(HELLO)


# --- hello ---------------------------------------------------------------------------------------


async def test_a_hello_that_never_comes_is_waited_for_5_s(
    world: World, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    client = world.visit()
    await client.send(handshake())
    assert (await client.head()).startswith(b"HTTP/1.1 101 ")
    began = trio.current_time()
    await client.rest()
    assert trio.current_time() - began == 5
    await client.done.wait()
    assert logged(caplog.records) == [f"{VISITOR}: no hello within 5 s"]
    await world.nothing_is_left()


@pytest.mark.parametrize(
    "nonsense",
    [
        b"",
        b"\xff" * 100,
        frame(FrameType.PING, 0, b"\x01"),
        frame(FrameType.HELLO, 1, b""),
        frame(FrameType.HELLO, 0, b"\xc1"),
        HELLO_MESSAGE + HELLO_MESSAGE,
        hello_message(Hello((), "x", STREAMS_MAX + 1, 0)),
    ],
)
async def test_a_hello_that_is_none_is_told_so(
    world: World, nonsense: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    client = world.visit()
    await client.send(handshake())
    assert (await client.head()).startswith(b"HTTP/1.1 101 ")
    await client.send(message(nonsense))
    assert (await said(client, FrameType.GOAWAY))["code"] == "protocol-error"
    opcode, _ = await received(client)
    assert opcode == 8
    await client.send(message(b"\x03\xe8", 0x88))
    assert await client.rest() == b""
    await client.end()
    await client.done.wait()
    (line,) = logged(caplog.records)
    assert line.startswith(f"{VISITOR}: no session: ")
    await world.nothing_is_left()


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ZeroDivisionError("x"), "session failed: ZeroDivisionError('x')"),
        (TransportClosed("gone"), "no session: gone"),
    ],
)
async def test_a_fault_of_a_session_is_logged_with_its_id(
    world: World,
    error: Exception,
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def run(session: Session) -> str:
        raise error

    monkeypatch.setattr(Session, "run", run)
    caplog.set_level("INFO")
    client, welcome = await welcomed(world)
    await client.rest()
    await client.done.wait()
    assert logged(caplog.records)[-1] == f"{VISITOR}: {line}"
    assert vars(caplog.records[-1])["ids"] == f"session {welcome.session[:4].hex()}: "


@pytest.mark.parametrize(
    "garbage",
    [
        b"\xff" * 500,
        message(b"text", 0x81),
        message(b"", 0x02) + message(b"", 0x00) * 30_000,
        message(b"\x03\xe8", 0x88),
        message(bytes(70), 0x89) * 3_000,
        b"\x82\xff\x00\x00\x00\x00\x7f\xff\xff\xff",
        b"\x82\x05hello",
    ],
)
async def test_garbage_behind_the_handshake_ends_that_connection_alone(
    world: World, garbage: bytes, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    await world.client(hello)
    caplog.clear()
    client = world.visit()
    await client.send(handshake() + garbage)
    await client.end()
    await client.done.wait()
    lines = logged(caplog.records)
    assert len(lines) == 1, lines
    assert lines[0].startswith(VISITOR)
    visitor = world.visit()
    await visitor.send(get())
    await visitor.expect(HELLO)


async def test_a_resume_is_refused_and_hello_may_follow(world: World) -> None:
    client = world.visit()
    resume = frame(FrameType.RESUME, 0, pack_map(Resume(b"s" * 16, b"x" * 32, 1, 0)))
    await client.send(handshake())
    await client.head()
    await client.send(message(resume))
    assert (await said(client, FrameType.REFUSED))["code"] == "unknown-session"
    await client.send(message(HELLO_MESSAGE))
    assert (await said(client, FrameType.WELCOME))["agent"] == "trio-tunnel/1.2.3"


async def test_a_client_that_keeps_asking_for_a_resume_is_told_to_go(world: World) -> None:
    client = world.visit()
    resume = frame(FrameType.RESUME, 0, pack_map(Resume(b"s" * 16, b"x" * 32, 1, 0)))
    await client.send(handshake())
    await client.head()
    await client.send(message(resume) * 3)
    assert (await said(client, FrameType.GOAWAY))["code"] == "protocol-error"


@pytest.mark.parametrize("sent", [handshake(), handshake() + message(HELLO_MESSAGE)])
async def test_a_client_that_is_gone_leaves_nothing(world: World, sent: bytes) -> None:
    client = world.visit()
    await client.send(sent)
    await wait_all_tasks_blocked()
    await client.stream.aclose()
    await client.done.wait()
    await world.nothing_is_left()
    assert not world.directory.sessions


# --- a session -----------------------------------------------------------------------------------


async def test_a_claim_is_answered_and_its_requests_come(world: World) -> None:
    client = await connected(world)
    answer = await claim(client, APP)
    assert answer == Claimed(1, "app", "http://app.localhost:8080")._asdict()
    visitor = world.visit()
    await visitor.send(get())
    opcode, payload = await received(client)
    assert opcode == 2
    assert FrameType.OPEN in [found for found, _, _ in split_message(payload)]


async def test_a_refused_claim_says_why_and_the_session_goes_on(world: World) -> None:
    client = await connected(world)
    answer = await claim(client, APP._replace(options={"basic-auth": "x"}))
    assert (answer["claim"], answer["code"]) == (1, "unknown-option")
    assert "basic-auth" in str(answer["message"])
    assert (await claim(client, APP))["name"] == "app"


async def test_strangers_on_an_open_server_have_names_of_their_own(world: World) -> None:
    first = await connected(world, bearer("key-one"))
    assert (await claim(first, APP))["name"] == "app"
    for fields in ((bearer("key-two"),), ()):
        other = await connected(world, *fields)
        assert (await claim(other, APP))["code"] == "name-taken"
    again = await connected(world, bearer("key-one"))
    assert (await claim(again, APP))["name"] == "app"
    assert (await said(first, FrameType.RELEASE))["code"] == "taken-over"


async def test_who_is_taken_over_finishes_its_streams(world: World) -> None:
    go = trio.Event()

    async def slow(stream: object) -> None:
        await go.wait()
        await hello(stream)  # type: ignore[arg-type]

    old = await world.client(slow)
    visitor = world.visit()
    await visitor.send(get())
    await wait_all_tasks_blocked()
    new = await world.client(hello)
    assert old.released == [Release(1, "taken-over", "another client of yours has taken app")]
    other = world.visit()
    await other.send(get())
    await other.expect(HELLO)
    go.set()
    await visitor.expect(HELLO)
    assert (len(old.streams), len(new.streams)) == (1, 1)


async def test_a_goaway_of_the_client_frees_its_names_and_is_answered(world: World) -> None:
    client = await world.client(hello)
    visitor = world.visit()
    client.session.goaway("shutting-down", "the client stops", 8)
    await wait_all_tasks_blocked()
    assert client.goaways == [Goaway("no-error", "nothing more will be opened", 0)]
    await visitor.send(get())
    assert tunnel_error(await visitor.head()) == (503, "tunnel-offline")
    assert client.streams == []


async def test_a_released_claim_frees_its_name_alone(world: World) -> None:
    client = await world.client(hello)
    client.session.claim(Claim(2, "other", b"i" * 16, True, {}))
    await wait_all_tasks_blocked()
    client.session.release(1, "no-error", "")
    await wait_all_tasks_blocked()
    assert world.directory.registry.find("app") is None
    assert world.directory.registry.find("other") is not None


async def test_a_claim_that_waits_while_its_session_is_resumed_is_asked_again(world: World) -> None:
    """The answer of the first is for a connection that is gone."""
    control = ControlEndpoint(world.directory)
    session = (await world.client(hello)).server
    claim = Claim(2, "late", b"i" * 16, True, {})
    world.directory.gate.close()
    session.core.control.receive(FrameType.CLAIM, pack_map(claim), 0.0)
    control.on_event(session, ClaimAsked(claim))
    session.core.control.resume()
    world.directory.gate.open()
    assert world.directory.registry.find("late") is None


async def test_a_client_that_leaves_does_not_want_the_claim_that_waits(world: World) -> None:
    control = ControlEndpoint(world.directory)
    session = (await world.client(hello)).server
    claim = Claim(2, "late", b"i" * 16, True, {})
    world.directory.gate.close()
    session.core.control.receive(FrameType.CLAIM, pack_map(claim), 0.0)
    control.on_event(session, ClaimAsked(claim))
    control.on_event(session, GoingAway(Goaway("shutting-down", "", 0)))
    world.directory.gate.open()
    assert world.directory.registry.find("late") is None


async def test_a_session_that_ends_frees_its_names(world: World) -> None:
    client = await connected(world)
    await claim(client, APP)
    await client.stream.aclose()
    await client.done.wait()
    visitor = world.visit()
    await visitor.send(get())
    assert tunnel_error(await visitor.head()) == (503, "tunnel-offline")


async def test_a_claim_at_a_server_that_stops_is_refused_for_now(world: World) -> None:
    client = await connected(world)
    world.directory.draining = True
    assert (await claim(client, APP))["code"] == "draining"


async def test_a_token_that_is_taken_away_ends_its_session(
    guarded: World, tmp_path: Path, autojump_clock: MockClock
) -> None:
    client = await connected(guarded, bearer())
    await claim(client, APP)
    (tmp_path / "tokens").write_text("# nobody\n")
    opcode = 0
    began = trio.current_time()
    while opcode not in (8, -1):
        opcode, _ = await received(client)
    assert trio.current_time() - began <= 7
    await client.done.wait()
    assert guarded.edge.directory.registry.find("app") is None


async def test_a_claim_with_a_token_that_was_taken_away_ends_the_session(
    guarded: World, tmp_path: Path, autojump_clock: MockClock
) -> None:
    client = await connected(guarded, bearer())
    (tmp_path / "tokens").write_text("# nobody\n")
    await client.send(message(frame(FrameType.CLAIM, 0, pack_map(APP))))
    while (await received(client))[0] == 2:
        pass
    assert guarded.edge.directory.registry.find("app") is None


async def test_a_peer_that_breaks_the_protocol_ends_its_session_alone(
    world: World, autojump_clock: MockClock
) -> None:
    await world.client(hello)
    client = await connected(world)
    await client.send(message(frame(FrameType.WELCOME, 0, b"")))
    assert (await said(client, FrameType.GOAWAY))["code"] == "protocol-error"
    await client.stream.aclose()
    await client.done.wait()
    visitor = world.visit()
    await visitor.send(get())
    await visitor.expect(HELLO)


async def test_a_session_is_logged_from_its_start_to_its_end(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    client, welcome = await welcomed(world, bearer("secret-key"))
    await claim(client, APP)
    await claim(client, APP._replace(claim=2, name="Not Legal"))
    await client.stream.aclose()
    await client.done.wait()
    owner = next(line for line in logged(caplog.records) if "is online" in line).partition(", of ")[
        2
    ]
    assert logged(caplog.records) == [
        f"{VISITOR}: session of {owner} (test/1)",
        f"app is online, of {owner}",
        f"claim of {owner} refused: name-invalid",
        f"{VISITOR}: connection lost: the connection was lost; held for 60 s",
    ]
    assert "secret-key" not in caplog.text
    ids = f"session {welcome.session[:4].hex()}: "
    assert {record.__dict__["ids"] for record in caplog.records} == {ids}


async def test_repr_names_what_it_holds(world: World) -> None:
    assert repr(world.control) == "<ControlEndpoint 0 sessions>"
    assert repr(Login("alice", b"Bearer secret")) == "<Login alice>"


async def test_a_claim_waits_while_two_servers_change_places(world: World) -> None:
    client, gone = await connected(world), await connected(world)
    world.directory.gate.close()
    for each, name in ((client, "app"), (gone, "other")):
        await each.send(message(frame(FrameType.CLAIM, 0, pack_map(APP._replace(name=name)))))
    await wait_all_tasks_blocked()
    assert world.directory.registry.find("app") is None
    await gone.stream.aclose()
    await gone.done.wait()
    world.directory.gate.open()
    assert (await said(client, FrameType.CLAIMED))["name"] == "app"
    assert world.directory.registry.find("other") is None


async def test_a_claim_that_waited_at_a_server_that_stops_is_refused_for_now(world: World) -> None:
    client = await connected(world)
    world.directory.gate.close()
    await client.send(message(frame(FrameType.CLAIM, 0, pack_map(APP))))
    await wait_all_tasks_blocked()
    world.directory.drain()
    assert (await said(client, FrameType.REFUSED))["code"] == "draining"


async def test_the_log_says_whose_a_name_is_and_the_client_is_told_that_it_is_taken(
    guarded: World, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level("INFO")
    other = TOKEN[:-1] + "_"
    add_token(tmp_path / "tokens", "bob", other)
    await claim(await connected(guarded, bearer()), APP)
    answer = await claim(await connected(guarded, bearer(other)), APP)
    assert (answer["code"], answer["message"]) == ("name-taken", "app is another owner's")
    assert "claim of bob refused: name-taken (app is alice's)" in caplog.text
