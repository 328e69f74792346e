"""The readings of all rounds, and the table of their medians."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from benchmarks.table import markdown
from protocol.limits import KIB, MEMORY_BYTES, MIB

# The formula of docs/limits.md.
BASE_BYTES = 64 * MIB
PLACE_BYTES = 20 * KIB
SESSION_BYTES = 64 * KIB

MORE_MS_MAX = 100.0


@dataclass(frozen=True)
class Reading:
    """One round of one attack, by one way."""

    lost: int  # GETs of the other visitor, without the attack and with it
    p99_without_ms: float
    p99_with_ms: float
    asked: int
    refused: int
    peak_bytes: int
    places: int  # that were taken at once
    sessions: int  # likewise

    @property
    def formula_bytes(self) -> int:
        return formula_bytes(self.places, self.sessions)


def p99_ms(latencies_s: Sequence[float]) -> float:
    """What 99 of 100 stay within; infinite where there are none."""
    if not latencies_s:
        return math.inf
    ordered = sorted(latencies_s)
    return 1000 * ordered[math.ceil(0.99 * len(ordered)) - 1]


def formula_bytes(places: int, sessions: int) -> int:
    """What a server may take for so many places and sessions, by docs/limits.md."""
    return BASE_BYTES + MEMORY_BYTES + places * PLACE_BYTES + sessions * SESSION_BYTES


@dataclass(frozen=True)
class Summary:
    """The medians of one attack by one way; of what was lost the sum."""

    lost: int
    p99_without_ms: float
    p99_with_ms: float
    asked: int
    refused: int
    peak_bytes: int
    formula_bytes: int

    @property
    def faults(self) -> list[str]:
        """What is not as it should be."""
        more_ms = self.p99_with_ms - self.p99_without_ms
        return [
            *([f"{self.lost} lost"] if self.lost else []),
            *([f"p99 {more_ms:.0f} ms more"] if more_ms > MORE_MS_MAX else []),
            *(["memory"] if self.peak_bytes > self.formula_bytes else []),
        ]


def summary_of(readings: Sequence[Reading]) -> Summary:
    """Memory is the highest of the rounds: its bound is no median."""
    worst = max(readings, key=lambda reading: reading.peak_bytes - reading.formula_bytes)
    return Summary(
        sum(reading.lost for reading in readings),
        median(reading.p99_without_ms for reading in readings),
        median(reading.p99_with_ms for reading in readings),
        round(median(reading.asked for reading in readings)),
        round(median(reading.refused for reading in readings)),
        worst.peak_bytes,
        worst.formula_bytes,
    )


HEAD = (
    *("attack", "by", "GETs lost", "p99 without, ms", "p99 with, ms"),
    *("refused", "of", "VmHWM, MiB", "formula, MiB", "bounds"),
)


@dataclass
class Results:
    """Readings by attack and way, in the order in which they first came."""

    of: dict[tuple[str, str], list[Reading]] = field(default_factory=dict)

    def add(self, attack: str, way: str, reading: Reading) -> None:
        self.of.setdefault((attack, way), []).append(reading)

    def table(self) -> str:
        lines: list[Sequence[str]] = [HEAD]
        for (attack, way), readings in self.of.items():
            lines.append([attack, way, *cells(summary_of(readings))])
        return markdown(lines)


def cells(summary: Summary) -> list[str]:
    return [
        str(summary.lost),
        f"{summary.p99_without_ms:.1f}",
        f"{summary.p99_with_ms:.1f}",
        f"{summary.refused:,}",
        f"{summary.asked:,}",
        f"{summary.peak_bytes / MIB:.1f}",
        f"{summary.formula_bytes / MIB:.1f}",
        ", ".join(summary.faults) or "kept",
    ]
