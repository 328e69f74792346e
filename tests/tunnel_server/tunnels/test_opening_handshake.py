from __future__ import annotations

import json

import pytest
from trio.testing import wait_all_tasks_blocked

from protocol.http.websocket import accept_for
from tests.edge_fakes import HELLO, VISITOR, World, get, hello, logged, tunnel_error
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
)


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
