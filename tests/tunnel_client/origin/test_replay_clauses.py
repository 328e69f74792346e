"""The version that the app is asked in, the fields of its WebSocket handshake, and the pool."""

from __future__ import annotations

import trio.testing

from protocol.http.fields import Fields
from protocol.mux.messages import Open
from tests.origin_fakes import HOST, KEY, OK, a_shared_app, host_line, whole


def request(*fields: tuple[bytes, bytes], version: bytes = b"1.1", kind: str = "http") -> Open:
    all_fields: Fields = HOST + fields
    return Open(
        *(kind, 1, b"GET", b"/", version, all_fields, None, "http", "app.localhost"),
        *("192.0.2.1", 0),
    )


async def test_a_visitor_of_1_0_is_asked_for_in_1_1() -> None:
    async with a_shared_app() as (tunnel, origin):
        opened = request((b"Max-Forwards", b"0"), (b"Via", b"x"), version=b"1.0")
        stream = tunnel.server.open(opened)
        stream.send_eof()
        app = await origin.accept()
        assert await app.request() == (
            b"GET / HTTP/1.1\r\n" + host_line(origin) + b"Max-Forwards: 0\r\nVia: x\r\n\r\n"
        )
        await app.send(OK)
        assert await tunnel.answer(stream) == (200, b"ok")


async def test_the_fields_of_a_websocket_handshake_reach_the_app_unchanged() -> None:
    async with a_shared_app() as (tunnel, origin):
        fields = (
            (b"sec-websocket-KEY", KEY),
            (b"Sec-WebSocket-Extensions", b"permessage-deflate; client_max_window_bits"),
            (b"Sec-WebSocket-Protocol", b"a, b"),
            (b"Sec-WebSocket-Protocol", b"c"),
        )
        tunnel.server.open(request(*fields, kind="websocket"))
        app = await origin.accept()
        lines = b"".join(b"%b: %b\r\n" % field for field in fields)
        assert await app.request() == (
            b"GET / HTTP/1.1\r\n" + host_line(origin) + lines + b"Connection: Upgrade\r\n"
            b"Upgrade: websocket\r\n\r\n"
        )


async def test_a_connection_whose_answer_ended_with_it_is_not_used_again() -> None:
    async with a_shared_app() as (tunnel, origin):
        stream = tunnel.open()
        app = await origin.accept()
        await app.request()
        await app.send(b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n\r\nall of it")
        await app.send_eof()  # and it would still read
        await stream.receive_head()
        assert await whole(stream) == b"all of it"
        await tunnel.all_over()
        stream = tunnel.open()
        other = await origin.accept()
        await other.request()
        await other.send(OK)
        assert await tunnel.answer(stream) == (200, b"ok")
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert await app.rest() == b""
