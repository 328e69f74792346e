"""Shares: how much of something one owner, or one address, may have while others want some, too.

One may take one more only while it has less than three times what is still free. Alone it gets
three quarters of all; two that want all they can get have three sevenths each; and something is
free for one that has little, without a number that an honest user could meet. (Dynamic thresholds:
Choudhury and Hahne, IEEE/ACM Transactions on Networking 6(2), 1998, with alpha = 3.)

What is under way never ends to make room. A taker over its share waits (`waiting.py`), and of
things that only wait for somebody another goes (`held.py`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from operator import itemgetter
from typing import Final

from protocol.mux.memory import Memory

ALPHA: Final = 3


def heaviest_of(counts: Iterable[tuple[str | None, int]]) -> tuple[str, int] | None:
    """A key that has most, and how many; None is no key. It looks at all: people ask rarely."""
    keys = ((key, has) for key, has in counts if key is not None)
    return max(keys, key=itemgetter(1), default=None)


def full_from(most: int, used: int) -> int:
    """From so many on it is one's own share that is full; else all of them together are taken."""
    return ALPHA * max(most - used, 1)


class Share:
    """Places of one kind, and how many each key has.

    A taker may have several keys, such as its owner and its address; each of them pays. None is a
    key of nobody, which is counted among all alone.

    Attributes:
        most: how many there are.
        used: how many are taken.
    """

    __slots__ = ("_of", "most", "used")

    def __init__(self, most: int) -> None:
        self.most = most
        self.used = 0
        self._of: Counter[str] = Counter()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.used} of {self.most}, {len(self._of)} keys>"

    def of(self, key: str) -> int:
        """The number that a key has."""
        return self._of[key]

    @property
    def heaviest(self) -> tuple[str, int] | None:
        """See Counted."""
        return heaviest_of(self._of.items())

    def has_room(self, *keys: str | None) -> bool:
        """Whether one more may be taken for these."""
        return self.full_key(*keys) is None and self.used < self.most

    def full_key(self, *keys: str | None) -> str | None:
        """The first of these keys that has its share; None where none has."""
        full = full_from(self.most, self.used)
        for key in keys:
            if key is not None and self._of[key] >= full:
                return key
        return None

    def take(self, *keys: str | None) -> None:
        """One more is taken, also where there was no room: what is there already is counted."""
        self.used += 1
        for key in keys:
            if key is not None:
                self._of[key] += 1

    def give(self, *keys: str | None) -> None:
        """One that was taken for these is free again."""
        self.used -= 1
        for key in keys:
            if key is None:
                continue
            self._of[key] -= 1
            if not self._of[key]:
                del self._of[key]


class MemoryShare:
    """Bytes, and how many each key has: one may have more while that is less than thrice the rest.

    Attributes:
        most: how many there are.
        used: how many are taken.
        is_tight: more than half are.
    """

    __slots__ = ("_lax", "_of", "is_tight", "most", "used")

    def __init__(self, most: int) -> None:
        self.most = most
        self.used = 0
        self.is_tight = False
        self._of: Counter[str] = Counter()
        self._lax: set[Memory] = set()  # those that have taken something since they were trimmed

    def __repr__(self) -> str:
        return f"<MemoryShare {self.used} of {self.most}, {len(self._of)} keys>"

    def of(self, key: str) -> int:
        """The bytes that a key has."""
        return self._of[key]

    @property
    def heaviest(self) -> tuple[str, int] | None:
        """See Counted."""
        return heaviest_of(self._of.items())

    def lender(self, *keys: str | None) -> MemoryLender:
        """A lender for a session of these keys."""
        return MemoryLender(self, tuple(key for key in keys if key is not None))

    def free_for(self, keys: tuple[str, ...]) -> int:
        """The bytes that one of these keys may take at once, with what it has."""
        free = self.most - self.used
        for key in keys:
            free = min(free, (ALPHA * (self.most - self.used) - self._of[key]) // (ALPHA + 1))
        return max(free, 0)

    def take(self, memory: Memory, size: int, keys: tuple[str, ...]) -> None:
        """So many bytes more are taken for these; fewer, if that is negative."""
        if size > 0:
            self._lax.add(memory)
        self.used += size
        self.is_tight = 2 * self.used > self.most
        of = self._of
        for key in keys:
            of[key] += size
            if not of[key]:
                del of[key]

    def trim(self) -> None:
        """Once a second: what sessions have taken and do not hold any more is free again."""
        lax, self._lax = self._lax, set()
        for memory in lax:
            memory.settle()
            if memory.is_lent:
                self._lax.add(memory)


class MemoryLender:
    """Lends to one session; see `protocol.mux.memory`."""

    __slots__ = ("_keys", "plenty", "pool")

    def __init__(self, share: MemoryShare, keys: tuple[str, ...]) -> None:
        self.pool = share
        self._keys = keys
        self.plenty = share.most // 4  # of a half that is free, one that has the other half

    def __repr__(self) -> str:
        return f"<MemoryLender of {self.pool!r}>"

    @property
    def free(self) -> int:
        """See Lender."""
        return self.pool.free_for(self._keys)

    def take(self, memory: Memory, size: int) -> None:
        """See Lender."""
        self.pool.take(memory, size, self._keys)
