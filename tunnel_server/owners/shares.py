"""Shares: how much of something one owner, or one address, may have while others want some, too.

One may take one more only while it has less than three times what is still free. Alone it gets
three quarters of all; two that want all they can get have three sevenths each; and something is
free for one that has little, without a number that an honest user could meet. (Dynamic thresholds:
Choudhury and Hahne, IEEE/ACM Transactions on Networking 6(2), 1998, with alpha = 3.)

What is under way never ends to make room. So a request over its share waits for one of its own
(`RoomShare`), and of things that only wait, the oldest of the heaviest goes (`HeldShare`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Generic, TypeVar

import trio

from protocol.drivers.latch import Latch
from protocol.mux.memory import Memory

T = TypeVar("T")

_ALPHA: Final = 3

# A burst over a share is over sooner; whoever waits for longer gets no answer that it still wants.
WAIT_S: Final = 2.0
_LOOKED_AT: Final = 64  # keys that wait, when something is given back


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

    def has_room(self, *keys: str | None) -> bool:
        """Whether one more may be taken for these."""
        return self.full_key(*keys) is None and self.used < self.most

    def full_key(self, *keys: str | None) -> str | None:
        """The first of these keys that has its share; None where none has."""
        allowed = _ALPHA * (self.most - self.used)
        for key in keys:
            if key is not None and self._of[key] >= max(allowed, 1):
                return key
        return None

    def too_heavy(self, *keys: str | None) -> str | None:
        """The key of which something has to go before one more is taken for these.

        That is one of these that has its share, or where nothing is free the one that has most.
        None: there is room, or nobody in particular has what is taken.
        """
        if self.used >= self.most:
            return max(self._of, key=self._of.__getitem__, default=None)
        return self.full_key(*keys)

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

    def lender(self, *keys: str | None) -> MemoryLender:
        """A lender for a session of these keys."""
        return MemoryLender(self, tuple(key for key in keys if key is not None))

    def free_for(self, keys: tuple[str, ...]) -> int:
        """The bytes that one of these keys may take at once, with what it has."""
        free = self.most - self.used
        for key in keys:
            free = min(free, (_ALPHA * (self.most - self.used) - self._of[key]) // (_ALPHA + 1))
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
            memory.trim()
            if memory.is_lent:
                self._lax.add(memory)


class MemoryLender:
    """Lends to one session; see `protocol.mux.memory`."""

    __slots__ = ("_keys", "_share", "plenty")

    def __init__(self, share: MemoryShare, keys: tuple[str, ...]) -> None:
        self._share = share
        self._keys = keys
        self.plenty = share.most // 4  # of a half that is free, one that has the other half

    def __repr__(self) -> str:
        return f"<MemoryLender of {self._share!r}>"

    @property
    def is_tight(self) -> bool:
        """See Lender."""
        return self._share.is_tight

    @property
    def free(self) -> int:
        """See Lender."""
        return self._share.free_for(self._keys)

    def take(self, memory: Memory, size: int) -> None:
        """See Lender."""
        self._share.take(memory, size, self._keys)


class RoomShare:
    """A share of what is under way: whoever is over it waits for one of its own to end.

    Those of one key wait in their order. None is a key of nobody, which is counted among all alone.

    Attributes:
        most: how many there are.
        used: how many are taken.
    """

    __slots__ = ("_of", "_waiting", "most", "used")

    def __init__(self, most: int) -> None:
        self.most = most
        self.used = 0
        self._of: dict[str | None, int] = {}
        self._waiting: dict[str | None, dict[Latch, None]] = {}

    def __repr__(self) -> str:
        return f"<RoomShare {self.used} of {self.most}, {len(self._of)} keys>"

    def of(self, key: str | None) -> int:
        """The number that a key has."""
        return self._of.get(key, 0)

    def has_room(self, key: str | None) -> bool:
        """Whether one more may be taken for this key."""
        free = self.most - self.used
        return free > 0 and (key is None or self._of.get(key, 0) < _ALPHA * free)

    def is_open(self, key: str | None) -> bool:
        """Whether one more may be taken for this key now, with nobody of it waiting."""
        return self.has_room(key) and key not in self._waiting

    def is_over(self, key: str | None) -> bool:
        """Whether the newest that was taken for this key has had no room, or others wait."""
        if key in self._waiting:
            return True
        free = self.most - self.used + 1
        return free <= 0 or (key is not None and self._of.get(key, 0) > _ALPHA * free)

    def take(self, key: str | None) -> None:
        """One more is taken, also where there was no room: what is there already is counted."""
        self.used += 1
        self._of[key] = self._of.get(key, 0) + 1

    def give(self, key: str | None) -> None:
        """One is free again: whoever waits longest for this key has it, or else for another."""
        self.used -= 1
        left = self._of[key] - 1
        if left:
            self._of[key] = left
        else:
            del self._of[key]
        if self._waiting:
            self._wake_one(key)

    async def take_when_open(self, key: str | None) -> bool:
        """Wait until one more may be taken for this key, and take it; whether within WAIT_S.

        Cancelled, it has taken nothing.
        """
        with self._in_line(key) as turn, trio.move_on_after(WAIT_S):
            while not self.has_room(key):
                await turn.wait()
            self.take(key)
            return True
        return False

    @contextmanager
    def _in_line(self, key: str | None) -> Iterator[Latch]:
        turn = Latch()
        line = self._waiting.setdefault(key, {})
        line[turn] = None
        try:
            yield turn
        finally:
            del line[turn]
            if not line:
                del self._waiting[key]
            if self._waiting:
                self._wake_one(key)  # there may be room for the next one, too

    def _wake_one(self, key: str | None) -> None:
        """Wake the first that has room: of this key, or of others in turn."""
        waiting = self._waiting
        if key in waiting and self.has_room(key):
            next(iter(waiting[key])).open()
            return
        for _ in range(min(len(waiting), _LOOKED_AT)):
            key = next(iter(waiting))
            waiting[key] = waiting.pop(key)  # the last to be looked at the next time
            if self.has_room(key):
                next(iter(waiting[key])).open()
                return


class HeldShare(Generic[T]):
    """Things that wait, and the share of each key in them."""

    def __init__(self, most: int) -> None:
        self._share = Share(most)
        self._keys: dict[T, tuple[str, ...]] = {}  # of each; the oldest first
        self._of_key: dict[str, dict[T, None]] = {}  # likewise

    def __repr__(self) -> str:
        return f"<HeldShare {self._share!r}>"

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[T]:
        """All, the oldest first."""
        return iter(self._keys)

    def __contains__(self, thing: T) -> bool:
        return thing in self._keys

    def add(self, thing: T, *keys: str | None) -> list[T]:
        """One more waits; returns those that have had to go for it, which are not here any more.

        Args:
            thing: one that is not here.
            keys: by which it is counted, such as an owner and then an address. Of those of an owner
                that has its share the ones go whose address has most. None is counted among all.
        """
        gone = []
        while (oldest := self._oldest_too_heavy(keys)) is not None:
            self.remove(oldest)
            gone.append(oldest)
        counted = tuple(key for key in keys if key is not None)
        self._share.take(*counted)
        self._keys[thing] = counted
        for key in counted:
            self._of_key.setdefault(key, {})[thing] = None
        return gone

    def remove(self, thing: T) -> None:
        """It waits no more; nothing when that is known."""
        if thing not in self._keys:
            return
        keys = self._keys.pop(thing)
        self._share.give(*keys)
        for key in keys:
            del self._of_key[key][thing]
            if not self._of_key[key]:
                del self._of_key[key]

    def _oldest_too_heavy(self, keys: tuple[str | None, ...]) -> T | None:
        if self._share.has_room(*keys):
            return None
        heavy = self._share.too_heavy(*keys)
        if heavy is None:
            return next(iter(self._keys))
        return max(self._of_key[heavy], key=self._weight)  # the first of several that are alike

    def _weight(self, thing: T) -> int:
        """Those of an owner go first whose address, the last of their keys, has most."""
        return self._share.of(self._keys[thing][-1])
