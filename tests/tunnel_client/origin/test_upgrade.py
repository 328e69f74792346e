from __future__ import annotations

import contextlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trio.testing
import trustme

from protocol.drivers.stream import TunnelStream
from tests.origin_fakes import (
    SWITCHED,
    App,
    MemoryTunnel,
    a_shared_app,
    a_tunnel,
    broken,
    failure,
    listen,
    listen_unix,
    whole,
)
from tests.switched_apps import CLOSE, HELLO, MASKED, a_websocket, switched
from tunnel_client.origin.dial import Dialer

APPS_CLOSE = b"\x88\x02\x03\xe8"


@asynccontextmanager
async def a_websocket_over_tls() -> AsyncIterator[tuple[MemoryTunnel, TunnelStream, App]]:
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    origin = await listen("https")
    async with a_tunnel(Dialer(origin.target, insecure=True)) as tunnel:
        stream, app = await switched(tunnel, origin, tls=context)
        yield tunnel, stream, app
    await origin.end()


# --- frames --------------------------------------------------------------------------------------


async def test_what_stands_behind_the_101_is_the_first_data() -> None:
    async with a_shared_app() as (tunnel, origin):
        stream, _ = await switched(tunnel, origin, HELLO)
        assert await stream.receive_some() == HELLO


async def test_frames_cross_verbatim_both_ways_and_are_counted() -> None:
    async with a_websocket() as (tunnel, stream, app):
        await stream.send_all(MASKED)
        assert await app.exactly(len(MASKED)) == MASKED
        await app.send(HELLO)
        assert await stream.receive_some() == HELLO
        stream.send_eof()
        assert await app.rest() == b""
        await app.close()
        assert await whole(stream) == b""
        await tunnel.all_over()
        assert tunnel.told.requests() == [(101, len(MASKED), len(HELLO), None, 0)]


async def test_a_control_frame_is_held_until_it_is_whole() -> None:
    async with a_websocket() as (_, stream, app):
        await stream.send_all(MASKED + CLOSE[:4])
        assert await app.exactly(len(MASKED)) == MASKED
        await stream.send_all(CLOSE[4:])
        assert await app.exactly(len(CLOSE)) == CLOSE


async def test_what_is_held_when_the_visitor_ends_still_goes_out() -> None:
    async with a_websocket() as (_, stream, app):
        await stream.send_all(CLOSE[:4])
        stream.send_eof()
        assert await app.rest() == CLOSE[:4]


async def test_illegal_frames_go_on_verbatim_for_the_app_to_judge() -> None:
    illegal = MASKED[:3] + b"\x83\0" + MASKED
    async with a_websocket() as (_, stream, app):
        await stream.send_all(CLOSE[:1])
        await stream.send_all(illegal)
        assert await app.exactly(len(illegal) + 1) == CLOSE[:1] + illegal
        await stream.send_all(MASKED[:3])
        assert await app.exactly(3) == MASKED[:3]


@pytest.mark.parametrize(
    "answer",
    [
        SWITCHED.replace(b"s3pP", b"AAAA"),
        SWITCHED.replace(b"Upgrade: websocket\r\n", b""),
        SWITCHED.replace(b"Connection: Upgrade\r\n", b""),
    ],
)
async def test_a_101_that_does_not_answer_the_key_is_an_origin_protocol_error(
    answer: bytes,
) -> None:
    async with a_shared_app() as (tunnel, origin):
        stream = tunnel.open_websocket()
        app = await origin.accept()
        await app.request()
        await app.send(answer)
        assert (await failure(stream))[0] == "origin-protocol-error"
        assert await app.is_reset()


# --- ends as they came ---------------------------------------------------------------------------


async def test_the_apps_end_leaves_the_other_direction_open() -> None:
    async with a_websocket() as (tunnel, stream, app):
        await app.send_eof()
        assert await whole(stream) == b""
        await stream.send_all(MASKED)
        assert await app.exactly(len(MASKED)) == MASKED
        stream.send_eof()
        assert await app.rest() == b""
        await tunnel.all_over()
        assert tunnel.told.requests()[0][3] is None


async def test_the_visitors_end_leaves_the_other_direction_open() -> None:
    async with a_websocket() as (tunnel, stream, app):
        stream.send_eof()
        assert await app.rest() == b""
        await app.send(HELLO)
        await app.send_eof()
        assert await whole(stream) == HELLO
        await tunnel.all_over()


async def test_half_close_works_on_a_unix_socket(tmp_path: Path) -> None:
    origin = await listen_unix(tmp_path)
    async with a_tunnel(Dialer(origin.target)) as tunnel:
        stream, app = await switched(tunnel, origin)
        stream.send_eof()
        assert await app.rest() == b""
        await app.send(HELLO)
        await app.send_eof()
        assert await whole(stream) == HELLO
    await origin.end()


async def test_a_reset_of_the_app_is_a_reset_after_what_it_had_sent() -> None:
    async with a_websocket() as (tunnel, stream, app):
        await app.send(HELLO * 1000)
        assert await stream.receive_some()
        await trio.testing.wait_all_tasks_blocked(0.01)
        app.reset()
        rest, code, message = await broken(stream)
        assert (len(rest) % 4, code) == (0, "truncated")
        assert "the app reset" in message
        await tunnel.all_over()


async def test_what_the_app_had_sent_before_its_reset_arrives_also_without_credit() -> None:
    async with a_websocket() as (tunnel, stream, app):
        size = 40_000  # more than a first credit, less than what is held unsent
        await app.send(bytes(size))
        await trio.testing.wait_all_tasks_blocked(0.01)
        app.reset()
        await trio.testing.wait_all_tasks_blocked(0.01)
        rest, code, _ = await broken(stream)
        assert (len(rest), code) == (size, "truncated")
        await tunnel.all_over()


@pytest.mark.parametrize("in_a_frame", [False, True])
async def test_a_visitor_who_resets_resets_the_app_and_adds_no_frame(in_a_frame: bool) -> None:
    async with a_websocket() as (tunnel, stream, app):
        sent = MASKED[:7] if in_a_frame else MASKED
        await stream.send_all(sent)
        assert await app.exactly(len(sent)) == sent
        stream.cancel("visitor-gone")
        with pytest.raises(trio.BrokenResourceError):
            assert not await app.stream.receive_some()
        await tunnel.all_over()
        assert tunnel.told.requests()[0][3] == "the visitor went away"


async def test_one_that_a_stopping_server_resets_is_told_as_such() -> None:
    async with a_websocket() as (tunnel, stream, app):
        tunnel.server.goaway("shutting-down", "the server stops", 8)
        stream.cancel("visitor-gone")
        assert await app.is_reset()
        await tunnel.all_over()
        assert tunnel.told.requests()[0][3] == "the server is stopping"


async def test_a_visitor_who_leaves_while_the_app_takes_nothing_resets_the_app() -> None:
    async with a_websocket() as (tunnel, stream, app):
        with trio.move_on_after(0.2):
            await stream.send_all(bytes(32 * 1024 * 1024))
        stream.cancel("visitor-gone")
        assert await app.is_reset()
        await tunnel.all_over()


async def refused(stream: TunnelStream, frame: bytes) -> None:
    """The app is gone: the first meets no error yet."""
    for _ in range(2):
        await stream.send_all(frame)
        await trio.testing.wait_all_tasks_blocked(0.01)


async def test_an_app_that_is_gone_has_cut_off_what_its_visitor_sends() -> None:
    async with a_websocket() as (tunnel, stream, app):
        await app.close()
        assert await whole(stream) == b""
        await refused(stream, MASKED)
        assert stream.stopped == "truncated"
        await tunnel.all_over()
        assert "the app is gone" in str(tunnel.told.requests()[0][3])


async def test_but_not_the_answer_to_its_close() -> None:
    async with a_websocket() as (tunnel, stream, app):
        await app.send(APPS_CLOSE)
        await app.close()
        assert await whole(stream) == APPS_CLOSE
        await refused(stream, CLOSE)
        assert stream.stopped == "truncated"
        await tunnel.all_over()
        assert tunnel.told.requests()[0][3] is None


@pytest.mark.parametrize("closes", [False, True])
async def test_an_app_that_takes_no_more_is_heard_to_its_end(tmp_path: Path, closes: bool) -> None:
    origin = await listen_unix(tmp_path)
    async with a_tunnel(Dialer(origin.target)) as tunnel:
        stream, app = await switched(tunnel, origin)
        assert isinstance(app.stream, trio.SocketStream)
        app.stream.socket.shutdown(trio.socket.SHUT_RD)
        await stream.send_all(MASKED)
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert stream.stopped == "truncated"
        said = HELLO + APPS_CLOSE * closes
        await app.send(said)
        await app.send_eof()
        if closes:
            assert await whole(stream) == said
        else:
            assert (await broken(stream))[:2] == (said, "truncated")
        await tunnel.all_over()
    await origin.end()


async def test_a_half_closed_websocket_ends_after_a_minute_without_a_byte(
    mock_clock: trio.testing.MockClock,
) -> None:
    async with a_websocket() as (tunnel, stream, app):
        stream.send_eof()
        assert await app.rest() == b""
        for _ in range(3):
            mock_clock.jump(59)
            await app.send(HELLO)
            assert await stream.receive_some() == HELLO
        mock_clock.jump(60)
        assert (await broken(stream))[1] == "truncated"
        await tunnel.all_over()


async def test_the_time_of_a_half_closed_websocket_stands_still_without_a_connection(
    mock_clock: trio.testing.MockClock,
) -> None:
    async with a_websocket() as (tunnel, stream, app):
        stream.send_eof()
        assert await app.rest() == b""
        tunnel.client.detached_at = trio.current_time()
        for _ in range(3):
            mock_clock.jump(59)
            await trio.testing.wait_all_tasks_blocked(0.01)
        tunnel.client.detached_at = None
        await app.send(HELLO)
        assert await stream.receive_some() == HELLO
        mock_clock.jump(61)
        assert (await broken(stream))[1] == "truncated"
        await tunnel.all_over()


async def test_an_idle_websocket_has_no_limit(mock_clock: trio.testing.MockClock) -> None:
    async with a_websocket() as (_, stream, app):
        mock_clock.jump(100_000)
        await trio.testing.wait_all_tasks_blocked(0.01)
        await app.send(HELLO)
        assert await stream.receive_some() == HELLO


# --- TLS -----------------------------------------------------------------------------------------


async def test_over_tls_the_apps_end_gives_the_other_direction_10_s(
    mock_clock: trio.testing.MockClock,
) -> None:
    async with a_websocket_over_tls() as (tunnel, stream, app):
        await close_notify(app)
        assert await whole(stream) == b""
        mock_clock.jump(9.9)
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert stream.stopped is None
        mock_clock.jump(0.1)
        await tunnel.all_over()
        assert stream.stopped == "no-error"


async def close_notify(app: App) -> None:
    """End the app's direction of TLS and keep its socket."""
    assert isinstance(app.stream, trio.SSLStream)
    with contextlib.suppress(ssl.SSLWantReadError):
        app.stream._ssl_object.unwrap()
    await app.stream.transport_stream.send_all(app.stream._outgoing.read())


async def test_over_tls_the_visitors_end_gives_the_app_10_s_and_then_a_clean_end(
    mock_clock: trio.testing.MockClock,
) -> None:
    async with a_websocket_over_tls() as (tunnel, stream, app):
        stream.send_eof()
        await trio.testing.wait_all_tasks_blocked(0.01)
        await app.send(HELLO)
        assert await stream.receive_some() == HELLO
        mock_clock.jump(10)
        assert (await broken(stream))[1] == "truncated"
        assert await app.rest() == b""  # a close_notify
        await tunnel.all_over()


async def test_over_tls_an_end_without_close_notify_is_a_reset() -> None:
    async with a_websocket_over_tls() as (_, stream, app):
        assert isinstance(app.stream, trio.SSLStream)
        await app.stream.transport_stream.aclose()
        assert (await broken(stream))[1] == "truncated"
