"""Claims wait while two servers change places, so that one name never has two holders.

From the moment at which a server gives its sockets away until it knows whether it was replaced, it
leaves claims unanswered; so does the new one until the old one has stopped answering them.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable


class ClaimGate:
    """Lets claims pass, or keeps them. A client has one at a time, so there is one a session."""

    def __init__(self) -> None:
        self._waiting: dict[Hashable, Callable[[], None]] | None = None

    def __repr__(self) -> str:
        state = "open" if self._waiting is None else f"closed, {len(self._waiting)} wait"
        return f"<ClaimGate {state}>"

    @property
    def is_closed(self) -> bool:
        """Whether what comes is kept."""
        return self._waiting is not None

    def close(self) -> None:
        """Keep what comes from now on. Nothing if it is closed."""
        if self._waiting is None:
            self._waiting = {}

    def open(self) -> None:
        """Answer what has waited, in its order, and let pass what comes."""
        waiting, self._waiting = self._waiting, None
        for answer in (waiting or {}).values():
            answer()

    def leave(self, session: Hashable) -> None:
        """A session is over: its claim needs no answer."""
        if self._waiting is not None:
            self._waiting.pop(session, None)

    def answer(self, session: Hashable, answer: Callable[[], None]) -> None:
        """Answer a session's claim, now or when the gate opens."""
        if self._waiting is None:
            answer()
        else:
            self._waiting[session] = answer
