from __future__ import annotations

import socket
import ssl
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from protocol.drivers.sockets import drop
from protocol.drivers.stream import TunnelStream
from protocol.drivers.tcp import TcpStream
from tests.edge_fakes import (
    AUTHORITY,
    CERTIFICATE,
    HELLO,
    World,
    get,
    hello,
    logged,
    open_world,
    tunnel_error,
)
from tunnel_server.settings.values import parse_networks
from tunnel_server.visitors.connection import Connection
from tunnel_server.visitors.serving import PROXY_HEADER_S, TLS_HANDSHAKE_S, serve_visitor

V1 = b"PROXY TCP4 203.0.113.9 127.0.0.1 40000 443\r\n"
V2 = (
    b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c"
    + bytes([203, 0, 113, 9, 127, 0, 0, 1])
    + b"\x9c\x40\x01\xbb"
)
V2_LOCAL = b"\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"
PROXIED: dict[str, Any] = {
    "proxy_protocol": True,
    "trusted_proxies": parse_networks("127.0.0.1,203.0.113.10", ""),
}


def tls() -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    CERTIFICATE.configure_cert(context)
    return context


async def connect(
    world: World, context: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> tuple[trio.SocketStream, trio.Event]:
    """A visitor's socket, and the end of what serves it."""
    listeners = await trio.open_tcp_listeners(0, host=host)
    async with listeners[0]:
        ours = await trio.testing.open_stream_to_socket_listener(listeners[0])
        theirs = await listeners[0].accept()
    assert isinstance(ours, trio.SocketStream)
    world.streams.append(ours)
    done = trio.Event()

    async def serve() -> None:
        await serve_visitor(world.edge, world.control, context, theirs)
        done.set()

    world.tasks.start_soon(serve)
    return ours, done


async def receive(stream: trio.abc.Stream, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = await stream.receive_some(size - len(data))
        assert more, data
        data += more
    return data


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_the_app_is_told_the_visitors_address(host: str) -> None:
    async with open_world() as world:
        client = await world.client(hello)
        stream, _ = await connect(world, host=host)
        await stream.send_all(get())
        assert await receive(stream, len(HELLO)) == HELLO
        assert client.streams[0].opened.visitor == host


async def test_a_socket_has_keepalive() -> None:
    async with open_world() as world:
        await connect(world)
        await wait_all_tasks_blocked(0.01)
        (connection,) = world.edge.connections
        assert isinstance(connection, Connection)
        below = connection.stream
        assert isinstance(below, TcpStream)
        assert below.socket.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert below.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 60_000


async def test_tls_is_served() -> None:
    async with open_world() as world:
        client = await world.client(hello)
        stream, done = await connect(world, tls())
        trusting = ssl.create_default_context()
        AUTHORITY.configure_trust(trusting)
        secured = trio.SSLStream(stream, trusting, server_hostname="app.localhost")
        await secured.send_all(get())
        assert await receive(secured, len(HELLO)) == HELLO
        assert client.streams[0].opened.scheme == "https"
        await secured.aclose()
        await done.wait()


async def test_a_request_without_tls_is_told_that_it_is_https() -> None:
    async with open_world() as world:
        stream, done = await connect(world, tls())
        await stream.send_all(b"GET / HTTP/1.1\r\nHost: app.localhost\r\n\r\n")
        said = b""
        while data := await stream.receive_some():
            said += data
        assert said.startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert said.endswith(
            b"\r\n\r\nThis is an https:// address, and the request came without TLS.\n"
        )
        await done.wait()


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x00\x05nonsense"])
async def test_what_speaks_no_tls_is_hung_up_on_quietly(
    sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    async with open_world() as world:
        stream, done = await connect(world, tls())
        await stream.send_all(sent)
        await stream.send_eof()
        await done.wait()
        assert not world.edge.connections
    assert logged(caplog.records) == []


async def test_a_tls_handshake_has_a_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    assert TLS_HANDSHAKE_S == 10
    monkeypatch.setattr("tunnel_server.visitors.serving.TLS_HANDSHAKE_S", 0.05)
    async with open_world() as world:
        _, done = await connect(world, tls())
        await done.wait()


async def test_a_visitor_who_was_reset_before_it_was_served_does_no_harm() -> None:
    async with open_world() as world:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        async with listeners[0]:
            ours = await trio.testing.open_stream_to_socket_listener(listeners[0])
            theirs = await listeners[0].accept()
        assert isinstance(ours, trio.SocketStream)
        drop(ours, reset=True)
        await serve_visitor(world.edge, world.control, None, theirs)
        assert not world.edge.connections


@pytest.mark.parametrize("where", ["open_stream", "receive_head"])
async def test_a_fault_of_ours_ends_one_connection_with_one_record(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    await world.client(hello)
    bystander = world.visit()

    def broken(*_: object) -> None:
        raise ZeroDivisionError("a fault of ours")

    with monkeypatch.context() as patched:
        if where == "open_stream":
            patched.setattr("tunnel_server.visitors.admission.open_stream", broken)
        else:
            patched.setattr(TunnelStream, "receive_head", broken)
        visitor = world.visit()
        await visitor.send(get())
        assert await visitor.rest() == b""
        await visitor.done.wait()
    (record,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert "a fault of ours" in record.getMessage()
    await bystander.send(get())
    await bystander.expect(HELLO)


async def test_a_cancelled_server_leaves_no_stream_behind(world: World) -> None:
    async def never(stream: TunnelStream) -> None:
        await trio.sleep_forever()

    client = await world.client(never)
    visitor = world.visit()
    await visitor.send(get())
    await wait_all_tasks_blocked()
    for connection in tuple(world.edge.connections):
        connection.end()
    assert await visitor.rest() == b""
    await client.stopped[0].wait()
    assert client.streams[0].stopped == "visitor-gone"


async def test_hundreds_of_visitors_who_leave_at_any_point_leave_nothing(
    world: World, autojump_clock: MockClock
) -> None:
    """Each at another byte of two requests, with and without waiting for an answer."""

    async def slow(stream: TunnelStream) -> None:
        await trio.sleep(0.5)
        await hello(stream)

    await world.client(slow)
    sent = b"POST / HTTP/1.1\r\nHost: app.localhost\r\nContent-Length: 3\r\n\r\nabc" + get()

    async def leave(at: int, after_s: float) -> None:
        visitor = world.visit()
        await visitor.send(sent[:at])
        await trio.sleep(after_s)
        await visitor.stream.aclose()
        await visitor.done.wait()

    async with trio.open_nursery() as nursery:
        for at in range(len(sent) + 1):
            for after_s in (0.0, 0.6):
                nursery.start_soon(partial(leave, at, after_s))
    await world.nothing_is_left()


async def test_a_head_that_is_no_http_is_answered(world: World) -> None:
    visitor = world.visit()
    await visitor.send(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
    assert tunnel_error(await visitor.rest()) == (400, "bad-request")


# --- the PROXY protocol --------------------------------------------------------------------------


@pytest.mark.parametrize("header", [V1, V2], ids=["v1", "v2"])
@pytest.mark.parametrize("apart", [False, True], ids=["at once", "byte by byte"])
async def test_the_address_of_a_proxy_header_is_the_visitors(header: bytes, apart: bool) -> None:
    async with open_world(**PROXIED) as world:
        client = await world.client(hello)
        stream, _ = await connect(world)
        if apart:
            for byte in header:
                await stream.send_all(bytes([byte]))
                await wait_all_tasks_blocked(0.001)
            await stream.send_all(get())
        else:
            await stream.send_all(header + get())
        assert await receive(stream, len(HELLO)) == HELLO
        opened = client.streams[0].opened
        assert opened.visitor == "203.0.113.9"
        assert (b"X-Forwarded-For", b"203.0.113.9") in opened.fields


async def test_tls_follows_a_proxy_header() -> None:
    async with open_world(**PROXIED) as world:
        client = await world.client(hello)
        stream, done = await connect(world, tls())
        await stream.send_all(V2)
        trusting = ssl.create_default_context()
        AUTHORITY.configure_trust(trusting)
        secured = trio.SSLStream(stream, trusting, server_hostname="app.localhost")
        await secured.send_all(get())
        assert await receive(secured, len(HELLO)) == HELLO
        assert client.streams[0].opened.visitor == "203.0.113.9"
        assert client.streams[0].opened.scheme == "https"
        await secured.aclose()
        await done.wait()


@pytest.mark.parametrize(
    ("header", "chain"),
    [
        (V1, b"203.0.113.9"),
        # The header's own address is one of a trusted proxy, which another one passes on.
        (V1.replace(b"113.9", b"113.10"), b"198.51.100.1, 203.0.113.10"),
        # The proxy is trusted, but does not see what passes.
        (b"PROXY UNKNOWN\r\n", b"127.0.0.1"),
        (V2_LOCAL, b"127.0.0.1"),
    ],
)
async def test_forwarding_fields_are_those_of_the_headers_address(
    header: bytes, chain: bytes
) -> None:
    async with open_world(**PROXIED) as world:
        client = await world.client(hello)
        stream, _ = await connect(world)
        await stream.send_all(header + get(b"/", b"X-Forwarded-For: 198.51.100.1"))
        assert await receive(stream, len(HELLO)) == HELLO
        said = [v for n, v in client.streams[0].opened.fields if n == b"X-Forwarded-For"]
        assert said == [chain]


@pytest.mark.parametrize(
    ("sent", "line"),
    [
        (get(), "127.0.0.1: refused: it does not begin with a header of the PROXY protocol"),
        (b"\x16\x03\x01", "127.0.0.1: refused: it does not begin with a header of the PROXY"),
        (V1[:20], "127.0.0.1: refused: the connection ended within its PROXY header"),
        (V2[:20], "127.0.0.1: refused: the connection ended within its PROXY header"),
    ],
)
async def test_a_proxy_without_a_header_gets_no_answer_and_one_record(
    sent: bytes, line: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    async with open_world(**PROXIED) as world:
        stream, done = await connect(world)
        await stream.send_all(sent)
        with suppress(trio.BrokenResourceError):  # it was refused before
            await stream.send_eof()
        await done.wait()
        assert await to_the_end(stream) == b""
        assert not world.edge.connections
    (record,) = logged(caplog.records)
    assert record.startswith(line)


async def to_the_end(stream: trio.SocketStream) -> bytes:
    """What comes, to FIN or to the RST of a socket that was closed with bytes unread."""
    data = b""
    with suppress(trio.BrokenResourceError):
        async for some in stream:
            data += some
    return data


@pytest.mark.parametrize("sent", [V1 + get(), V2 + get(), get(), b""])
async def test_who_is_no_proxy_is_refused_with_a_header_and_without(
    sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    trusted = parse_networks("192.0.2.0/24", "")
    async with open_world(proxy_protocol=True, trusted_proxies=trusted) as world:
        stream, done = await connect(world)
        await stream.send_all(sent)
        await done.wait()
        assert await to_the_end(stream) == b""
    assert logged(caplog.records) == ["127.0.0.1: refused: it is none of --trusted-proxies"]


async def test_a_proxy_that_only_looks_whether_somebody_listens_is_no_news(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    async with open_world(**PROXIED) as world:
        stream, done = await connect(world)
        await stream.aclose()
        await done.wait()
    assert logged(caplog.records) == []


async def test_a_proxy_header_has_a_deadline(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert PROXY_HEADER_S == 5
    monkeypatch.setattr("tunnel_server.visitors.serving.PROXY_HEADER_S", 0.05)
    caplog.set_level("INFO")
    async with open_world(**PROXIED) as world:
        stream, done = await connect(world)
        await stream.send_all(V2[:-1])
        await done.wait()
    assert logged(caplog.records) == ["127.0.0.1: refused: no whole PROXY header within 0.05 s"]


async def test_without_the_flag_a_proxy_header_is_a_bad_request() -> None:
    async with open_world(trusted_proxies=parse_networks("127.0.0.1", "")) as world:
        stream, _ = await connect(world)
        await stream.send_all(V1 + get())
        assert tunnel_error(await to_the_end(stream)) == (400, "bad-request")
