"""Credit: how much of one half of a stream may be sent, and how much a receiver promises.

Credit is absolute: the number of bytes a half may have carried since it began. It never falls, so
that advertising it twice changes nothing.

A receiver grants what it will hold. *Promised* is granted and not yet consumed; over all streams of
a session it never passes the budget of 32 MiB. Half of that is set aside: FIRST_CREDIT_BYTES for
each of 1,024 streams. The rest is lent: a stream borrows what it promises beyond its first 16 KiB,
as much as is free, and never over a quarter of the budget. There is no window for the session on
the wire: four visitors that stop reading would hold all of it and freeze everybody else.

New credit is given on consumption, when half of what was promised has been consumed, so that few
frames carry it. How much that is, `window_size` decides.

What was lent comes back when it is consumed, when the peer ends the half (then nothing more comes
than came) and when we stop it (then nothing is kept): docs/flow-control.md.
"""

from __future__ import annotations

from typing import Final

from protocol.errors import LocalProtocolError, RemoteProtocolError
from protocol.limits import (
    BUDGET_BYTES,
    FIRST_CREDIT_BYTES,
    START_WINDOW_BYTES,
    STREAMS_MAX,
)
from protocol.mux.memory import Memory
from protocol.mux.window_size import WindowSize

# More than any count on the wire.
_UNKNOWN: Final = 2**64


class SendCredit:
    """The credit that the peer gives us for one half."""

    __slots__ = ("limit", "sent")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.sent = 0

    def __repr__(self) -> str:
        return f"<SendCredit {self.sent} of {self.limit}>"

    @property
    def left(self) -> int:
        """Bytes that may go now; zero or less after an overdraft."""
        return self.limit - self.sent

    def spend(self, size: int, *, overdraw: bool = False) -> None:
        """Count bytes that go. A head or trailers may overdraw once one byte is left.

        Raises:
            LocalProtocolError: there is not that much.
        """
        left = self.limit - self.sent
        if size > left and not (overdraw and left > 0):
            raise LocalProtocolError(f"{size} bytes with {left} of credit")
        self.sent += size

    def raise_to(self, limit: int) -> None:
        """Take the credit that the peer advertises. Raises RemoteProtocolError if it falls."""
        if limit < self.limit:
            raise RemoteProtocolError(f"credit fell from {self.limit} to {limit}", "flow-control")
        self.limit = limit


class Budget:
    """The bytes that all streams of a session may borrow beyond their first credit.

    Args:
        memory: of the session, where what is lent counts as well.
    """

    __slots__ = ("_memory", "_own")

    def __init__(self, memory: Memory | None = None) -> None:
        self._own = BUDGET_BYTES - STREAMS_MAX * FIRST_CREDIT_BYTES
        self._memory = memory or Memory()

    def __repr__(self) -> str:
        return f"<Budget {self.free} free>"

    @property
    def free(self) -> int:
        """The bytes that may be borrowed now."""
        return min(self._own, self._memory.free)

    def lend(self, size: int) -> None:
        """So many bytes more are lent; fewer, if that is negative."""
        self._own -= size
        self._memory.add(size)


class ReceiveWindow:
    """The credit that we give the peer for one half.

    Args:
        budget: shared by the session's streams.
        granted: the first credit, already said: in hello or in the open's own field. At most
            FIRST_CREDIT_BYTES, which are set aside.
        now: seconds of any one clock.
        size: the window to start with, when there is something to grant.

    Attributes:
        granted: the credit that was said; what comes is held to it.
        received: what came.
        consumed: what the program took.
        lent: what the budget lends this window now.
    """

    __slots__ = (
        "_budget",
        "_final_size",
        "_hold_limit",
        "_open",
        "_size",
        "_update_at",
        "_whole",
        "consumed",
        "granted",
        "lent",
        "received",
    )

    def __init__(
        self, budget: Budget, granted: int, now: float, size: int = START_WINDOW_BYTES
    ) -> None:
        self.granted = granted
        self.received = 0
        self.consumed = 0
        self.lent = 0
        self._budget = budget
        self._hold_limit = granted  # more is never held
        self._final_size = _UNKNOWN  # more is never to come
        self._open = True
        self._size = WindowSize(size, granted, now)
        self._whole = False  # a whole window was promised; else the budget was the limit
        self._update_at = granted // 2  # promised bytes at which new credit is said

    def __repr__(self) -> str:
        return f"<ReceiveWindow {self.consumed} <= {self.received} <= {self.granted}>"

    def expect(self, more: int | None) -> None:
        """Learn the final size: nothing is promised, or held, beyond it.

        Args:
            more: bytes that are still to come; None if that is not known.
        """
        if more is not None:
            self._final_size = self.received + more
            self._hold_limit = min(self._hold_limit, self._final_size)
            self._settle()

    def receive(self, size: int, *, overdraw: bool = False) -> None:
        """Count bytes that came. Raises RemoteProtocolError beyond the credit."""
        left = self.granted - self.received
        if size > left and size > 0 and not (overdraw and left > 0):
            raise RemoteProtocolError(f"{size} bytes with {left} of credit", "flow-control")
        self.received += size

    def discard(self, size: int) -> None:
        """Count bytes that came and are not kept for the program to take."""
        self.consumed += size
        self._settle()

    def consume(self, size: int, now: float, round_trip_s: float) -> bool:
        """Count bytes that the program took; return whether to advertise a new credit.

        Args:
            size: bytes.
            now: seconds of any one clock.
            round_trip_s: the session's newest; infinite while none was measured.
        """
        self.consumed += size
        if self.lent:
            self._settle()
        self._size.taken(size, self.received, self.consumed, now, round_trip_s)
        if not self._open or self.granted - self.consumed > self._update_at:
            return False
        if self._whole:
            self._size.may_grow(now, round_trip_s)
        return self.grow_credit(now)

    def grow_credit(self, now: float) -> bool:
        """Promise a whole window, or what the budget has; return whether credit has grown."""
        if self.granted > self._final_size:
            return False
        promised = self.granted - self.consumed
        salt = self._size.salt
        wanted = self._size.size - promised
        if wanted <= 0:  # it has shrunk
            self._update_at = self._size.size // 2
            return False
        grant = min(wanted, max(FIRST_CREDIT_BYTES - promised, 0) + self._budget.free) - salt
        if grant <= 0:
            return False
        self._whole = grant + salt == wanted
        self.granted += grant
        self._size.said(self.granted, now)
        self._hold_limit = min(self.granted, self._final_size)
        # The salt is added: half a window that is missed by a few bytes costs a round trip.
        self._update_at = (promised + grant) // 2 + salt
        self._settle()
        return True

    def finish(self) -> None:
        """Hold nothing more than what came and was not consumed."""
        self._open = False
        self._hold_limit = min(self._hold_limit, self.received)
        self._settle()

    def close(self) -> None:
        """Hold nothing any more, and give back all that was lent."""
        self._open = False
        self._hold_limit = 0
        self._settle()

    def _settle(self) -> None:
        """Give back what is lent and no longer promised beyond the first credit."""
        lent = self._hold_limit - self.consumed - FIRST_CREDIT_BYTES
        if lent < 0:
            lent = 0
        if lent != self.lent:
            self._budget.lend(lent - self.lent)
            self.lent = lent
