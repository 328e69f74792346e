"""One way across a line, in virtual time: what tests/tools/wan.py does to real packets."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from tests.protocol.mux.lines.timeline import Timeline

# What was held back leaves at most so much faster than the line, as in tests/tools/link.py.
_HELD_RATE = 4
# The time between two beginnings of standing still, in the mean.
_STALL_EVERY_S = 0.1


@dataclass
class Way:
    """Carries packets in order.

    Args:
        bytes_per_s: its rate; both may be changed at any time.
        delay_s: from its queue's end to the other side.
        queue_s: what its queue holds, in time; what comes then is dropped.
        loss: the chance that a packet is lost.
        jitter_s: how long it holds packets back, in the mean; drawn anew every `redraw_s`.
        stall_s: how long sending stands still, in the mean; what would have gone is lost time.
        seed: of loss and jitter.
    """

    timeline: Timeline
    bytes_per_s: float
    delay_s: float
    queue_s: float = 0.1
    loss: float = 0.0
    jitter_s: float = 0.0
    redraw_s: float = 0.02
    stall_s: float = 0.0
    seed: str = "1"

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.dropped = 0
        self._free_at = self._last_s = 0.0
        self._held_s = self._held_until = self._stall_at = 0.0

    def send(self, size: int, arrive: Callable[..., object], *args: object) -> bool:
        """Call `arrive` at the other side; returns whether the packet was not lost."""
        now = self.timeline.now
        if self.stall_s and now >= self._stall_at:
            self._stand_still(now)
        start = max(now, self._free_at)
        if start - now > self.queue_s or (self.loss and self.random.random() < self.loss):
            self.dropped += 1
            return False
        self._free_at = start + size / self.bytes_per_s
        arrives_s = self._free_at + self.delay_s
        if self.jitter_s:
            arrives_s += self._hold(now)
            earliest_s = self._last_s + size / (_HELD_RATE * self.bytes_per_s)
            if arrives_s < earliest_s:
                arrives_s = earliest_s
        elif arrives_s < self._last_s:  # the route became shorter
            arrives_s = self._last_s
        self._last_s = arrives_s
        self.timeline.at(arrives_s, arrive, *args)
        return True

    def _hold(self, now: float) -> float:
        if now >= self._held_until:
            self._held_s = self.random.expovariate(1 / self.jitter_s)
            self._held_until = now - now % self.redraw_s + self.redraw_s
        return self._held_s

    def _stand_still(self, now: float) -> None:
        self._free_at = max(now, self._free_at) + self.random.expovariate(1 / self.stall_s)
        self._stall_at = now + self.random.expovariate(1 / _STALL_EVERY_S)
