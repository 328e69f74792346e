"""What the runs of a row amount to: shares, percentiles, and what misses its limit.

The yardstick of bulk is one plain TCP connection in the same direction and the same round; that of
delays what the same small thing takes with nothing beside it, or the same tunnel with its rule
switched off.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from statistics import median
from typing import Final, Literal

from tests.faults.lines.bulk import STREAMS, Way
from tests.faults.lines.rows import Row, Ways
from tests.faults.lines.runs import TICK_S, Run, Who
from tests.faults.lines.small import of

Small = Literal["GET", "echo"]
BULK: Final[tuple[Who, ...]] = ("one", "eight")  # that is compared with a plain connection

SLOWEST_MIN: Final = 0.5  # of its eighth
NEAR: Final = 0.05  # a share that is no farther from its limit needs more rounds
PACKET_BYTES: Final = 1500
PAYLOAD: Final = 1448 / PACKET_BYTES  # what the headers of TCP and IP leave of a line
FOLLOWED: Final = 0.9
FOLLOWED_S: Final = 5.0
# A longer round trip, under cubic: its window has to grow first.
LONGER_S: Final = 8.0
AFTER_OFF_S: Final = 1.0
# An echo beside a download over a slow uplink, as a typist is promised.
SLOW_MBIT, SLOW_ECHO_P99_MS = 2, 100


@dataclass(frozen=True)
class Cell:
    """A cell of the table; one that misses its limit says so."""

    text: str
    limit: str = ""  # empty where it is kept, or there is none

    def __str__(self) -> str:
        return f"**{self.text}** ({self.limit})" if self.limit else self.text


def some(runs: Iterable[Run], who: Who, way: Ways | None = None) -> list[Run]:
    return [run for run in runs if run.who == who and way in (None, run.way)]


# --- bulk ---


def shares(runs: Sequence[Run], who: Who, way: Ways, direction: Way) -> list[float]:
    """Of the plain connection's rate in the same round, or in the first where it was alone."""
    plain = {run.round: run.mbit(direction) for run in some(runs, "plain", way)}
    return [
        run.mbit(direction) / yardstick
        for run in some(runs, who, way)
        if (yardstick := plain.get(run.round, plain.get(1, 0.0))) > 0
    ]


def share_cell(row: Row, runs: Sequence[Run], who: Who, way: Ways, direction: Way) -> Cell:
    found = shares(runs, who, way, direction)
    if not found:
        rates = [run.mbit(direction) for run in some(runs, who, way)]
        lacks = "of what?" if rates and row.share is not None else ""
        return Cell(f"{median(rates):.1f} Mbit/s" if rates else "-", lacks)
    share = median(found)
    misses = row.share is not None and share < row.share
    # Of one that misses three digits, so that it never looks like its limit.
    return Cell(f"{share:.3f}", f"{row.share:.2f}") if misses else Cell(f"{share:.2f}")


def slowest_cell(runs: Sequence[Run], way: Ways, direction: Way) -> Cell:
    """Of its eighth, what the slowest of eight streams has."""
    found = [
        min(run.taken[direction]) * STREAMS / sum(run.taken[direction])
        for run in some(runs, "eight", way)
        if sum(run.taken[direction])
    ]
    if not found:
        return Cell("-")
    return Cell(f"{median(found):.2f}", f"{SLOWEST_MIN}" if median(found) < SLOWEST_MIN else "")


def near(row: Row, runs: Sequence[Run]) -> list[tuple[Ways, Who]]:
    """Return the measures whose share is so near to its limit that luck may decide."""
    return [(way, who) for way in row.ways for who in BULK if is_near(row, runs, way, who)]


def is_near(row: Row, runs: Sequence[Run], way: Ways, who: Who) -> bool:
    found = [shares(runs, who, way, direction) for direction in directions(way)]
    return row.share is not None and any(
        abs(median(each) - row.share) <= NEAR for each in found if each
    )


def directions(way: Ways) -> list[Way]:
    return ["down", "up"] if way == "both" else [way]


# --- delays ---


@dataclass(frozen=True)
class Delays:
    """Median and 99th percentile over all rounds, in ms."""

    p50: float
    p99: float
    count: int

    def __str__(self) -> str:
        return f"{self.p50:.0f} / {self.p99:.0f}" if self.count else "-"


def delays(runs: Iterable[Run], small: Small) -> Delays:
    times_s = [t for run in runs for t in (run.gets_s if small == "GET" else run.echoes_s)]
    return Delays(of(times_s, 0.5), of(times_s, 0.99), len(times_s))


def beside(row: Row, runs: Sequence[Run], way: Ways, small: Small) -> Delays:
    """What small things took beside bulk of one stream and of eight; of eight alone where it is
    compared with eight of the rule switched off."""
    one = [] if row.delays == "off" else some(runs, "one", way)
    return delays([*one, *some(runs, "eight", way)], small)


def limits(row: Row, runs: Sequence[Run], way: Ways, small: Small) -> tuple[float, float]:
    """Of median and 99th percentile, in ms."""
    idle = delays(some(runs, "idle"), small)
    if row.delays == "off":
        off = delays(some(runs, "off", way), small)
        return idle.p50 + 0.9 * (off.p50 - idle.p50), off.p99
    if row.delays == "jitter":
        return 1.8 * idle.p50 + 10, 2.5 * idle.p99 + 30
    mbit = min(row.mbit(direction) for direction in directions(way))
    packets_ms = 4 * PACKET_BYTES * 8 / 1e3 / mbit
    p99 = 2.5 * idle.p50 + 30 + packets_ms
    if small == "echo" and mbit <= SLOW_MBIT:
        p99 = min(p99, SLOW_ECHO_P99_MS)
    return 1.7 * idle.p50 + 10 + packets_ms, p99


def delay_cell(row: Row, runs: Sequence[Run], way: Ways, small: Small) -> Cell:
    found = beside(row, runs, way, small)
    p50, p99 = limits(row, runs, way, small)
    keeps = found.p50 <= p50 and found.p99 <= p99  # neither, of a limit that was not measured
    return Cell(str(found), f"{p50:.0f} / {p99:.0f}" if found.count and not keeps else "")


# --- a line that changes ---


@dataclass(frozen=True)
class Change:
    """A line becomes another one; several are alike where a plan is gone through again.

    Attributes:
        at_s: after the bulk began, each time.
        seconds: until the next one.
        longer: whether the round trip is longer than before.
    """

    at_s: tuple[float, ...]
    seconds: float
    rtt_ms: float
    mbit: float
    longer: bool

    def __str__(self) -> str:
        return f"to {self.rtt_ms:g} ms, {self.mbit:g} Mbit/s"


def changes(row: Row) -> list[Change]:
    """Those that fall into what is counted."""
    end_s = row.settle_s + row.count_s
    period_s = sum(stretch.seconds for stretch in row.plan)
    starts_s = accumulate((stretch.seconds for stretch in row.plan), initial=0.0)
    found = []
    for number, (start_s, after) in enumerate(zip(starts_s, row.plan, strict=False)):
        periods = range(int(end_s / period_s) + 1)
        all_s = (start_s + period * period_s for period in periods)
        # The first one begins with the bulk, and is no change.
        at_s = tuple(at for at in all_s if max(row.settle_s, TICK_S) <= at < end_s)
        longer = after.rtt_s > row.plan[number - 1].rtt_s
        if at_s:
            mbit = after.bytes_per_s * 8 / 1e6
            found.append(Change(at_s, after.seconds, after.rtt_s * 1e3, mbit, longer))
    return found


def followed_s(run: Run, way: Way, change: Change, at_s: float) -> float:
    """How long it was until a whole second, and from its begin on all the rest, had 0.9 of the
    line; infinite if that never came."""
    each = round(1 / TICK_S)
    first = round(at_s / TICK_S)
    ticks = run.ticks[way][first : first + round(change.seconds / TICK_S)]
    wanted = FOLLOWED * PAYLOAD * change.mbit * 1e6 / 8
    for start in range(len(ticks) - each + 1):
        second, rest = ticks[start : start + each], ticks[start:]
        if sum(second) >= wanted and sum(rest) >= wanted * len(rest) * TICK_S:
            return (start + each) * TICK_S
    return math.inf


def follows(runs: Sequence[Run], who: Who, way: Way, change: Change) -> float:
    """The median over the rounds, in seconds; not a number where there is none."""
    found = [
        followed_s(run, way, change, at_s)
        for run in some(runs, who, way)
        for at_s in change.at_s
        if round((at_s + change.seconds) / TICK_S) <= len(run.ticks[way])
    ]
    return median(found) if found else math.nan


def follow_cell(row: Row, runs: Sequence[Run], who: Who, way: Way, change: Change) -> Cell:
    took_s = follows(runs, who, way, change)
    if math.isnan(took_s):
        return Cell("-")
    limit_s = math.inf
    if row.share is None and who in BULK:
        off_s = follows(runs, "off", way, change)
        limit_s = min(LONGER_S, off_s + AFTER_OFF_S) if change.longer else FOLLOWED_S
    return Cell(f"{took_s:.1f}", f"{limit_s:.1f}" if took_s > limit_s else "")
