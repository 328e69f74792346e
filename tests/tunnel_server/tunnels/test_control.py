from __future__ import annotations

from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from protocol.drivers.session import Session
from protocol.drivers.transport import TransportClosed
from protocol.limits import STREAMS_MAX
from protocol.mux.handshake import hello_message
from protocol.mux.map_bodies import pack_map
from protocol.mux.messages import Hello, Resume
from protocol.mux.wire import FrameType, frame
from tests.edge_fakes import HELLO, VISITOR, World, get, hello, logged, tunnel_error
from tests.tunnel_server.control_client import (
    APP,
    HELLO_MESSAGE,
    bearer,
    claim,
    connected,
    handshake,
    message,
    received,
    said,
    welcomed,
)
from tunnel_server.tunnels.directory import Login

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


async def test_a_session_that_ends_frees_its_names(world: World) -> None:
    client = await connected(world)
    await claim(client, APP)
    await client.stream.aclose()
    await client.done.wait()
    visitor = world.visit()
    await visitor.send(get())
    assert tunnel_error(await visitor.head()) == (503, "tunnel-offline")


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
