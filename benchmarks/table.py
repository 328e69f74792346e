"""Readings of all rounds, and the Markdown tables of their medians and ratios."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median


@dataclass(frozen=True)
class Row:
    """A line of the table; `digits` after the decimal point."""

    key: str
    title: str
    unit: str
    digits: int
    more_is_better: bool


ROWS = (
    Row("gets", "1 KiB GETs, keep-alive, 32 connections", "1/s", 0, True),
    Row("cpu", "CPU of the tunnel per 1,000 of them", "s", 3, False),
    Row("cpu server", "... of the server", "s", 3, False),
    Row("cpu client", "... of the client", "s", 3, False),
    Row("latency", "the same GET, 1 connection, p50", "ms", 3, False),
    Row("download 1", "download, 1 stream", "MB/s", 0, True),
    Row("download 8", "download, 8 streams", "MB/s", 0, True),
    Row("upload 1", "upload, 1 stream", "MB/s", 0, True),
    Row("upload 8", "upload, 8 streams", "MB/s", 0, True),
    Row("websocket", "WebSocket echo, 64 connections", "messages/s", 0, True),
    Row("websocket cpu", "CPU of the tunnel per 1,000 echoes", "s", 3, False),
    Row("start server", "memory at start, server", "MiB", 1, False),
    Row("start client", "memory at start, client", "MiB", 1, False),
    Row("start cpu server", "CPU of a start, server", "s", 2, False),
    Row("start cpu client", "CPU of a start, client", "s", 2, False),
    Row("idle server", "500 idle WebSockets, server: more", "MiB", 1, False),
    Row("idle client", "500 idle WebSockets, client: more", "MiB", 1, False),
    Row("peak server", "peak memory over all of this, server", "MiB", 1, False),
    Row("peak client", "peak memory over all of this, client", "MiB", 1, False),
)


@dataclass
class Readings:
    """For each row and peer the reading of each round; a round may lack one."""

    of: dict[tuple[str, str], dict[int, float]] = field(default_factory=dict)

    def add(self, round_number: int, peer: str, found: dict[str, float]) -> None:
        for key, reading in found.items():
            self.of.setdefault((key, peer), {})[round_number] = reading

    def median(self, key: str, peer: str) -> float | None:
        readings = self.of.get((key, peer))
        return median(readings.values()) if readings else None

    def ratio(self, key: str, peer: str, other: str) -> float | None:
        """The median over the rounds of peer / other, each within one round."""
        ours, theirs = self.of.get((key, peer), {}), self.of.get((key, other), {})
        pairs = [ours[n] / theirs[n] for n in ours.keys() & theirs.keys() if theirs[n] > 0]
        return median(pairs) if pairs else None


def medians(readings: Readings, peers: Sequence[str]) -> str:
    """A column for each peer; rows that nobody has a reading for are left out."""
    lines = [["measure", "unit", *peers]]
    for row, cells in filled(peers, lambda key, peer: readings.median(key, peer)):
        lines.append([row.title, row.unit, *(number(cell, row.digits) for cell in cells)])
    return markdown(lines)


def ratios(readings: Readings, peer: str, others: Sequence[str]) -> str:
    """What `peer` reaches, as a multiple of each of the others; "" where it has no readings."""
    lines = [[f"{peer} as a multiple of", "better is", *others]]
    for row, cells in filled(others, lambda key, other: readings.ratio(key, peer, other)):
        better = "more" if row.more_is_better else "less"
        lines.append([row.title, better, *(number(cell, 2) for cell in cells)])
    return markdown(lines) if len(lines) > 1 else ""


def filled(
    peers: Sequence[str], value: Callable[[str, str], float | None]
) -> Iterator[tuple[Row, list[float | None]]]:
    for row in ROWS:
        cells = [value(row.key, peer) for peer in peers]
        if any(cell is not None for cell in cells):
            yield row, cells


def number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"


def markdown(lines: Sequence[Sequence[str]]) -> str:
    """The first line is the head; the first two columns hold words, the others numbers."""
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    rule = ["-" * width if i < 2 else "-" * (width - 1) + ":" for i, width in enumerate(widths)]
    padded = [
        [text.ljust(width) if i < 2 else text.rjust(width) for i, (text, width) in enumerate(cells)]
        for cells in (zip(line, widths, strict=True) for line in (lines[0], rule, *lines[1:]))
    ]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in padded)
