"""The account of a WebSocket: messages each way, by whom and by which code it was closed."""

from __future__ import annotations

import pytest
import trio.testing

from protocol.drivers.stream import TunnelStream
from protocol.http.websocket import FrameCutter
from tests.origin_fakes import OK, App, MemoryTunnel, a_shared_app
from tests.switched_apps import CLOSE, HELLO, MASKED, a_websocket
from tunnel_client.observing.events import RequestEnded, WebSocketOpened
from tunnel_client.origin.socket_tally import SocketEnd, SocketTally

APP_CLOSE = b"\x88\x02\x03\xe9"  # 1001
EMPTY_CLOSE = b"\x88\x80\0\0\0\0"  # of the visitor, without a code


async def visitor_closes(tunnel: MemoryTunnel, stream: TunnelStream, app: App) -> None:
    await stream.send_all(CLOSE)
    await app.exactly(len(CLOSE))
    await app.send(APP_CLOSE)
    await app.send_eof()
    stream.send_eof()


async def visitor_closes_without_a_code(
    tunnel: MemoryTunnel, stream: TunnelStream, app: App
) -> None:
    await stream.send_all(EMPTY_CLOSE)
    await app.exactly(len(EMPTY_CLOSE))
    await app.send_eof()
    stream.send_eof()


async def app_closes(tunnel: MemoryTunnel, stream: TunnelStream, app: App) -> None:
    await app.send(APP_CLOSE)
    assert await stream.receive_some() == APP_CLOSE
    await stream.send_all(CLOSE)
    stream.send_eof()
    await app.exactly(len(CLOSE))
    await app.send_eof()


async def visitor_ends(tunnel: MemoryTunnel, stream: TunnelStream, app: App) -> None:
    stream.send_eof()
    assert await app.rest() == b""
    await app.send_eof()


async def app_ends(tunnel: MemoryTunnel, stream: TunnelStream, app: App) -> None:
    await app.send_eof()
    assert await stream.receive_some() == b""
    stream.send_eof()


async def visitor_resets(tunnel: MemoryTunnel, stream: TunnelStream, app: App) -> None:
    stream.cancel("visitor-gone")


async def app_resets(tunnel: MemoryTunnel, stream: TunnelStream, app: App) -> None:
    app.reset()


async def session_is_lost(tunnel: MemoryTunnel, stream: TunnelStream, app: App) -> None:
    tunnel.client.close("lost")
    await app.exactly(8)
    await app.send_eof()


async def session_is_lost_in_a_frame(tunnel: MemoryTunnel, stream: TunnelStream, app: App) -> None:
    await stream.send_all(MASKED[:7])
    await app.exactly(7)
    tunnel.client.close("lost")


@pytest.mark.parametrize(
    ("end", "closed_by", "code", "how"),
    [
        (visitor_closes, "visitor", 1000, "close"),
        (visitor_closes_without_a_code, "visitor", None, "close"),
        (app_closes, "app", 1001, "close"),
        (visitor_ends, "visitor", None, "end"),
        (app_ends, "app", None, "end"),
        (visitor_resets, "visitor", None, "reset"),
        (app_resets, "app", None, "reset"),
        (session_is_lost, "tunnel", 1001, "close"),
        (session_is_lost_in_a_frame, "tunnel", None, "reset"),
    ],
)
async def test_the_first_sign_of_the_end_says_by_whom_and_how(
    end: object, closed_by: str, code: int | None, how: str
) -> None:
    assert callable(end)
    async with a_websocket() as (tunnel, stream, app):
        await stream.send_all(MASKED)
        await app.exactly(len(MASKED))
        await app.send(HELLO + b"\x89\x00" + HELLO)
        got = b""
        while len(got) < 2 * len(HELLO) + 2:
            got += await stream.receive_some()
        [replay] = tunnel.dispatcher._busy
        await end(tunnel, stream, app)
        await tunnel.dispatcher.wait_quiet()
        [(_, ended)] = [told for told in tunnel.told._queue if isinstance(told[1], RequestEnded)]
    assert isinstance(ended, RequestEnded)
    messages_in = 2 if end is session_is_lost_in_a_frame else 1
    assert ended[9:14] == ("websocket", messages_in, 2, closed_by, code)
    assert replay.tap.socket == (messages_in, 2, closed_by, code, how)


async def test_people_are_told_when_the_app_has_taken_it() -> None:
    async with a_websocket() as (tunnel, _, _):
        assert [told for _, told in tunnel.told._queue] == [WebSocketOpened(b"/")]


async def test_one_that_the_app_refuses_is_told_as_a_request() -> None:
    async with a_shared_app() as (tunnel, origin):
        stream = tunnel.open_websocket()
        app = await origin.accept()
        await app.request()
        await app.send(OK)
        assert (await stream.receive_head()).status == 200
        await app.send_eof()
        await trio.testing.wait_all_tasks_blocked(0.01)
        [(_, ended)] = tunnel.told._queue
        assert isinstance(ended, RequestEnded)
        assert ended[9:14] == ("websocket", None, None, None, None)


def test_what_has_settled_hears_nothing_more() -> None:
    to_app, from_app = FrameCutter(masked=True), FrameCutter(masked=False)
    tally = SocketTally(to_app, from_app)
    from_app.feed(HELLO + APP_CLOSE)
    assert repr(tally) == "<SocketTally closed by app, 1001>"
    assert tally.settle() == SocketEnd(0, 1, "app", 1001, "close")
    assert to_app.on_close is None
    to_app.feed(CLOSE)
