"""For the tests of the client: a network in memory, at whose other end the test is the server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import trio
import trio.testing

from protocol import SUBPROTOCOLS, VERSION, subprotocol_of
from protocol.drivers.session import Session, SessionEvent
from protocol.drivers.stream import TunnelStream
from protocol.drivers.transport import WebSocketTransport, accept_websocket
from protocol.mux.control import Heartbeat
from protocol.mux.core import Core
from protocol.mux.events import ClaimAsked, GoingAway
from protocol.mux.handshake import (
    read_first,
    resumed_message,
    unknown_session_message,
    welcome_message,
)
from protocol.mux.messages import Claim, Claimed, Hello, Open, Refused, Resume, Welcome
from tunnel_client.settings.addresses import ServerUrl
from tunnel_client.settings.config import ClientConfig
from tunnel_client.settings.proxy import Proxy
from tunnel_client.settings.target import Target
from tunnel_client.settings.values import IdentityChoice
from tunnel_client.uplink.connect import ConnectFailed

WELCOME = Welcome((), "a fake", bytes(16), bytes(32), 15, 30, 0)


def a_config(
    target: Target | None = None,
    *,
    host: str = "tunnel.test",
    subdomain: str | None = None,
    drain_timeout_s: float = 8.0,
    ws_keepalive_s: float = 0.0,
    identity: IdentityChoice = "local",
) -> ClientConfig:
    """The config of a client; by default it asks nothing, since the test is the app."""
    return ClientConfig(
        identity=identity,
        target=target or Target.parse("3000"),
        server_url=ServerUrl("http", host, 80),
        token="secret-token",
        subdomain=subdomain,
        drain_timeout_s=drain_timeout_s,
        ws_keepalive_s=ws_keepalive_s,
    )


class Server:
    """The server's end of one connection."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self.session: Session | None = None
        self.hello: Hello | None = None
        self.transport: WebSocketTransport | None = None
        self.ended = trio.Event()
        self.ended_because = ""
        self.answer_goaway = True
        self._events, self._received = trio.open_memory_channel[SessionEvent](100)

    async def head(self) -> bytes:
        """The head of the handshake."""
        data = b""
        while b"\r\n\r\n" not in data:
            data += bytes(await self.stream.receive_some())
        return data

    async def answer(self, raw: bytes) -> None:
        """Something else than a session."""
        await self.head()
        await self.stream.send_all(raw)

    async def open(
        self,
        nursery: trio.Nursery,
        *,
        welcome: bytes | None = None,
        hold_s: int = 0,
        version: int = VERSION,
    ) -> None:
        """The opening handshake and a session, whose tasks run in the nursery."""
        offered = b", ".join(name.encode() for name in SUBPROTOCOLS)
        spoken = subprotocol_of(version).encode()
        head = (await self.head()).replace(offered, spoken)
        self.transport = await accept_websocket(nursery, self.stream, head)
        await self.welcome(nursery, welcome=welcome, hold_s=hold_s)

    async def welcome(
        self, nursery: trio.Nursery, *, welcome: bytes | None = None, hold_s: int = 0
    ) -> None:
        """Hello, and what follows it."""
        assert self.transport is not None
        first = read_first(await self.transport.receive())
        assert isinstance(first, Hello)
        self.hello = first
        usual = welcome_message(WELCOME._replace(hold_s=hold_s))
        await self.transport.send(welcome or usual)
        if welcome is None:
            core = Core(
                is_server=True,
                heartbeat=Heartbeat(WELCOME.ping_interval_s, WELCOME.timeout_s),
                max_streams=first.max_streams,
                body_credit=first.body_credit,
                now=trio.current_time(),
                version=self.transport.version,
            )
            self.session = Session(core, self.transport, hold_s=hold_s, on_event=self._on_event)
            nursery.start_soon(self._run, self.session)

    async def resume_asked(self, nursery: trio.Nursery) -> Resume:
        """The opening handshake, and what session the client wants back."""
        self.transport = await accept_websocket(nursery, self.stream, b"")
        first = read_first(await self.transport.receive())
        assert isinstance(first, Resume)
        return first

    async def refuse_resume(self) -> None:
        assert self.transport is not None
        await self.transport.send(unknown_session_message())

    def give_back(self, nursery: trio.Nursery, session: Session, asked: Resume) -> None:
        """The session that the client had on another connection."""
        assert self.transport is not None
        self.session = session
        answer = resumed_message(session.core.received.count)
        session.resume(self.transport, asked.received, answer)
        nursery.start_soon(self._run, session)

    async def claim_asked(self) -> Claim:
        event = await self.event()
        assert isinstance(event, ClaimAsked)
        return event.claim

    async def claimed(self, name: str = "app") -> Claim:
        """The claim that was asked, and is granted."""
        claim = await self.claim_asked()
        assert self.session is not None
        url = f"http://{name}.tunnel.test"
        self.session.answer_claim(Claimed(claim.claim, claim.name or name, url))
        return claim

    async def refuse(self, code: str, message: str = "no") -> Claim:
        claim = await self.claim_asked()
        assert self.session is not None
        self.session.answer_claim(Refused(claim.claim, code, message))
        return claim

    async def event(self) -> SessionEvent:
        return await self._received.receive()

    def request(self, method: bytes = b"GET") -> TunnelStream:
        """A visitor's request without a body."""
        assert self.session is not None
        fields = ((b"Host", b"app.tunnel.test"),)
        opened = Open(
            *("http", 1, method, b"/", b"1.1", fields, None, "http", "app.tunnel.test"),
            *("192.0.2.1", 0),
        )
        stream = self.session.open(opened)
        stream.send_eof()
        return stream

    def _on_event(self, event: SessionEvent) -> None:
        self._events.send_nowait(event)
        if isinstance(event, GoingAway) and self.answer_goaway and self.session is not None:
            self.session.goaway("no-error", "nothing more will be opened", 0)

    async def _run(self, session: Session) -> None:
        self.ended_because = await session.run()
        self.ended.set()


class Network:
    """Stands in for `tunnel_client.uplink.connect.open_stream`.

    Attributes:
        down: why no connection can be made now.
        attempts_at: when one was tried, in trio's time.
    """

    def __init__(self) -> None:
        self.down: str | None = None
        self.attempts_at: list[float] = []
        self.on_attempt: Callable[[], None] | None = None
        self._arrive, self._arrived = trio.open_memory_channel[trio.abc.Stream](100)

    async def open_stream(
        self, server: ServerUrl, proxy: Proxy | None, ca: Path | None
    ) -> trio.abc.Stream:
        self.attempts_at.append(trio.current_time())
        if self.on_attempt is not None:
            self.on_attempt()
        await trio.lowlevel.checkpoint()
        if self.down is not None:
            raise ConnectFailed(self.down)
        ours, theirs = trio.testing.memory_stream_pair()
        self._arrive.send_nowait(theirs)
        return ours

    async def accept(self) -> Server:
        return Server(await self._arrived.receive())

    async def serve(self, nursery: trio.Nursery, name: str = "app") -> Server:
        """A connection with a session that has its name."""
        server = await self.accept()
        await server.open(nursery)
        await server.claimed(name)
        return server
