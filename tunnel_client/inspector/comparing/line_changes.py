"""The changes between two texts, by lines, found within a limit of work.

difflib looks at each place where a line stands, for each line that is the same: for texts of a few
lines that come again and again that grows with the square. So its steps are counted before they are
made, and where they would be too many a whole stretch is told as replaced: right, and longer than
it has to be.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Sequence
from itertools import accumulate
from typing import Final, NamedTuple

LINES_MAX: Final = 20_000
STEPS_MAX: Final = 15_000_000  # a second, or as many as others work beside it


class LineEdit(NamedTuple):
    """Lines from `begin` to `end` of the first text become these."""

    begin: int
    end: int
    lines: tuple[str, ...]


def line_edits(
    before: Sequence[str], after: Sequence[str], steps_max: int = STEPS_MAX
) -> list[LineEdit]:
    """Return the edits that make one text the other, in order; for a thread."""
    first = _shared(before, after)
    last = _shared(before[first:][::-1], after[first:][::-1])
    ends = len(before) - last, len(after) - last
    matcher = _BoundedMatcher(before[first : ends[0]], after[first : ends[1]], steps_max)
    return [
        LineEdit(first + begin, first + end, tuple(after[first + from_ : first + to]))
        for kind, begin, end, from_, to in matcher.get_opcodes()
        if kind != "equal"
    ]


def with_edits(lines: Sequence[str], edits: Sequence[LineEdit]) -> list[str]:
    """Return a text with edits made to it."""
    found = list(lines)
    for edit in reversed(edits):
        found[edit.begin : edit.end] = edit.lines
    return found


def _shared(before: Sequence[str], after: Sequence[str]) -> int:
    """Return how many lines both begin with."""
    pairs = enumerate(zip(before, after, strict=False))
    return next((at for at, (one, other) in pairs if one != other), min(len(before), len(after)))


class _BoundedMatcher(difflib.SequenceMatcher[str]):
    """Finds no more once the steps would be too many."""

    def __init__(self, before: Sequence[str], after: Sequence[str], steps_max: int) -> None:
        super().__init__(None, before, after, autojunk=False)
        places = Counter(after)
        costs = (1 + places[line] for line in before)
        self._costs = list(accumulate(costs, initial=0))
        self._left = steps_max

    def __repr__(self) -> str:
        return f"<_BoundedMatcher {self._left} steps left>"

    def find_longest_match(
        self, alo: int = 0, ahi: int | None = None, blo: int = 0, bhi: int | None = None
    ) -> difflib.Match:
        """See SequenceMatcher."""
        assert ahi is not None
        self._left -= self._costs[ahi] - self._costs[alo]
        if self._left < 0:
            return difflib.Match(alo, blo, 0)
        return super().find_longest_match(alo, ahi, blo, bhi)
