"""The policy of the app's connections: which of them is used again, kept and closed.

Time and facts go in, decisions come out; there is no protocol here, and no I/O.

* A request that may not be sent again goes on a new connection, for an app may close an idle one
  in the moment in which the request meets it: uWSGI does so milliseconds after an answer, without
  having said so. A new one costs 0.3 ms, and a lost POST cannot be mended.
* An app may serve one connection at a time, and what is idle here then holds up everybody, the
  developer's own curl too. So little is kept, and briefly. One that is passed over is closed.
  Where a request on a new connection finds no answer, all are closed. If that helps, the app is
  taken to serve one (`capacity`), until it is seen to serve two or was away; then nothing is
  kept, and each request without a body says that its connection closes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import takewhile
from typing import Final, Generic, Protocol, TypeVar

from tunnel_client.origin.capacity import Capacity, CapacityEvent, after

# A page loads in bursts: what comes later than a second is the next click, and a new connection is
# not what makes that slow. Nobody waits longer for an app that serves one at a time.
IDLE_S: Final = 1.0
# Of a burst, six a host in a browser and a few more. Each may hold a thread of the app.
IDLE_MAX: Final = 8
# More than these are kept so long: where thirty visitors ask at once, thirty connections are in use
# and idle in turn. To close and make them for each answer costs a quarter more CPU.
BURST_S: Final = 0.05
# An app that has not answered in this time may be held up by an idle connection. Most answer
# sooner, and a person notices no more than the beginning of such a wait.
SILENT_S: Final = 0.2
# So soon after idle ones were closed an answer is taken to come of that.
HELPED_S: Final = 0.1
# Connections that were begun in this time may have been made in either order.
TOGETHER_S: Final = 0.05


_UNKNOWN: Final = Capacity.UNKNOWN
_MANY: Final = Capacity.MANY
_ONE: Final = Capacity.ONE


class Idle(Protocol):
    """A connection that was answered and may be used again."""

    idle_since: float

    @property
    def is_stale(self) -> bool:
        """Whether it cannot be used again after all."""


class FirstRequest(Protocol):
    """A request that is the first one on its connection."""

    @property
    def is_silent(self) -> bool:
        """Whether it waits, and no byte of an answer has come."""

    @property
    def is_answered(self) -> bool:
        """Whether a byte of an answer has come."""

    @property
    def is_open(self) -> bool:
        """Whether its connection is, and nothing has come on it that was not read yet."""


IdleT = TypeVar("IdleT", bound=Idle)
RequestT = TypeVar("RequestT", bound=FirstRequest)


class ReusePolicy(Generic[IdleT, RequestT]):
    """Decides. What it returns to be closed it has forgotten.

    Attributes:
        capacity: changed by the table there alone.
    """

    def __init__(self) -> None:
        self.capacity: Capacity = _UNKNOWN
        self._life = 0
        self._idle: list[IdleT] = []  # the one that was parked last stands last
        self._waiting: dict[RequestT, float] = {}  # since when, the longest first
        self._freed: frozenset[RequestT] = frozenset()  # those for which idle ones were closed,
        self._freed_at = -math.inf  # and when

    def __repr__(self) -> str:
        counts = f"{len(self._idle)} idle, {len(self._waiting)} on new ones"
        return f"<ReusePolicy {self.capacity.name} {counts}>"

    def __len__(self) -> int:
        return len(self._idle)

    @property
    def says_close(self) -> bool:
        """Whether requests say that their connection closes."""
        return self.capacity is _ONE

    # --- the idle ones ---

    def choose(self, *, repeatable: bool) -> tuple[IdleT | None, list[IdleT]]:
        """Choose the connection for a request; None: a new one.

        Returns it and what is to be closed: those that are stale, or the one that is passed over.

        Args:
            repeatable: the request may be sent once more if its connection turns out to be closed.
        """
        closed: list[IdleT] = []
        while self._idle:
            one = self._idle.pop()
            if repeatable and not one.is_stale:
                return one, closed
            closed.append(one)
            if not repeatable:
                break
        return None, closed

    def keep(self, one: IdleT, now: float) -> bool:
        """Whether this one, idle since now, is kept; else it is to be closed."""
        if self.capacity is _ONE or (self._waiting and any(self._overdue(now))):
            return False
        one.idle_since = now
        if self.capacity is _UNKNOWN and self._idle and not self._idle[-1].is_stale:
            self._happened(CapacityEvent.TWO_IDLE)
        self._idle.append(one)
        return True

    # --- requests on new connections ---

    def asks(self, asked: RequestT, now: float) -> None:
        """A new connection is being made for this request."""
        self._waiting[asked] = now

    def connected(self, asked: RequestT, now: float, life: int) -> None:
        """It is made. Another `life` than before: the app was away meanwhile."""
        self._waiting.pop(asked, None)
        self._waiting[asked] = now  # it stands last
        if life != self._life:
            self._life = life
            self._happened(CapacityEvent.AWAY)

    def ended(self, asked: RequestT) -> None:
        """A request has ended, on whatever connection."""
        if asked in self._waiting:
            if asked.is_answered:
                self._answered(asked)
            self._waiting.pop(asked, None)

    def _answered(self, asked: RequestT) -> None:
        """It waits no more.

        Neither do those whose connections were made before its own: an app takes them in order, so
        theirs have been taken as well, and what they wait for is no other connection. If one of
        those is open still, the app serves both at a time.
        """
        since = self._waiting.pop(asked)
        # One that was kept since: the app holds two at a time.
        if asked in self._freed and not self._idle:
            self._freed = frozenset()
            self._happened(CapacityEvent.HELPED)
        before = since - TOGETHER_S
        for other, _ in tuple(takewhile(lambda one: one[1] < before, self._waiting.items())):
            del self._waiting[other]
            if self.capacity is not _MANY and other.is_open:
                self._happened(CapacityEvent.OVERLAP)

    # --- time ---

    @property
    def has_news(self) -> bool:
        """Whether one more that is kept may need a `look` sooner than those before it."""
        return bool(self._waiting) or len(self._idle) > IDLE_MAX

    @property
    def look_at(self) -> float:
        """The time of the next `look`, as things stand; infinite: none is needed."""
        at = self._freed_at + HELPED_S if self._freed else math.inf
        if self._idle:
            lasts_s = IDLE_S if len(self._idle) <= IDLE_MAX else BURST_S
            at = min(at, self._idle[0].idle_since + lasts_s)
            if self._waiting:
                at = min(at, next(iter(self._waiting.values())) + SILENT_S)
        return at

    def look(self, now: float) -> list[IdleT]:
        """See what time has brought; what is to be closed."""
        for asked in tuple(self._waiting):
            if asked in self._waiting and asked.is_answered:
                self._answered(asked)
        if now >= self._freed_at + HELPED_S:
            self._freed = frozenset()
        if self._idle and any(self._overdue(now)):
            return self._free(now)
        return self._expire(now)

    def _expire(self, now: float) -> list[IdleT]:
        """Close those that were idle for too long: the first ones."""
        over = len(self._idle) - IDLE_MAX
        count = sum(
            now >= one.idle_since + (BURST_S if at < over else IDLE_S)
            for at, one in enumerate(self._idle)
        )
        expired, self._idle = self._idle[:count], self._idle[count:]
        return expired

    def _free(self, now: float) -> list[IdleT]:
        """Close all for those that wait."""
        # What was busy a moment ago held up nobody: then it may just be two requests that take
        # equally long.
        if now >= self._idle[0].idle_since + HELPED_S:
            self._freed = frozenset(self._overdue(now))
            self._freed_at = now
        freed, self._idle = self._idle, []
        return freed

    def _overdue(self, now: float) -> Iterator[RequestT]:
        """Those that have waited too long on a new connection."""
        for one, since in self._waiting.items():
            if now < since + SILENT_S:
                return
            if one.is_silent:
                yield one

    def _happened(self, event: CapacityEvent) -> None:
        self.capacity = after(self.capacity, event)
