"""Whatever comes to the public port or from the app: a coded answer, and nobody else notices."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial

import pytest
import trio

from tests.programs import Address, Programs, Tunnel
from tests.system.origin import Origin
from tests.system.peer import READ_BYTES
from tests.system.visitor import SMALL_S, Visitor, fetch, visit
from tunnel_client.origin.relay import LEADS_BACK

HOST = b"Host: app.localhost\r\n"
CONTROL = b"GET /_tunnel/control HTTP/1.1\r\nHost: localhost\r\n"
HANDSHAKE = (
    CONTROL + b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)
# With a key of a client that no claim follows: an open server asks for no more.
TOKEN = b"Authorization: Bearer " + b"x" * 46 + b"\r\n"


@pytest.fixture
async def bystander(tunnel: Tunnel, origin: Origin) -> AsyncIterator[None]:
    """A request that is in flight while the test runs, and must end as if nothing had been."""
    async with visit(tunnel.address) as visitor:
        await visitor.request("/gate")
        await visitor.answer()
        assert await anext(visitor.body()) == b"first,"
        yield
        origin.gate.set()
        assert await rest(visitor) == b"second"
    assert (await fetch(tunnel.address)).body == b"hello"
    assert [event["event"] for event in tunnel.client.events].count("ready") == 1


async def rest(visitor: Visitor) -> bytes:
    with trio.fail_after(SMALL_S):
        return b"".join([data async for data in visitor.body()])


async def exchange(port: int, sent: bytes, after_the_head: bytes = b"") -> bytes:
    """Everything that is answered to these bytes, until the server closes."""
    answer = b""
    with trio.fail_after(SMALL_S):
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            try:
                await stream.send_all(sent)
                async for data in stream:
                    if after_the_head and b"\r\n\r\n" not in answer:
                        await stream.send_all(after_the_head)
                    answer += data
            except trio.BrokenResourceError:
                pass  # as good an end as any
    return answer


def verdict(answer: bytes) -> tuple[int, str]:
    """Status and code of one answer."""
    head = answer.partition(b"\r\n\r\n")[0].decode()
    status = int(head.split()[1])
    codes = [line for line in head.split("\r\n") if line.lower().startswith("tunnel-error:")]
    assert len(codes) == 1, head
    return status, codes[0].partition(":")[2].strip()


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 20 + b"\r\n\r\n", (400, "bad-request")),
        (b"GET / HTTP/1.1\r\n\r\n", (400, "bad-request")),
        (b"GET / HTTP/1.1\r\n" + HOST + HOST + b"\r\n", (400, "bad-request")),
        (b"GET / HTTP/1.1\n" + HOST + b"\r\n", (400, "bad-request")),
        (b"GET / HTTP/1.1\r\n" + HOST + b" folded: x\r\n\r\n", (400, "bad-request")),
        (b"GET / HTTP/1.1\r\n" + HOST + b"X: a\x00b\r\n\r\n", (400, "bad-request")),
        (b"GET / HTTP/2.0\r\n" + HOST + b"\r\n", (505, "version-not-supported")),
        (
            b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n"
            b"\r\n0\r\n\r\n",
            (400, "bad-request"),
        ),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 1, 1\r\n\r\nx", (400, "bad-request")),
        (b"GET /" + b"a" * (16 << 10) + b" HTTP/1.1\r\n" + HOST + b"\r\n", (414, "uri-too-long")),
        (
            b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"a" * (32 << 10) + b"\r\n\r\n",
            (431, "head-too-large"),
        ),
        (b"CONNECT app.localhost:80 HTTP/1.1\r\n" + HOST + b"\r\n", (501, "method-not-supported")),
        (b"GET / HTTP/1.0\r\n\r\n", (421, "unknown-host")),
        (
            b"GET / HTTP/1.1\r\nHost: elsewhere.example\r\nConnection: close\r\n\r\n",
            (421, "unknown-host"),
        ),
    ],
    ids=lambda value: value[1] if isinstance(value, tuple) else None,
)
@pytest.mark.usefixtures("bystander")
async def test_a_malformed_request_gets_its_code_and_the_connection_ends(
    tunnel: Tunnel, sent: bytes, expected: tuple[int, str]
) -> None:
    assert verdict(await exchange(tunnel.address.port, sent)) == expected


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (CONTROL + b"Connection: close\r\n\r\n", (426, "upgrade-required")),
        (
            HANDSHAKE + b"Sec-WebSocket-Protocol: trio-tunnel.999\r\n\r\n",
            (400, "version-not-supported"),
        ),
        (HANDSHAKE.replace(b"Version: 13", b"Version: 12") + b"\r\n", (426, "upgrade-required")),
    ],
    ids=lambda value: value[1] if isinstance(value, tuple) else None,
)
@pytest.mark.usefixtures("bystander")
async def test_a_handshake_that_is_none_is_refused_with_its_code(
    tunnel: Tunnel, sent: bytes, expected: tuple[int, str]
) -> None:
    assert verdict(await exchange(tunnel.address.port, sent)) == expected


def masked(first_byte: int, payload: bytes) -> bytes:
    """A WebSocket frame of a client, with a key of zeros."""
    assert len(payload) < 126
    return bytes([first_byte, 0x80 | len(payload)]) + bytes(4) + payload


@pytest.mark.parametrize(
    "frames",
    [
        pytest.param(b"\xff" * 500, id="no websocket frame"),
        pytest.param(masked(0x82, b"\xff" * 100), id="a message of no frames of ours"),
        pytest.param(masked(0x82, b""), id="an empty message"),
        pytest.param(masked(0x81, b"text"), id="a text message"),
        pytest.param(masked(0x02, b"") + masked(0x00, b"") * 30_000, id="endless continuation"),
        pytest.param(b"", id="nothing"),
    ],
)
@pytest.mark.usefixtures("bystander")
async def test_garbage_on_the_control_endpoint_ends_that_connection_alone(
    tunnel: Tunnel, frames: bytes
) -> None:
    head = HANDSHAKE + TOKEN + b"Sec-WebSocket-Protocol: trio-tunnel.2\r\n\r\n"
    answer = await exchange(tunnel.address.port, head, frames)
    assert answer.startswith(b"HTTP/1.1 101 "), answer


APPS = {
    "no HTTP": b"SSH-2.0-OpenSSH_9.2\r\n",
    "nothing": b"",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
    "a space before a colon": b"HTTP/1.1 200 OK\nContent-Length : 1\n\nx",
    "bare CR": b"HTTP/1.1 200 OK\r\nA: b\rContent-Length: 1\r\n\r\nx",
    "endless head": b"HTTP/1.1 200 OK\r\nX: " + b"a" * (64 << 10) + b"\r\n\r\n",
    "wrong protocol": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: other\r\n\r\n",
}


async def says(said: bytes, stream: trio.SocketStream) -> None:
    """An app that says this to everything, and closes."""
    await stream.receive_some(READ_BYTES)
    try:
        await stream.send_all(said)
        await stream.send_eof()
        await stream.receive_some(READ_BYTES)
    except trio.BrokenResourceError:
        pass  # it was hung up on, rightly


@pytest.mark.parametrize("app", APPS)
@pytest.mark.usefixtures("bystander")
async def test_an_app_that_speaks_no_http_is_a_502_that_says_so(
    tunnel: Tunnel, programs: Programs, nursery: trio.Nursery, app: str
) -> None:
    listeners = await nursery.start(
        partial(trio.serve_tcp, partial(says, APPS[app]), 0, host="127.0.0.1")
    )
    port = tunnel.address.port
    client = await programs.client(listeners[0].socket.getsockname()[1], port, "--subdomain", "odd")
    await client.event("ready")
    answer = await fetch(Address(port, "odd.localhost"))
    assert (answer.status, answer.error) == (502, "origin-protocol-error")
    await client.event("request", status=502)


@pytest.mark.usefixtures("bystander")
async def test_an_app_that_does_not_run_is_a_502_that_says_so(
    tunnel: Tunnel, programs: Programs
) -> None:
    with trio.socket.socket() as taken:
        await taken.bind(("127.0.0.1", 0))  # and nobody listens
        nobody: int = taken.getsockname()[1]
        port = tunnel.address.port
        client = await programs.client(nobody, port, "--subdomain", "odd")
        await client.event("ready")
        answer = await fetch(Address(port, "odd.localhost"))
    assert (answer.status, answer.error) == (502, "origin-refused")
    assert str(nobody).encode() not in answer.body
    told = await client.event("request", status=502)  # what the visitor got
    assert f":{nobody}" in told["error"]


async def test_a_tunnel_to_its_own_server_is_a_508_whose_code_is_in_the_page_alone(
    programs: Programs,
) -> None:
    """The answer is an app's to the tunnels around it, and no app may write Tunnel-Error."""
    _, port = await programs.server()
    client = await programs.client(port, port, "--subdomain", "app", "--identity", "public")
    await client.event("ready")
    warning = await client.event("warning", code="loop-detected")
    assert "is the tunnel-server itself" in warning["message"]
    answer = await fetch(Address(port, "app.localhost"))
    assert (answer.status, answer.error) == (508, None)
    assert b"loop-detected" in answer.body
    assert b"The request has been through 3 tunnel-servers already." in answer.body
    # The innermost round ends first, and its client alone can tell.
    assert (await client.event("request"))["error"] == LEADS_BACK
