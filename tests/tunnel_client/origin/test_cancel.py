from __future__ import annotations

import pytest
import trio.testing

from protocol.errors import StreamReset
from tests.origin_fakes import OK, MemoryTunnel, a_shared_app
from tests.switched_apps import MASKED, a_websocket
from tunnel_client.observing.events import RequestEnded
from tunnel_client.origin.replay import CANCELLED, Replay

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n"


def under_way(tunnel: MemoryTunnel) -> Replay:
    [replay] = tunnel.dispatcher._busy
    return replay


def told(tunnel: MemoryTunnel) -> RequestEnded:
    [ended] = [event for _, event in tunnel.told._queue if isinstance(event, RequestEnded)]
    return ended


async def test_a_download_that_is_cancelled_is_cut_and_its_app_loses_the_connection() -> None:
    async with a_shared_app() as (tunnel, origin):
        stream = tunnel.open(b"GET", body=None)
        app = await origin.accept()
        await app.request()
        await app.send(CHUNKED)
        assert (await stream.receive_head()).status == 200
        assert await stream.receive_some() == b"first"
        assert tunnel.dispatcher.cancel(under_way(tunnel).stream)
        with pytest.raises(StreamReset):
            await stream.receive_some()
        assert await app.is_reset()
        await tunnel.dispatcher.wait_quiet()
        ended = told(tunnel)
        assert (ended.status, ended.bytes_out, ended.error) == (200, 5, CANCELLED)


async def test_what_waits_for_its_answer_is_cancelled_and_its_visitor_gets_an_error() -> None:
    async with a_shared_app() as (tunnel, origin):
        stream = tunnel.open(b"GET", body=None)
        app = await origin.accept()
        await app.request()
        assert tunnel.dispatcher.cancel(under_way(tunnel).stream)
        with pytest.raises(StreamReset) as reset:
            await stream.receive_head()
        assert reset.value.code == "cancelled"
        assert await app.is_reset()
        await tunnel.dispatcher.wait_quiet()
        assert told(tunnel).error == CANCELLED


async def test_an_upload_is_cancelled() -> None:
    async with a_shared_app() as (tunnel, origin):
        stream = tunnel.open(b"POST", body=10)
        app = await origin.accept()
        await stream.send_all(b"first")
        await app.request(5)
        assert tunnel.dispatcher.cancel(under_way(tunnel).stream)
        assert await app.is_reset()
        await tunnel.dispatcher.wait_quiet()
        assert (told(tunnel).bytes_in, told(tunnel).error) == (5, CANCELLED)


async def test_a_websocket_is_cancelled_as_by_the_tunnel() -> None:
    async with a_websocket() as (tunnel, stream, app):
        await stream.send_all(MASKED)
        await app.exactly(len(MASKED))
        replay = under_way(tunnel)
        assert tunnel.dispatcher.cancel(replay.stream)
        with pytest.raises(StreamReset):
            await stream.receive_some()
        assert await app.is_reset()
        await tunnel.dispatcher.wait_quiet()
        assert told(tunnel).error == CANCELLED
        assert replay.tap.socket == (1, 0, "tunnel", None, "reset")


async def test_what_is_over_cannot_be_cancelled_and_once_is_enough() -> None:
    async with a_shared_app() as (tunnel, origin):
        stream = tunnel.open(b"GET", body=None)
        app = await origin.accept()
        await app.request()
        replay = under_way(tunnel)
        assert tunnel.dispatcher.cancel(replay.stream)
        tunnel.dispatcher.cancel(replay.stream)
        await tunnel.dispatcher.wait_quiet()
        assert not tunnel.dispatcher.cancel(replay.stream)
        stream = tunnel.open(b"GET", body=None)
        app = await origin.accept()
        await app.request()
        await app.send(OK)
        assert (await stream.receive_head()).status == 200
        await trio.testing.wait_all_tasks_blocked(0.01)
