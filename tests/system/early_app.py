"""An app that answers before it has read the request, in ways that `HOWS` names, byte for byte.

It tells what came of each body, by hash. The target is `/HOW?NUMBER`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Final, Literal, NamedTuple

import h11
import trio

from protocol.drivers.sockets import drop

# What it does behind its answer: reads to the end and goes on with the next request, or closes
# then; ends its direction and reads on; resets; or closes at once, which is a reset as well, since
# it has read nothing.
Then = Literal["keeps", "closes", "ends", "resets", "leaves"]

# More than all buffers hold, and what a tunnel carries in a second or less.
LONG_ANSWER_BYTES: Final = 8 << 20
READ_BYTES: Final = 64 << 10


class How(NamedTuple):
    """An early answer, and what comes behind it."""

    answer: bytes
    then: Then = "keeps"
    waits: Literal["", "to answer", "to leave"] = ""  # for `go`
    chunked: bool = False
    slow: bool = False  # it answers with a byte for each piece that it has read


def _says(line: bytes, *fields: bytes, body: bytes = b"ok") -> bytes:
    length = b"Content-Length: %d\r\n" % len(body)
    return line + b"\r\n" + b"".join(field + b"\r\n" for field in fields) + length + b"\r\n" + body


_202, _413, _CLOSE = b"HTTP/1.1 202 Accepted", b"HTTP/1.1 413 Too Large", b"Connection: close"
_OLD, _KEEP = b"HTTP/1.0 202 Accepted", b"Connection: keep-alive"

HOWS: Final = {
    "202": How(_says(_202)),
    "202-closes": How(_says(_202, _CLOSE), "closes"),
    "202-old": How(_says(_OLD), "closes"),
    "202-old-kept": How(_says(_OLD, _KEEP)),
    "202-chunked": How(
        _202 + b"\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", chunked=True
    ),
    "202-long": How(_says(_202, body=bytes(LONG_ANSWER_BYTES))),
    "413-drained": How(_says(_413)),
    "413-drained-closes": How(_says(_413, _CLOSE), "closes"),
    "202-ends-later": How(_says(_202), "ends", waits="to leave"),
    "202-resets-later": How(_says(_202), "resets", waits="to leave"),
    "413-leaves": How(_says(_413, _CLOSE), "leaves"),
    "413-ends": How(_says(_413), "ends"),
    "413-resets": How(_says(_413), "resets", waits="to leave"),
    "413-ends-later": How(_says(_413), "ends", waits="to leave"),
    "413-later": How(_says(_413), "ends", waits="to answer"),
    "old-until-close": How(_OLD + b"\r\n\r\nok", "ends"),
    "": How(_says(_202, _CLOSE), "closes"),  # the client's own look at it
    "slow": How(_202 + b"\r\nTransfer-Encoding: chunked\r\n\r\n", slow=True),
}


class Taken(NamedTuple):
    """What came of one request."""

    sha256: str
    size: int
    whole: bool


class EarlyApp:
    """Attributes:
    port: its own, on 127.0.0.1.
    connections: how many it has accepted.
    """

    def __init__(self) -> None:
        self.port = 0
        self.connections = 0
        self._taken: dict[str, Taken] = {}
        self._events: dict[tuple[str, str], trio.Event] = {}

    async def serve(self, nursery: trio.Nursery) -> EarlyApp:
        listeners = await nursery.start(partial(trio.serve_tcp, self._handle, 0, host="127.0.0.1"))
        self.port = listeners[0].socket.getsockname()[1]
        return self

    def go(self, number: str) -> None:
        """What waits at this request may go on."""
        self._event(number, "go").set()

    async def asked(self, number: str) -> None:
        """Wait until this request has come."""
        await self._event(number, "asked").wait()

    async def left(self, number: str) -> None:
        """Wait until this answer's connection was ended or reset."""
        await self._event(number, "left").wait()

    async def taken(self, number: str) -> Taken:
        """What came of this request, once its end, or that of its connection, has come."""
        await self._event(number, "taken").wait()
        return self._taken[number]

    def _event(self, number: str, what: str) -> trio.Event:
        return self._events.setdefault((number, what), trio.Event())

    async def _handle(self, stream: trio.SocketStream) -> None:
        self.connections += 1
        rest = b""
        broken = (trio.BrokenResourceError, trio.ClosedResourceError, h11.RemoteProtocolError)
        with suppress(*broken):
            while (further := await self._serve_one(stream, rest)) is not None:
                rest = further

    async def _serve_one(self, stream: trio.SocketStream, rest: bytes) -> bytes | None:
        """Returns what came behind the request; None: no other is wanted."""
        reading = h11.Connection(h11.SERVER)
        if rest:
            reading.receive_data(rest)
        request = await _next(reading, stream)
        if not isinstance(request, h11.Request):
            return None
        target, _, number = request.target.decode().partition("?")
        if target == "/next":
            await _next(reading, stream)
            await stream.send_all(_says(b"HTTP/1.1 200 OK", body=b"next"))
            return bytes(reading.trailing_data[0])
        self._event(number, "asked").set()
        how = HOWS[target[1:]]
        if how.chunked and request.http_version == b"1.0":  # which has no chunks
            how = HOWS["old-until-close"]
        further = await self._answer(stream, reading, how, number)
        return further if _keeps_alive(request) else None

    async def _answer(
        self, stream: trio.SocketStream, reading: h11.Connection, how: How, number: str
    ) -> bytes | None:
        if how.waits == "to answer":
            await self._event(number, "go").wait()
        async with trio.open_nursery() as nursery:
            if how.slow:
                await _send_while_taken(stream, how.answer)
            else:  # behind a long answer it reads all the same
                nursery.start_soon(_send_while_taken, stream, how.answer)
            if how.then in ("keeps", "closes"):
                more = partial(stream.send_all, b"1\r\nx\r\n") if how.slow else None
                await self._take(stream, reading, number, more)
                if how.slow:
                    await stream.send_all(b"0\r\n\r\n")
        if how.then == "keeps" and self._taken[number].whole:
            return bytes(reading.trailing_data[0])
        if how.waits == "to leave":
            await self._event(number, "go").wait()
        if how.then == "resets":
            drop(stream, reset=True)
        elif how.then == "ends":
            await stream.send_eof()
        self._event(number, "left").set()
        if how.then == "ends":
            await self._take(stream, reading, number, None)
        return None

    async def _take(
        self,
        stream: trio.SocketStream,
        reading: h11.Connection,
        number: str,
        more: Callable[[], Awaitable[None]] | None,
    ) -> None:
        seen, size, whole = hashlib.sha256(), 0, False
        try:
            while isinstance(event := await _next(reading, stream), h11.Data):
                seen.update(event.data)
                size += len(event.data)
                if more is not None:
                    await more()
            whole = isinstance(event, h11.EndOfMessage)
        except (trio.BrokenResourceError, h11.RemoteProtocolError):
            pass
        self._taken[number] = Taken(seen.hexdigest(), size, whole)
        self._event(number, "taken").set()


def _keeps_alive(request: h11.Request) -> bool:
    """Whether whoever asked lets the connection live on (RFC 9112 9.3)."""
    return request.http_version == b"1.1" and (b"connection", b"close") not in request.headers


async def _next(reading: h11.Connection, stream: trio.SocketStream) -> object:
    """The next event; ConnectionClosed at an end between two requests."""
    while (event := reading.next_event()) is h11.NEED_DATA:
        reading.receive_data(bytes(await stream.receive_some(READ_BYTES)))
    return event


async def _send_while_taken(stream: trio.SocketStream, data: bytes) -> None:
    with suppress(trio.BrokenResourceError):
        await stream.send_all(data)
