"""Answers as they are read here, by http.client and by curl: no reader may take another one.

`python -m tests.fuzz.compared_answers SECONDS [SEED]` makes them at random, a batch for each
process of curl; `make compare` calls it. It prints those that are read in two ways, and exits 1.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from typing import Final

import trio

from tests.fuzz.loose_answers import AnswerMaker
from tests.other_readers import (
    Reading,
    an_app_that_says,
    read_by_curl,
    read_by_http_client,
    read_here,
)

BATCH: Final = 200  # of one process of curl, and the connections that it leaves behind
ENOUGH: Final = 10  # differences to look at


def answers_elsewhere(data: bytes) -> None:
    """A target: http.client has the same status and body, if it takes the answer as well."""
    theirs, understood = read_by_http_client(data)
    assert not understood or is_same(read_here(data), theirs)


def is_same(ours: Reading | None, theirs: Reading | None) -> bool:
    """Whether an answer that both take is the same to both."""
    return ours is None or theirs is None or ours == theirs


class Comparison:
    """Readings side by side.

    Attributes:
        counted: answers; those that are taken here; leniently; and these by another one as well.
        differences: for people, each answer that is read in two ways.
    """

    def __init__(self) -> None:
        self.counted: Counter[str] = Counter()
        self.differences: list[str] = []

    def __repr__(self) -> str:
        return f"<Comparison {dict(self.counted)} differences={len(self.differences)}>"

    async def compare(self, answers: list[bytes]) -> None:
        """Read these by all."""
        async with an_app_that_says(answers) as port:
            by_curl = await read_by_curl(port, len(answers))
        for data, curls in zip(answers, by_curl, strict=True):
            self._compare(data, curls)

    def _compare(self, data: bytes, curls: Reading | None) -> None:
        ours = read_here(data)
        is_loose = ours is not None and read_here(data, leniently=False) is None
        self.counted.update({"answers": 1, "taken": ours is not None, "leniently": is_loose})
        clients, understood = read_by_http_client(data)
        others = {"curl": curls, "http.client": clients if understood else None}
        for name, theirs in others.items():
            self.counted[f"leniently, and by {name}"] += is_loose and theirs is not None
            if not is_same(ours, theirs):
                self.differences.append(f"{data!r}\n  here {ours}\n  {name} {theirs}")


async def compare_for(seconds: float, seed: int) -> bool:
    """Whether nothing was read in two ways."""
    maker = AnswerMaker(seed)
    comparison = Comparison()
    ends = time.monotonic() + seconds
    while time.monotonic() < ends and len(comparison.differences) < ENOUGH:
        await comparison.compare([maker.make() for _ in range(BATCH)])
    print(f"seed {seed}: {comparison!r}", *comparison.differences, sep="\n")
    return not comparison.differences


if __name__ == "__main__":
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else time.time_ns() % 1_000_000
    sys.exit(not trio.run(compare_for, float(sys.argv[1]), seed))
