"""What the connections of one server share: settings, names, sessions, and whether it stops."""

from __future__ import annotations

import logging
import resource
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, NamedTuple, Protocol

import trio

from protocol.drivers.session import Session
from tunnel_server.answers.answer import Answer, HealthDetails, error_answer, offline_answer
from tunnel_server.owners.tokens import Authenticator, bearer_token
from tunnel_server.settings.config import ServerConfig
from tunnel_server.tunnels.parking import Parking
from tunnel_server.tunnels.registry import Registry
from tunnel_server.tunnels.resumes import Resumes
from tunnel_server.visitors.crowd import Crowd, connections_for

log = logging.getLogger(__name__)

# After a start clients come back within 0.5 s, if they saw the old server go, and within some
# attempts if they did not.
EXPECT_S: Final = 15.0


class Login(NamedTuple):
    """Whose a session is, and with what it was shown."""

    owner: str
    authorization: bytes | None

    def __repr__(self) -> str:
        return f"<Login {self.owner}>"


class Swept(Protocol):
    """A public connection, as the sweep and the stop see it."""

    @property
    def busy(self) -> bool:
        """Whether a request is being served or has begun to arrive, or an answer has just left."""

    def sweep(self, now: float) -> None:
        """End what has passed its deadline."""

    def stop_when_idle(self) -> None:
        """End a connection that is not busy; one that carries a session goes on."""

    def close_websocket(self, code: int) -> bool:
        """End a WebSocket with a Close of ours; false on other connections."""

    def end(self) -> None:
        """End it now: what is cut off looks so. One that carries a session goes on."""


class Edge:
    """The state of a running server.

    Attributes:
        public_url: the apex, as visitors see it.
        sessions: the live ones, those without a connection among them.
        resumes: which of them another connection may have.
        crowd: the places of visitors' connections.
        parking: requests that wait for a client to come back.
        draining: the server stops; every answer closes its connection.
    """

    def __init__(
        self,
        config: ServerConfig,
        authenticator: Authenticator,
        registry: Registry,
        *,
        port: int,
        version: str,
    ) -> None:
        self.config = config
        self.authenticator = authenticator
        self.registry = registry
        self.version = version
        self.port = port
        self.public_url = config.public_url_for("", port)
        self.sessions: dict[Session, Login] = {}
        self.resumes = Resumes()
        self.parking = Parking()
        self._expected: dict[str, float] = {}
        """Names whose clients should come back, and until when."""
        self.connections: set[Swept] = set()
        self.crowd = Crowd(config.max_connections or connections_for(_open_files_max()))
        self.draining = False

    def __repr__(self) -> str:
        state = "draining" if self.draining else "serving"
        return f"<Edge {state} {len(self.connections)} connections {self.registry!r}>"

    def wall_time(self) -> float:
        """Seconds since the epoch, for what is told to people."""
        return datetime.now(UTC).timestamp()

    def owner_of(self, authorization: bytes | None) -> str | None:
        """Who a request is from, by its Authorization; None: a token is needed."""
        token = bearer_token(authorization) if authorization is not None else None
        return self.authenticator.owner_of(token)

    def is_allowed(self, login: Login) -> bool:
        """Whether a session may still be what it was: its token may have been taken away."""
        if not self.config.authentication_required:
            return True
        return self.owner_of(login.authorization) == login.owner

    def end_revoked_sessions(self) -> None:
        """Close every session whose token is not valid any more."""
        for session, login in tuple(self.sessions.items()):
            if not self.is_allowed(login):
                session.close("its token is not valid any more")

    # --- sessions that come and go ---

    def end_session(self, session: Session) -> None:
        """A session is over; nothing when that is known."""
        self.sessions.pop(session, None)
        self.resumes.remove(session)
        self.release(session)

    def attached(self, session: Session) -> None:
        """A session has a connection again."""
        for name in self.registry.names_of(session):
            self.parking.release(name)

    def expect(self, names: Mapping[str, str]) -> None:
        """These names were live a moment ago, on a server before this one.

        For a while their requests are parked, and nobody else but their owners gets them.
        """
        until = trio.current_time() + EXPECT_S
        for name, owner in names.items():
            self._expected[name] = until
            self.registry.reserve(name, owner)

    def is_away(self, name: str) -> bool:
        """Whether the client of this name is away and should come back."""
        if self.draining:
            return False
        tunnel = self.registry.find(name)
        return name in self._expected if tunnel is None else tunnel.session.detached_at is not None

    def sweep(self, now: float) -> None:
        """Once a second: end what has waited for its time."""
        self.resumes.sweep(now, self.registry.holders())
        for name in [name for name, until in self._expected.items() if now >= until]:
            del self._expected[name]
            self.registry.unreserve(name)
            self.parking.release(name)

    def drain(self) -> None:
        """Take nothing new: what waits for a client that is away waits in vain."""
        self.draining = True
        for session in self.resumes.held():
            session.close("the server stops")
        self.parking.release_all()

    def claimed(self, name: str) -> None:
        """A client holds this name now."""
        self._expected.pop(name, None)
        self.parking.release(name)

    # --- what is told and answered ---

    def health(self, authorization: bytes | None) -> HealthDetails | None:
        """The details of health, for those who may know them."""
        may_know = not self.config.authentication_required
        if not may_know and (authorization is None or self.owner_of(authorization) is None):
            return None
        cores = [session.core for session in self.sessions]
        return HealthDetails(
            self.version,
            len(cores),
            sum(len(core.streams) for core in cores),
            sum(core.sent.unacked_bytes for core in cores),
            len(self.resumes.held()),
            self.parking.count,
        )

    def release(self, session: Session, claim: int | None = None) -> None:
        """Nobody holds the names of this session, or of one claim of it, any more."""
        for name in self.registry.release(session, claim, self.wall_time()):
            log.info("%s is offline", name)
            self.parking.release(name)

    def missing(self, name: str, accept: bytes, method: bytes = b"GET") -> Answer:
        """The answer for a tunnel that nobody holds."""
        left_at = self.registry.left_at(name)
        if left_at is None:
            return error_answer("tunnel-not-found", "", accept, name=name)
        since = datetime.fromtimestamp(left_at, UTC)
        return offline_answer(name, since, datetime.now(UTC), accept, method=method)


def _open_files_max() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1 << 30 if soft == resource.RLIM_INFINITY else soft
