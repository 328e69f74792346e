"""The shares of owners, and of addresses, in the names that are kept.

Each step costs the same however many names there are and whoever holds them: an attacker fills a
share, and then has every one of its claims pay for a walk through what it has filled. So names that
are live are kept apart from those that are away, of which alone one can go.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator

from tunnel_server.owners.held import Tally


class _OwnNames:
    """The names of one key: those that are away in the order in which they left."""

    __slots__ = ("chosen", "live", "made_up")

    def __init__(self) -> None:
        self.live: set[str] = set()
        self.made_up: OrderedDict[str, None] = OrderedDict()
        self.chosen: OrderedDict[str, None] = OrderedDict()

    def __repr__(self) -> str:
        away = f"{len(self.made_up)} made up, {len(self.chosen)} chosen"
        return f"<_OwnNames {len(self.live)} live; away: {away}>"

    def __contains__(self, name: str) -> bool:
        return name in self.live or name in self.chosen or name in self.made_up

    def put(self, name: str, *, chosen: bool, live: bool) -> None:
        """Of one that is there, too: as the one that left last, or as one that is live."""
        self.remove(name)
        if live:
            self.live.add(name)
        else:
            (self.chosen if chosen else self.made_up)[name] = None

    def remove(self, name: str) -> None:
        """Nothing if it is not there."""
        self.live.discard(name)
        self.made_up.pop(name, None)
        self.chosen.pop(name, None)

    def longest_away(self, is_live: Callable[[str], bool]) -> str | None:
        """The one to go, a made-up one if there is any; None: all are live.

        One that came back without a word is live from now on, so each is looked at once.
        """
        for names in (self.made_up, self.chosen):
            while names:
                name = next(iter(names))
                if not is_live(name):
                    return name
                del names[name]
                self.live.add(name)
        return None


class KeptShares:
    """Kept names by one kind of key, such as their owners.

    Args:
        is_live: whether a session holds a name now.
    """

    def __init__(self, is_live: Callable[[str], bool]) -> None:
        self._is_live = is_live
        self._of: dict[str, _OwnNames] = {}
        self._tally = Tally()

    def __repr__(self) -> str:
        return f"<KeptShares {self._tally!r}>"

    def __len__(self) -> int:
        """The number of keys that have any."""
        return len(self._of)

    def has(self, key: str) -> int:
        """The number of names of a key."""
        return self._tally.of(key)

    def put(self, key: str, name: str, *, chosen: bool) -> None:
        """A key has this name, live or away as it is now; also of one that it had before."""
        own = self._of.setdefault(key, _OwnNames())
        if name not in own:
            self._tally.add(key)
        own.put(name, chosen=chosen, live=self._is_live(name))

    def remove(self, key: str, name: str) -> None:
        """A key has this name, which it had, no more."""
        self._of[key].remove(name)
        self._tally.remove(key)
        if not self.has(key):
            del self._of[key]

    def longest_away(self, key: str) -> str | None:
        """The one to go of a key's; None: all that it has are live."""
        own = self._of.get(key)
        return None if own is None else own.longest_away(self._is_live)

    def heaviest_away(self, more_than: int) -> Iterator[tuple[int, str]]:
        """Those to go of the keys that have more than so many, the heaviest first.

        Yields how many the key has, and the name. Keys whose names are all live are passed over;
        each of them has a session, so they are not many.
        """
        for key, has in self._tally.by_weight():
            if has <= more_than:
                return
            if (name := self.longest_away(key)) is not None:
                yield has, name
