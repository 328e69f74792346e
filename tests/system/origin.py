"""A web app to share: raw trio and h11, with a route for each thing that a test wants to see.

What it took and sent stands in the fields of `Origin`, so that a test can watch the app's side.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable
from functools import partial
from random import Random

import h11
import trio
from wsproto.connection import Connection, ConnectionType
from wsproto.events import CloseConnection
from wsproto.utilities import generate_accept_token

from tests.system.peer import READ_BYTES, UPGRADE, Pieces, WsEvents, abort, h11_event, trailing

BLOCK_BYTES = 1 << 20
PAGE_PIECES, PAGE_PAUSE_S = 30, 0.1
Fields = list[tuple[str, str]]
CHUNKED: Fields = [("Transfer-Encoding", "chunked")]


def blocks(seed: int, total_bytes: int) -> list[bytes]:
    """Bytes of which no two blocks are alike; the same for the same seed."""
    random = Random(seed)
    sizes = [BLOCK_BYTES] * (total_bytes // BLOCK_BYTES) + [total_bytes % BLOCK_BYTES]
    return [random.randbytes(size) for size in sizes if size]


def digest(parts: list[bytes]) -> str:
    whole = hashlib.sha256()
    for part in parts:
        whole.update(part)
    return whole.hexdigest()


class Exchange:
    """One request, and what is answered to it."""

    def __init__(self, stream: trio.abc.Stream, connection: h11.Connection, request: h11.Request):
        self.stream = stream
        self.connection = connection
        self.request = request
        path, _, query = request.target.decode().partition("?")
        self.path = path
        self.query = dict(pair.split("=") for pair in query.split("&") if pair)

    def field(self, name: bytes) -> str | None:
        return next((v.decode() for n, v in self.request.headers if n == name), None)

    def number(self, name: str) -> int:
        return int(self.query[name])

    def body(self) -> Pieces:
        return Pieces(self.stream, self.connection)

    async def head(self, fields: Fields, status: int = 200) -> None:
        await self._send(h11.Response(status_code=status, headers=fields))

    async def send(self, data: bytes) -> None:
        await self._send(h11.Data(data=data))

    async def end(self) -> None:
        await self._send(h11.EndOfMessage())

    async def answer(self, text: str, status: int = 200) -> None:
        await self.head([("Content-Length", str(len(text)))], status)
        await self.send(text.encode())
        await self.end()

    async def switch(self) -> Connection:
        """Agree to a WebSocket; its frames then go over `stream`."""
        key = self.field(b"sec-websocket-key") or ""
        accept = ("Sec-WebSocket-Accept", generate_accept_token(key.encode()).decode())
        await h11_event(self.stream, self.connection)  # the end of a request without body
        await self._send(h11.InformationalResponse(status_code=101, headers=[*UPGRADE, accept]))
        return Connection(ConnectionType.SERVER, trailing_data=trailing(self.connection))

    async def _send(self, event: h11.Event) -> None:
        if data := self.connection.send(event):
            await self.stream.send_all(data)


class Origin:
    """Serves the routes below; `gate` is what /gate, /unread and what is gated wait for."""

    def __init__(self) -> None:
        self.port = 0  # on 127.0.0.1, once it is served
        self.gate = trio.Event()
        self.arrived = trio.Event()  # set by /gate and /unread once their request is here
        self.sent_bytes = 0  # by /endless
        self.aborted = 0  # answers that a visitor did not take to the end
        self.echoed = hashlib.sha256()  # over what the last /echo took
        self.routes: dict[str, Callable[[Exchange], Awaitable[None]]] = {
            "/": self.hello,
            "/fields": self.fields,
            "/head": self.head_text,
            "/events": self.events,
            "/echo": self.echo,
            "/bytes": self.bytes,
            "/sink": self.sink,
            "/gate": self.gated,
            "/unread": self.unread,
            "/begun": self.begun,
            "/endless": self.endless,
            "/page": self.page,
            "/reset": self.reset,
            "/refused": self.refused,
            "/ws": self.websocket,
        }

    async def handle(self, stream: trio.abc.Stream) -> None:
        """Serve one connection; give it to trio.serve_tcp or the like."""
        connection = h11.Connection(h11.SERVER)
        try:
            while isinstance(request := await h11_event(stream, connection), h11.Request):
                exchange = Exchange(stream, connection, request)
                await self.routes.get(exchange.path, self.missing)(exchange)
                if not await finished(exchange):
                    break
        except (trio.BrokenResourceError, trio.ClosedResourceError, h11.RemoteProtocolError):
            self.aborted += 1
            abort(stream)
        finally:
            await trio.aclose_forcefully(stream)

    async def refused(self, exchange: Exchange) -> None:
        """`status`: the answer's."""
        await exchange.answer("no", exchange.number("status"))

    async def missing(self, exchange: Exchange) -> None:
        await exchange.answer(f"no {exchange.path} here", 404)

    async def hello(self, exchange: Exchange) -> None:
        await exchange.answer("hello")

    async def fields(self, exchange: Exchange) -> None:
        """What the app was asked with, in JSON; and the app speaks of its own address."""
        asked = {name.decode(): value.decode() for name, value in exchange.request.headers}
        body = json.dumps(asked)
        own = f"http://localhost:{self.port}"
        about = [("Location", f"{own}/next"), ("Set-Cookie", "a=b; Domain=localhost")]
        allowed = ("Access-Control-Allow-Origin", asked.get("origin", "*"))
        await exchange.head([*about, allowed, ("Content-Length", str(len(body)))])
        await exchange.send(body.encode())
        await exchange.end()

    async def head_text(self, exchange: Exchange) -> None:
        """The fields of the request as pairs in JSON, names in lower case."""
        pairs = [(name.decode(), value.decode()) for name, value in exchange.request.headers]
        text = json.dumps(pairs).encode()
        # As HTML, which proxies like to compress.
        kind, length = ("Content-Type", "text/html"), ("Content-Length", str(len(text)))
        await exchange.head([kind, length])
        await exchange.send(text)
        await exchange.end()

    async def events(self, exchange: Exchange) -> None:
        """A server-sent event, and another one once the gate is open."""
        await exchange.head([("Content-Type", "text/event-stream"), *CHUNKED])
        await exchange.send(b"data: first\n\n")
        await self.gate.wait()
        await exchange.send(b"data: second\n\n")
        await exchange.end()

    async def echo(self, exchange: Exchange) -> None:
        """The body, sent back as it comes and framed as it came."""
        length = exchange.field(b"content-length")
        await exchange.head([("Content-Length", length)] if length else CHUNKED)
        self.echoed = hashlib.sha256()
        async for data in exchange.body():
            self.echoed.update(data)
            await exchange.send(data)
        await exchange.end()

    async def bytes(self, exchange: Exchange) -> None:
        """blocks(seed, size); with `gated` the last of them once the gate is open."""
        await exchange.head([("Content-Length", exchange.query["size"])])
        *first, last = blocks(exchange.number("seed"), exchange.number("size")) or [b""]
        for block in first:
            await exchange.send(block)
        if "gated" in exchange.query:
            await self.gate.wait()
        await exchange.send(last)
        await exchange.end()

    async def sink(self, exchange: Exchange) -> None:
        """The digest of the body, when it has all come."""
        seen = hashlib.sha256()
        async for data in exchange.body():
            seen.update(data)
        await exchange.answer(seen.hexdigest())

    async def gated(self, exchange: Exchange) -> None:
        """Half an answer, and the other half once the gate is open; with a length if `sized`."""
        await exchange.head([("Content-Length", "12")] if "sized" in exchange.query else CHUNKED)
        await exchange.send(b"first,")
        self.arrived.set()
        await self.gate.wait()
        await exchange.send(b"second")
        await exchange.end()

    async def unread(self, exchange: Exchange) -> None:
        """An app that does not read the body before the gate is open."""
        self.arrived.set()
        await self.gate.wait()
        await self.sink(exchange)

    async def begun(self, exchange: Exchange) -> None:
        """Tells that the body has begun to come, and answers with its digest at its end."""
        body = exchange.body()
        first = await anext(body)
        self.arrived.set()
        await exchange.answer(digest([first, *[data async for data in body]]))

    async def endless(self, exchange: Exchange) -> None:
        """As much as is taken, `size` at most; with a length if `sized`."""
        block = blocks(1, BLOCK_BYTES)[0]
        length = [("Content-Length", exchange.query["size"])]
        await exchange.head(length if "sized" in exchange.query else CHUNKED)
        for _ in range(exchange.number("size") // READ_BYTES):
            await exchange.send(block[:READ_BYTES])
            self.sent_bytes += READ_BYTES
        await exchange.end()

    async def page(self, exchange: Exchange) -> None:
        """A page that is made while it is sent, in three seconds."""
        await exchange.head([("Content-Type", "text/html"), *CHUNKED])
        for number in range(PAGE_PIECES):
            await exchange.send(b"%d," % number)
            await trio.sleep(PAGE_PAUSE_S)
        await exchange.end()

    async def reset(self, exchange: Exchange) -> None:
        """An app that dies after `size` bytes of its answer, or before its head if that is 0."""
        if size := exchange.number("size"):
            await exchange.head(CHUNKED)
            await exchange.send(bytes(size))
        abort(exchange.stream)
        await trio.aclose_forcefully(exchange.stream)

    async def websocket(self, exchange: Exchange) -> None:
        """Each message back, until the visitor closes or is gone."""
        messages = await exchange.switch()
        async for event in WsEvents(exchange.stream, messages):
            reply = event.response() if isinstance(event, CloseConnection) else event
            await exchange.stream.send_all(messages.send(reply))
            if event is not reply:
                return


async def finished(exchange: Exchange) -> bool:
    """Whether the connection can take another request."""
    connection = exchange.connection
    while connection.their_state is h11.SEND_BODY:
        await h11_event(exchange.stream, connection)
    if connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
        return False
    connection.start_next_cycle()
    return True


async def serve(origin: Origin, nursery: trio.Nursery) -> Origin:
    """Listen on a free port of 127.0.0.1 until the nursery is cancelled."""
    listeners = await nursery.start(partial(trio.serve_tcp, origin.handle, 0, host="127.0.0.1"))
    origin.port = listeners[0].socket.getsockname()[1]
    return origin
