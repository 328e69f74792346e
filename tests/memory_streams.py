"""A visitor's request in memory: what can be given to a Dispatcher without a tunnel."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import trio

from protocol.drivers.bonds import VisitorConnection
from protocol.drivers.latch import Latch
from protocol.errors import StreamStopped
from protocol.http.fields import BodyForm, Fields
from protocol.mux.messages import Head, Open
from tests.origin_fakes import RawOrigin, Told, listen
from tunnel_client.origin.dial import Dialer
from tunnel_client.origin.dispatch import Dispatcher
from tunnel_client.origin.tap import OriginTap
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
        self.visitor_connection: VisitorConnection | None = None
        self.on_stopped: Callable[[], None] | None = None
        self.on_gone: Callable[[], None] | None = None
        self.stopped: str | None = None
        self.reset_code: str | None = None
        self.detached = False
        self.server_stops = False
        self.unsent_bytes = 0
        self.waits_for_visitor = False
        self.request_progress: tuple[int, int | None] = 0, None
        self.answer_progress: tuple[int, int | None] = 0, None
        self.trailers: Fields = ((b"X-Checksum", b"1"),)
        self.heads: list[Head] = []
        self.body = b""
        self.end: str | None = None
        self._pieces = list(pieces)
        self._ended = ended
        self._readable = Latch()

    def log_by(self, logger: logging.Logger) -> logging.Logger:
        return logger

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

    def cancel(self, code: str) -> None:
        self.reset(code)
        self.stop_sending(code)

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
    tap_for: Callable[[VisitorStream], OriginTap | None] | None = None,
    *,
    ws_keepalive_s: float = 0.0,
) -> AsyncIterator[tuple[Dispatcher, RawOrigin, Told]]:
    origin = await listen()
    told = Told()
    async with trio.open_nursery() as tasks:
        dispatcher = Dispatcher(
            Dialer(origin.target),
            told,
            tasks,
            origin_timeout_s=600,
            ws_keepalive_s=ws_keepalive_s,
            tap_for=tap_for,
        )
        yield dispatcher, origin, told
        tasks.cancel_scope.cancel()
    await origin.end()
