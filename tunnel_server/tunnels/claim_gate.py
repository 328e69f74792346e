"""Claims wait while two servers change places, so that one name never has two holders.

From the moment at which a server gives its sockets away until it knows whether it was replaced, it
leaves claims unanswered; so does the new one until the old one has stopped answering them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from typing import Final

from protocol.drivers.portions import in_portions

# Each takes up to 0.5 ms, where its owner has thousands of names.
_ANSWERED_AT_ONCE: Final = 8


class ClaimGate:
    """Lets claims pass, or keeps them. A client has one at a time, so there is one a session."""

    def __init__(self) -> None:
        self._closed = False
        self._waiting: OrderedDict[Hashable, Callable[[], None]] = OrderedDict()

    def __repr__(self) -> str:
        state = "closed" if self._closed else "open"
        waiting = f", {len(self._waiting)} wait" if self._closed or self._waiting else ""
        return f"<ClaimGate {state}{waiting}>"

    @property
    def is_closed(self) -> bool:
        """Whether what comes is kept until `open`."""
        return self._closed

    def close(self) -> None:
        """Keep what comes from now on, and what still waits. Nothing if it is closed."""
        self._closed = True

    async def open(self) -> None:
        """Answer what has waited, in its order and a few in each turn; then let pass what comes.

        What comes meanwhile waits behind it. It ends early if the gate closes again. Cancelled, it
        leaves the rest to the next `open`.
        """
        self._closed = False
        await in_portions(self._next(), _call, at_once=_ANSWERED_AT_ONCE)

    def _next(self) -> Iterator[Callable[[], None]]:
        while self._waiting and not self._closed:
            yield self._waiting.popitem(last=False)[1]

    def leave(self, session: Hashable) -> None:
        """A session is over: its claim needs no answer."""
        self._waiting.pop(session, None)

    def answer(self, session: Hashable, answer: Callable[[], None]) -> None:
        """Answer a session's claim, now or when the gate opens."""
        if self._closed or self._waiting:
            self._waiting[session] = answer
        else:
            answer()


def _call(answer: Callable[[], None]) -> None:
    answer()
