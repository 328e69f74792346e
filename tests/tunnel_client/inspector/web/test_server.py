from __future__ import annotations

import select
import socket
import struct

import pytest
import trio
import trio.testing

from tests.inspector_fakes import MIB, READY, TOKEN, an_inspector, count_tasks, got
from tests.memory_streams import MemoryStream, an_open
from tunnel_client.inspector.web import connections as connections_module
from tunnel_client.inspector.web.connections import CONNECTIONS_MAX, WatchedStream
from tunnel_client.inspector.web.door import HEAD_MAX_BYTES, MESSAGE_MAX_BYTES
from tunnel_client.inspector.web.inspector import Inspector
from tunnel_client.inspector.web.listening import (
    LOOPBACK,
    USUAL_PORTS,
    InspectorPlaceError,
    bind_exactly,
    bind_usual,
)
from tunnel_client.observing.events import Warned


async def test_ready_says_where_it_is_without_the_token() -> None:
    async with an_inspector() as running:
        [ready] = running.events.told
        assert ready == READY._replace(inspector=f"http://127.0.0.1:{running.port}")
        assert TOKEN not in repr(running.inspector)
        answer = await running.ask("GET", "/", token=None)
        assert answer.status == 200
        assert answer.fields["content-type"] == "text/html; charset=utf-8"
        assert "default-src 'none'" in answer.fields["content-security-policy"]
        assert (await running.get("/api/run"))["url"] == "http://app.example"


async def test_it_starts_with_ready_and_not_before() -> None:
    async with an_inspector(ready=False) as running:
        stream = await trio.open_tcp_stream(LOOPBACK, running.port)  # its socket listens already
        await stream.send_all(b"GET / HTTP/1.1\r\nHost: localhost:%d\r\n\r\n" % running.port)
        running.inspector.tell(READY)
        assert (await stream.receive_some()).startswith(b"HTTP/1.1 200")
        await stream.aclose()


@pytest.mark.parametrize(
    ("fields", "token", "status"),
    [
        ({}, TOKEN, 200),
        ({}, None, 401),
        ({}, "wrong", 401),
        ({"Host": "rebound.example"}, TOKEN, 421),
        ({"Origin": "http://127.0.0.1:3000"}, TOKEN, 403),
        ({"Sec-Fetch-Site": "same-site"}, TOKEN, 403),
    ],
)
async def test_the_door_is_before_everything(
    fields: dict[str, str], token: str | None, status: int
) -> None:
    async with an_inspector() as running:
        assert (await running.ask("GET", "/api/run", token=token, fields=fields)).status == status


@pytest.mark.parametrize("sent", ["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "nonsense\r\n\r\n"])
async def test_another_protocol_is_served_by_nobody(sent: str) -> None:
    async with an_inspector() as running:
        stream = await trio.open_tcp_stream(LOOPBACK, running.port)
        await stream.send_all(sent.encode())
        assert not (await stream.receive_some()).startswith(b"HTTP/1.1 200")
        await stream.aclose()
        assert (await running.ask("GET", "/api/run")).status == 200


async def test_a_handshake_of_another_origin_is_refused() -> None:
    async with an_inspector() as running:
        handshake = {
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
            "Origin": "http://127.0.0.1:3000",
        }
        answer = await running.ask("GET", "/api/live", fields=handshake)
        assert answer.status == 403
        assert answer.json["error"] == "wrong-origin"


async def test_a_head_that_does_not_end_is_refused_at_32_kib() -> None:
    async with an_inspector() as running:
        stream = await trio.open_tcp_stream(LOOPBACK, running.port)
        await stream.send_all(b"GET / HTTP/1.1\r\nX: " + b"x" * HEAD_MAX_BYTES)
        assert (await stream.receive_some()).startswith(b"HTTP/1.1 431")
        await stream.aclose()


@pytest.mark.parametrize("more", [0, 1])
async def test_a_message_of_a_page_may_have_64_kib(more: int) -> None:
    async with an_inspector() as running, trio.open_nursery() as nursery:
        page = await running.page(nursery)
        await page.news()
        await page.socket.send_message("x" * (MESSAGE_MAX_BYTES + more))
        if more:
            assert await page.close_code() == 1009
        else:
            await page.news()
            await page.socket.aclose()


async def test_there_are_64_connections_and_no_more() -> None:
    async with an_inspector() as running:
        assert (await running.ask("GET", "/api/run")).status == 200
        streams = [
            await trio.open_tcp_stream(LOOPBACK, running.port) for _ in range(CONNECTIONS_MAX)
        ]
        request = b"GET / HTTP/1.1\r\nHost: localhost:%d\r\n\r\n" % running.port
        for stream in streams:
            await stream.send_all(request)
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 200")
        one_more = await trio.open_tcp_stream(LOOPBACK, running.port)
        assert await one_more.receive_some() == b""
        await one_more.aclose()
        for stream in streams:
            await stream.aclose()
        while (await try_once(running.port)) != b"HTTP/1.1 200":  # until their ends are seen
            pass


async def try_once(port: int) -> bytes:
    try:
        stream = await trio.open_tcp_stream(LOOPBACK, port)
        async with stream:
            await stream.send_all(b"GET / HTTP/1.1\r\nHost: localhost:%d\r\n\r\n" % port)
            return bytes(await stream.receive_some())[:12]
    except trio.BrokenResourceError:
        return b""


async def test_a_fault_in_a_handler_is_a_500_and_logged_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with an_inspector() as running:
        monkeypatch.setattr(running.store, "get", None)
        for _ in range(3):
            assert (await running.ask("GET", "/api/exchanges/1")).status == 500
        assert len([each for each in caplog.records if each.levelname == "ERROR"]) == 1
        assert (await running.ask("GET", "/api/run")).status == 200


@pytest.mark.parametrize("early", [b"early", b"\x81\x80\0\0\0\0", b"GET / HTTP/1.1\r\n\r\n" * 9])
async def test_what_comes_before_the_101_costs_its_connection_and_no_traceback(
    early: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with an_inspector() as running:
        stream = await trio.open_tcp_stream(LOOPBACK, running.port)
        await stream.send_all(handshake_of(running.port) + early)
        while await stream.receive_some():
            pass
        await stream.aclose()
        assert (await running.ask("GET", "/api/run")).status == 200
    assert [each.exc_info for each in caplog.records] == [None]  # one line, whatever failed


async def test_a_fault_of_its_own_ends_it_and_nothing_else(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(inspector: Inspector) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(Inspector, "_load", lambda self: lambda: fail(self))
    async with an_inspector() as running:
        while not running.inspector.is_off:
            await trio.testing.wait_all_tasks_blocked(0.01)
        told = running.events.told[-1]
        assert isinstance(told, Warned)
        assert told.code == "inspector-off"
        stream = MemoryStream(an_open("http", b"GET", None))
        assert running.inspector.tap_for(stream) is None
        running.inspector.tell(READY)
        assert running.events.told[-1] == READY  # it says no address any more
    assert "a bug" in caplog.text


async def test_pages_are_told_that_the_client_ends() -> None:
    async with trio.open_nursery() as nursery:
        async with an_inspector() as running:
            pages = [await running.page(nursery) for _ in range(8)]
            for page in pages:
                await page.news()
        for page in pages:
            assert await page.close_code() == 1001


async def test_a_page_that_reads_nothing_does_not_hold_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    watched: list[WatchedStream] = []

    def watch(stream: trio.SocketStream) -> WatchedStream:
        watched.append(WatchedStream(stream))
        return watched[-1]

    monkeypatch.setattr(connections_module, "WatchedStream", watch)
    async with an_inspector() as running:
        for _ in range(3000):
            got(running.store, target=b"/" + b"x" * 400)
        await running.until_sorted()
        stream = await unread_page(running.port)
        while not any(each.sending_since for each in watched):
            await trio.testing.wait_all_tasks_blocked(0.01)
        began = trio.current_time()
    assert trio.current_time() - began < 1.0
    assert await ended(stream)


async def test_a_page_that_reads_nothing_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections_module, "TAKES_S", 0.1)
    monkeypatch.setattr(connections_module, "LOOK_EVERY_S", 0.05)
    async with an_inspector() as running:
        for _ in range(3000):
            got(running.store, target=b"/" + b"x" * 400)
        await running.until_sorted()
        await running.get("/api/run")
        before = count_tasks()
        stream = await unread_page(running.port)
        assert await ended(stream)
        assert (await running.ask("GET", "/api/run")).status == 200
        with trio.fail_after(1):
            while count_tasks() > before:
                await trio.testing.wait_all_tasks_blocked(0.01)


def handshake_of(port: int) -> bytes:
    return (
        f"GET /api/live HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: Upgrade\r\n"
        "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    ).encode()


async def unread_page(port: int) -> trio.SocketStream:
    """A page that has said its token, and then takes nothing."""
    sock = trio.socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    await sock.connect((LOOPBACK, port))
    stream = trio.SocketStream(sock)
    await stream.send_all(handshake_of(port))
    data = b""
    while b"\r\n\r\n" not in data:
        data += bytes(await stream.receive_some(1))
    first = b'{"token": "%s"}' % TOKEN.encode()
    await stream.send_all(struct.pack("!BB4s", 0x81, 0x80 | len(first), b"\0" * 4) + first)
    return stream


async def ended(stream: trio.SocketStream) -> bool:
    """Whether it ends, and has got no more than a mebibyte."""
    size = 0
    try:
        with trio.fail_after(20):
            # Not until it was dropped: what is read would make room for more.
            while not is_hung_up(stream):
                await trio.testing.wait_all_tasks_blocked(0.02)
        while data := await stream.receive_some():
            size += len(data)
    except trio.BrokenResourceError:
        pass
    await stream.aclose()
    return size <= MIB


def is_hung_up(stream: trio.SocketStream) -> bool:
    poll = select.poll()
    poll.register(stream.socket.fileno(), select.POLLRDHUP)
    return bool(poll.poll(0))


def test_the_usual_ports_come_first_and_then_any() -> None:
    socks: list[socket.socket] = []
    try:
        socks += [bind_usual() for _ in range(len(USUAL_PORTS) + 1)]
        ports = [sock.getsockname()[1] for sock in socks]
        assert ports[:-1] == sorted(ports[:-1])
        assert ports[-1] not in USUAL_PORTS
        assert len(set(ports)) == len(ports)
    finally:
        for sock in socks:
            sock.close()


def test_an_address_that_is_taken_is_told() -> None:
    with bind_exactly((LOOPBACK, 0)) as sock:
        port = sock.getsockname()[1]
        with pytest.raises(InspectorPlaceError, match=f"127.0.0.1:{port}: Address already in use"):
            bind_exactly((LOOPBACK, port))
