"""The tables of all rows in Markdown, and a line for each measure as it comes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median
from typing import Final

from benchmarks.table import markdown
from tests.faults.lines.bulk import Way
from tests.faults.lines.report import (
    Cell,
    Small,
    changes,
    delay_cell,
    delays,
    directions,
    follow_cell,
    follows,
    share_cell,
    slowest_cell,
    some,
)
from tests.faults.lines.rows import Row, Ways
from tests.faults.lines.runs import Run, Who

HEAD = (
    *("ms, Mbit/s", "bulk", "plain", "one", "eight", "slowest"),
    *("GET idle", "beside", "off", "echo idle", "beside", "off", "dropped"),
)
FOLLOW_HEAD = ("seconds until 0.9 of the line", "bulk", "one", "eight", "off")

SMALLS: Final[tuple[Small, ...]] = ("GET", "echo")
TUNNELS: Final[tuple[Who, ...]] = ("one", "eight", "off")

Line = Sequence[Cell]


def line_of(run: Run, row: Row) -> str:
    """What a measure has seen, for a person who waits for it."""
    said = []
    for way in run.taken:
        streams = run.taken[way]
        slowest = f", slowest {min(streams) * 8 / 1e6 / run.counted_s:.2f}" if streams[1:] else ""
        said.append(f"{way} {run.mbit(way):.2f} Mbit/s{slowest}, {dropped(run, way):.1f} % dropped")
    seen = {small: delays([run], small) for small in SMALLS}
    said += [f"{small} {found} ms" for small, found in seen.items() if found.count]
    said.append(f"processors {100 * run.busy:.0f} %")
    if row.plan:
        said += [f"{way} each second {numbers(run.per_second_mbit(way))}" for way in run.taken]
        said += [
            f"{change} followed after {follows([run], run.who, way, change):.1f} s"
            for change in changes(row)
            for way in run.taken
        ]
    return f"{row.name}, round {run.round}, {run.way}, {run.who}: {'; '.join(said)}"


def numbers(rates: Sequence[float]) -> str:
    return " ".join(f"{rate:.1f}" for rate in rates)


def dropped(run: Run, way: Way) -> float:
    """By a full queue, in percent of the packets that came to the line."""
    packets = run.packets[way]
    return 100 * packets["dropped"] / max(1, sum(packets.values()))


def tables(rows: Sequence[Row], runs: Sequence[Run]) -> tuple[str, int]:
    """Both tables, and how many of their cells miss a limit."""
    lines = [line for row in rows for line in lines_of(row, runs_on(row, runs))]
    follows = [line for row in rows for line in follow_lines(row, runs_on(row, runs))]
    shown = [
        markdown([head, *([str(cell) for cell in line] for line in part)])
        for head, part in ((HEAD, lines), (FOLLOW_HEAD, follows))
        if part
    ]
    misses = sum(bool(cell.limit) for line in [*lines, *follows] for cell in line)
    return "\n\n".join(shown), misses


def runs_on(row: Row, runs: Sequence[Run]) -> list[Run]:
    return [run for run in runs if run.row == row.name]


def lines_of(row: Row, runs: Sequence[Run]) -> Iterator[Line]:
    for way in row.ways:
        for direction in directions(way):
            if some(runs, "eight", way):
                yield line_of_way(row, runs, way, direction)


def line_of_way(row: Row, runs: Sequence[Run], way: Ways, direction: Way) -> Line:
    plain = some(runs, "plain", way)
    rates = [run.mbit(direction) for run in plain]
    cells = [
        Cell(row.name),
        Cell(direction if way == direction else f"{way}: {direction}"),
        Cell(f"{median(rates):.1f}" if rates else "-"),
        share_cell(row, runs, "one", way, direction),
        share_cell(row, runs, "eight", way, direction),
        slowest_cell(runs, way, direction),
    ]
    for small in SMALLS:
        cells.append(Cell(str(delays(some(runs, "idle"), small))))
        cells.append(delay_cell(row, runs, way, small))
        cells.append(Cell(str(delays(some(runs, "off", way), small))))
    drops = [dropped(run, direction) for run in some(runs, "eight", way)]
    return [*cells, Cell(f"{median(drops):.1f} %")]


def follow_lines(row: Row, runs: Sequence[Run]) -> Iterator[Line]:
    for way in directions("both"):
        if some(runs, "eight", way):
            for change in changes(row):
                cells = [follow_cell(row, runs, who, way, change) for who in TUNNELS]
                yield [Cell(f"{row.name}: {change}"), Cell(way), *cells]
