"""Measures the tunnel on lines as they are: Wi-Fi, mobile, changing, lossy.

    python -m tests.faults.lines [--rows jitter] [--rule NAME] [--rounds N]

as root, or `make lines`. Each row opens a line, and starts the programs on it: with the rule under
test for what may be on its way, and where delays are judged by it once more with none. In each
round come, one after the other and with the same weather, the idle line; then for each direction
one plain TCP connection, one stream and eight through the tunnel, and eight with the rule switched
off. Small things are timed beside each. What every measure has seen goes to a file, of which
`--table FILE` makes the tables again.

A figure and no test: it changes with what else the machine does. To stay under 90 minutes

* two rows run side by side on two processors, but for those that are heavy: one needs about half of
  a processor, since packets that come alone wake all programs for each. `--lanes 1` runs one after
  the other.
* one plain connection a round is the yardstick of one stream and of eight, and where a line has no
  luck, the one of the first round.
* rounds beyond three are made for those shares alone that are near their limits, while there is
  time; the last lines say for which there was none.
* with the rule switched off only eight streams are measured, and no plain connection where what is
  asked is how soon a change is followed.

Each measure says how busy all processors were: where they had no time left, it says nothing of the
rule. The exit code is 1 where a limit is missed or a row broke.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path
from tempfile import gettempdir

import trio

from tests.faults.lines.rounds import ROUNDS, ROUNDS_NEAR, Rounds, wall_s
from tests.faults.lines.rows import ROWS, Row, chosen
from tests.faults.lines.rules import LANDED, RULES
from tests.faults.lines.runs import Run, line_of, read_runs
from tests.faults.lines.table import tables

LANES = 2
BUSY = 0.9  # of all processors' time: then programs wait for their turn more than for the line


def options(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m tests.faults.lines", description=__doc__)
    parser.add_argument("--rows", default="", metavar="PART,...", help="of their names; all")
    parser.add_argument("--rule", choices=[*RULES], default=LANDED)
    parser.add_argument(
        "--rounds", type=positive, metavar="N", help=f"{ROUNDS}, or {ROUNDS_NEAR} near a limit"
    )
    parser.add_argument(
        "--lanes", type=positive, default=LANES, metavar="N", help="rows side by side"
    )
    parser.add_argument("--count", type=float, metavar="S", help="another length, for a trial")
    parser.add_argument("--raw", type=Path, metavar="FILE", help="for all that was seen")
    parser.add_argument("--table", type=Path, nargs="+", metavar="FILE", help="of earlier runs")
    return parser.parse_args(argv)


def positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)


@contextmanager
def alone() -> Iterator[None]:
    """One such measure at a time on this machine: two would measure each other."""
    with open(Path(gettempdir()) / "trio-tunnel-lines.lock", "w") as file:
        try:
            flock(file, LOCK_EX | LOCK_NB)
        except BlockingIOError:
            print("another measure of lines is running on this machine; this one waits", flush=True)
            flock(file, LOCK_EX)
        yield


def raw_file(rule: str) -> Path:
    folder = Path("build")
    folder.mkdir(exist_ok=True)
    return folder / f"lines-{rule}-{datetime.now(UTC):%Y%m%d-%H%M%S}.jsonl"


async def until_signal(rounds: Rounds) -> bool:
    """Runs it all; whether it was stopped by Ctrl-C or SIGTERM before the end."""
    stopped = False
    async with trio.open_nursery() as nursery:

        async def listen() -> None:
            nonlocal stopped
            with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
                async for _ in signals:
                    stopped = True
                    nursery.cancel_scope.cancel()

        nursery.start_soon(listen)
        await rounds.run()
        nursery.cancel_scope.cancel()
    return stopped


async def run(rows: Sequence[Row], args: argparse.Namespace) -> int:
    raw = args.raw or raw_file(args.rule)
    minutes = wall_s(rows, args.rounds or ROUNDS, args.lanes) / 60
    more = "" if args.rounds else ", and more rounds near the limits"
    print(f"{len(rows)} lines, {minutes:.0f} min{more}; all that is seen goes to {raw}", flush=True)
    with raw.open("w") as file:

        def keep(run: Run) -> None:
            print(line_of(run), file=file, flush=True)

        rounds = Rounds(rows, args.rule, args.rounds, args.lanes, keep)
        stopped = await until_signal(rounds)
    code = show(rounds.runs)
    for note in rounds.notes:
        print(note)
    if stopped:
        print("stopped before the end")
    return 1 if rounds.broken or stopped else code


def show(runs: Sequence[Run]) -> int:
    """Prints the tables; 1 if something misses its limit."""
    text, misses = tables(ROWS, runs)
    print(f"\n{text}\n" if text else "nothing was measured")
    if misses:
        print(f"{misses} of the cells miss their limits")
    if busy := sum(run.busy > BUSY for run in runs):
        print(f"{busy} of {len(runs)} measures found no idle processor, and say little of the rule")
    return 1 if misses else 0


def main(argv: Sequence[str]) -> int:
    args = options(argv)
    if args.table:
        return show([run for path in args.table for run in read_runs(path)])
    rows = [replace(row, count_s=args.count or row.count_s) for row in chosen(args.rows)]
    if not rows:
        print(f"no row has {args.rows!r} in its name: {', '.join(row.name for row in ROWS)}")
        return 2
    with alone():
        return trio.run(run, rows, args)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
