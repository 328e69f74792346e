"""The memory of one session, as a part of what all sessions of a server may hold together.

A session holds what it has sent and its peer has not acknowledged, what waits to be sent, and what
it has promised to take for readers that may be slow. Each of these has a bound of its own; but a
thousand sessions at their bounds are gigabytes. So a server has one budget, of which each session
has no more than the lender gives it. Where that is little, windows fall to their first credit and
writers wait after a few KiB: everything goes on, slowly.

What a session holds up to OWN_BYTES is its own, so that one with little to do asks nobody.
"""

from __future__ import annotations

from typing import Final, Protocol

from protocol.limits import KIB

OWN_BYTES: Final = 64 * KIB
_STEP_BYTES: Final = 64 * KIB  # it is counted in these
_ENOUGH: Final = 1 << 40  # what a client has, which serves one user


class Lender(Protocol):
    """The part of a server's budget that one session may have."""

    @property
    def free(self) -> int:
        """The bytes that it may have beside what it has."""

    def take(self, size: int) -> None:
        """It has so many bytes more; fewer, if that is negative."""


class Memory:
    """The bytes that one session holds or has promised to hold.

    Args:
        lender: None: nobody counts them.

    Attributes:
        held: so many.
    """

    __slots__ = ("_lender", "_taken", "held")

    def __init__(self, lender: Lender | None = None) -> None:
        self.held = 0
        self._lender = lender
        self._taken = 0

    def __repr__(self) -> str:
        return f"<Memory {self.held} bytes, {self._taken} of them lent>"

    def add(self, size: int) -> None:
        """So many bytes more are held; fewer, if that is negative.

        What is there is counted, whether there was room for it or not.
        """
        self.held += size
        beyond = self.held - OWN_BYTES
        if beyond > self._taken or (self._taken and beyond < self._taken - 2 * _STEP_BYTES):
            self._settle(beyond)

    @property
    def free(self) -> int:
        """The bytes that may be held beside these."""
        if self._lender is None:
            return _ENOUGH
        own = OWN_BYTES + self._taken - self.held
        return max(own + self._lender.free, 0)

    def close(self) -> None:
        """The session is over: nothing is held, whatever is told from now on."""
        if self._lender is not None:
            self._lender.take(-self._taken)
        self._lender, self._taken = None, 0

    def _settle(self, beyond: int) -> None:
        if self._lender is not None:
            taken = max(-(-beyond // _STEP_BYTES), 0) * _STEP_BYTES
            self._lender.take(taken - self._taken)
            self._taken = taken
