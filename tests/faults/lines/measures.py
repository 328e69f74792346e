"""What one measure does: bulk on a line for a while, and small things beside it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import trio

from tests.faults.line import Line, open_line
from tests.faults.lines.bulk import STREAMS, Way, download, plain, upload
from tests.faults.lines.rows import Row, Ways
from tests.faults.lines.rules import NONE, scripts_of
from tests.faults.lines.runs import TICK_S, Run, Who
from tests.faults.lines.site import Site, Taken, open_site
from tests.faults.lines.small import ANSWERED_S, Small

# Idle, twice as many small things find an empty line as beside bulk: 200 of each kind in a round.
IDLE_SAMPLES = 200
IDLE_FASTER = 2
# What a measure leaves on its way must be gone before the next; a queue that was full takes as long
# as it is, and what the kernel had of a connection is as much again.
REST_S = 1.0

Step = tuple[Ways, Who]
Load = Callable[[Taken], Awaitable[None]]


class Processors(NamedTuple):
    """The time of all processors since the machine was started, in ticks."""

    all: int
    idle: int

    @classmethod
    def now(cls) -> Processors:
        # proc_stat(5): user nice system idle iowait irq softirq steal; a guest's is in user's.
        ticks = [int(word) for word in Path("/proc/stat").read_text().split(maxsplit=9)[1:9]]
        return cls(sum(ticks), ticks[3] + ticks[4])

    def busy_since(self, before: Processors) -> float:
        return 1 - (self.idle - before.idle) / max(1, self.all - before.all)


@dataclass
class Place:
    """A line, and the two tunnels on it."""

    row: Row
    rule: str
    line: Line
    site: Site
    off: Site | None


@asynccontextmanager
async def open_place(row: Row, rule: str) -> AsyncIterator[Place]:
    """The line of a row and its programs, which last as long as the block."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        rates = {"rtt_ms": row.rtt_ms, "up_mbit": row.down_mbit, "down_mbit": row.up_mbit}
        async with open_line(*flags_of(row, folder), **rates) as line:
            async with _site(line, rule, folder / "rule") as site:
                if row.delays != "off":
                    yield Place(row, rule, line, site, None)
                    return
                async with _site(line, NONE, folder / "off") as off:
                    yield Place(row, rule, line, site, off)


@asynccontextmanager
async def _site(line: Line, rule: str, folder: Path) -> AsyncIterator[Site]:
    await trio.Path(folder).mkdir()
    async with open_site(line, folder, scripts_of(rule, folder / "scripts")) as site:
        yield site


def flags_of(row: Row, folder: Path) -> list[str]:
    """The flags of tests/tools/wan.py; a plan is written to a file."""
    # Else the line itself would be late while the programs are at work, and jitter.
    flags = [
        "--realtime",
        "--queue-ms",
        f"{row.queue_ms:g}",
        "--tcp",
        row.tcp,
        "--loss",
        f"{row.loss:g}",
    ]
    flags += ["--jitter", f"{row.jitter_ms:g}", "--jitter-every", f"{row.jitter_every_ms:g}"]
    if row.stall:
        flags.append("--stall")
    if row.plan:
        lines = [f"{s.seconds:g} {s.rtt_s * 1e3:g} {s.bytes_per_s * 8 / 1e6:g}\n" for s in row.plan]
        (folder / "plan").write_text("".join(lines))
        flags += ["--plan", str(folder / "plan")]
    return flags


def steps_of(row: Row, number: int) -> list[Step]:
    """The measures of a round, in their order."""
    whos: list[Who] = ["plain", "one", "eight", "off"]
    if not has_plain(row, number):
        whos.remove("plain")
    if row.delays != "off":
        whos.remove("off")
    return [("both", "idle"), *((way, who) for way in row.ways for who in whos)]


def has_plain(row: Row, number: int) -> bool:
    """Without luck it is the same in each round: 19.31, 19.30, 19.31 Mbit/s of 20."""
    return row.plain and (number == 1 or row.has_luck)


def steps_beyond(row: Row, number: int, near: Sequence[Step]) -> list[Step]:
    """Those of a round that is made for some shares alone, each with its yardstick."""
    yardsticks: set[Step] = {(way, "plain") for way, _ in near}
    return [step for step in steps_of(row, number) if step in near or step in yardsticks]


def seconds_of(row: Row, who: Who) -> float:
    """How long a measure takes, with the rest behind it."""
    if who == "idle":
        return IDLE_SAMPLES * row.small_every_s / IDLE_FASTER + REST_S
    return row.settle_s + row.count_s + rest_s(row)


def rest_s(row: Row) -> float:
    return REST_S + 2 * row.queue_ms / 1e3


async def measure(place: Place, way: Ways, who: Who, number: int) -> Run:
    """One measure of a round."""
    run = Run(place.row.name, place.rule, number, way, who)
    before = Processors.now()
    await place.line.begin(number)
    if who == "idle":
        await _idle(place, run)
    else:
        await _beside(place, run)
    counts = await place.line.counts()
    run.busy = Processors.now().busy_since(before)
    run.packets = {"down": counts["up"], "up": counts["down"]}  # wan.py says up for from home
    await trio.sleep(rest_s(place.row))
    return run


async def _idle(place: Place, run: Run) -> None:
    every_s = place.row.small_every_s / IDLE_FASTER
    small = Small(place.site, every_s)
    run.counted_s = IDLE_SAMPLES * every_s
    async with trio.open_nursery() as nursery:
        nursery.start_soon(small.run)
        start = trio.current_time()
        await trio.sleep(run.counted_s)
        await _times(small, run, start)
        nursery.cancel_scope.cancel()


async def _beside(place: Place, run: Run) -> None:
    site = place.off if run.who == "off" else place.site
    assert site is not None
    streams = 1 if run.who in ("plain", "one") else STREAMS
    ways: list[Way] = ["down", "up"] if run.way == "both" else [run.way]
    bulk = {way: Taken(dict.fromkeys(range(streams), 0)) for way in ways}
    begun_at = trio.current_time()
    async with trio.open_nursery() as nursery:
        for way, taken in bulk.items():
            for load in loads(place.line, site, run.who, way, streams):
                nursery.start_soon(load, taken)
        small = Small(site, place.row.small_every_s)
        if run.who != "plain":
            nursery.start_soon(small.run)
        await _watch(bulk, run, begun_at, place.row)
        await _times(small, run, begun_at + place.row.settle_s)
        nursery.cancel_scope.cancel()


def loads(line: Line, site: Site, who: Who, way: Way, streams: int) -> list[Load]:
    """The streams of one direction, each to be run by itself."""
    if who == "plain":
        return [partial(plain, line, way)]
    carry = download if way == "down" else upload
    return [partial(carry, site, stream) for stream in range(streams)]


async def _watch(bulk: dict[Way, Taken], run: Run, begun_at: float, row: Row) -> None:
    """Look at each tick how much has come, until the time is over."""
    settled = round(row.settle_s / TICK_S)
    run.ticks = {way: [] for way in bulk}
    before, start = bulk, begun_at
    for number in range(1, settled + round(row.count_s / TICK_S) + 1):
        await trio.sleep_until(begun_at + number * TICK_S)
        for way, taken in bulk.items():
            run.ticks[way].append(taken.total() - sum(run.ticks[way]))
        if number == settled:
            before = {way: Taken(taken) for way, taken in bulk.items()}
            start = trio.current_time()
    run.counted_s = trio.current_time() - start
    run.taken = {
        way: [taken[stream] - before[way][stream] for stream in taken]
        for way, taken in bulk.items()
    }


async def _times(small: Small, run: Run, start: float) -> None:
    """Keep what small things took that began in what is counted; the bulk goes on meanwhile."""
    until = start + run.counted_s
    await small.answered(until, ANSWERED_S)
    now = trio.current_time()
    run.gets_s = small.gets.between(start, until, now)
    run.echoes_s = small.echoes.between(start, until, now)
