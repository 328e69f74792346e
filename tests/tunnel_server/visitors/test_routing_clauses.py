"""What crosses of a request's head, and what health says to whom."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from trio.testing import wait_all_tasks_blocked

from protocol.http.fields import BodyForm
from protocol.mux.messages import Open
from tests.edge_fakes import FORWARDING, World, echo, get, hello, open_world
from tunnel_server.owners.auth_file import add_token
from tunnel_server.owners.tokens import make_token

TOKEN = make_token(bytes(32))


async def opened(world: World, sent: bytes) -> Open:
    """What the client of `app` is told of a request."""
    client = await world.client(echo)
    await world.visit().send(sent)
    await wait_all_tasks_blocked()
    return client.streams[0].opened


@pytest.mark.parametrize(
    ("fields", "body", "form", "crossing"),
    [
        (
            b"A: 1\r\ncontent-LENGTH: 3\r\nB: 2\r\n",
            b"abc",
            3,
            ((b"A", b"1"), (b"content-LENGTH", b"3"), (b"B", b"2")),
        ),
        (
            b"A: 1\r\ntransfer-encoding: chunked\r\nB: 2\r\n",
            b"3\r\nabc\r\n0\r\n\r\n",
            "chunked",
            ((b"A", b"1"), (b"B", b"2")),
        ),
    ],
)
async def test_framing_crosses_as_a_form_and_a_length_in_its_place(
    world: World, fields: bytes, body: bytes, form: BodyForm, crossing: object
) -> None:
    told = await opened(
        world, b"POST / HTTP/1.1\r\nHost: app.localhost\r\n" + fields + b"\r\n" + body
    )
    assert told.body == form
    assert told.fields == ((b"Host", b"app.localhost"), *crossing, *FORWARDING)  # type: ignore[misc]


async def test_max_forwards_and_via_cross_as_they_came(world: World) -> None:
    """An exact copy goes before RFC 9110 7.6: we are no proxy that the visitor chose."""
    told = await opened(world, get(b"/", b"Max-Forwards: 0", b"Via: 1.1 elsewhere"))
    assert told.fields == (
        (b"Host", b"app.localhost"),
        (b"Max-Forwards", b"0"),
        (b"Via", b"1.1 elsewhere"),
        *FORWARDING,
    )


async def test_the_fields_of_a_websocket_handshake_cross_unchanged(world: World) -> None:
    lines = (
        b"sec-websocket-KEY: dGhlIHNhbXBsZSBub25jZQ==",
        b"Sec-WebSocket-Version: 13",
        b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
        b"Sec-WebSocket-Protocol: a, b",
        b"Sec-WebSocket-Protocol: c",
    )
    told = await opened(world, get(b"/", b"Connection: upgrade", b"Upgrade: websocket", *lines))
    sent = tuple(tuple(line.split(b": ", 1)) for line in lines)
    assert told.fields == ((b"Host", b"app.localhost"), *sent, *FORWARDING)
    assert (told.kind, told.body) == ("websocket", None)


# --- health --------------------------------------------------------------------------------------


async def health(world: World, *fields: bytes, path: bytes = b"/_tunnel/health") -> object:
    visitor = world.visit()
    await visitor.send(get(path, *fields, b"Connection: close", host=b"localhost"))
    head, _, body = (await visitor.rest()).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    return json.loads(body)


@pytest.mark.parametrize("path", [b"/_tunnel/health", b"/_tunnel/ready"])
async def test_health_tells_a_valid_token_its_own_and_nobody_else_anything(
    tmp_path: Path, path: bytes
) -> None:
    add_token(tmp_path / "tokens", "alice", TOKEN)
    async with open_world(tmp_path / "tokens") as world:
        for fields in ((), (b"Authorization: Bearer tt_wrong",)):
            assert await health(world, *fields, path=path) == {"status": "ok"}
        token = b"Authorization: Bearer " + TOKEN.encode()
        assert await health(world, token, path=path) == {
            "status": "ok",
            "version": "1.2.3",
            "owner": "alice",
            "sessions": 0,
            "names": [],
            "more_names": 0,
            "token": "alice",
            "may_have": [],
            "expires": None,
        }


async def test_health_where_this_machine_alone_asks_counts_sessions_and_streams(
    world: World,
) -> None:
    assert await health(world) == {
        "status": "ok",
        "version": "1.2.3",
        "sessions": 0,
        "streams": 0,
        "unacked_bytes": 0,
        "held_sessions": 0,
        "parked_requests": 0,
    }
    await world.client(hello)
    await world.client(echo, "other")
    upload = b"POST / HTTP/1.1\r\nHost: other.localhost\r\nContent-Length: 9\r\n\r\nbegun"
    await world.visit().send(upload)
    await wait_all_tasks_blocked()
    told = await health(world)
    assert isinstance(told, dict)
    assert (told["sessions"], told["streams"]) == (2, 1)
