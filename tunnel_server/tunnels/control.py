"""The control endpoint: a tunnel's client connects, and its session runs here.

The handshake is checked by us, since the WebSocket library answers a bad one badly or never. The
library gets a good one in our own words, with nothing of the visitor's but the key, under a
deadline and in a nursery of its own.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from functools import partial
from typing import Final

import trio

from protocol import CONTROL_PATH, SUBPROTOCOLS, best_version, subprotocol_of
from protocol.drivers.session import Session, SessionEvent
from protocol.drivers.session_log import SessionLog
from protocol.drivers.transport import TransportClosed, WebSocketTransport, accept_websocket
from protocol.errors import ProtocolError, RemoteProtocolError
from protocol.http.fields import elements, values_of
from protocol.http.heads import RequestHead
from protocol.http.websocket import valid_key
from protocol.limits import ACCEPT_TIMEOUT_S
from protocol.mux.control import Heartbeat
from protocol.mux.core import Core
from protocol.mux.events import ClaimAsked, GoingAway, Released
from protocol.mux.handshake import (
    read_first,
    resumed_message,
    unknown_session_message,
    welcome_message,
)
from protocol.mux.map_bodies import pack_map
from protocol.mux.messages import Claim, Goaway, Hello, Refused, Resume, Welcome
from protocol.mux.wire import FrameType, frame
from protocol.names import is_legal_name
from tunnel_server.answers.refusal import Refusal, browser_refused, version_refused
from tunnel_server.observing.strangers import by_stranger, crowd_key
from tunnel_server.owners.tokens import authorization_of
from tunnel_server.tunnels.directory import Directory, Login, short_owner

log = logging.getLogger(__name__)

# A client whose resume was refused says hello next; more refusals are no client of ours.
_RESUMES_MAX: Final = 3

_SESSIONS_FULL: Final = (
    "It is tried again by itself. Stop clients that nobody needs, or ask whoever runs the server"
    " for more (--max-sessions)."
)

# RFC 6455, 4.2.1.
_HANDSHAKE: Final = (
    f"GET {CONTROL_PATH} HTTP/1.1\r\n"
    "Host: localhost\r\n"
    "Connection: Upgrade\r\n"
    "Upgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Protocol: %s\r\n"
    "Sec-WebSocket-Key: %s\r\n\r\n"
)


class ControlEndpoint:
    """Runs the sessions of one server."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    def __repr__(self) -> str:
        return f"<ControlEndpoint {len(self._directory.sessions)} sessions>"

    # --- the opening handshake ---

    def check(self, address: str, head: RequestHead) -> Login | Refusal:
        """The login of the session to come, or the refusal of the handshake.

        Args:
            address: the client's, for the log.
            head: the handshake.
        """
        found = self._fault(head) or self._login(address, head) or Refusal("unauthorized")
        if isinstance(found, Login):
            # Whoever has a session here may have come for that, which takes nothing more.
            comes_back = self._directory.resumes.has_one_of(found.owner)
            found = (None if comes_back else self._fullness(found)) or found
        if isinstance(found, Refusal):
            _log_refused(address, found)
        return found

    def _login(self, address: str, head: RequestHead) -> Login | None:
        """Return the login, or None where a token is needed; a client without one owns itself."""
        login = self._directory.login_of(authorization_of(head))
        if self._directory.config.authentication_required:
            return login
        login = login or Login(f"anonymous:{secrets.token_hex(16)}", None)
        # A proxy that names no visitor brings everybody's clients; and a token costs its owner more
        # than an install key, so that its names are not a stranger's neighbours.
        counted = login.is_strange and not self._directory.config.trusts(address)
        return login._replace(source=crowd_key(address) if counted else None)

    def _fullness(self, login: Login) -> Refusal | None:
        """The refusal where its owner, or its address, has its share of the sessions."""
        clients, connected = self._directory.clients, self._directory.connected
        if connected.make_room(trio.current_time(), login.owner, login.source):
            return None
        owner = "This client" if login.is_strange else "This token"
        whose = f"{owner} has" if clients.full_key(login.owner) else "Your address has"
        text = f"{whose} its share of the {clients.most} sessions of this server"
        if clients.full_key(login.owner, login.source) is None:
            text = f"This server has all of its {clients.most} sessions"
        return Refusal("overloaded", f"{text}.", next_step=_SESSIONS_FULL)

    def _fault(self, head: RequestHead) -> Refusal | None:
        """Return what is wrong with the handshake (RFC 6455 4.2.1), or None."""
        # Before all else, whatever its value is (empty, `null`, our own): a page that a developer
        # visits reaches a server on loopback, and would serve its own app under a name there.
        if values_of(head.fields, b"origin"):
            return browser_refused()
        if not head.upgrade:
            return Refusal("upgrade-required")
        if values_of(head.fields, b"sec-websocket-version") != [b"13"]:
            return Refusal("upgrade-required", "Only WebSocket version 13.")
        if not all(value.isascii() for _, value in head.fields):
            return Refusal("bad-request", "A field of the handshake is not ASCII.")
        key = values_of(head.fields, b"sec-websocket-key")
        if len(key) != 1 or not valid_key(key[0]):
            return Refusal("bad-request", "Sec-WebSocket-Key is not one key.")
        if _best_version(head) is None:
            return version_refused(SUBPROTOCOLS)
        if self._directory.draining:
            return Refusal("draining")
        return None

    # --- a session ---

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
            login: what `check` returned.
            head: the handshake, which was checked.
            behind: what came behind it.
            begins: called when it carries a session. Until then it is a stranger's, like any other.
        """
        first = _own_handshake(head) + behind
        caller, extra = _Caller(address, login, begins), by_stranger(address)
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
            full = None if has_one else self._fullness(login)
            if full is not None:
                await _refuse(transport, caller.address, full)
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
        )
        session = Session(core, transport, session_id=session_id, hold_s=hold_s)
        if config.open_to_strangers and login.is_strange:
            session.log = session.log.carrying(by_stranger(caller.address))
        caller.log = session.log.by(log)
        session.on_event = partial(self.on_event, session)
        session.on_closed = partial(directory.end_session, session)
        directory.connected.add(session, login.owner, login.source)
        caller.begins()
        try:
            welcome = Welcome((), agent, session_id, secret, *beat, hold_s)
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

    def on_event(self, session: Session, event: SessionEvent) -> None:
        """Take what a client says beside its streams; called in the session's reader."""
        directory = self._directory
        if isinstance(event, ClaimAsked):
            directory.gate.answer(session, partial(self._claim, session, event.claim))
        elif isinstance(event, GoingAway):
            directory.gate.leave(session)  # what it has asked for it does not want any more
            directory.release(session)
            if not session.core.control.server_stops:  # the newest holds, and would take that back
                session.goaway("no-error", "nothing more will be opened", 0)
        elif isinstance(event, Released):
            directory.release(session, event.release.claim)

    def _told_of(self, claim: Claim) -> str:
        """The owner of a name that was refused, for the log: the client is not told."""
        owner = self._directory.owner_of(claim.name) if is_legal_name(claim.name) else None
        return f" ({claim.name} is {short_owner(owner)}'s)" if owner is not None else ""

    def _claim(self, session: Session, claim: Claim) -> None:
        """Answer a claim, which may have waited at the gate: a resume meanwhile asks it again."""
        if not session.core.control.awaits_answer(claim):
            return
        login = self._directory.sessions[session]
        if not self._directory.is_allowed(login):
            session.close("its token is not valid any more")
            return
        answer = self._directory.claim(session, claim)
        session.answer_claim(answer)
        said_of = session.log.by(log)
        if isinstance(answer, Refused) and answer.code == "name-released":
            said_of.info("%s, by %s", answer.message, short_owner(login.owner))
        elif isinstance(answer, Refused):
            what = self._told_of(claim)
            said_of.info("claim of %s refused: %s%s", short_owner(login.owner), answer.code, what)
        else:
            said_of.info("%s is online, of %s", answer.name, short_owner(login.owner))


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


def _best_version(head: RequestHead) -> int | None:
    """The newest version that both ends speak."""
    offers = elements(b",".join(values_of(head.fields, b"sec-websocket-protocol")))
    return best_version(offer.decode("ascii") for offer in offers)


def _own_handshake(head: RequestHead) -> bytes:
    """A handshake that was checked, in our own words for the WebSocket library."""
    version = _best_version(head)
    assert version is not None
    key = values_of(head.fields, b"sec-websocket-key")[0].decode("ascii")
    return (_HANDSHAKE % (subprotocol_of(version), key)).encode("ascii")


def _log_refused(address: str, refusal: Refusal) -> None:
    text, extra = "%s: control handshake refused: %s", by_stranger(address, refusal.code)
    log.info(text, address, refusal.code, extra=extra)


async def _refuse(transport: WebSocketTransport, address: str, refusal: Refusal) -> None:
    """Answer a first message with a refusal."""
    _log_refused(address, refusal)
    refused = Refused(0, refusal.code, refusal.cause)
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
