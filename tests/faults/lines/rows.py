"""The lines that are measured, and what is asked of each, as data.

"Down" is what a visitor downloads: from home to the edge, the developer's uplink.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal

from tests.faults.lines.bulk import Way
from tests.tools.link import Stretch

Ways = Literal["down", "up", "both"]
# How the delays beside bulk are judged: by what is idle on the same line, less or more strictly, or
# by the same tunnel with its rule switched off.
Delays = Literal["steady", "jitter", "off"]


@dataclass(frozen=True)
class Row:
    """A line, and what is measured on it.

    Attributes:
        name: what `ROWS=` looks for a part of.
        queue_ms: of the rate, before packets are dropped.
        jitter_ms: the mean of what is added to each way's delay.
        jitter_every_ms: how long one draw of it holds.
        stall: the sending stands still for a draw, instead of the packets being held behind it.
        loss: the chance that a packet is lost.
        plan: the line in turn, instead of a round trip and rates.
        share: of a plain connection that bulk must reach; None: nothing is asked.
        delays: how they are judged.
        ways: the directions of the bulk, each measured by itself.
        settle_s: the start of each bulk, not counted.
        count_s: what is counted; of a plan whole periods.
        small_every_s: how often a small thing of each kind begins.
        plain: whether a plain connection is measured.
        heavy: the programs need more than a processor, so that no row may run beside it.
        extra: measured only if it is named.
    """

    name: str
    rtt_ms: float = 40
    down_mbit: float = 20
    up_mbit: float = 20
    queue_ms: float = 100
    jitter_ms: float = 0
    jitter_every_ms: float = 20
    stall: bool = False
    loss: float = 0
    tcp: str = "cubic"
    plan: tuple[Stretch, ...] = ()
    share: float | None = 0.95
    delays: Delays = "steady"
    ways: tuple[Ways, ...] = ("down", "up")
    settle_s: float = 4
    count_s: float = 15
    small_every_s: float = 0.1
    plain: bool = True
    heavy: bool = False
    extra: bool = False

    @property
    def has_luck(self) -> bool:
        """Whether one plain connection differs from the next."""
        return bool(self.jitter_ms or self.loss or self.plan)

    def mbit(self, way: Way) -> float:
        """The rate of a direction; of a plan the lowest."""
        if self.plan:
            return min(stretch.bytes_per_s for stretch in self.plan) * 8 / 1e6
        return self.down_mbit if way == "down" else self.up_mbit


def stretches(*lines: tuple[float, float, float]) -> tuple[Stretch, ...]:
    """Seconds, round trip in ms, Mbit/s."""
    return tuple(Stretch(seconds, rtt / 1e3, mbit * 1e6 / 8) for seconds, rtt, mbit in lines)


# Where the rule switched off is the yardstick of delays, it is measured with eight streams alone:
# 20 s make 600 samples of it in three rounds.
JITTER: Final = Row("", share=0.8, delays="off", count_s=20)
LOSS: Final = Row("", share=0.8, delays="off", count_s=30)
# A plan is begun with the bulk. No share is asked where it matters how soon the line is followed.
FOLLOWED: Final = Row("", share=None, delays="off", plain=False)

ROWS: Final = (
    Row("steady 5/20", 5, heavy=True),  # its messages are the smallest
    Row("steady 20/50", 20, 50, 50, heavy=True),
    Row("steady 40/10", 40, 10, 10, ways=("down", "up", "both")),
    Row("steady 100/20", 100),
    Row("steady 250/20", 250),
    # A GET is about 1,300 bytes on its line, so four of them a second and an echo each are 2.3 % of
    # 2 Mbit/s; ten a second would be 6 %. In 30 s there are as many of them as else in 12 s.
    Row("asymmetric 40/2", 40, 2, 50, count_s=30, small_every_s=0.25),
    Row("bloated 100/20", 100, queue_ms=1000),
    Row("jitter 10 30/20", 30, jitter_ms=10, share=0.9, delays="jitter"),
    replace(JITTER, name="jitter 30 20/50", rtt_ms=20, down_mbit=50, up_mbit=50, jitter_ms=30),
    replace(JITTER, name="jitter 40 60/20", rtt_ms=60, jitter_ms=40),
    replace(LOSS, name="loss 0.1 40/20", loss=0.001),
    replace(LOSS, name="loss 1 40/20", loss=0.01),
    # One period settles, four count.
    Row(
        "rate in turn 40 at 10+20",
        plan=stretches((3, 40, 10), (3, 40, 20)),
        share=0.8,
        delays="off",
        settle_s=6,
        count_s=24,
    ),
    replace(
        FOLLOWED,
        name="round trip 5+100+5 at 20",
        plan=stretches((20, 5, 20), (20, 100, 20), (20, 5, 20)),
        count_s=56,
    ),
    replace(
        FOLLOWED,
        name="rate halves 40 at 20+10+20",
        plan=stretches((12, 40, 20), (12, 40, 10), (12, 40, 20)),
        count_s=32,
    ),
    Row("bbr 40/20", 40, tcp="bbr"),
    # Another congestion control below, and the same with cubic: what docs/operating.md tells.
    replace(
        JITTER,
        name="bbr 20/50 at 30",
        rtt_ms=20,
        down_mbit=50,
        up_mbit=50,
        jitter_ms=30,
        share=None,
        tcp="bbr",
        extra=True,
    ),
    replace(LOSS, name="bbr 40/20 at 1 %", loss=0.01, share=None, tcp="bbr", extra=True),
    replace(
        FOLLOWED,
        name="bbr 5+100+5 at 20",
        plan=stretches((20, 5, 20), (20, 100, 20), (20, 5, 20)),
        count_s=56,
        tcp="bbr",
        extra=True,
    ),
    # As on radio, where an interval is longer; and where the sending itself stands still.
    replace(
        JITTER,
        name="held 30 20/50",
        rtt_ms=20,
        down_mbit=50,
        up_mbit=50,
        jitter_ms=30,
        jitter_every_ms=200,
        extra=True,
    ),
    replace(
        JITTER,
        name="stall 30 20/50",
        rtt_ms=20,
        down_mbit=50,
        up_mbit=50,
        jitter_ms=30,
        jitter_every_ms=200,
        stall=True,
        extra=True,
    ),
)


def chosen(words: str) -> list[Row]:
    """Return the rows whose names have one of these parts, which commas divide; all but the extra
    ones where there is none."""
    parts = [part.strip() for part in words.split(",") if part.strip()]
    if not parts:
        return [row for row in ROWS if not row.extra]
    return [row for row in ROWS if any(part in row.name for part in parts)]
