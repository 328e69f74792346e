"""What is replayed need not come out of a tunnel: here it comes out of memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from protocol.drivers.latch import Latch
from protocol.errors import StreamStopped
from protocol.http.fields import BodyForm, Fields
from protocol.mux.messages import Head, Open
from tests.origin_fakes import KEY, SWITCHED, RawOrigin, Told, listen
from tests.switched_apps import CLOSE, HELLO, MASKED
from tunnel_client.origin.dial import Dialer
from tunnel_client.origin.dispatch import Dispatcher
from tunnel_client.origin.tap import Tap
from tunnel_client.origin.visitor_stream import VisitorStream


def an_open(kind: str, method: bytes, body: BodyForm, *fields: tuple[bytes, bytes]) -> Open:
    if isinstance(body, int):
        fields = (*fields, (b"Content-Length", b"%d" % body))
    fields = ((b"Host", b"app.example"), *fields)
    return Open(
        *(kind, 1, method, b"/a?b", b"1.1", fields, body, "http", "app.example"),
        *("192.0.2.1", 0),
    )


class MemoryStream:
    """A request that is kept in memory, and what is answered to it."""

    def __init__(self, opened: Open, *pieces: bytes, ended: bool = True) -> None:
        self.opened = opened
        self.id = 7
        self.on_stopped: Callable[[], None] | None = None
        self.stopped: str | None = None
        self.detached = False
        self.trailers: Fields = ((b"X-Checksum", b"1"),)
        self.heads: list[Head] = []
        self.body = b""
        self.end: str | None = None
        self._pieces = list(pieces)
        self._ended = ended
        self._readable = Latch()

    @property
    def receive_ended(self) -> bool:
        return self._ended and not self._pieces

    @property
    def is_readable(self) -> bool:
        return bool(self._pieces) or self._ended

    def take_some(self) -> bytes:
        return self._pieces.pop(0) if self._pieces else b""

    async def receive_some(self) -> bytes:
        while not self.is_readable:
            await self.wait_readable()
        await trio.lowlevel.checkpoint()
        return self.take_some()

    async def wait_readable(self) -> None:
        await self._readable.wait()

    def wake_reader(self) -> None:
        self._readable.open()

    async def send_head(self, head: Head) -> None:
        self._raise_if_stopped()
        self.heads.append(head)
        await trio.lowlevel.checkpoint()

    async def send_all(self, data: bytes) -> None:
        self._raise_if_stopped()
        self.body += data
        await trio.lowlevel.checkpoint()

    def send_eof(self, trailers: Fields = ()) -> None:
        self.end = self.end or "end"

    def reset(self, code: str, message: str = "") -> None:
        self.end = self.end or code

    def stop_sending(self, code: str) -> None:
        self._pieces.clear()

    # --- what the test does ---

    def bring(self, *pieces: bytes, end: bool = False) -> None:
        self._pieces += pieces
        self._ended = end
        self.wake_reader()

    def stop(self) -> None:
        """Want no more of the answer."""
        self.stopped = "cancelled"
        assert self.on_stopped is not None
        self.on_stopped()

    def _raise_if_stopped(self) -> None:
        if self.stopped is not None:
            raise StreamStopped(self.stopped)


@asynccontextmanager
async def a_dispatcher(
    tap_for: Callable[[VisitorStream], Tap | None] | None = None,
) -> AsyncIterator[tuple[Dispatcher, RawOrigin, Told]]:
    origin = await listen()
    told = Told()
    async with trio.open_nursery() as tasks:
        dispatcher = Dispatcher(
            Dialer(origin.target), told, tasks, origin_timeout_s=600, tap_for=tap_for
        )
        yield dispatcher, origin, told
        tasks.cancel_scope.cancel()
    await origin.end()


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
