"""An upgrade to anything but WebSocket, to the app: the test is the server with its visitor."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing
import trustme

from protocol.drivers.stream import TunnelStream
from protocol.http.fields import BodyForm
from tests.origin_fakes import (
    App,
    MemoryTunnel,
    RawOrigin,
    a_shared_app,
    a_tunnel,
    broken,
    failure,
    host_line,
    listen,
    whole,
)
from tunnel_client.origin.dial import Dialer

BODY = b'{"Detach":false,"Tty":false}\n'
ASKED = b"Connection: Upgrade\r\nUpgrade: spdy/3.1, tcp\r\n\r\n"
SWITCHED = b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
# No frames, whatever they look like.
TO_APP, TO_VISITOR = b"\x88\x80\0\0\0\0\x89", b"\x89\x02hi\x88\xff"


def ask(
    tunnel: MemoryTunnel,
    body: BodyForm = 29,
    *,
    method: bytes = b"POST",
    upgrade: bytes = b"spdy/3.1, tcp",
) -> TunnelStream:
    """An upgrade of which nothing has come but its head; without a body it is whole."""
    return tunnel.open(method, b"/exec", body=body, kind="upgrade", upgrade=upgrade)


async def asked(
    tunnel: MemoryTunnel, origin: RawOrigin, tls: ssl.SSLContext | None = None
) -> tuple[TunnelStream, App]:
    """An upgrade that the app has read whole."""
    stream = ask(tunnel)
    await stream.send_all(BODY)
    stream.send_eof()
    app = await origin.accept(tls)
    await app.request(len(BODY))
    return stream, app


async def switched(
    tunnel: MemoryTunnel, origin: RawOrigin, tls: ssl.SSLContext | None = None
) -> tuple[TunnelStream, App]:
    stream, app = await asked(tunnel, origin, tls)
    await app.send(SWITCHED)
    assert (await stream.receive_head()).upgrade == b"tcp"
    return stream, app


@asynccontextmanager
async def an_upgrade(
    *, ws_keepalive_s: float = 0.0
) -> AsyncIterator[tuple[MemoryTunnel, TunnelStream, App]]:
    async with a_shared_app(ws_keepalive_s=ws_keepalive_s) as (tunnel, origin):
        stream, app = await switched(tunnel, origin)
        yield tunnel, stream, app


# --- the request ---------------------------------------------------------------------------------


async def test_the_app_is_asked_with_the_body_and_answers_as_it_likes() -> None:
    async with a_shared_app() as (tunnel, origin):
        stream = ask(tunnel)
        await stream.send_all(BODY)
        stream.send_eof()
        app = await origin.accept()
        assert await app.request(len(BODY)) == (
            b"POST /exec HTTP/1.1\r\n"
            + host_line(origin)
            + b"Content-Length: 29\r\n"
            + ASKED
            + BODY
        )
        await app.send(SWITCHED.replace(b"tcp", b"TCP") + TO_VISITOR)
        head = await stream.receive_head()
        assert (head.status, head.reason, head.upgrade) == (101, b"UPGRADED", b"TCP")
        assert (head.body, head.closes, head.fields) == (None, False, ())
        assert await stream.receive_some() == TO_VISITOR
        await stream.send_all(TO_APP)
        assert await app.exactly(len(TO_APP)) == TO_APP
        stream.send_eof()
        assert await app.rest() == b""
        await app.close()
        assert await whole(stream) == b""
        await tunnel.all_over()
        sizes = len(BODY + TO_APP), len(TO_VISITOR)
        assert tunnel.told.requests() == [(101, *sizes, None, 0)]


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"x"])
async def test_without_a_body_any_method_asks(method: bytes) -> None:
    async with a_shared_app() as (tunnel, origin):
        stream = ask(tunnel, None, method=method)
        app = await origin.accept()
        raw = await app.request()
        assert raw.startswith(method + b" /exec HTTP/1.1\r\n")
        assert raw.endswith(ASKED)
        await app.send(SWITCHED)
        assert (await stream.receive_head()).status == 101


async def test_chunks_end_before_the_101_goes_on() -> None:
    async with a_shared_app() as (tunnel, origin):
        stream = ask(tunnel, "chunked")
        await stream.send_all(b"first")
        app = await origin.accept()
        raw = await app.request(len(b"5\r\nfirst\r\n"))
        assert b"Transfer-Encoding: chunked\r\n" in raw
        await app.send(SWITCHED + TO_VISITOR)
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert not stream.is_readable
        stream.send_eof(((b"X-Sum", b"1"),))
        assert await app.exactly(len(b"0\r\nX-Sum: 1\r\n\r\n")) == b"0\r\nX-Sum: 1\r\n\r\n"
        assert (await stream.receive_head()).status == 101
        assert await stream.receive_some() == TO_VISITOR


async def test_a_101_waits_for_the_end_also_of_a_body_with_a_length() -> None:
    async with a_shared_app() as (tunnel, origin):
        stream = ask(tunnel, 4)
        await stream.send_all(b"body")
        app = await origin.accept()
        await app.request(4)
        await app.send(SWITCHED)
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert not stream.is_readable
        stream.send_eof()
        assert (await stream.receive_head()).status == 101


@pytest.mark.parametrize("how", ["visitor gone", "cut off", "session lost"])
async def test_a_request_that_ends_otherwise_switches_nothing(how: str) -> None:
    async with a_shared_app() as (tunnel, origin):
        stream = ask(tunnel)
        await stream.send_all(BODY[:5])
        app = await origin.accept()
        await app.request(5)
        await app.send(SWITCHED)
        await trio.testing.wait_all_tasks_blocked(0.01)
        if how == "visitor gone":
            stream.cancel("visitor-gone")
        elif how == "cut off":
            stream.reset("truncated")
            assert (await failure(stream))[0] == "bad-request"
        else:
            tunnel.client.close("lost")
        assert await app.is_reset() is (how != "cut off")  # that is an end in the middle
        await tunnel.all_over()


@pytest.mark.parametrize(
    "upgrade", [b"", b"h2c", b"h2-14", b"websocket", b"tcp, h2c", b"tcp\r\nX: y", b"a,b"]
)
async def test_what_a_server_may_not_ask_for_reaches_no_app(upgrade: bytes) -> None:
    async with a_shared_app() as (tunnel, origin):
        stream = ask(tunnel, None, upgrade=upgrade)
        assert (await failure(stream))[0] == "bad-request"
        assert origin.connections == 0
        await tunnel.all_over()


# --- the answer ----------------------------------------------------------------------------------


async def test_any_other_answer_is_a_plain_one_and_its_connection_lives_on() -> None:
    async with a_shared_app() as (tunnel, origin):
        stream = ask(tunnel, None)  # behind a body it does not
        app = await origin.accept()
        await app.request()
        for _ in range(2):
            await app.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            assert await tunnel.answer(stream) == (200, b"ok")
            await tunnel.all_over()
            stream = tunnel.open()
            await app.request()
        assert origin.connections == 1


async def test_an_answer_before_the_end_of_the_body_lets_that_go_on() -> None:
    async with a_shared_app() as (tunnel, origin):
        stream = ask(tunnel)
        app = await origin.accept()
        await app.request()
        await app.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        assert await tunnel.answer(stream) == (200, b"ok")
        await stream.send_all(BODY)
        stream.send_eof()
        assert await app.exactly(len(BODY)) == BODY
        await tunnel.all_over()


@pytest.mark.parametrize(
    "answer",
    [
        SWITCHED.replace(b"1.1", b"1.0", 1),
        SWITCHED.replace(b"Connection: Upgrade\r\n", b""),
        SWITCHED.replace(b"Upgrade: tcp\r\n", b""),
        SWITCHED.replace(b"tcp", b"udp"),
        SWITCHED.replace(b"tcp", b"tcp, spdy/3.1"),
        SWITCHED.replace(b"tcp", b"websocket"),
        SWITCHED.replace(b"\r\n\r\n", b"\r\nContent-Length: 0\r\n\r\n"),
        SWITCHED.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n"),
    ],
)
async def test_a_101_that_does_not_answer_what_was_asked_is_an_origin_protocol_error(
    answer: bytes,
) -> None:
    async with a_shared_app() as (tunnel, origin):
        stream, app = await asked(tunnel, origin)
        await app.send(answer)
        assert (await failure(stream))[0] == "origin-protocol-error"
        assert await app.is_reset()


async def test_an_app_that_does_not_answer_is_overdue() -> None:
    async with a_shared_app(origin_timeout_s=0.01) as (tunnel, origin):
        stream, app = await asked(tunnel, origin)
        assert (await failure(stream))[0] == "origin-timeout"
        assert await app.is_reset()


# --- ends ----------------------------------------------------------------------------------------


async def test_ends_cross_as_they_came_and_leave_the_other_direction_open() -> None:
    async with an_upgrade() as (tunnel, stream, app):
        stream.send_eof()
        assert await app.rest() == b""
        await app.send(TO_VISITOR)
        await app.send_eof()
        assert await whole(stream) == TO_VISITOR
        await tunnel.all_over()
    async with an_upgrade() as (tunnel, stream, app):
        await app.send_eof()
        assert await whole(stream) == b""
        await stream.send_all(TO_APP)
        stream.send_eof()
        assert await app.rest() == TO_APP
        await tunnel.all_over()


async def test_resets_cross_both_ways() -> None:
    async with an_upgrade() as (tunnel, stream, app):
        stream.cancel("visitor-gone")
        assert await app.is_reset()
        await tunnel.all_over()
    async with an_upgrade() as (tunnel, stream, app):
        await app.send(TO_VISITOR)
        assert await stream.receive_some() == TO_VISITOR
        app.reset()
        assert (await broken(stream))[:2] == (b"", "truncated")
        await tunnel.all_over()


async def test_an_app_that_is_gone_has_cut_off_what_its_visitor_sends() -> None:
    async with an_upgrade() as (tunnel, stream, app):
        await app.send(TO_VISITOR)  # it looks like a Close here and there
        await app.close()
        assert await whole(stream) == TO_VISITOR
        for _ in range(2):  # the first meets no error yet
            await stream.send_all(TO_APP)
            await trio.testing.wait_all_tasks_blocked(0.01)
        assert stream.stopped == "truncated"
        await tunnel.all_over()
        assert "the app is gone" in str(tunnel.told.requests()[0][3])


async def test_a_lost_session_is_a_reset() -> None:
    async with an_upgrade() as (tunnel, _, app):
        tunnel.client.close("lost")
        assert await app.is_reset()
        await tunnel.all_over()


async def test_half_closed_it_ends_after_60_s_without_a_byte(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with an_upgrade() as (tunnel, stream, app):
        stream.send_eof()
        assert await app.rest() == b""
        for _ in range(3):
            await trio.sleep(59)
            await app.send(TO_VISITOR)
            assert await stream.receive_some() == TO_VISITOR
        began = trio.current_time()
        assert (await broken(stream))[1] == "truncated"
        assert trio.current_time() - began == pytest.approx(60, abs=1)
        await tunnel.all_over()


async def test_nothing_is_pinged(autojump_clock: trio.testing.MockClock) -> None:
    async with an_upgrade(ws_keepalive_s=10) as (_, stream, app):
        await trio.sleep(3600)
        await stream.send_all(TO_APP)
        assert await app.exactly(len(TO_APP)) == TO_APP
        await app.send(TO_VISITOR)
        assert await stream.receive_some() == TO_VISITOR


# --- over TLS ------------------------------------------------------------------------------------

BIG = 2 << 20  # more than a stream has credit for, so that the rest waits under TLS


@asynccontextmanager
async def a_tls_upgrade(
    version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
) -> AsyncIterator[tuple[MemoryTunnel, TunnelStream, App]]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.maximum_version = version
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    origin = await listen("https")
    async with a_tunnel(Dialer(origin.target, insecure=True)) as tunnel:
        stream, app = await switched(tunnel, origin, context)
        yield tunnel, stream, app
    await origin.end()


TLS_VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@pytest.mark.parametrize("version", TLS_VERSIONS)
async def test_over_tls_the_visitors_end_is_a_close_notify_and_the_app_goes_on(
    version: ssl.TLSVersion,
) -> None:
    async with a_tls_upgrade(version) as (tunnel, stream, app):
        await stream.send_all(TO_APP)
        stream.send_eof()
        assert await app.rest() == TO_APP
        for _ in range(3):
            await app.send(TO_VISITOR)
            assert await stream.receive_some() == TO_VISITOR
        await app.close()  # with a close_notify
        assert await whole(stream) == b""
        await tunnel.all_over()
        assert tunnel.told.requests()[0][3] is None


@pytest.mark.parametrize("version", TLS_VERSIONS)
async def test_over_tls_what_the_app_had_sent_before_its_visitor_ended_comes_whole(
    version: ssl.TLSVersion,
) -> None:
    sent = TO_VISITOR * (BIG // len(TO_VISITOR))
    async with a_tls_upgrade(version) as (tunnel, stream, app), trio.open_nursery() as nursery:
        nursery.start_soon(app.send, sent)
        await trio.testing.wait_all_tasks_blocked(0.01)
        stream.send_eof()
        await trio.testing.wait_all_tasks_blocked(0.01)
        received = b""
        while len(received) < len(sent):
            received += await stream.receive_some()
        assert received == sent
        assert await app.rest() == b""
        await app.close()
        assert await whole(stream) == b""
        await tunnel.all_over()


async def test_over_tls_an_app_that_is_cut_off_behind_its_visitors_end_is_a_reset() -> None:
    async with a_tls_upgrade() as (tunnel, stream, app):
        stream.send_eof()
        assert await app.rest() == b""
        app.reset()
        assert (await broken(stream))[1] == "truncated"
        await tunnel.all_over()


async def test_over_tls_the_app_has_60_s_without_a_byte_as_well(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with a_tls_upgrade() as (tunnel, stream, app):
        stream.send_eof()
        assert await app.rest() == b""
        for _ in range(3):
            await trio.sleep(59)
            await app.send(TO_VISITOR)
            assert await stream.receive_some() == TO_VISITOR
        began = trio.current_time()
        assert (await broken(stream))[1] == "truncated"
        assert trio.current_time() - began == pytest.approx(60, abs=1)
        await tunnel.all_over()
