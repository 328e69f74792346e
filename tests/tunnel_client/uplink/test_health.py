"""What a server says of a token, with an app in its place that answers whatever the test wants."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio
from trio.testing import MockClock

from protocol.limits import HANDSHAKE_TIMEOUT_S
from tunnel_client.settings.addresses import ServerUrl
from tunnel_client.uplink.connect import ConnectFailed
from tunnel_client.uplink.health import TokenStanding, Way, standing_of

OWN = {"status": "ok", "version": "1", "owner": "ann", "sessions": 1, "names": ["shop"]}


def answered(said: object, status: str = "200 OK") -> bytes:
    body = said if isinstance(said, bytes) else json.dumps(said).encode()
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


@asynccontextmanager
async def a_server(answer: bytes, heard: list[bytes]) -> AsyncIterator[Way]:
    async def serve(stream: trio.SocketStream) -> None:
        heard.append(bytes(await stream.receive_some(65536)))
        if not answer:
            await trio.sleep_forever()
        await stream.send_all(answer)

    async with trio.open_nursery() as nursery:
        listening = partial(trio.serve_tcp, serve, 0, host="127.0.0.1")
        [listener] = await nursery.start(listening)
        port = listener.socket.getsockname()[1]
        yield Way(ServerUrl.parse(f"http://127.0.0.1:{port}"), None, None)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("said", "standing"),
    [
        (OWN, TokenStanding(True, "ann", ("shop",))),
        (
            {**OWN, "token": "ci", "may_have": ["demo-*"], "expires": "2026-01-31T10:24:03Z"},
            TokenStanding(True, "ann", ("shop",), "ci", ("demo-*",), "2026-01-31T10:24:03Z"),
        ),
        ({"status": "ok"}, TokenStanding(True)),  # it does not take the token
        ({"status": "ok", "version": "1", "sessions": 3}, TokenStanding(False)),  # of this machine
        (
            {**OWN, "owner": "key:ab"},
            TokenStanding(False),
        ),  # an open one
        ({**OWN, "owner": "\x1b[2Jann", "names": 7}, TokenStanding(True, "\\x1b[2Jann")),
    ],
)
async def test_what_a_server_says_of_a_token(said: object, standing: TokenStanding) -> None:
    heard: list[bytes] = []
    async with a_server(answered(said), heard) as way:
        assert await standing_of(way, "tt_x") == standing
    assert heard[0].startswith(b"GET /_tunnel/health HTTP/1.1\r\n")
    assert b"Authorization: Bearer tt_x\r\n" in heard[0]


async def test_without_a_token_none_is_shown() -> None:
    heard: list[bytes] = []
    async with a_server(answered({"status": "ok"}), heard) as way:
        assert await standing_of(way, "") == TokenStanding(True)
    assert b"authorization" not in heard[0].lower()


@pytest.mark.parametrize(
    "answer",
    [
        answered(b"<html>"),
        answered({}),
        answered([]),
        answered({"status": "no"}),
        answered({"status": "ok"}, "404 Not Found"),
        answered({"status": "ok"})[:-3],
        answered(b"[" * 60_000),
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n" + b" " * 70_000,
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000,
    ],
    ids=range(10),
)
async def test_what_is_no_tunnel_server_is_said_to_be_none(answer: bytes) -> None:
    async with a_server(answer, []) as way:
        with pytest.raises(ConnectFailed, match="is not a tunnel-server") as caught:
            await standing_of(way, "tt_x")
    assert caught.value.final


async def test_one_that_says_nothing_is_given_up(mock_clock: MockClock) -> None:
    mock_clock.autojump_threshold = 0.05
    async with a_server(b"", []) as way:
        with pytest.raises(ConnectFailed, match=f"did not answer within {HANDSHAKE_TIMEOUT_S} s"):
            await standing_of(way, "tt_x")
