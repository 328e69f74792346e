"""What was sent, and what became of it.

Each exchange of a load ends in one of four ways: answered, which means whole and right; given up
by its visitor on purpose; failed so that the visitor sees it (an error of the tunnel's own, a cut,
a Close); or wrong, which nothing ever allows: another byte, a gap in a sequence, half an answer
that looks whole, no end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import h11
import trio

# A peer that is gone, or an end in the middle of what should come.
CUT = (OSError, trio.BrokenResourceError, h11.RemoteProtocolError)


class FailedVisibly(Exception):
    """The visitor was told, by what the text says."""


class GivenUp(Exception):
    """The visitor left, as he wanted."""


@dataclass
class Tally:
    """Exchanges of one kind."""

    sent: int = 0
    answered: int = 0
    given_up: int = 0
    failed: Counter[str] = field(default_factory=Counter)  # by how
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        failed = f"{self.failed.total()} failed visibly {dict(self.failed)}" if self.failed else ""
        parts = [f"{self.sent} sent", f"{self.answered} answered", failed]
        if self.given_up:
            parts.append(f"{self.given_up} given up")
        if self.wrong:
            parts.append(f"{len(self.wrong)} WRONG {self.wrong[:3]}")
        return ", ".join(part for part in parts if part)

    @property
    def ended(self) -> int:
        return self.answered + self.given_up + self.failed.total() + len(self.wrong)


class Ledger:
    """The tallies of a load, by kind."""

    def __init__(self) -> None:
        self.tallies: dict[str, Tally] = {}
        self.unexcused: Counter[str] = Counter()  # failures that met no lossy fault
        self.checked_bytes = 0  # that were compared, or hashed
        self.echoes = 0  # messages that came back right
        self._lossy_now = False
        self._lossy_faults = 0  # their beginnings and ends
        self._moved: Counter[str] = Counter()
        self._news = trio.Event()

    def __repr__(self) -> str:
        return f"<Ledger {self.lines()}>"

    def lines(self) -> list[str]:
        return [f"{kind}: {tally}" for kind, tally in sorted(self.tallies.items())]

    @contextmanager
    def exchange(self, kind: str) -> Iterator[None]:
        """Count what the block does. Whatever it raises is judged; only Cancelled gets out."""
        tally = self.tallies.setdefault(kind, Tally())
        tally.sent += 1
        began_at = self._lossy_faults
        try:
            yield
        except Exception as error:  # noqa: BLE001  # a failure of the product's is what we look for
            how = judge(tally, error)
            if how and not self._lossy_now and began_at == self._lossy_faults:
                self.unexcused[f"{kind}: {how}"] += 1
        else:
            tally.answered += 1
        finally:
            self._tell()

    @contextmanager
    def lossy(self) -> Iterator[None]:
        """While a fault lasts by which something may be lost: what meets it is excused."""
        assert not self._lossy_now
        self._lossy_now = True
        self._lossy_faults += 1
        try:
            yield
        finally:
            self._lossy_now = False
            self._lossy_faults += 1

    def moved(self, kind: str, count: int = 1) -> None:
        """An exchange is under way: so many bytes, events or messages more have arrived."""
        self._moved[kind] += count
        self._tell()

    async def until_moved(self, **least: int) -> None:
        """Wait until so much has arrived in exchanges of these kinds."""
        while any(self._moved[kind] < count for kind, count in least.items()):
            await self._news.wait()

    async def until_ended(self, count: int, *kinds: str) -> None:
        """Wait until so many exchanges of these kinds, or of all, have ended, in whatever way."""
        while self.ended(*kinds) < count:
            await self._news.wait()

    def ended(self, *kinds: str) -> int:
        """Exchanges of these kinds, or of all."""
        return sum(t.ended for kind, t in self.tallies.items() if kind in kinds or not kinds)

    def answered(self, kind: str) -> int:
        return self.tallies[kind].answered if kind in self.tallies else 0

    def failed(self) -> int:
        """Visibly, of all kinds."""
        return sum(tally.failed.total() for tally in self.tallies.values())

    def check(self, may_fail: Collection[str] = ()) -> None:
        """All has ended, nothing is wrong, and nothing failed but what this fault allows.

        Args:
            may_fail: the ways, as in Tally.failed.
        """
        for kind, tally in self.tallies.items():
            assert not tally.wrong, f"{kind}: {tally}"
            assert tally.ended == tally.sent, f"{kind}: {tally}"
            assert not tally.failed.keys() - set(may_fail), f"{kind}: {tally}"

    def _tell(self) -> None:
        self._news.set()
        self._news = trio.Event()


def judge(tally: Tally, error: Exception) -> str:
    """Count a failure; of several at once, one that is wrong counts.

    Returns:
        How it failed visibly; empty if that is not what it did.
    """
    errors = list(leaves(error))
    wrong = [e for e in errors if not isinstance(e, (FailedVisibly, GivenUp, *CUT))]
    if wrong:
        tally.wrong.append(f"{type(wrong[0]).__name__}: {wrong[0]}"[:300])
    elif any(isinstance(e, GivenUp) for e in errors):
        tally.given_up += 1
    else:
        how = next((str(e) for e in errors if isinstance(e, FailedVisibly)), "cut")
        tally.failed[how] += 1
        return how
    return ""


def leaves(error: BaseException) -> Iterator[BaseException]:
    """The exceptions in a group, however deep they stand."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from leaves(inner)
    else:
        yield error
