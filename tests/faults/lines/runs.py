"""What one measure has seen, as it is written to a file and read again."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from tests.faults.lines.bulk import Way
from tests.faults.lines.rows import Ways

# Of the bulk: a plain connection; the tunnel with one stream and with eight; eight with the rule
# switched off; none.
Who = Literal["plain", "one", "eight", "off", "idle"]
TICK_S = 0.1


@dataclass
class Run:
    """One measure.

    Attributes:
        round: from 1 on; those of a round have the same weather.
        way: of the bulk.
        counted_s: how long what is counted lasted.
        taken: bytes that each stream brought in that time, by direction.
        ticks: bytes that all brought in each tick since the bulk began.
        packets: sent, dropped and lost, by direction, from the beginning of the bulk.
        busy: the share of all processors' time that was in use, by whomever.
    """

    row: str
    rule: str
    round: int
    way: Ways
    who: Who
    counted_s: float = 0.0
    taken: dict[Way, list[int]] = field(default_factory=dict)
    ticks: dict[Way, list[int]] = field(default_factory=dict)
    gets_s: list[float] = field(default_factory=list)
    echoes_s: list[float] = field(default_factory=list)
    packets: dict[Way, dict[str, int]] = field(default_factory=dict)
    busy: float = 0.0

    def mbit(self, way: Way) -> float:
        """What the bulk has brought in this direction, in Mbit/s."""
        return sum(self.taken[way]) * 8 / 1e6 / self.counted_s

    def per_second_mbit(self, way: Way) -> list[float]:
        """The same for each second since it began."""
        each = round(1 / TICK_S)
        ticks = self.ticks[way]
        return [sum(ticks[at : at + each]) * 8 / 1e6 for at in range(0, len(ticks), each)]


def line_of(run: Run) -> str:
    """A line of JSON."""
    data = asdict(run)
    for times in ("gets_s", "echoes_s"):
        data[times] = [round(time_s, 5) for time_s in data[times]]
    return json.dumps(data)


def runs_of(lines: Iterable[str]) -> list[Run]:
    return [Run(**json.loads(line)) for line in lines]


def read_runs(path: Path) -> list[Run]:
    return runs_of(path.read_text().splitlines())
