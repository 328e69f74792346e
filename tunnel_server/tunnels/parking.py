"""Requests whose tunnel's client is away for a moment: they wait here, in a bounded number.

A request is parked before anything of it was sent, so it goes to whoever holds the name afterwards:
the same session once it is resumed, or another one that has taken the name. It waits for as long as
the session is held, or until the server ceases to expect the name.
"""

from __future__ import annotations

from collections import deque
from typing import Final, Literal

from tunnel_server.owners.held import HeldShare
from tunnel_server.owners.share_counts import Counted
from tunnel_server.owners.waiting import Pause

# Each keeps a connection, its head and what was read ahead, 8 KiB at most. A page of 300 modules
# that is loaded in the gap comes by six connections of a browser.
PARKED_MAX: Final = 1024


Whose = Literal["owner", "visitor", "all"]
"""The one that has its share, or most, of what is parked: the tunnel's owner, the visitor, or all
together."""


class Waiter(Pause):
    """One request that waits.

    Args:
        visitor: the key by which its visitor is counted.

    Attributes:
        name: of its tunnel.
        refused_for: it was let go since others are waiting, and this had too many; None: it was
            not.
    """

    __slots__ = ("_visitor", "name", "refused_for")

    def __init__(self, name: str, visitor: str | None = None) -> None:
        super().__init__()
        self.name = name
        self.refused_for: Whose | None = None
        self._visitor = visitor

    def __repr__(self) -> str:
        state = "refused" if self.refused else "over" if self.over else "waiting"
        return f"<Waiter for {self.name}, {state}>"

    @property
    def refused(self) -> bool:
        """Whether it was let go since others are waiting."""
        return self.refused_for is not None

    def refuse(self, heavy: str | None) -> None:
        """Let the request go, since this key has too many; None: all together have."""
        of_visitor: Whose = "visitor" if heavy == self._visitor else "owner"
        self.refused_for = "all" if heavy is None else of_visitor
        self.end()


# Those that are woken together have their turns together, and each takes 25 us of them.
_WOKEN_AT_ONCE: Final = 64


class Parking:
    """All that is parked.

    Each is counted for its tunnel's owner, for its visitor, and where owners cost nothing for the
    address of its tunnel's client. One that is too much lets the
    longest parked of the heaviest go: of its own, where these have their share, else of all.
    """

    def __init__(self) -> None:
        self._all: HeldShare[Waiter] = HeldShare(PARKED_MAX)
        self._of_name: dict[str, dict[Waiter, None]] = {}
        self._released: deque[Waiter] = deque()  # that are not woken yet
        self._woken: set[Waiter] = set()  # that have not left yet

    def __repr__(self) -> str:
        return f"<Parking {self._all!r} for {len(self._of_name)} names>"

    @property
    def count(self) -> int:
        """The number of those that are parked."""
        return len(self._all)

    @property
    def share(self) -> Counted:
        """The requests that are parked."""
        return self._all

    def enter(
        self,
        name: str,
        owner: str | None = None,
        visitor: str | None = None,
        source: str | None = None,
    ) -> Waiter:
        """Let a request of this name wait; it leaves by `leave`.

        Args:
            name: of the tunnel.
            owner: of the tunnel, by which it is counted. None is counted among all alone.
            visitor: the key of the visitor, likewise.
            source: the key of the client's address, where owners cost nothing.
        """
        waiter = Waiter(name, visitor)
        client = None if source is None else f"client {source}"  # it may be a visitor as well
        for longest, heavy in self._all.add(waiter, owner, client, visitor):
            self._forget(longest)
            longest.refuse(heavy)
        self._of_name.setdefault(name, {})[waiter] = None
        return waiter

    def leave(self, waiter: Waiter) -> None:
        """The request waits no more, for whatever reason; nothing when that is known."""
        if waiter in self._all:
            self._all.remove(waiter)
            self._forget(waiter)
        self._woken.discard(waiter)
        self._wake()

    def release(self, name: str) -> None:
        """Let the requests of this name look again: a few now, and as each leaves the next.

        The few are those of all names that are released together.
        """
        self._released.extend(waiter for waiter in self._of_name.get(name, ()) if not waiter.over)
        self._wake()

    def release_all(self) -> None:
        """Let all look again."""
        for name in self._of_name:
            self.release(name)

    def _wake(self) -> None:
        """Wake the next of those that are released and still here."""
        while self._released and len(self._woken) < _WOKEN_AT_ONCE:
            waiter = self._released.popleft()
            if waiter in self._all and not waiter.over:
                self._woken.add(waiter)
                waiter.end()

    def _forget(self, waiter: Waiter) -> None:
        waiters = self._of_name[waiter.name]
        del waiters[waiter]
        if not waiters:
            del self._of_name[waiter.name]
