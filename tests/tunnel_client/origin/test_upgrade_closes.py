"""The ends of a WebSocket that the client makes."""

from __future__ import annotations

import trio
import trio.testing

from protocol.drivers.stream import TunnelStream
from tests.switched_apps import CLOSE, HELLO, MASKED, a_websocket, unmasked

# --- the session is lost -------------------------------------------------------------------------


async def test_when_the_session_is_lost_the_app_gets_1001_and_may_answer() -> None:
    async with a_websocket() as (tunnel, stream, app):
        await stream.send_all(MASKED)
        assert await app.exactly(len(MASKED)) == MASKED
        tunnel.client.close("lost")
        frame = await app.exactly(8)
        assert frame[0] == 0x88
        assert unmasked(frame) == (1001).to_bytes(2, "big")
        await app.send(HELLO)  # is dropped
        await app.send(b"\x88\x02\x03\xe9")
        await app.send_eof()
        assert await app.rest() == b""
        await tunnel.dispatcher.wait_quiet()
        assert tunnel.told.requests()[0][3] == "the connection to the server was lost"


async def test_each_close_has_a_fresh_mask() -> None:
    masks = set()
    for _ in range(2):
        async with a_websocket() as (tunnel, _, app):
            tunnel.client.close("lost")
            masks.add((await app.exactly(8))[2:6])
    assert len(masks) == 2


async def test_an_app_that_does_not_answer_the_1001_gets_an_end_after_2_s(
    mock_clock: trio.testing.MockClock,
) -> None:
    async with a_websocket() as (tunnel, _, app):
        tunnel.client.close("lost")
        await app.exactly(8)
        mock_clock.jump(1.9)
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert tunnel.dispatcher.busy_count == 1
        mock_clock.jump(0.1)
        assert await app.rest() == b""


async def test_in_the_middle_of_a_frame_the_app_is_reset_instead() -> None:
    async with a_websocket() as (tunnel, stream, app):
        await stream.send_all(MASKED[:7])
        await app.exactly(7)
        tunnel.client.close("lost")
        assert await app.is_reset()
        await tunnel.dispatcher.wait_quiet()


async def test_after_an_illegal_frame_nobody_knows_where_a_close_fits() -> None:
    async with a_websocket() as (tunnel, stream, app):
        await stream.send_all(b"\x83\x80")
        await app.exactly(2)
        tunnel.client.close("lost")
        assert await app.is_reset()


async def test_after_the_visitors_close_no_other_is_sent(
    mock_clock: trio.testing.MockClock,
) -> None:
    async with a_websocket() as (tunnel, stream, app):
        await stream.send_all(CLOSE)
        assert await app.exactly(len(CLOSE)) == CLOSE
        tunnel.client.close("lost")
        await trio.testing.wait_all_tasks_blocked(0.01)
        mock_clock.jump(2)
        assert await app.rest() == b""


async def test_after_the_visitors_end_the_app_is_closed_at_once_when_the_session_is_lost(
    mock_clock: trio.testing.MockClock,
) -> None:
    async with a_websocket() as (tunnel, stream, app):
        stream.send_eof()
        assert await app.rest() == b""
        tunnel.client.close("lost")
        await tunnel.dispatcher.wait_quiet()


async def test_an_app_that_takes_nothing_is_reset_2_s_after_the_session_was_lost(
    mock_clock: trio.testing.MockClock,
) -> None:
    async with a_websocket() as (tunnel, stream, app):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send_for_ever, stream)
            await trio.testing.wait_all_tasks_blocked(0.05)
            nursery.cancel_scope.cancel()
        tunnel.client.close("lost")
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert tunnel.dispatcher.busy_count == 1
        mock_clock.jump(2)
        await tunnel.dispatcher.wait_quiet()
        assert await app.is_reset()


async def send_for_ever(stream: TunnelStream) -> None:
    """Short frames, so that each message of the session ends between two of them."""
    while True:
        await stream.send_all(MASKED * 100_000)
