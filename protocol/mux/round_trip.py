"""The smallest round trip of a line, and the probes that look for it again.

It is not aged: a minimum that drifts up raises the cap, so the queue, so the next minimum. Instead
it is looked for again (a *probe*) when it has not been reached for 10 s of sending, or when three
rounds were *late*, longer than the cap can explain. For a probe the cap drops to half of rate x
round trip, and when no more than that is unacknowledged, two round trips show the line without our
own queue.
"""

from __future__ import annotations

import math
from typing import Final

_LATE_ROUNDS: Final = 3
_LIFE_S: Final = 10.0
_PROBE_PAUSE_S: Final = 1.0


class RoundTrip:
    """Of one direction. Times are seconds of any one clock.

    Attributes:
        shortest_s: infinite before the first ack.
        of_round_s: the shortest of this round; infinite where there was none yet.
        probe: the look for the smallest that is under way.
    """

    __slots__ = ("_late_rounds", "_probed_at", "_reached_at", "of_round_s", "probe", "shortest_s")

    def __init__(self) -> None:
        self.shortest_s = self.of_round_s = math.inf
        self.probe: Probe | None = None
        self._reached_at = 0.0
        self._probed_at = -math.inf
        self._late_rounds = 0

    def __repr__(self) -> str:
        return f"<RoundTrip {self.shortest_s:.4f} s, {self.probe!r}>"

    def paused(self, pause_s: float) -> None:
        """For so long nothing was on its way: that ages nothing."""
        self._reached_at += pause_s

    def end_round(self, *, late: bool) -> None:
        """A round ends whose shortest was longer than our queue explains, or not."""
        self._late_rounds = self._late_rounds + 1 if late else 0
        self.of_round_s = math.inf

    def learn(self, round_trip_s: float, now: float) -> None:
        """An ack took so long."""
        self.of_round_s = min(self.of_round_s, round_trip_s)
        if round_trip_s <= self.shortest_s:
            self.shortest_s, self._reached_at = round_trip_s, now

    def should_probe(self, now: float) -> bool:
        """Whether the line may have become another one, as far as can be seen past our queue."""
        late = self._late_rounds >= _LATE_ROUNDS and now - self._probed_at > _PROBE_PAUSE_S
        return late or now - self._reached_at > _LIFE_S

    def end_probe(self, shortest_s: float, now: float) -> None:
        """The line's own is this one."""
        self.probe = None
        self._probed_at = self._reached_at = now
        self.shortest_s = shortest_s
        self._late_rounds = 0

    def give_up_probe(self, now: float) -> None:
        """The line is kept full by what wakes, and is not seen; the next look is due as usual."""
        self.end_probe(self.shortest_s, now)


class Probe:
    """A look for the smallest round trip.

    Attributes:
        gives_up_at: if the line has not drained by then.
        drained: what is sent behind this byte finds none of our queue; None: it is still there.
        shortest_s: what was seen.
    """

    __slots__ = ("_end", "drained", "gives_up_at", "shortest_s")

    def __init__(self, gives_up_at: float) -> None:
        self.gives_up_at = gives_up_at
        self.drained: int | None = None
        # The first ack of such a message came when this much was sent; then one round more.
        self._end: int | None = None
        self.shortest_s = math.inf

    def __repr__(self) -> str:
        return f"<Probe drained={self.drained} end={self._end} {self.shortest_s:.4f} s>"

    def goes_on(self, end: int, sent: int, round_trip_s: float) -> bool:
        """A message that was sent up to byte `end` took so long; `sent` bytes have been sent.

        Returns: whether there is more to see.
        """
        if self.drained is None or end <= self.drained:
            return True
        self.shortest_s = min(self.shortest_s, round_trip_s)
        if self._end is None:
            self._end = sent
        return end < self._end
