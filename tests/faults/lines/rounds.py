"""The rounds of all rows: some side by side, and how long it will still take."""

from __future__ import annotations

import heapq
import traceback
from collections.abc import Callable, Sequence

import trio

from tests.faults.lines.measures import (
    Place,
    Step,
    measure,
    open_place,
    seconds_of,
    steps_beyond,
    steps_of,
)
from tests.faults.lines.report import near
from tests.faults.lines.rows import Row
from tests.faults.lines.runs import Run
from tests.faults.lines.table import line_of

ROUNDS = 3
ROUNDS_NEAR = 5  # of a share that is near its limit
MOST_S = 90 * 60  # after which no rounds are added
PACE_AFTER_S = 600.0  # of measures that are done: before, rows have hardly begun
START_S = 5.0  # a line, and two programs or four


def steps_s(row: Row, steps: Sequence[Step]) -> float:
    return sum(seconds_of(row, who) for _, who in steps)


def row_s(row: Row, rounds: int) -> float:
    numbers = range(1, rounds + 1)
    return START_S + sum(steps_s(row, steps_of(row, number)) for number in numbers)


def in_order(rows: Sequence[Row]) -> list[Row]:
    """Those that need all lanes, then the longest, so that none is left to run alone at the end."""
    return sorted(rows, key=lambda row: (not row.heavy, -row_s(row, 1)))


def wall_s(rows: Sequence[Row], rounds: int, lanes: int) -> float:
    """How long all of this takes, so many side by side."""
    ends_s = [0.0] * lanes
    for row in in_order(rows):
        if row.heavy:
            ends_s = [max(ends_s) + row_s(row, rounds)] * lanes
        else:
            heapq.heapreplace(ends_s, ends_s[0] + row_s(row, rounds))
    return max(ends_s)


def causes(error: BaseException) -> list[str]:
    """What stands in a group of groups, without the groups."""
    if isinstance(error, BaseExceptionGroup):
        return [cause for part in error.exceptions for cause in causes(part)]
    return [f"{type(error).__name__}: {error}".splitlines()[0]]


class Rounds:
    """Runs the rows, tells and keeps what each measure has seen, and notes what broke.

    Attributes:
        runs: all that has been seen.
        notes: a line for each row that broke, or lacks rounds.
        broken: whether a row broke.
    """

    def __init__(
        self,
        rows: Sequence[Row],
        rule: str,
        rounds: int | None,
        lanes: int,
        keep: Callable[[Run], None],
    ) -> None:
        self.runs: list[Run] = []
        self.notes: list[str] = []
        self.broken = False
        self._rows = rows
        self._rule = rule
        self._rounds = rounds
        self._lanes = lanes
        self._free = trio.CapacityLimiter(lanes)
        self._keep = keep
        self._done_s = 0.0
        self._planned_s = sum(row_s(row, rounds or ROUNDS) for row in rows)
        self._side_by_side = self._planned_s / wall_s(rows, rounds or ROUNDS, lanes)
        self._begun_at = trio.current_time()

    def __repr__(self) -> str:
        return f"<Rounds of {len(self._rows)} rows, {len(self.runs)} runs, {self.notes}>"

    async def run(self) -> None:
        self._begun_at = trio.current_time()
        async with trio.open_nursery() as nursery:
            for row in in_order(self._rows):
                for token in self._tokens(row):
                    await self._free.acquire_on_behalf_of(token)
                nursery.start_soon(self._run_row, row)

    def _tokens(self, row: Row) -> list[tuple[str, int]]:
        return [(row.name, lane) for lane in range(self._lanes if row.heavy else 1)]

    async def _run_row(self, row: Row) -> None:
        try:
            async with open_place(row, self._rule) as place:
                self._done_s += START_S
                await self._run_rounds(place)
        except Exception as error:  # noqa: BLE001  # a row that breaks does not end the others
            traceback.print_exception(error)
            self.broken = True
            self._note(f"{row.name} broke: {'; '.join(causes(error))}")
        finally:
            for token in self._tokens(row):
                self._free.release_on_behalf_of(token)

    async def _run_rounds(self, place: Place) -> None:
        row = place.row
        for number in range(1, (self._rounds or ROUNDS) + 1):
            await self._run_steps(place, number, steps_of(row, number))
        if self._rounds is not None:
            return
        found = near(row, [run for run in self.runs if run.row == row.name])
        beyond = steps_beyond(row, ROUNDS_NEAR, found)
        beyond_s = (ROUNDS_NEAR - ROUNDS) * steps_s(row, beyond)
        if beyond and self._left_s(beyond_s) > MOST_S - self._took_s():
            self._note(f"{row.name} has shares near their limits, and no time for more rounds")
            return
        self._planned_s += beyond_s
        for number in range(ROUNDS + 1, ROUNDS_NEAR + 1):
            await self._run_steps(place, number, beyond)

    async def _run_steps(self, place: Place, number: int, steps: Sequence[Step]) -> None:
        for way, who in steps:
            run = await measure(place, way, who, number)
            self.runs.append(run)
            self._keep(run)
            self._done_s += seconds_of(place.row, who)
            print(f"[{self._progress()}] {line_of(run, place.row)}", flush=True)

    def _progress(self) -> str:
        share = 100 * self._done_s / self._planned_s
        return f"{share:.0f} %, {self._left_s() / 60:.0f} min left"

    def _took_s(self) -> float:
        return trio.current_time() - self._begun_at

    def _left_s(self, more_s: float = 0.0) -> float:
        """By the plan to begin with, and then at the pace that there was so far."""
        left_s = max(0.0, self._planned_s - self._done_s) + more_s
        settled = self._done_s > PACE_AFTER_S
        return left_s / (self._done_s / self._took_s() if settled else self._side_by_side)

    def _note(self, text: str) -> None:
        self.notes.append(text)
        print(text, flush=True)
