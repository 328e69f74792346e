"""The sessions that another connection may have, and who may have them.

A session is given to whoever shows its id and its secret, and is logged in as the owner of the
session: a stolen id alone is worth nothing, nor is a secret without a valid token. The secret is
kept as a hash for the life of the session; one that changed with every resume would lock out a
client whose answer was lost.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import math
from collections import Counter
from collections.abc import Container
from dataclasses import dataclass
from functools import partial
from typing import Final

from protocol.drivers.portions import in_portions
from protocol.drivers.session import Session
from protocol.mux.messages import Resume
from tunnel_server.observing.strangers import by_stranger
from tunnel_server.owners.held import HeldShare
from tunnel_server.owners.ownership import short_owner
from tunnel_server.owners.share_counts import Counted

log = logging.getLogger(__name__)

# Sessions held without a connection, shared between their owners. Each may keep 16 MiB that were
# not acknowledged; one whose client is idle keeps about 10 KiB.
HELD_MAX: Final = 1024

# For a session without a name: another client has taken it, or its own client is stopping. Nobody
# waits for it but visitors in the middle of something, and a client that was killed and started
# anew never comes back; one that lost its line for a moment does.
NAMELESS_HOLD_S: Final = 10

# Sessions that end in one turn: each takes 0.3 ms with its 16 names, and its requests, of which 32
# are told at once, 0.1 ms each in the turns behind it.
CLOSED_AT_ONCE: Final = 4

_STOPS: Final = "the server stops"


@dataclass
class _Entry:
    """One session, and what a client must show for it."""

    session: Session
    owner: str
    address: str | None
    secret_hash: bytes
    attempt: int = -1

    def __repr__(self) -> str:
        return f"<_Entry of {self.owner}, attempt {self.attempt}>"


class Resumes:
    """The sessions of one server that can be resumed, attached ones among them.

    Those without a connection are counted for their owner, and for their client's address where
    that is. One that is too much ends the longest held of the heaviest.
    """

    def __init__(self) -> None:
        self._entries: dict[bytes, _Entry] = {}
        self._ids: dict[Session, bytes] = {}
        self._of_owner: Counter[str] = Counter()
        self._held: HeldShare[Session] = HeldShare(HELD_MAX)
        self._stopped = False

    def __repr__(self) -> str:
        stopped = ", stopped" if self._stopped else ""
        return f"<Resumes of {len(self._entries)} sessions, {len(self._held)} held{stopped}>"

    @property
    def share(self) -> Counted:
        """The sessions that wait for their clients."""
        return self._held

    def add(
        self,
        session: Session,
        owner: str,
        session_id: bytes,
        secret: bytes,
        address: str | None = None,
    ) -> None:
        """A new session; the secret is not kept. With an address it is counted for that as well."""
        self._entries[session_id] = _Entry(session, owner, address, _hash(secret))
        self._ids[session] = session_id
        self._of_owner[owner] += 1

    def hold(self, session: Session) -> None:
        """A session has lost its connection, and waits for the next; after `stop` it ends."""
        if self._stopped:
            session.close(_STOPS)
            return
        entry = self._entries[self._ids[session]]
        self._held.remove(session)  # it was lost, had another connection, and has lost that
        for longest, heavy in self._held.add(session, entry.owner, entry.address):
            _tell(longest, heavy)
            longest.close("too many sessions wait for their clients")

    def attached(self, session: Session) -> None:
        """It has one again; nothing when it did not wait."""
        self._held.remove(session)

    def remove(self, session: Session) -> None:
        """Nothing when it is not here."""
        self._held.remove(session)
        session_id = self._ids.pop(session, None)
        if session_id is not None:
            owner = self._entries.pop(session_id).owner
            self._of_owner[owner] -= 1
            if not self._of_owner[owner]:
                del self._of_owner[owner]

    def has_one_of(self, owner: str) -> bool:
        """Whether there is a session that a client of this owner may come back for."""
        return owner in self._of_owner

    def find(self, asked: Resume, owner: str, version: int) -> Session | None:
        """The session that this owner may have with what was shown; then the attempt is counted.

        It goes on in the version of the wire that it began in: frames that wait to be sent again
        are packed for that.

        An attempt not above the last that was accepted is a message that was late: the connection
        that it came by is not the client's newest.
        """
        if self._stopped:
            return None
        entry = self._entries.get(asked.session)
        right = hmac.compare_digest(_hash(asked.secret), entry.secret_hash if entry else bytes(32))
        if entry is None or not right or owner != entry.owner:
            return None
        if asked.attempt <= entry.attempt or not entry.session.resumable:
            return None
        if entry.session.core.version != version:
            return None
        entry.attempt = asked.attempt
        return entry.session

    def held(self) -> list[Session]:
        """Those without a connection, the longest held first."""
        return list(self._held)

    async def sweep(self, now: float, named: Container[object]) -> None:
        """Once a second: end what was held for its time, a few in each turn.

        Args:
            named: the sessions that hold a name.
        """

        def is_over(session: Session) -> bool:
            since = session.detached_at  # None: it goes on, or has ended, just now
            return since is not None and now - since >= _hold_s(session, named)

        def end(session: Session) -> None:
            session.close(f"not resumed within {_hold_s(session, named):g} s")

        await in_portions(self.held(), end, at_once=CLOSED_AT_ONCE, when=is_over)

    async def stop(self) -> None:
        """Give no session back from now on, and hold none; those that are held end.

        Cancelled, it leaves some, which nobody gets.
        """
        self._stopped = True
        held, end = self.held(), partial(Session.close, reason=_STOPS)
        await in_portions(held, end, at_once=CLOSED_AT_ONCE, when=self._held.__contains__)


def _hold_s(session: Session, named: Container[object]) -> float:
    return min(session.hold_s, math.inf if session in named else NAMELESS_HOLD_S)


def _tell(longest: Session, heavy: str | None) -> None:
    """Log that a session ends since this owner, or address, has too many that wait."""
    whose = "nobody in particular" if heavy is None else short_owner(heavy)
    text = (
        "ended: %s has too many of the %d sessions that wait for their clients, and this one has"
        " waited for longest (--hold says for how long they may)"
    )
    said_of = longest.log.carrying(by_stranger(heavy or "")).by(log)
    said_of.info(text, whose, HELD_MAX)


def _hash(secret: bytes) -> bytes:
    return hashlib.sha256(secret).digest()
