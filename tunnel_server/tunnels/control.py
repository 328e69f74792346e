"""The control endpoint: a tunnel's client connects, and its session runs here.

Its opening handshake was checked before (`opening_handshake`). The WebSocket library runs under a
deadline and in a nursery of its own.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from functools import partial
from typing import Final

import trio

from protocol.drivers.session import Session
from protocol.drivers.session_log import SessionLog
from protocol.drivers.transport import TransportClosed, WebSocketTransport, accept_websocket
from protocol.errors import ProtocolError, RemoteProtocolError
from protocol.http.heads import RequestHead
from protocol.limits import ACCEPT_TIMEOUT_S
from protocol.mux.control import Heartbeat
from protocol.mux.core import Core
from protocol.mux.handshake import (
    read_first,
    resumed_message,
    unknown_session_message,
    welcome_message,
)
from protocol.mux.map_bodies import pack_map
from protocol.mux.messages import Goaway, Hello, Refused, Resume, Welcome
from protocol.mux.streams import ENDS_STUCK
from protocol.mux.wire import FrameType, frame
from tunnel_server.answers.refusal import Refusal
from tunnel_server.observing.strangers import by_stranger
from tunnel_server.owners.ownership import short_owner
from tunnel_server.tunnels.claims import take_event
from tunnel_server.tunnels.directory import Directory, Login
from tunnel_server.tunnels.opening_handshake import fullness, own_handshake

log = logging.getLogger(__name__)

# A client whose resume was refused says hello next; more refusals are no client of ours.
_RESUMES_MAX: Final = 3


class ControlEndpoint:
    """Runs the sessions of one server."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    def __repr__(self) -> str:
        return f"<ControlEndpoint {len(self._directory.sessions)} sessions>"

    async def serve(
        self,
        address: str,
        stream: trio.abc.Stream,
        login: Login,
        head: RequestHead,
        behind: bytes,
        begins: Callable[[], None],
    ) -> None:
        """Run one session on this connection; what goes wrong ends it alone, with one log line.

        Args:
            address: the client's, for the log.
            stream: its bytes; closing it is the caller's matter.
            login: what `check_handshake` returned.
            head: the handshake, which was checked.
            behind: what came behind it.
            begins: called when it carries a session. Until then it is a stranger's, like any other.
        """
        first = own_handshake(head) + behind
        caller = _Caller(address, login._replace(address=address), begins)
        extra = by_stranger(address)
        try:
            async with trio.open_nursery() as nursery:
                await self._run_session(nursery, caller, stream, first)
                nursery.cancel_scope.cancel()
        except* trio.TooSlowError:
            caller.log.info("%s: no hello within %d s", address, ACCEPT_TIMEOUT_S, extra=extra)
        except* (TransportClosed, ProtocolError) as group:
            caller.log.info("%s: no session: %s", address, _first(group), extra=extra)
        except* Exception as group:  # noqa: BLE001  # the edge of one connection: the library's own
            caller.log.warning("%s: session failed: %r", address, _first(group), extra=extra)

    async def _run_session(
        self, nursery: trio.Nursery, caller: _Caller, stream: trio.abc.Stream, first: bytes
    ) -> None:
        with trio.fail_after(ACCEPT_TIMEOUT_S):
            transport = await accept_websocket(nursery, stream, first)
            try:
                session, said = await self._begin(transport, caller)
            except RemoteProtocolError as error:
                await _say_goodbye(transport, error)
                raise
            if session is None:
                return
        address, owner = caller.address, short_owner(caller.login.owner)
        caller.log.info("%s: session of %s (%s)", address, owner, said)
        try:
            reason = await session.run()
        finally:
            if not session.attached:  # else it has another connection
                self._directory.connected.remove(session)
            self._hold_or_end(session)
        held = f"; held for {session.hold_s:g} s" if session.detached_at is not None else ""
        what = "connection lost" if session.closed_reason is None else "session ended"
        caller.log.info("%s: %s: %s%s", address, what, reason, held)

    async def _begin(
        self, transport: WebSocketTransport, caller: _Caller
    ) -> tuple[Session | None, str]:
        """The session that the client resumes or begins, and what to say of it; None: it is full.

        One that waits for its client needs room as a new one does; another has its connection.
        """
        directory, login = self._directory, caller.login
        for _ in range(_RESUMES_MAX):
            first = read_first(await transport.receive())
            await trio.lowlevel.checkpoint_if_cancelled()  # its place was taken just now
            asked = None
            if isinstance(first, Resume):
                asked = directory.resumes.find(first, login.owner, transport.version)
            if asked is None and isinstance(first, Resume):
                await transport.send(unknown_session_message())
                continue
            has_one = asked is not None and asked in directory.connected
            full = None if has_one else fullness(directory, caller.address, login)
            if full is not None:
                await _refuse(transport, full)
                return None, ""
            if isinstance(first, Hello):
                return await self._welcome(transport, first, caller), first.agent
            assert asked is not None
            self._resume(transport, asked, first, caller)
            return asked, f"resumed, attempt {first.attempt}"
        raise RemoteProtocolError("resume was refused, and asked for once more")

    def _resume(
        self, transport: WebSocketTransport, session: Session, asked: Resume, caller: _Caller
    ) -> None:
        """Attach the session that was asked for."""
        directory, login = self._directory, caller.login
        caller.log = session.log.by(log)
        try:
            answer = resumed_message(session.core.received.count)
            session.resume(transport, asked.received, answer)
        except RemoteProtocolError as error:
            session.close(f"the peer broke the protocol: {error}")
            raise
        directory.sessions[session] = login
        directory.connected.add(session, login.owner, login.source)
        directory.session_began(login)
        caller.begins()
        directory.attached(session)

    async def _welcome(
        self, transport: WebSocketTransport, hello: Hello, caller: _Caller
    ) -> Session:
        directory, config = self._directory, self._directory.config
        login = caller.login
        session_id, secret = secrets.token_bytes(16), secrets.token_bytes(32)
        # A client that shows nothing owns itself, and could not show that it has come back.
        hold_s = config.hold_s if login.digest is not None else 0
        agent = f"trio-tunnel/{directory.version}"
        beat = (config.ping_interval_s, config.timeout_s)
        core = Core(
            is_server=True,
            heartbeat=Heartbeat(*beat),
            max_streams=hello.max_streams,
            body_credit=hello.body_credit,
            now=trio.current_time(),
            lender=directory.memory.lender(login.owner, login.source),
            version=transport.version,
            features=hello.features,
        )
        session = Session(core, transport, session_id=session_id, hold_s=hold_s)
        if config.open_to_strangers and login.is_strange:
            session.log = session.log.carrying(by_stranger(caller.address))
        caller.log = session.log.by(log)
        session.on_event = partial(take_event, directory, session)
        session.on_closed = partial(directory.end_session, session)
        directory.connected.add(session, login.owner, login.source)
        directory.session_began(login)
        caller.begins()
        try:
            welcome = Welcome((ENDS_STUCK,), agent, session_id, secret, *beat, hold_s)
            await transport.send(welcome_message(welcome))
        except BaseException:
            directory.connected.remove(session)
            raise
        directory.sessions[session] = login
        directory.resumes.add(session, login.owner, session_id, secret, login.source)
        return session

    def _hold_or_end(self, session: Session) -> None:
        """Without a connection, a name and something under way there is nothing to hold it for."""
        idle = session.core.is_quiet and not self._directory.registry.names_of(session)
        if session.detached_at is None:
            return
        if idle:
            session.close(session.detached_reason)
        else:
            self._directory.resumes.hold(session)


class _Caller:
    """A client that has connected.

    Attributes:
        address: for the log.
        login: what it has shown.
        begins: to be called when its session begins.
        log: that of its session, once it has one.
    """

    __slots__ = ("address", "begins", "log", "login")

    def __init__(self, address: str, login: Login, begins: Callable[[], None]) -> None:
        self.address = address
        self.login = login
        self.begins = begins
        self.log: logging.Logger | SessionLog = log

    def __repr__(self) -> str:
        return f"<_Caller {self.address} of {short_owner(self.login.owner)}>"


async def _refuse(transport: WebSocketTransport, refusal: Refusal) -> None:
    """Answer a first message with a refusal."""
    refused = Refused(0, refusal.code, f"{refusal.cause} {refusal.next_step}".strip())
    await transport.send(frame(FrameType.REFUSED, 0, pack_map(refused)))
    await transport.aclose()


async def _say_goodbye(transport: WebSocketTransport, error: ProtocolError) -> None:
    """Tell a client why there will be no session."""
    goaway = Goaway(error.code, str(error), 0)
    await transport.send(frame(FrameType.GOAWAY, 0, pack_map(goaway)))
    await transport.aclose()


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first exception of a group, however deep it stands."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
