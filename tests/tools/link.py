"""The emulator's model of a line, without I/O: when a packet arrives, or that it is lost.

`now` is an argument: seconds of any one clock. What is random is drawn from a seed, so that a line
has the same weather again after each `begin` with the same one.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from random import Random
from typing import Final, NamedTuple

# What was held back leaves no faster than this multiple of the rate: a radio hop retransmits, and
# then is faster than the line behind it, but not without end. No measure says four; at once, all of
# it would be one packet to a receiver.
_CATCH_UP: Final = 4


class PlanError(ValueError):
    """A line of a plan cannot be meant; the text says which one, and why."""


class Stretch(NamedTuple):
    """What a line is for some seconds, in both directions."""

    seconds: float
    rtt_s: float
    bytes_per_s: float


@dataclass(frozen=True)
class Plan:
    """What a line is at which time; after its end it begins again."""

    stretches: Sequence[Stretch]
    ends_s: list[float] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "ends_s", list(accumulate(s.seconds for s in self.stretches)))

    def at(self, elapsed_s: float) -> Stretch:
        """Return what holds so long after the plan began; of two that meet the later."""
        inside_s = elapsed_s % self.ends_s[-1]
        for stretch, end_s in zip(self.stretches, self.ends_s, strict=True):
            if inside_s < end_s:
                return stretch
        return self.stretches[-1]


def read_plan(text: str) -> Plan:
    """Read a plan: a line `SECONDS RTT_MS MBIT` for each stretch; `#` begins a comment.

    Raises:
        PlanError: a line is no stretch, or there is none.
    """
    lines = [line.partition("#")[0].split() for line in text.splitlines()]
    found = [_stretch(words, number) for number, words in enumerate(lines, 1) if words]
    if not found:
        raise PlanError("a plan has at least one line SECONDS RTT_MS MBIT, and this one has none")
    return Plan(found)


def _stretch(words: list[str], number: int) -> Stretch:
    if len(words) != 3:
        raise PlanError(f"line {number}: SECONDS RTT_MS MBIT are three numbers, not {len(words)}")
    try:
        seconds, rtt_ms, mbit = map(float, words)
    except ValueError:
        raise PlanError(f"line {number}: not all of these are numbers: {' '.join(words)}") from None
    if not 0 < seconds < math.inf:
        raise PlanError(f"line {number}: a stretch lasts more than 0 s, not {words[0]}")
    if not 0 <= rtt_ms < math.inf:
        raise PlanError(f"line {number}: a round trip takes 0 ms or more, not {words[1]}")
    if not 0 < mbit < math.inf:
        raise PlanError(f"line {number}: a rate is more than 0 Mbit/s, not {words[2]}")
    return Stretch(seconds, rtt_ms / 1e3, mbit * 1e6 / 8)


@dataclass(frozen=True)
class Weather:
    """What is random on a line.

    Attributes:
        loss: the chance that a packet is lost.
        jitter_s: the mean of what is added to the delay, exponential.
        every_s: how long one draw of it holds.
        stall: sending stands still so long at the start of each draw, instead of the packets being
            held behind it: then the rate is lost, and the queue grows.
    """

    loss: float = 0.0
    jitter_s: float = 0.0
    every_s: float = 0.02
    stall: bool = False


@dataclass
class Counts:
    """Packets of one direction since the last beginning."""

    sent: int = 0
    dropped: int = 0  # the queue was full
    lost: int = 0


class Direction:
    """One way across the line: a rate, a one-way delay, a bounded queue and weather.

    The queue is as many bytes as the rate of the moment sends in its time. When a plan changes the
    rate, what waits leaves as it would have, and what comes goes by the new one.
    """

    def __init__(self, line: Plan, queue_s: float, weather: Weather, seed: str, now: float) -> None:
        self.counts = Counts()
        self._line = line
        self._queue_s = queue_s
        self._weather = weather
        self._free_at = -math.inf  # when all that was accepted has been sent
        self._last_arrival = -math.inf
        self._waiting: deque[tuple[float, int]] = (
            deque()
        )  # when it will have been sent, and its size
        self._waiting_bytes = 0
        self.begin(seed, now)

    def __repr__(self) -> str:
        return f"<Direction {self._waiting_bytes} bytes wait, {self.counts}>"

    def begin(self, seed: str, now: float) -> None:
        """Begin the plan and the weather anew; what is on its way stays so."""
        self.counts = Counts()
        self._begun_at = now
        self._seed = seed
        self._losses = Random(f"{seed} loss")
        self._slot, self._extra_s = -1, 0.0

    def accept(self, size: int, now: float) -> float | None:
        """Return when a packet of this size arrives at the far end; None where it is lost."""
        stretch = self._line.at(now - self._begun_at)
        if self._unsent_bytes(now, stretch.bytes_per_s) > self._queue_s * stretch.bytes_per_s:
            self.counts.dropped += 1
            return None
        if self._weather.loss and self._losses.random() < self._weather.loss:
            self.counts.lost += 1
            return None
        self.counts.sent += 1
        start = max(now, self._free_at)
        if self._weather.stall:
            start = self._stand_still(start)
        self._free_at = start + size / stretch.bytes_per_s
        self._waiting.append((self._free_at, size))
        self._waiting_bytes += size
        arrival = self._free_at + stretch.rtt_s / 2
        if not self._weather.stall:
            arrival += self._extra(self._slot_of(now))
        # In order, also where a plan shortens the round trip.
        spacing_s = size / (_CATCH_UP * stretch.bytes_per_s)
        self._last_arrival = max(self._last_arrival + spacing_s, arrival)
        return self._last_arrival

    def _unsent_bytes(self, now: float, bytes_per_s: float) -> float:
        while self._waiting and self._waiting[0][0] <= now:
            self._waiting_bytes -= self._waiting.popleft()[1]
        if not self._waiting:
            return 0.0
        sent_at, size = self._waiting[0]  # of this one a part may have been sent
        return self._waiting_bytes - size + min(size, (sent_at - now) * bytes_per_s)

    def _stand_still(self, start: float) -> float:
        """Return when sending can begin, at `start` or once no hold lasts any more."""
        while True:
            slot = self._slot_of(start)
            held_until = self._begun_at + slot * self._weather.every_s + self._extra(slot)
            if start >= held_until:
                return start
            start = held_until

    def _slot_of(self, time: float) -> int:
        return int((time - self._begun_at) / self._weather.every_s)

    def _extra(self, slot: int) -> float:
        """Return the draw of this slot: as on radio it holds for a while, then jumps."""
        if not self._weather.jitter_s:
            return 0.0
        if slot != self._slot:
            self._slot = slot
            draw = Random(f"{self._seed} {slot}")
            self._extra_s = draw.expovariate(1 / self._weather.jitter_s)
        return self._extra_s
