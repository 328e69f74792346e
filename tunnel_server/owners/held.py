"""A share of things that only wait for somebody: of one that is too much, another goes.

Each step costs the same however many there are: an attacker fills them, and then has every one of
its requests pay for a walk through what it has filled.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Generic, NamedTuple, TypeVar

from tunnel_server.owners.shares import Share

T = TypeVar("T")


class Tally:
    """Counts what each key has, and knows one that has most."""

    def __init__(self) -> None:
        self._of: dict[str, int] = {}
        self._with: dict[int, OrderedDict[str, None]] = {}  # the keys that have so many
        self._most = 0

    def __repr__(self) -> str:
        return f"<Tally of {len(self._of)} keys, {self._most} at most>"

    @property
    def heaviest(self) -> str | None:
        """A key that has most; of several the one that has had so many for longest."""
        return next(iter(self._with[self._most])) if self._most else None

    def of(self, key: str) -> int:
        """The number that a key has."""
        return self._of.get(key, 0)

    def by_weight(self) -> Iterator[tuple[str, int]]:
        """The keys and what each has, those that have most first; of several as in `heaviest`."""
        for has in range(self._most, 0, -1):
            for key in self._with.get(has, ()):
                yield key, has

    def add(self, key: str) -> None:
        """It has one more."""
        before = self._of.get(key, 0)
        self._move(key, before, before + 1)
        self._most = max(self._most, before + 1)

    def remove(self, key: str) -> None:
        """It has one fewer."""
        before = self._of[key]
        self._move(key, before, before - 1)
        if self._most not in self._with:
            self._most -= 1  # which is what this key has now

    def _move(self, key: str, before: int, after: int) -> None:
        if before:
            alike = self._with[before]
            del alike[key]
            if not alike:
                del self._with[before]
        if after:
            self._with.setdefault(after, OrderedDict())[key] = None
            self._of[key] = after
        else:
            del self._of[key]


class _Own(Generic[T]):
    """The things of one key, by the last key of each: an owner's by their addresses."""

    def __init__(self) -> None:
        self._tally = Tally()
        self._of: dict[str, OrderedDict[T, None]] = {}  # the oldest first

    def __repr__(self) -> str:
        return f"<_Own {self._tally!r}>"

    @property
    def is_empty(self) -> bool:
        return not self._of

    @property
    def oldest_of_heaviest(self) -> T:
        """The oldest of those whose last key has most here."""
        return next(iter(self._of[self._tally.heaviest or ""]))

    def add(self, thing: T, last: str) -> None:
        self._of.setdefault(last, OrderedDict())[thing] = None
        self._tally.add(last)

    def remove(self, thing: T, last: str) -> None:
        things = self._of[last]
        del things[thing]
        if not things:
            del self._of[last]
        self._tally.remove(last)


class GaveWay(NamedTuple, Generic[T]):
    """A thing that had to go, and the key that has too many; None: nobody in particular has."""

    thing: T
    heavy: str | None


class HeldShare(Generic[T]):
    """Things that wait, and the share of each key in them."""

    def __init__(self, most: int) -> None:
        self._share = Share(most)
        self._tally = Tally()
        self._keys: OrderedDict[T, tuple[str, ...]] = OrderedDict()  # of each; the oldest first
        self._of_key: dict[str, _Own[T]] = {}

    def __repr__(self) -> str:
        return f"<HeldShare {self._share!r}>"

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[T]:
        """All, the oldest first."""
        return iter(self._keys)

    def __contains__(self, thing: T) -> bool:
        return thing in self._keys

    @property
    def most(self) -> int:
        """See Counted."""
        return self._share.most

    @property
    def used(self) -> int:
        """See Counted."""
        return self._share.used

    @property
    def heaviest(self) -> tuple[str, int] | None:
        """See Counted."""
        key = self._tally.heaviest
        return None if key is None else (key, self._share.of(key))

    def add(self, thing: T, *keys: str | None) -> list[GaveWay[T]]:
        """One more waits; returns those that have had to go for it, which are not here any more.

        Args:
            thing: one that is not here.
            keys: by which it is counted, such as an owner and then an address. Of those of an owner
                that has its share the ones go whose address has most. None is counted among all.
        """
        gone = []
        while (too_heavy := self._oldest_too_heavy(keys)) is not None:
            self.remove(too_heavy.thing)
            gone.append(too_heavy)
        counted = tuple(key for key in keys if key is not None)
        self._share.take(*counted)
        self._keys[thing] = counted
        for key in counted:
            self._tally.add(key)
            self._of_key.setdefault(key, _Own()).add(thing, counted[-1])
        return gone

    def remove(self, thing: T) -> None:
        """It waits no more; nothing when that is known."""
        if thing not in self._keys:
            return
        keys = self._keys.pop(thing)
        self._share.give(*keys)
        for key in keys:
            self._tally.remove(key)
            own = self._of_key[key]
            own.remove(thing, keys[-1])
            if own.is_empty:
                del self._of_key[key]

    def _oldest_too_heavy(self, keys: tuple[str | None, ...]) -> GaveWay[T] | None:
        """The one to go: of a key that has its share, or of the heaviest where nothing is free."""
        share = self._share
        if share.has_room(*keys):
            return None
        narrow = keys[::-1]  # where both an owner and an address have theirs, it is the address's
        heavy = share.full_key(*narrow) if share.used < share.most else self._tally.heaviest
        if heavy is None:
            return GaveWay(next(iter(self._keys)), None)
        return GaveWay(self._of_key[heavy].oldest_of_heaviest, heavy)
