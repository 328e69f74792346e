"""The sessions of one server, the names that they hold, and the requests that wait for them.

What is done with one session or one name is one step without an await, so what a task has read of
it holds until that task waits. What is done with many is as many steps, a few in each turn.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Final, NamedTuple

import trio

from protocol.backoff import LONGEST_SPAN_S
from protocol.drivers.portions import in_portions
from protocol.drivers.session import Session
from protocol.limits import MEMORY_LENT_BYTES
from protocol.mux.messages import Claim, Claimed, Refused
from protocol.names import APEX, NAME_RULE, is_legal_name, tunnel_key
from protocol.options import OptionError, read_options
from protocol.program.process import open_files_max
from tunnel_server.observing.strangers import by_stranger
from tunnel_server.owners.names import KeptNames
from tunnel_server.owners.ownership import Ownership, Right, short_owner
from tunnel_server.owners.places import command_of
from tunnel_server.owners.shares import MemoryShare, Share
from tunnel_server.owners.tokens import bearer_token, digest_of
from tunnel_server.settings.config import ServerConfig
from tunnel_server.tunnels.claim_gate import ClaimGate
from tunnel_server.tunnels.connected import Connected
from tunnel_server.tunnels.leaving import Leaving
from tunnel_server.tunnels.owned_sessions import OwnedSessions
from tunnel_server.tunnels.parking import Parking
from tunnel_server.tunnels.registry import Carrier, Registry
from tunnel_server.tunnels.resumes import CLOSED_AT_ONCE, Resumes
from tunnel_server.tunnels.stable_names import made_up_within, with_default_within, with_stable_name
from tunnel_server.tunnels.stream_shares import StreamShares

log = logging.getLogger(__name__)

# Names that programs and people look up by themselves, so that whoever has one speaks for the
# domain: proxies of browsers (wpad, isatap), mail (mta-sts, autodiscover, autoconfig, openpgpkey,
# mail, smtp, imap, pop), and what a domain's own servers are called.
RESERVED: Final = frozenset(
    (
        *("wpad", "isatap", "mta-sts", "autodiscover", "autoconfig", "openpgpkey"),
        *("www", "mail", "smtp", "imap", "pop", "ftp", "ns1", "ns2", "ns3", "ns4"),
    )
)

# After a start clients come back within 0.5 s, if they saw the old server go. Where it was away for
# up to a minute (recent_names.RECENT_S) they are between two tries.
EXPECT_S: Final = LONGEST_SPAN_S + 5.0

# All are looked at. Where names are kept for less than a day it is twice as often as one is to be
# written down.
SEE_NAMES_EVERY_S: Final = 3_600.0

# Names that are written down, or expected no more, in one turn: each takes up to 9 us.
_NAMES_AT_ONCE: Final = 128

# Each session is a descriptor. A thousand are more clients than one process can serve.
_SESSIONS_MAX: Final = 1024
_SESSIONS_MIN: Final = 16
_SESSIONS_SHARE: Final = 8  # of the descriptors


def sessions_for(descriptors: int) -> int:
    """The number of sessions that a process with so many descriptors may have."""
    return max(_SESSIONS_MIN, min(_SESSIONS_MAX, descriptors // _SESSIONS_SHARE))


class Login(NamedTuple):
    """The owner of a session, and what it has shown.

    Fields:
        digest: of its token or install key; None: it has shown nothing.
        source: the address by which what it keeps is counted; None: it is not.
        address: of its client, for its owner.
    """

    owner: str
    digest: bytes | None
    source: str | None = None
    address: str = ""

    def __repr__(self) -> str:
        return f"<Login {self.owner}>"

    @property
    def is_strange(self) -> bool:
        """Whether nobody has given it a token; no name of one has a colon."""
        return ":" in self.owner


class Directory:
    """The sessions and the names of a running server.

    Attributes:
        sessions: the live ones, those without a connection among them.
        resumes: which of them another connection may have.
        parking: requests that wait for a client to come back.
        streams: the shares of visitors in the streams of each session.
        memory: the shares of owners, and addresses, in what all sessions hold.
        clients: the shares of owners and addresses in the connections that carry sessions.
        connected: the sessions that have one.
        gate: claims that wait while this server takes over from another, or gives way to it.
        leaving: the sessions whose clients stop.
        draining: the server stops, takes nothing new, and closes a connection with its next answer.
    """

    def __init__(
        self,
        config: ServerConfig,
        ownership: Ownership,
        registry: Registry,
        names: KeptNames,
        *,
        version: str,
    ) -> None:
        self.config = config
        self.registry = registry
        self.names = names
        self.version = version
        self.sessions: OwnedSessions[Login] = OwnedSessions()
        self.resumes = Resumes()
        self.parking = Parking()
        self.streams = StreamShares()
        self.memory = MemoryShare(MEMORY_LENT_BYTES)
        self.clients = Share(config.max_sessions or sessions_for(open_files_max()))
        self.connected = Connected(self.clients)
        self.gate = ClaimGate()
        self.leaving = Leaving()
        self.draining = False
        self._ownership = ownership
        self._revision = ownership.revision  # for which sessions were looked at
        self._looks_at_owners = trio.Lock()
        self._see_names_at = 0.0
        self._expected: OrderedDict[str, float] = OrderedDict()
        """Names whose clients should come back, and until when; the first to be over first."""

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
        right = self._ownership.right_of(digest)
        return None if right is None else Login(right.owner, digest)

    def is_allowed(self, login: Login) -> bool:
        """Whether a session may still be what it was: its token may have been taken away."""
        if login.digest is None:
            return not self.config.authentication_required
        right = self._ownership.right_of(login.digest)
        return right is not None and right.owner == login.owner

    def session_began(self, login: Login) -> None:
        """Note that a session of this login has begun, or goes on by another connection."""
        if login.digest is not None:
            self._ownership.used(login.digest)

    def knows_owner(self, owner: str) -> bool:
        """Whether a token, or a key, stands for this owner now."""
        return self._ownership.knows(owner)

    async def look_at_owners(self) -> int:
        """Once a second: close every session whose token is not valid any more.

        A session that has still to be closed gets no name: a claim asks about its token as well.
        When it returns there is none left, also where it was another call that began on them.

        Returns:
            the number of those that were closed.
        """
        async with self._looks_at_owners:
            self._ownership.look()
            if self._revision == self._ownership.revision:
                return 0
            self._revision = self._ownership.revision
            sessions = tuple(self.sessions)
            without = [session for session in sessions if self._has_no_right(session)]
            await in_portions(without, _refuse, at_once=CLOSED_AT_ONCE, when=self._has_no_right)
            return len(without)

    def _has_no_right(self, session: Session) -> bool:
        """Whether its token is not valid any more: the one by which it was resumed last."""
        login = self.sessions.get(session)  # None: it has ended just now
        return login is not None and not self.is_allowed(login)

    # --- sessions that come and go ---

    def end_session(self, session: Session) -> None:
        """A session is over; nothing when that is known."""
        self.sessions.pop(session, None)
        self.gate.leave(session)
        self.leaving.remove(session)
        self.resumes.remove(session)
        self.streams.forget(session)
        self.release(session)

    def attached(self, session: Session) -> None:
        """A session has a connection again."""
        self.resumes.attached(session)
        for name in self.registry.names_of(session):
            self.parking.release(name)

    async def sweep(self, now: float) -> None:
        """Once a second: end what has waited for its time, and note which names are live."""
        await self.resumes.sweep(now, self.registry.holders())
        self.memory.trim()
        if now >= self._see_names_at:
            self._see_names_at = now + min(SEE_NAMES_EVERY_S, self.names.seen_every_s / 2)
            await self._see_names(self.wall_time())
        await in_portions(self._expected_until(now), self._expect_no_more, at_once=_NAMES_AT_ONCE)

    async def _see_names(self, now: float) -> None:
        names, seen = self.names.all(), partial(self.names.seen, now=now)
        is_due = partial(self.names.is_to_be_seen, now=now)
        await in_portions(names, seen, at_once=_NAMES_AT_ONCE, when=is_due)

    def _expected_until(self, now: float) -> Iterator[str]:
        """The names for which it is over; each is to be expected no more before the next."""
        while self._expected:
            name, until = next(iter(self._expected.items()))
            if now < until:
                return
            yield name

    async def drain(self) -> None:
        """Take nothing new: what waits for a client that is away waits in vain.

        From its first step on no claim gets a name and no session is given back or held. When it
        returns all that was held has ended.
        """
        self.draining = True
        await self.resumes.stop()
        self.parking.release_all()
        await self.gate.open()

    # --- names ---

    def expect(self, names: Mapping[str, str]) -> None:
        """These names were live a moment ago, on a server before this one.

        For a while their requests are parked, and nobody else but their owners gets them.
        """
        until = trio.current_time() + EXPECT_S
        for name, owner in names.items():
            kept = self.names.get(name)
            if kept is not None and kept.owner != owner:
                continue  # somebody has got it since
            self._expected[name] = until
            self._expected.move_to_end(name)
            self.registry.reserve(name, owner)

    def owner_of(self, name: str) -> str | None:
        """The owner that a name is held by, or kept or expected for; None: it is nobody's."""
        kept = self.names.get(name)
        return self.registry.owner_of(name) or (None if kept is None else kept.owner)

    def source_of(self, name: str) -> str | None:
        """The key of the address of the client that holds a name, where owners cost nothing."""
        tunnel = self.registry.find(name)
        if tunnel is None or not isinstance(tunnel.carrier, Session):
            return None
        login = self.sessions.get(tunnel.carrier)
        return None if login is None else login.source

    def address_of(self, carrier: Carrier) -> str:
        """The address of the client behind a carrier; "" where none is known."""
        login = self.sessions.get(carrier) if isinstance(carrier, Session) else None
        return "" if login is None else login.address

    def changed_hands(self, name: str) -> None:
        """A name that is kept may be another owner's now, or nobody's: who was expected is not."""
        kept = self.names.get(name)
        if name not in self._expected:
            return
        if kept is None or kept.owner != self.registry.reserved_for(name):
            self._expect_no_more(name)

    def read_again(self) -> None:
        """Kept names were read anew: others may have got some that are expected here."""
        for name in list(self._expected):
            if self.names.get(name) is not None:  # what is not kept is expected all the same
                self.changed_hands(name)

    def _expect_no_more(self, name: str) -> None:
        del self._expected[name]
        self.registry.unreserve(name)
        self.parking.release(name)

    def is_away(self, name: str) -> bool:
        """Whether the client of this name is away and should come back.

        Of a server that stops none should. A session that is still to end for that is away until
        then, so that what is asked meanwhile is answered as afterwards.
        """
        tunnel = self.registry.find(name)
        if tunnel is None:
            return name in self._expected and not self.draining
        return tunnel.carrier.away

    def claim(self, session: Session, claim: Claim) -> Claimed | Refused:
        """Give a name to one of `sessions`, if it may have it; `Registry.claim` has the rules."""
        if self.draining:
            return Refused(claim.claim, "draining", "the server stops")
        if (claimed := self.registry.claimed(session, claim)) is not None:
            return claimed  # its client has missed the answer; whose the name is may have changed
        login, now = self.sessions[session], self.wall_time()
        if claim.options.get("release"):
            return self._given_up(login.owner, claim)
        right = self.right_of(login)
        claim = with_default_within(claim, right.names)
        claim, note = with_stable_name(
            claim, login.owner, self.registry, lambda named: not self._why_not(right, named, now)
        )
        claim = made_up_within(claim, right.names, self.registry)
        refused = self._too_many(right, claim) or self._why_not(right, claim, now)
        answer = refused or self.registry.claim(session, login.owner, claim)
        if isinstance(answer, Claimed):
            self._expected.pop(answer.name, None)
            self.parking.release(answer.name)
            self._keep(answer.name, login, claim, now)
            answer = answer._replace(note=note) if note else answer
        return answer

    def _given_up(self, owner: str, claim: Claim) -> Refused:
        """Make a name nobody's, if it is this owner's; the answer is a refusal in any case."""
        name = claim.name
        try:
            read_options(claim.options)
        except OptionError as error:
            return Refused(claim.claim, error.code, str(error))
        if not is_legal_name(name):
            return Refused(claim.claim, "name-invalid", f"a name is {NAME_RULE}")
        kept, tunnel = self.names.get(name), self.registry.find(name)
        held_by = kept.owner if kept is not None else tunnel.owner if tunnel is not None else owner
        if held_by != owner:
            return Refused(claim.claim, "name-taken", f"{name} is another owner's")
        if tunnel is not None and tunnel.owner == owner:
            text = f"a client of yours serves under {name}: stop it first"
            return Refused(claim.claim, "name-taken", text)
        was = "is nobody's now" if self.names.release(name) else "was nobody's"
        return Refused(claim.claim, "name-released", f"{name} {was}")

    def _keep(self, name: str, login: Login, claim: Claim, now: float) -> None:
        """Keep a name, but one that the server made up, and for a client that can show who it is.

        Clients up to 0.2 show another install key than they will once they are upgraded.
        """
        tunnel = self.registry.find(name)
        will_change = login.is_strange and claim.default is None
        if tunnel is None or not tunnel.was_asked_for or login.digest is None or will_change:
            return
        chosen, source = tunnel.chosen, login.source
        self.names.claimed(login.owner, name, now, chosen=chosen, address=source)
        if (kept := self.names.get(name)) is not None:
            tunnel.chosen = kept.chosen

    def right_of(self, login: Login) -> Right:
        """The right of a session, which is its own owner whatever has become of its token."""
        found = None if login.digest is None else self._ownership.right_of(login.digest)
        return Right(login.owner) if found is None else found._replace(owner=login.owner)

    def _too_many(self, right: Right, claim: Claim) -> Refused | None:
        """The reason why an owner may not hold one more name; one of its own is none more."""
        most, registry = self.config.limits.tunnels, self.registry
        if most is None or registry.count_of(right.owner) < most:
            return None
        if claim.name and registry.carrier_of(claim.name) is not None:
            return None
        text = f"{right.owner} holds as many names as whoever runs the server allows one, {most}"
        return Refused(claim.claim, "too-many-tunnels", text)

    def _why_not(self, right: Right, claim: Claim, now: float) -> Refused | None:
        """The reason why an owner may not have the name that it asks for, held or not."""
        owner = right.owner
        if right.names and not right.may_claim(claim.name):
            return _not_within(right, claim)
        if not claim.name:
            return None
        kept = self.names.get(claim.name)
        # First: what the operator gave of these does not go to whoever asks when it is over.
        reserved = claim.name in RESERVED and self.config.public_by is not None
        if reserved and (kept is None or kept.owner != owner):
            text = f"{claim.name} is a name that other programs look up by themselves"
            return Refused(claim.claim, "name-reserved", text)
        if not self.names.may_claim(owner, claim.name, now):
            self._tell_of_kept(owner, claim.name)
            return Refused(claim.claim, "name-taken", f"{claim.name} is another owner's")
        return None

    def _tell_of_kept(self, owner: str, name: str) -> None:
        """Say what the other owner is not told: whose it is, since when, and what to do."""
        kept = self.names.get(name)
        if kept is None or self.registry.find(name) is not None:
            return
        since = datetime.fromtimestamp(kept.seen_at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        text = "%s is kept for %s, away since %s; `%s` frees it"
        extra = by_stranger(owner, name)  # one may ask sixty times a minute, in many sessions
        command = command_of(self.config, f"name release {name}")
        log.info(text, name, short_owner(kept.owner), since, command, extra=extra)

    def release(self, carrier: Carrier, claim: int | None = None) -> None:
        """Nobody holds the names of this carrier, or of one claim of it, any more."""
        now = self.wall_time()
        for name in self.registry.release(carrier, claim, now):
            self.names.seen(name, now)
            carrier.log.by(log).info("%s is offline", name)
            self.parking.release(name)

    def close_name(self, name: str) -> str | None:
        """Take a name from the client that holds it, which is told; what is open goes on.

        Returns:
            its owner, whose the name stays; None: nobody holds it.
        """
        tunnel = self.registry.find(name)
        if tunnel is None:
            return None
        self.release(tunnel.carrier, tunnel.claim)
        tunnel.carrier.release(tunnel.claim, "closed", "whoever runs the server has closed it")
        return tunnel.owner

    def left_at(self, name: str) -> float | None:
        """The time when a name that nobody holds now was last held; None: nobody is to know.

        Where names are kept that is so of one that nobody chose: a URL that leaked cannot be told
        from a guess.
        """
        if (kept := self.names.get(name)) is not None:
            return kept.seen_at if kept.chosen else None
        left = self.registry.left(name)
        if left is None or (self.names.are_kept and not left.chosen):
            return None
        return left.held.at

    def may_have_certificate(self, host: bytes) -> bool:
        """Whether a certificate may be made for this host, in any case and with one trailing dot.

        Yes are the service's own domains, and a name that somebody chose and holds. See `tls_check`
        for the reasons.
        """
        if b":" in host:
            return False  # a port, which tunnel_key takes, or an IPv6 literal
        name = tunnel_key(host, self.config.domains)
        if name is None:
            return False
        if name == APEX:  # localhost and IP literals lead there, too
            return host.decode("ascii").lower().removesuffix(".") in self.config.domains
        tunnel = self.registry.find(name)
        return tunnel is not None and tunnel.chosen


def _not_within(right: Right, claim: Claim) -> Refused:
    """Refuse a name that a token does not let through; it is for its owner, who knows the token."""
    allowed = ", ".join(right.names)
    what = f"{claim.name} is not" if claim.name else "no name is left that is"
    return Refused(
        claim.claim, "name-not-allowed", f"{what} one that this token may have: {allowed}"
    )


def _refuse(session: Session) -> None:
    said = "the token of this client is not valid any more"
    session.refuse("unauthorized", said, reason="its token is not valid any more")
