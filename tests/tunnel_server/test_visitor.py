from __future__ import annotations

import socket
import ssl
from functools import partial

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from protocol.mux.stream import TunnelStream
from protocol.sockets import drop
from protocol.tcp import TcpStream
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
from tunnel_server.connection import Connection
from tunnel_server.visitor import TLS_HANDSHAKE_S, serve_visitor


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
    monkeypatch.setattr("tunnel_server.visitor.TLS_HANDSHAKE_S", 0.05)
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


@pytest.mark.parametrize("where", ["begin", "receive_head"])
async def test_a_fault_of_ours_ends_one_connection_with_one_record(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    await world.client(hello)
    bystander = world.visit()

    def broken(*_: object) -> None:
        raise ZeroDivisionError("a fault of ours")

    with monkeypatch.context() as patched:
        if where == "begin":
            patched.setattr("tunnel_server.requests.begin", broken)
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
