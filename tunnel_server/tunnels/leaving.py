"""Clients that stop: they have said so, and wait for what is under way."""

from __future__ import annotations

from protocol.drivers.latch import Latch
from protocol.drivers.session import Session


class Leaving:
    """The sessions whose clients stop, until somebody looks after each; one task waits for them."""

    def __init__(self) -> None:
        self._sessions: dict[Session, None] = {}
        self._there = Latch()

    def __repr__(self) -> str:
        return f"<Leaving {len(self._sessions)} sessions>"

    def add(self, session: Session) -> None:
        """Its client stops; called in the session's reader."""
        self._sessions[session] = None
        self._there.open()

    def remove(self, session: Session) -> None:
        """It has ended; nothing when it is not here."""
        self._sessions.pop(session, None)

    async def wait(self) -> None:
        """Wait until there is one."""
        while not self._sessions:
            await self._there.wait()

    def take(self) -> frozenset[Session]:
        """Take out those that are there."""
        taken, self._sessions = frozenset(self._sessions), {}
        return taken
