"""Events in the order of their times; nothing waits."""

from __future__ import annotations

import heapq
from collections.abc import Callable


class Timeline:
    """Calls each function at its time.

    Attributes:
        now: seconds since it began.
    """

    __slots__ = ("_events", "_number", "now")

    def __init__(self) -> None:
        self.now = 0.0
        self._events: list[tuple[float, int, Callable[..., object], tuple[object, ...]]] = []
        self._number = 0

    def __repr__(self) -> str:
        return f"<Timeline {self.now:.3f} s, {len(self._events)} to come>"

    def at(self, when: float, happen: Callable[..., object], *args: object) -> None:
        """Of two at the same time, the first that was named comes first."""
        self._number += 1
        heapq.heappush(self._events, (when, self._number, happen, args))

    def run(self, until_s: float) -> None:
        events, pop = self._events, heapq.heappop
        while events and events[0][0] <= until_s:
            self.now, _, happen, args = pop(events)
            happen(*args)
        self.now = until_s
