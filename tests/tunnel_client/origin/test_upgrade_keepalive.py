"""Pings of ours to an app whose WebSocket is idle (`--ws-keepalive`)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from protocol.drivers.stream import TunnelStream
from tests.origin_fakes import App, MemoryTunnel, a_shared_app, whole
from tests.switched_apps import CLOSE, HELLO, MASKED, switched, unmasked

AFTER_S = 20
PING_BYTES = 22
PONG = b"\x8a\x10"
VISITORS_PING = b"\x89\x83\0\0\0\0abc"
ITS_PONG = b"\x8a\x03abc"


@asynccontextmanager
async def a_websocket(
    behind: bytes = b"",
) -> AsyncIterator[tuple[MemoryTunnel, TunnelStream, App]]:
    async with a_shared_app(ws_keepalive_s=AFTER_S) as (tunnel, origin):
        stream, app = await switched(tunnel, origin, behind)
        yield tunnel, stream, app


async def pass_time(clock: MockClock, seconds: float) -> None:
    """Second by second, so that the sweep looks at each."""
    await wait_all_tasks_blocked(0.01)
    for _ in range(int(seconds)):
        clock.jump(1)
        await wait_all_tasks_blocked(0.001)
    await wait_all_tasks_blocked(0.01)


async def pinged(app: App) -> bytes:
    """The payload of a ping that is there."""
    with trio.fail_after(1):
        ping = await app.exactly(PING_BYTES)
    assert ping[:2] == b"\x89\x90"
    return unmasked(ping)


async def nothing_comes(app: App) -> None:
    got: list[bytes] = []
    async with trio.open_nursery() as nursery:

        async def read() -> None:
            got.append(await app.exactly(1))

        nursery.start_soon(read)
        await wait_all_tasks_blocked(0.01)
        nursery.cancel_scope.cancel()
    assert got == []


async def test_an_idle_app_is_pinged_and_its_pong_does_not_cross(mock_clock: MockClock) -> None:
    async with a_websocket() as (tunnel, stream, app):
        payloads = set()
        for _ in range(3):
            await pass_time(mock_clock, AFTER_S + 1)
            payload = await pinged(app)
            payloads.add(payload)
            await app.send(PONG + payload)
        assert len(payloads) == 3
        await app.send(HELLO)
        assert await stream.receive_some() == HELLO
        stream.send_eof()
        await app.close()
        assert await whole(stream) == b""
        await tunnel.all_over()
        assert tunnel.told.requests() == [(101, 0, len(HELLO), None, 0)]  # ours do not count


async def test_each_has_a_fresh_mask(mock_clock: MockClock) -> None:
    async with a_websocket() as (_, _, app):
        masks = set()
        for _ in range(3):
            await pass_time(mock_clock, AFTER_S + 1)
            ping = await app.exactly(PING_BYTES)
            masks.add(ping[2:6])
            await app.send(PONG + unmasked(ping))
        assert len(masks) == 3


async def test_the_pong_is_cut_out_of_what_came_with_it(mock_clock: MockClock) -> None:
    async with a_websocket() as (_, stream, app):
        await pass_time(mock_clock, AFTER_S + 1)
        pong = PONG + await pinged(app)
        await app.send(HELLO + pong[:5])
        assert await stream.receive_some() == HELLO
        await app.send(pong[5:] + ITS_PONG + HELLO)
        assert await stream.receive_some() == ITS_PONG + HELLO


async def test_what_stands_behind_the_101_passes_the_same_cutter(mock_clock: MockClock) -> None:
    async with a_websocket(behind=b"\x82\x7e\x01\x00" + bytes(100)) as (_, stream, app):
        assert len(await stream.receive_some()) == 104
        await app.send(bytes(156) + HELLO + ITS_PONG[:3])
        assert await stream.receive_some() == bytes(156) + HELLO
        await app.send(ITS_PONG[3:])
        assert await stream.receive_some() == ITS_PONG


async def test_what_goes_to_the_app_puts_it_off_and_what_comes_does_not(
    mock_clock: MockClock,
) -> None:
    async with a_websocket() as (_, stream, app):
        for _ in range(3):
            await pass_time(mock_clock, AFTER_S - 5)
            await stream.send_all(MASKED)
            assert await app.exactly(len(MASKED)) == MASKED
        await pass_time(mock_clock, AFTER_S - 5)
        await app.send(HELLO)
        assert await stream.receive_some() == HELLO
        await pass_time(mock_clock, 6)
        await pinged(app)


async def test_there_is_no_second_while_one_is_unanswered(mock_clock: MockClock) -> None:
    async with a_websocket() as (_, _, app):
        await pass_time(mock_clock, AFTER_S + 1)
        payload = await pinged(app)
        await pass_time(mock_clock, 3 * AFTER_S)
        await nothing_comes(app)
        await app.send(PONG + payload)
        await pass_time(mock_clock, 2)
        await pinged(app)


async def test_there_is_none_while_the_visitors_own_is_unanswered(mock_clock: MockClock) -> None:
    async with a_websocket() as (_, stream, app):
        await stream.send_all(VISITORS_PING)
        assert await app.exactly(len(VISITORS_PING)) == VISITORS_PING
        await pass_time(mock_clock, 3 * AFTER_S)
        await nothing_comes(app)
        await app.send(ITS_PONG)
        assert await stream.receive_some() == ITS_PONG
        await pass_time(mock_clock, 2)
        await pinged(app)


async def test_there_is_none_without_the_flag(mock_clock: MockClock) -> None:
    async with a_shared_app() as (tunnel, origin):
        _, app = await switched(tunnel, origin)
        await pass_time(mock_clock, 3 * AFTER_S)
        await nothing_comes(app)


async def test_there_is_none_in_the_middle_of_a_frame(mock_clock: MockClock) -> None:
    async with a_websocket() as (_, stream, app):
        await stream.send_all(MASKED[:-1])
        assert await app.exactly(len(MASKED) - 1) == MASKED[:-1]
        await pass_time(mock_clock, 3 * AFTER_S)
        await nothing_comes(app)
        await stream.send_all(MASKED[-1:])
        assert await app.exactly(1) == MASKED[-1:]
        await pass_time(mock_clock, AFTER_S + 1)
        await pinged(app)


@pytest.mark.parametrize("last", [CLOSE, b"\x83\x80"])
async def test_there_is_none_after_what_ends_the_visitors_frames(
    mock_clock: MockClock, last: bytes
) -> None:
    async with a_websocket() as (_, stream, app):
        await stream.send_all(last)
        assert await app.exactly(len(last)) == last
        await pass_time(mock_clock, 3 * AFTER_S)
        await nothing_comes(app)


@pytest.mark.parametrize("last", [b"\x88\x02\x03\xe8", b"\x83\x00"])
async def test_there_is_none_after_what_ends_the_apps_frames(
    mock_clock: MockClock, last: bytes
) -> None:
    async with a_websocket() as (_, stream, app):
        await app.send(last)
        assert await stream.receive_some() == last
        await pass_time(mock_clock, 3 * AFTER_S)
        await nothing_comes(app)


@pytest.mark.parametrize("of_app", [False, True])
async def test_there_is_none_once_one_direction_has_ended(
    mock_clock: MockClock, of_app: bool
) -> None:
    async with a_websocket() as (tunnel, stream, app):
        if of_app:
            await app.send_eof()
            assert await whole(stream) == b""
        else:
            stream.send_eof()
        await pass_time(mock_clock, 61)  # and it ends as it would without
        assert await app.rest() == b""
        await tunnel.all_over()


async def test_a_part_of_a_control_frame_before_the_apps_end_crosses(
    mock_clock: MockClock,
) -> None:
    async with a_websocket() as (_, stream, app):
        await app.send(HELLO + ITS_PONG[:4])
        await app.send_eof()
        assert await whole(stream) == HELLO + ITS_PONG[:4]


async def test_an_app_that_does_not_read_gets_one_and_what_follows_it_in_order(
    mock_clock: MockClock,
) -> None:
    async with a_websocket() as (_, stream, app):
        await pass_time(mock_clock, AFTER_S + 1)
        await stream.send_all(MASKED)
        await pass_time(mock_clock, 3 * AFTER_S)
        await pinged(app)
        assert await app.exactly(len(MASKED)) == MASKED
        await nothing_comes(app)


async def test_when_the_session_is_lost_there_is_no_ping_before_the_close(
    mock_clock: MockClock,
) -> None:
    async with a_websocket() as (tunnel, stream, app):
        await stream.send_all(MASKED)
        await app.exactly(len(MASKED))
        mock_clock.jump(0.5)  # from now on the sweep looks half a second late
        await pass_time(mock_clock, AFTER_S - 1)
        mock_clock.jump(0.6)
        tunnel.client.close("lost")  # it is due, and the sweep has not looked
        close = await app.exactly(8)
        assert close[0] == 0x88
        await app.close()
        await tunnel.dispatcher.wait_quiet()
