"""The sessions of one server, the names that they hold, and the requests that wait for them.

Everything in here is one step without an await, so what one task has read of it holds until that
task waits.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, NamedTuple

import trio

from protocol.drivers.session import Session
from protocol.mux.messages import Claim, Claimed, Refused
from protocol.names import APEX, tunnel_key
from tunnel_server.owners.ownership import Ownership
from tunnel_server.owners.tokens import bearer_token, digest_of
from tunnel_server.settings.config import ServerConfig
from tunnel_server.tunnels.parking import Parking
from tunnel_server.tunnels.registry import Carrier, Registry
from tunnel_server.tunnels.resumes import Resumes

log = logging.getLogger(__name__)

# After a start clients come back within 0.5 s, if they saw the old server go, and within some
# attempts if they did not.
EXPECT_S: Final = 15.0


class Login(NamedTuple):
    """The owner of a session, and the digest of what it showed to say so; None: of nothing."""

    owner: str
    digest: bytes | None

    def __repr__(self) -> str:
        return f"<Login {self.owner}>"


class Directory:
    """The sessions and the names of a running server.

    Attributes:
        sessions: the live ones, those without a connection among them.
        resumes: which of them another connection may have.
        parking: requests that wait for a client to come back.
        draining: the server stops, takes nothing new, and closes a connection with its next answer.
    """

    def __init__(
        self,
        config: ServerConfig,
        ownership: Ownership,
        registry: Registry,
        *,
        version: str,
    ) -> None:
        self.config = config
        self.registry = registry
        self.version = version
        self.sessions: dict[Session, Login] = {}
        self.resumes = Resumes()
        self.parking = Parking()
        self.draining = False
        self._ownership = ownership
        self._revision = ownership.revision  # for which sessions were looked at
        self._expected: dict[str, float] = {}
        """Names whose clients should come back, and until when."""

    def __repr__(self) -> str:
        state = "draining" if self.draining else "serving"
        return f"<Directory {state} {len(self.sessions)} sessions {self.registry!r}>"

    def wall_time(self) -> float:
        """Seconds since the epoch, for what is told to people."""
        return datetime.now(UTC).timestamp()

    # --- owners ---

    def login_of(self, authorization: bytes | None) -> Login | None:
        """The login that an Authorization stands for; None: a token is needed."""
        token = bearer_token(authorization) if authorization is not None else None
        if token is None:
            return None
        digest = digest_of(token)
        owner = self._ownership.owner_of(digest)
        return None if owner is None else Login(owner, digest)

    def is_allowed(self, login: Login) -> bool:
        """Whether a session may still be what it was: its token may have been taken away."""
        if not self.config.authentication_required:
            return True
        return login.digest is not None and self._ownership.owner_of(login.digest) == login.owner

    def look_at_owners(self) -> None:
        """Once a second: close every session whose token is not valid any more."""
        self._ownership.look()
        if self._revision == self._ownership.revision:
            return
        self._revision = self._ownership.revision
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

    # --- names ---

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
        return name in self._expected if tunnel is None else tunnel.carrier.away

    def claim(self, session: Session, claim: Claim) -> Claimed | Refused:
        """Give a name to one of `sessions`, if it may have it; `Registry.claim` has the rules."""
        if self.draining:
            return Refused(claim.claim, "draining", "the server stops")
        owner = self.sessions[session].owner
        if claim.name and not self._ownership.may_claim(owner, claim.name):
            return Refused(claim.claim, "name-taken", f"{claim.name} is another owner's")
        answer = self.registry.claim(session, owner, claim)
        if isinstance(answer, Claimed):
            self._expected.pop(answer.name, None)
            self.parking.release(answer.name)
        return answer

    def release(self, carrier: Carrier, claim: int | None = None) -> None:
        """Nobody holds the names of this carrier, or of one claim of it, any more."""
        for name in self.registry.release(carrier, claim, self.wall_time()):
            carrier.log.by(log).info("%s is offline", name)
            self.parking.release(name)

    def may_have_certificate(self, host: bytes) -> bool:
        """Whether a certificate may be made for this host, in any case and with one trailing dot.

        Yes are the service's own domains, and a tunnel that is online or was since the server
        started (of those that left, the last 10,000). See `tls_check` for the reasons.
        """
        if b":" in host:
            return False  # a port, which tunnel_key takes, or an IPv6 literal
        name = tunnel_key(host, self.config.domains)
        if name is None:
            return False
        if name == APEX:  # localhost and IP literals lead there, too
            return host.decode("ascii").lower().removesuffix(".") in self.config.domains
        registry = self.registry
        return registry.find(name) is not None or registry.left_at(name) is not None
