"""A server's edge in memory: visitors on one side, fake clients of a tunnel on the other.

A fake client is a real session over a transport of memory channels; for each stream it runs the
`app` of the test, which plays the client and the app behind it. Visitors are byte streams.
"""

from __future__ import annotations

import errno
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import trio
import trio.testing
import trustme

from protocol import VERSION
from protocol.drivers.session import Session, SessionEvent
from protocol.drivers.sockets import drop
from protocol.drivers.stream import TunnelStream
from protocol.drivers.transport import TransportClosed
from protocol.errors import SessionClosed, StreamReset, StreamStopped, TunnelError
from protocol.http.fields import BodyForm, Fields
from protocol.mux.control import Heartbeat
from protocol.mux.core import Core
from protocol.mux.events import ClaimAnswered, GoingAway, Released
from protocol.mux.messages import Claim, Claimed, Goaway, Head, Refused, Release
from protocol.mux.streams import SERVES_UPGRADES
from tunnel_server.owners.auth_file import AuthFile
from tunnel_server.owners.authenticator import Authenticator
from tunnel_server.settings.config import ServerConfig
from tunnel_server.tunnels.assembly import build_directory
from tunnel_server.tunnels.claims import take_event
from tunnel_server.tunnels.control import ControlEndpoint
from tunnel_server.tunnels.directory import Login
from tunnel_server.visitors.edge import Edge
from tunnel_server.visitors.serving import serve_stream
from tunnel_server.visitors.sweeping import sweep
from tunnel_server.visitors.tls_stream import TlsStream
from tunnel_server.visitors.visitor import Source

AUTHORITY = trustme.CA()
CERTIFICATE = AUTHORITY.issue_cert("app.localhost")

App = Callable[[TunnelStream], Awaitable[None]]

PORT = 8080
ALICE = Login("alice", None)
VISITOR = "203.0.113.9"
INSTANCE = b"i" * 16
SESSION = bytes.fromhex("4f1c9a03")  # its public id

# What the edge adds to every request of VISITOR to app.localhost.
FORWARDING: Fields = (
    (b"X-Forwarded-For", VISITOR.encode()),
    (b"X-Forwarded-Host", b"app.localhost"),
    (b"X-Forwarded-Proto", b"http"),
    (b"X-Forwarded-Port", b"80"),
    (b"Tunnel-Hops", b"1"),
)


class MemoryTransport:
    """One end of a transport; closing it loses what was not received."""

    def __init__(
        self,
        sending: trio.MemorySendChannel[bytes],
        receiving: trio.MemoryReceiveChannel[bytes],
    ) -> None:
        self._sending = sending
        self._receiving = receiving
        self.heard_at = trio.current_time()

    async def send(self, message: bytes) -> None:
        try:
            await self._sending.send(message)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise TransportClosed("the connection was lost") from None

    async def receive(self) -> bytes:
        try:
            message = await self._receiving.receive()
        except (trio.EndOfChannel, trio.ClosedResourceError):
            raise TransportClosed("the connection was lost") from None
        self.heard_at = trio.current_time()
        return message

    async def aclose(self) -> None:
        self._sending.close()
        self._receiving.close()
        await trio.lowlevel.checkpoint()


def transport_pair() -> tuple[MemoryTransport, MemoryTransport]:
    here_to_there = trio.open_memory_channel[bytes](100)
    there_to_here = trio.open_memory_channel[bytes](100)
    return (
        MemoryTransport(here_to_there[0], there_to_here[1]),
        MemoryTransport(there_to_here[0], here_to_there[1]),
    )


class FakeClient:
    """A tunnel's client: its session, what it was told, and the streams that it was given."""

    def __init__(self, server: Session, session: Session, tasks: trio.Nursery, app: App) -> None:
        self.server = server
        self.session = session
        self.streams: list[TunnelStream] = []
        self.stopped: list[trio.Event] = []  # for each stream: the server wants no more of it
        self.claimed: list[Claimed | Refused] = []
        self.released: list[Release] = []
        self.goaways: list[Goaway] = []
        self.errors: list[TunnelError] = []  # what ended an app
        self._tasks = tasks
        self._app = app

    def __repr__(self) -> str:
        return f"<FakeClient {self.session!r}>"

    def serve(self, stream: TunnelStream) -> None:
        self.streams.append(stream)
        stopped = trio.Event()
        stream.on_stopped = stopped.set
        self.stopped.append(stopped)
        self._tasks.start_soon(self._run, stream)

    async def _run(self, stream: TunnelStream) -> None:
        try:
            await self._app(stream)
        except (StreamReset, StreamStopped, SessionClosed) as error:
            self.errors.append(error)
            stream.cancel("cancelled")

    def take(self, event: SessionEvent) -> None:
        if isinstance(event, ClaimAnswered):
            self.claimed.append(event.answer)
        elif isinstance(event, Released):
            self.released.append(event.release)
        elif isinstance(event, GoingAway):
            self.goaways.append(event.goaway)


class Visitor:
    """Who connects to the edge; also with a real socket below."""

    def __init__(self, stream: trio.abc.Stream, done: trio.Event) -> None:
        self.stream = stream
        self.done = done  # set when the edge is through with this connection

    async def send(self, data: bytes) -> None:
        await self.stream.send_all(data)

    async def end(self) -> None:
        """FIN."""
        assert isinstance(self.stream, trio.abc.HalfCloseableStream)
        await self.stream.send_eof()

    async def reset(self) -> None:
        """RST."""
        assert isinstance(self.stream, trio.SocketStream)
        drop(self.stream, reset=True)
        await trio.lowlevel.checkpoint()

    async def receive(self, size: int) -> bytes:
        """So many bytes, or fewer before the end."""
        data = b""
        while len(data) < size:
            more = await self.stream.receive_some(size - len(data))
            if not more:
                break
            data += more
        return data

    async def expect(self, expected: bytes) -> None:
        assert await self.receive(len(expected)) == expected

    async def rest(self) -> bytes:
        """Everything to the end."""
        data = b""
        while more := await self.stream.receive_some(65536):
            data += more
        return data

    async def head(self) -> bytes:
        """To the next empty line."""
        data = b""
        while not data.endswith(b"\r\n\r\n"):
            more = await self.receive(1)
            assert more, data
            data += more
        return data

    def met_a_reset(self) -> bool:
        """Whether an RST came behind a FIN, which no read tells; asked once."""
        assert isinstance(self.stream, trio.SocketStream)
        return self.stream.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.EPIPE

    async def nothing_comes(self) -> None:
        """Neither bytes nor an end, whatever the tasks have to do now."""
        await trio.testing.wait_all_tasks_blocked()
        got: list[bytes | bytearray] = []
        async with trio.open_nursery() as nursery:

            async def read() -> None:
                got.append(await self.stream.receive_some(65536))

            nursery.start_soon(read)
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        assert got == []


class World:
    """One edge, its sweep, and who is connected to it."""

    def __init__(self, edge: Edge, tasks: trio.Nursery) -> None:
        self.edge = edge
        self.directory = edge.directory
        self.control = ControlEndpoint(edge.directory)
        self.tasks = tasks
        self.streams: list[trio.abc.Stream] = []  # the visitors' ends

    def visit(
        self, *, address: str = VISITOR, secure: bool = False, lockstep: bool = False
    ) -> Visitor:
        """A visitor; with `lockstep` each of the edge's writes waits until it is read."""
        pair = trio.testing.lockstep_stream_pair if lockstep else trio.testing.memory_stream_pair
        ours, theirs = pair()
        return self._visitor(ours, theirs, address, secure)

    async def visit_by_tcp(self) -> Visitor:
        """A visitor with a real socket: RST, and bytes that wait in buffers."""
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        async with listeners[0]:
            ours = await trio.testing.open_stream_to_socket_listener(listeners[0])
            theirs = await listeners[0].accept()
        return self._visitor(ours, theirs, "127.0.0.1", secure=False)

    async def visit_by_tls(self, trusting: ssl.SSLContext | None = None) -> Visitor:
        """A visitor behind TLS, who wants a close_notify before the end."""
        ours, theirs = trio.testing.memory_stream_pair()
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        CERTIFICATE.configure_cert(context)
        trusting = trusting or ssl.create_default_context()
        AUTHORITY.configure_trust(trusting)
        server = TlsStream(theirs, context)
        client = trio.SSLStream(ours, trusting, server_hostname="app.localhost")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.do_handshake)
            nursery.start_soon(client.do_handshake)
        return self._visitor(client, server, VISITOR, secure=True)

    def _visitor(
        self, ours: trio.abc.Stream, theirs: trio.abc.Stream, address: str, secure: bool
    ) -> Visitor:
        done = trio.Event()

        async def serve() -> None:
            source = Source(address, self.edge.config.trusts(address), secure)
            await serve_stream(self.edge, self.control, theirs, source)
            done.set()

        self.tasks.start_soon(serve)
        self.streams.append(ours)
        return Visitor(ours, done)

    async def client(
        self,
        app: App,
        name: str = "app",
        *,
        login: Login = ALICE,
        max_streams: int = 1024,
        body_credit: int = 16384,
        options: dict[str, object] | None = None,
        version: int = VERSION,
        features: tuple[str, ...] = (SERVES_UPGRADES,),
    ) -> FakeClient:
        """A client that holds this name."""
        here, there = transport_pair()
        heartbeat = partial(Heartbeat, 15, 30)
        now = trio.current_time()
        server = Session(
            Core(
                is_server=True,
                heartbeat=heartbeat(),
                max_streams=max_streams,
                body_credit=body_credit,
                now=now,
                version=version,
                features=features,
            ),
            here,
            session_id=SESSION,
        )
        server.on_event = partial(take_event, self.directory, server)
        client = FakeClient(
            server,
            Session(Core(is_server=False, heartbeat=heartbeat(), now=now, version=version), there),
            self.tasks,
            app,
        )
        client.session._on_stream = client.serve
        client.session.on_event = client.take
        self.directory.sessions[server] = login
        self.tasks.start_soon(self._run_session, server)
        self.tasks.start_soon(client.session.run)
        client.session.claim(Claim(1, name, INSTANCE, True, options or {}))
        await trio.testing.wait_all_tasks_blocked()
        url = self.edge.config.public_url_for(name, PORT)
        assert client.claimed == [Claimed(1, name, url)]
        return client

    async def _run_session(self, server: Session) -> None:
        try:
            await server.run()
        finally:
            del self.directory.sessions[server]
            self.directory.release(server)

    async def nothing_is_left(self) -> None:
        """Every connection and every stream is over."""
        await trio.testing.wait_all_tasks_blocked()
        assert not self.edge.connections
        for session in self.directory.sessions:
            assert session.core.streams == {}


def make_edge(auth_file: Path | None = None, **settings: Any) -> Edge:
    # What makes a server public makes tokens needed; most of these tests are not about that.
    access = {"open": auth_file is None, **settings}
    config = ServerConfig(bind_port=PORT, auth_file=auth_file, **access)
    tokens = None if auth_file is None else AuthFile(auth_file)
    authenticator = Authenticator(tokens, everybody=not config.authentication_required)
    directory, _ = build_directory(config, authenticator, None)
    directory.version = "1.2.3"
    return Edge(directory, port=PORT)


@asynccontextmanager
async def open_world(auth_file: Path | None = None, **settings: Any) -> AsyncIterator[World]:
    """An edge that is swept, and cancelled with all that runs on it at the end of the block."""
    async with trio.open_nursery() as tasks:
        edge = make_edge(auth_file, **settings)
        tasks.start_soon(sweep, edge)
        world = World(edge, tasks)
        try:
            yield world
        finally:
            for stream in world.streams:
                drop(stream, reset=False)
            tasks.cancel_scope.cancel()


# --- apps ----------------------------------------------------------------------------------------


def head(status: int = 200, reason: bytes = b"OK", *fields: bytes, body: BodyForm = 0) -> Head:
    """A head with these `Name: value` lines; a Content-Length is added to a body with a length."""
    lines = [tuple(line.split(b": ", 1)) for line in fields]
    if isinstance(body, int) and status >= 200:
        lines.append((b"Content-Length", b"%d" % body))
    return Head(status, reason, tuple((name, value) for name, value in lines), body)


async def answer(stream: TunnelStream, said: Head, *pieces: bytes) -> None:
    """The final head, a body in pieces and the end."""
    await stream.send_head(said)
    for piece in pieces:
        await stream.send_all(piece)
    stream.send_eof()


async def hello(stream: TunnelStream) -> None:
    """An app that answers every request with five bytes."""
    await answer(stream, head(200, b"OK", body=5), b"hello")


async def echo(stream: TunnelStream) -> None:
    """An app that answers with the request's body, once it has all of it."""
    body = b""
    while data := await stream.receive_some():
        body += data
    await answer(stream, head(200, b"OK", body=len(body)), body)


HELLO = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
HELLO_AND_CLOSE = HELLO.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")


def get(target: bytes = b"/", *fields: bytes, host: bytes = b"app.localhost") -> bytes:
    lines = b"".join(field + b"\r\n" for field in fields)
    return b"GET %b HTTP/1.1\r\nHost: %b\r\n%b\r\n" % (target, host, lines)


def tunnel_error(raw: bytes) -> tuple[int, str | None]:
    """The status and the Tunnel-Error of an answer."""
    lines = raw.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
    codes = [line[14:] for line in lines if line.lower().startswith("tunnel-error: ")]
    assert len(codes) <= 1, lines
    return int(lines[0].split(" ")[1]), codes[0] if codes else None


def logged(records: list[logging.LogRecord]) -> list[str]:
    """What a person would read."""
    return [record.getMessage() for record in records]
