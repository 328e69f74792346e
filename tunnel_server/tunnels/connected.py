"""The connections that carry sessions, and whose share of them each is.

What counts is what is alive. A connection counts from the moment when its session begins or is
resumed: a client that comes back brings no second one, since it takes the place of its own, dead or
not. And where a key has its share, a session that was not heard of for longer than a client that is
there may be silent gives way to the next. Its connection alone is dropped: it is held, as after
any loss, so that a client that was there after all has it back.

(A router that starts anew leaves sixty connections behind that nobody has closed. They are noticed
after half a minute, and their clients are back before.)
"""

from __future__ import annotations

from collections import OrderedDict
from itertools import islice
from typing import Final

from protocol.drivers.session import Session
from tunnel_server.owners.shares import Share

# Beyond the interval of its pings a client is silent for a round trip; on bad lines that is this.
LATE_S: Final = 5.0
# Of a key's own, for each that comes; the others have their turn the next time.
LOOKED_AT: Final = 64


class Connected:
    """The sessions of one server that have a connection.

    Args:
        share: of owners and addresses in them.
    """

    def __init__(self, share: Share) -> None:
        self._share = share
        self._keys: dict[Session, tuple[str | None, ...]] = {}
        self._of_key: dict[str, OrderedDict[Session, None]] = {}

    def __repr__(self) -> str:
        return f"<Connected {self._share!r}>"

    def __contains__(self, session: Session) -> bool:
        return session in self._keys

    def add(self, session: Session, *keys: str | None) -> None:
        """It has a connection, also where there was no room; one that had another has this now.

        Args:
            session: one of this server.
            keys: by which it is counted, such as an owner and an address. None is no key.
        """
        self.remove(session)
        self._share.take(*keys)
        self._keys[session] = keys
        for key in keys:
            if key is not None:
                self._of_key.setdefault(key, OrderedDict())[session] = None

    def remove(self, session: Session) -> None:
        """It has none; nothing when that is known."""
        keys = self._keys.pop(session, None)
        if keys is None:
            return
        self._share.give(*keys)
        for key in keys:
            if key is None:
                continue
            own = self._of_key[key]
            del own[session]
            if not own:
                del self._of_key[key]

    def make_room(self, now: float, *keys: str | None) -> bool:
        """Whether there is room for one more of these; silent ones of theirs give way."""
        share = self._share
        if share.has_room(*keys):
            return True
        full = share.full_key(*keys)
        for session in self._next_of(*(keys if full is None else (full,))):
            if share.has_room(*keys):
                break
            if _is_silent(session, now):
                self.remove(session)
                session.drop_connection()
        return share.has_room(*keys)

    def _next_of(self, *keys: str | None) -> list[Session]:
        """The next few of these, which are the last to be looked at from now on."""
        found: list[Session] = []
        for key in keys:
            own = self._of_key.get(key or "", OrderedDict())
            few = list(islice(own, LOOKED_AT - len(found)))
            for session in few:
                own.move_to_end(session)
            found += few
        return found


def _is_silent(session: Session, now: float) -> bool:
    interval_s = session.core.control.heartbeat.ping_interval_s
    return now - session.heard_at > interval_s + LATE_S
