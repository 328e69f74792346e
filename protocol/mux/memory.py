"""The memory of one session, as a part of what all sessions of a server may hold together.

A session holds what it has sent and its peer has not acknowledged, what waits to be sent, and what
it has promised to take for readers that may be slow. Each of these has a bound of its own; but a
thousand sessions at their bounds are gigabytes. So a server has one budget, of which each session
has no more than the lender gives it. Where that is little, windows fall to their first credit and
writers wait after a few KiB: everything goes on, slowly.

What a session that has a connection holds up to OWN_BYTES is its own: of those there is a bounded
number. What is more, and all that one without a connection holds, is taken of the lender, in steps
while there is plenty, and given back by `settle`, which the lender's owner calls once a second: a
request that comes and goes tells nobody.
"""

from __future__ import annotations

from typing import Final, Protocol

from protocol.limits import KIB

OWN_BYTES: Final = 32 * KIB
SHORT_BYTES: Final = 64 * KIB  # less than what one stream may have unsent
_STEP_BYTES: Final = 128 * KIB
_ENOUGH: Final = 1 << 40  # what a client has, which serves one user


class Pool(Protocol):
    """The whole budget."""

    @property
    def is_tight(self) -> bool:
        """Whether so much is taken that each session's part must be asked for."""


class Lender(Protocol):
    """The part of a server's budget that one session may have.

    Attributes:
        plenty: the bytes that it may have at least while the budget is not tight.
    """

    plenty: int

    @property
    def pool(self) -> Pool:
        """The budget that it is of."""

    @property
    def free(self) -> int:
        """The bytes that it may have beside what it has."""

    def take(self, memory: Memory, size: int) -> None:
        """It has so many bytes more; fewer, if that is negative.

        Where they are more the lender remembers `memory` and calls its `settle` later, until that
        has given all of them back.
        """


class _Boundless:
    """The budget where nobody counts."""

    is_tight = False


class Memory:
    """The bytes that one session holds or has promised to hold.

    Every frame changes `held`, so it is a plain number: those that let it grow compare it with
    `limit` and call `settle` beyond that. What is there is counted, whether there was room for it
    or not.

    Args:
        lender: None: nobody counts them.

    Attributes:
        held: so many.
        limit: up to so many nobody needs to be told.
        pool: the budget; where that is not tight, `is_short` need not be asked.
    """

    __slots__ = ("_lender", "_own_bytes", "_taken", "held", "limit", "pool")

    def __init__(self, lender: Lender | None = None) -> None:
        self.held = 0
        self.limit = OWN_BYTES if lender is not None else _ENOUGH
        self._own_bytes = OWN_BYTES
        self.pool: Pool = lender.pool if lender is not None else _Boundless()
        self._lender = lender
        self._taken = 0

    def __repr__(self) -> str:
        return f"<Memory {self.held} bytes, {self._taken} of them lent>"

    def add(self, size: int) -> None:
        """So many bytes more are held; fewer, if that is negative."""
        self.held += size
        if self.held > self.limit:
            self.settle()

    @property
    def free(self) -> int:
        """The bytes that may be held beside these, or so many that nobody asks for more."""
        lender = self._lender
        if lender is None:
            return _ENOUGH
        own = self.limit - self.held
        return max(own + (lender.free if self.pool.is_tight else lender.plenty), 0)

    @property
    def is_short(self) -> bool:
        """Whether no stream should hold more than it needs to go on."""
        return self.pool.is_tight and self.free < SHORT_BYTES

    @property
    def is_lent(self) -> bool:
        """Whether it has taken something."""
        return self._taken > 0

    def own(self, size: int) -> None:
        """So many bytes are its own from now on; what is more is lent."""
        self._own_bytes = size
        self.settle()

    def close(self) -> None:
        """The session is over: nothing is held, whatever is told from now on."""
        self.held = -_ENOUGH
        self.settle()
        self._lender, self.limit, self.pool = None, _ENOUGH, _Boundless()

    def settle(self) -> None:
        """Take what is held beyond `limit`, or give back what is taken and not held."""
        lender = self._lender
        if lender is None:
            return
        taken = max(self.held - self._own_bytes, 0)
        if not self.pool.is_tight and self._own_bytes:  # else nothing of it grows
            taken = -(-taken // _STEP_BYTES) * _STEP_BYTES
        if taken != self._taken:
            lender.take(self, taken - self._taken)
            self._taken = taken
        self.limit = self._own_bytes + taken
