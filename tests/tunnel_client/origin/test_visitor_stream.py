"""What is replayed need not come out of a tunnel: here it comes out of memory."""

from __future__ import annotations

import pytest
from trio.testing import wait_all_tasks_blocked

from tests.memory_streams import MemoryStream, a_dispatcher, an_open
from tests.origin_fakes import KEY, SWITCHED
from tests.switched_apps import CLOSE, HELLO, MASKED


async def test_a_request_in_pieces_reaches_the_app_and_its_answer_comes_back() -> None:
    async with a_dispatcher() as (dispatcher, origin, told):
        opened = an_open("http", b"POST", 6, (b"X-Dup", b"1"), (b"X-Dup", b"2"))
        stream = MemoryStream(opened, b"ab", b"cdef")
        dispatcher.serve(stream)
        app = await origin.accept()
        request = await app.request(body_bytes=6)
        assert request.startswith(b"POST /a?b HTTP/1.1\r\n")
        assert b"X-Dup: 1\r\nX-Dup: 2\r\n" in request
        assert request.endswith(b"\r\n\r\nabcdef")
        await app.send(b"HTTP/1.1 201 Created\r\nContent-Length: 3\r\n\r\nyes")
        await dispatcher.wait_quiet()
        assert ([head.status for head in stream.heads], stream.body) == ([201], b"yes")
        assert stream.end == "end"
        assert told.requests() == [(201, 6, 3, None, 0)]


async def test_a_chunked_request_that_comes_later_keeps_its_trailers() -> None:
    async with a_dispatcher() as (dispatcher, origin, _):
        stream = MemoryStream(
            an_open("http", b"PUT", "chunked", (b"Transfer-Encoding", b"chunked")), ended=False
        )
        dispatcher.serve(stream)
        app = await origin.accept()
        await app.request()
        stream.bring(b"abc", end=True)
        assert await app.exactly(8) == b"3\r\nabc\r\n"
        last = b"0\r\nX-Checksum: 1\r\n\r\n"
        assert await app.exactly(len(last)) == last


async def test_a_websocket_passes_both_ways_and_ends() -> None:
    async with a_dispatcher() as (dispatcher, origin, told):
        opened = an_open("websocket", b"GET", None, (b"Sec-WebSocket-Key", KEY))
        stream = MemoryStream(opened, ended=False)
        dispatcher.serve(stream)
        app = await origin.accept()
        await app.request()
        await app.send(SWITCHED + HELLO)
        for _ in range(3):
            stream.bring(MASKED)
            assert await app.exactly(len(MASKED)) == MASKED
        stream.bring(CLOSE, end=True)
        assert await app.rest() == CLOSE
        await app.close()
        await dispatcher.wait_quiet()
        assert ([head.status for head in stream.heads], stream.body) == ([101], HELLO)
        assert stream.end == "end"
        assert told.requests() == [(101, 3 * len(MASKED) + len(CLOSE), len(HELLO), None, 0)]


@pytest.mark.parametrize("kind", ["http", "websocket"])
async def test_when_no_more_is_wanted_the_app_sees_a_reset(kind: str) -> None:
    async with a_dispatcher() as (dispatcher, origin, told):
        key = ((b"Sec-WebSocket-Key", KEY),) if kind == "websocket" else ()
        stream = MemoryStream(an_open(kind, b"GET", None, *key), ended=kind == "http")
        dispatcher.serve(stream)
        app = await origin.accept()
        await app.request()
        if kind == "websocket":
            await app.send(SWITCHED)
        await wait_all_tasks_blocked(0.01)
        stream.stop()
        assert await app.is_reset()
        await dispatcher.wait_quiet()
        assert told.requests()[0][3] == "the visitor went away"
