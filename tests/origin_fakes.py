"""For the tests of the client: a local app that a test plays byte by byte, and a server in memory.

`a_tunnel` joins two real sessions by a transport in memory. The test is the server and, through
`RawOrigin`, the app; between them stand the real dispatcher and all that is below it.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio
import trio.testing

from protocol.drivers.session import Session
from protocol.drivers.sockets import drop
from protocol.drivers.stream import TunnelStream
from protocol.drivers.transport import TransportClosed
from protocol.errors import StreamReset
from protocol.http.fields import BodyForm, Fields
from protocol.mux.control import Heartbeat
from protocol.mux.core import Core
from protocol.mux.messages import Open
from tunnel_client.observing.events import JSON_NAMES
from tunnel_client.observing.lines import JsonLines
from tunnel_client.observing.report import Report
from tunnel_client.origin.dial import Dialer, OriginStream
from tunnel_client.origin.dispatch import Dispatcher
from tunnel_client.settings.target import Target

HOST: Fields = ((b"Host", b"app.localhost"),)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
SESSION = bytes.fromhex("4f1c9a03")
KEY = b"dGhlIHNhbXBsZSBub25jZQ=="  # and what it is answered with: RFC 6455 1.3
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
SWITCHED = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Accept: " + ACCEPT + b"\r\n\r\n"
)


class App:
    """The app's end of one connection."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self._held = b""

    async def request(self, body_bytes: int = 0) -> bytes:
        """The next head, and so much behind it."""
        while b"\r\n\r\n" not in self._held:
            await self._more()
        size = self._held.index(b"\r\n\r\n") + 4 + body_bytes
        return await self.exactly(size)

    async def exactly(self, size: int) -> bytes:
        while len(self._held) < size:
            await self._more()
        data, self._held = self._held[:size], self._held[size:]
        return data

    async def rest(self) -> bytes:
        """All until the client's end. Raises BrokenResourceError when it is a reset."""
        while data := await self.stream.receive_some():
            self._held += bytes(data)
        data, self._held = self._held, b""
        return data

    async def is_reset(self) -> bool:
        """Whether the connection's end, which is awaited, is a reset."""
        try:
            await self.rest()
        except trio.BrokenResourceError:
            return True
        return False

    async def send(self, data: bytes) -> None:
        await self.stream.send_all(data)

    async def send_eof(self) -> None:
        assert isinstance(self.stream, trio.abc.HalfCloseableStream)
        await self.stream.send_eof()

    async def close(self) -> None:
        await self.stream.aclose()

    def reset(self) -> None:
        drop(self.stream, reset=True)

    async def _more(self) -> None:
        data = await self.stream.receive_some()
        assert data, f"the client ended its direction after {self._held!r}"
        self._held += bytes(data)


class RawOrigin:
    """Listens, and gives each connection to the test that asks for it."""

    def __init__(self, listener: trio.SocketListener, target: Target) -> None:
        self.target = target
        self._listener = listener
        self._apps: list[App] = []
        self._is_listening = True

    async def looked_at(self) -> None:
        """Take the connection by which a client looks at its app, if there can be one."""
        if self._is_listening:
            await (await self._listener.accept()).aclose()

    async def accept(self, tls: ssl.SSLContext | None = None) -> App:
        stream = await self._listener.accept()
        self._apps.append(App(stream if tls is None else _secured(stream, tls)))
        return self._apps[-1]

    @property
    def connections(self) -> int:
        return len(self._apps)

    @property
    def is_asked(self) -> bool:
        """Whether a connection waits to be accepted."""
        return self._listener.socket.is_readable()

    async def stop_listening(self) -> None:
        self._is_listening = False
        await self._listener.aclose()

    async def end(self) -> None:
        """Close all that is still open."""
        await self.stop_listening()
        for app in self._apps:
            await trio.aclose_forcefully(app.stream)


def _secured(stream: trio.SocketStream, tls: ssl.SSLContext) -> trio.SSLStream[trio.SocketStream]:
    return trio.SSLStream(stream, tls, server_side=True)


async def listen(scheme: str = "http") -> RawOrigin:
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listener.socket.getsockname()[1]
    return RawOrigin(listener, Target.parse(f"{scheme}://127.0.0.1:{port}"))


async def listen_unix(folder: Path) -> RawOrigin:
    path = folder / "app.sock"
    listening = trio.socket.socket(trio.socket.AF_UNIX)
    await listening.bind(str(path))
    listening.listen()
    return RawOrigin(trio.SocketListener(listening), Target.parse(f"unix:{path}"))


class PatientDialer(Dialer):
    """Takes its time, so that what the visitor sends is there before the request leaves."""

    def open_at_once(self) -> OriginStream | None:
        return None

    async def open(self) -> OriginStream:
        await trio.testing.wait_all_tasks_blocked()
        return await super().open()


def host_line(origin: RawOrigin) -> bytes:
    """The Host that the app gets, which is asked as itself."""
    return b"Host: %b\r\n" % origin.target.authority.encode()


class MemoryTransport:
    """One end of a transport in memory."""

    heard_at = 0.0

    def __init__(
        self, sending: trio.MemorySendChannel[bytes], receiving: trio.MemoryReceiveChannel[bytes]
    ) -> None:
        self._sending = sending
        self._receiving = receiving

    async def send(self, message: bytes) -> None:
        try:
            await self._sending.send(message)
        except trio.BrokenResourceError:
            raise TransportClosed("the connection was lost") from None

    async def receive(self) -> bytes:
        try:
            return await self._receiving.receive()
        except (trio.EndOfChannel, trio.ClosedResourceError):
            raise TransportClosed("the connection was lost") from None

    async def aclose(self) -> None:
        self._sending.close()
        self._receiving.close()


KINDS = JSON_NAMES


class Told(Report):
    """Keeps what is told."""

    def __init__(self) -> None:
        super().__init__(lines=JsonLines(), write=lambda data: None)

    @property
    def events(self) -> list[tuple[str, tuple[object, ...]]]:
        told = [event for _, event in self._queue if type(event) in KINDS]
        return [(KINDS[type(event)], tuple(event)) for event in told]

    def requests(self) -> list[tuple[object, ...]]:
        """(status, bytes_in, bytes_out, error, open_streams) of each."""
        told = [fields for kind, fields in self.events if kind == "request"]
        return [(*fields[3:6], *fields[7:9]) for fields in told]


class MemoryTunnel:
    """A session whose server is the test, and whose client serves an app."""

    def __init__(self, server: Session, client: Session, dispatcher: Dispatcher) -> None:
        self.server = server
        self.client = client
        self.dispatcher = dispatcher
        self.told = Told()

    def open(
        self,
        method: bytes = b"GET",
        target: bytes = b"/",
        *,
        body: BodyForm = None,
        fields: Fields = (),
        kind: str = "http",
        connection: int | None = None,
        visitor: str = "192.0.2.1",
        upgrade: bytes = b"",
    ) -> TunnelStream:
        """A visitor's request; without a body it has ended as well."""
        if isinstance(body, int):
            fields = (*fields, (b"Content-Length", b"%d" % body))
        opened = Open(
            *(kind, 1, method, target, b"1.1", HOST + fields, body, "http", "app.localhost"),
            *(visitor, 0, connection, None, upgrade),
        )
        stream = self.server.open(opened)
        if body is None and kind != "websocket":
            stream.send_eof()
        return stream

    def open_websocket(self) -> TunnelStream:
        return self.open(kind="websocket", fields=((b"Sec-WebSocket-Key", KEY),))

    async def answer(self, stream: TunnelStream) -> tuple[int, bytes]:
        """Status and body of a whole answer, informational heads passed over."""
        head = await stream.receive_head()
        while head.status < 200:
            head = await stream.receive_head()
        return head.status, await whole(stream)

    async def all_over(self) -> None:
        """Return when nothing of any request is left, at either end."""
        await self.dispatcher.wait_quiet()
        for session in (self.server, self.client):
            while session.closed_reason is None and session.stream_count:
                await trio.lowlevel.checkpoint()  # the clock may stand still, and acks with it


async def whole(stream: TunnelStream) -> bytes:
    data = b""
    while more := await stream.receive_some():
        data += more
    return data


async def broken(stream: TunnelStream) -> tuple[bytes, str, str]:
    """What comes before the answer breaks off; code and message of that."""
    data = b""
    try:
        while more := await stream.receive_some():
            data += more
    except StreamReset as error:
        return data, error.code, error.message
    raise AssertionError(f"the answer ended well, after {data!r}")


async def failure(stream: TunnelStream) -> tuple[str, str]:
    """Code and message of the reset that comes instead of a head."""
    try:
        head = await stream.receive_head()
    except StreamReset as error:
        return error.code, error.message
    raise AssertionError(f"an answer: {head}")


def a_session(transport: MemoryTransport, *, is_server: bool) -> Session:
    # No test here is about the heartbeat, and some let hours pass.
    core = Core(is_server=is_server, heartbeat=Heartbeat(1e9, 1e9), now=trio.current_time())
    return Session(core, transport, session_id=SESSION)


@asynccontextmanager
async def a_tunnel(
    dialer: Dialer, *, origin_timeout_s: float = 600.0, ws_keepalive_s: float = 0.0
) -> AsyncIterator[MemoryTunnel]:
    """A tunnel to what the dialer connects to; in the end nothing of it may be left."""
    to_client, from_server = trio.open_memory_channel[bytes](64)
    to_server, from_client = trio.open_memory_channel[bytes](64)
    server = a_session(MemoryTransport(to_client, from_client), is_server=True)
    client = a_session(MemoryTransport(to_server, from_server), is_server=False)
    async with trio.open_nursery() as nursery, trio.open_nursery() as tasks:
        told = Told()
        dispatcher = Dispatcher(
            dialer,
            told,
            tasks,
            origin_timeout_s=origin_timeout_s,
            ws_keepalive_s=ws_keepalive_s,
        )
        client._on_stream = dispatcher.serve
        tunnel = MemoryTunnel(server, client, dispatcher)
        tunnel.told = told
        tasks.start_soon(dispatcher.sweep)
        nursery.start_soon(server.run)
        nursery.start_soon(client.run)
        yield tunnel
        tasks.cancel_scope.cancel()
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def a_shared_app(
    *,
    scheme: str = "http",
    dialer: Dialer | None = None,
    origin_timeout_s: float = 600.0,
    ws_keepalive_s: float = 0.0,
) -> AsyncIterator[tuple[MemoryTunnel, RawOrigin]]:
    """A tunnel, and the app that it leads to."""
    origin = await listen(scheme)
    dialer = dialer or Dialer(origin.target)
    try:
        async with a_tunnel(
            dialer, origin_timeout_s=origin_timeout_s, ws_keepalive_s=ws_keepalive_s
        ) as tunnel:
            yield tunnel, origin
    finally:
        with trio.move_on_after(1, shield=True):
            await origin.end()
