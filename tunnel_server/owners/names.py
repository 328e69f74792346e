"""Names stay their owner's: who may claim one that nobody holds now, and which are forgotten.

A name that goes offline is kept for its owner, since bookmarks, webhooks and cookies go on coming
to it. One is *made up* if nobody chose it; else *chosen*. What is kept has an end, of an owner, of
an address on a server that needs no tokens, and in all. When a share is full the one that was away
longest goes, of those that were made up if there are any, and never one that is live. So a claim
is never refused for want of room.

Nothing is freed by the clock alone: what has been away for too long goes when somebody else asks
for it, or when a share is full. A clock that jumps a year then costs nobody a name.

No I/O and no clock: times are seconds since the epoch. What has changed is told to a sink, which
writes it down (`store`).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple

OF_OWNER_MAX: Final = 256
OF_ADDRESS_MAX: Final = 64  # where no token is needed: an install key costs nothing
IN_ALL_MAX: Final = 10_000

# Names that one claim forgets, of each share that is full: a claim brings one, and where an owner
# had thousands of live ones they may all have left since. What is too much goes with later claims.
_FORGOTTEN_AT_ONCE: Final = 16

# Live names are written down so often, and four times in the time for which they are kept, so that
# a crash loses no more of when they were last seen.
SEEN_EVERY_S: Final = 86_400.0
_SEEN_WITHIN_KEPT: Final = 4


class Kept(NamedTuple):
    """A name that is an owner's.

    Attributes:
        owner: whose it is.
        chosen: somebody wanted this name.
        seen_at: when it was last live.
    """

    owner: str
    chosen: bool
    seen_at: float

    def __repr__(self) -> str:
        return f"<Kept {'chosen' if self.chosen else 'made up'} of {self.owner[:14]}>"


class Seen(NamedTuple):
    """A name that was live, while it is still this owner's."""

    owner: str
    seen_at: float


Change = Kept | Seen | None
"""News of a name; None: it is nobody's."""


class _Share:
    """Kept names in the order in which they were last seen, the made-up ones for themselves."""

    __slots__ = ("chosen", "made_up")

    def __init__(self) -> None:
        self.made_up: OrderedDict[str, None] = OrderedDict()
        self.chosen: OrderedDict[str, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self.made_up) + len(self.chosen)

    def __repr__(self) -> str:
        return f"<_Share {len(self.made_up)} made up, {len(self.chosen)} chosen>"

    def add(self, name: str, *, chosen: bool) -> None:
        """Of one that is not there, as the one that was seen last."""
        (self.chosen if chosen else self.made_up)[name] = None

    def seen(self, name: str, *, chosen: bool) -> None:
        """Of one that is there: it is the one that was seen last now."""
        (self.chosen if chosen else self.made_up).move_to_end(name)

    def remove(self, name: str) -> None:
        """Nothing if it is not there."""
        self.made_up.pop(name, None)
        self.chosen.pop(name, None)

    def longest_away(self, is_live: Callable[[str], bool]) -> str | None:
        """The one to go; None if those that were looked at are live, which have been seen just now.

        No more are looked at than an owner has: a claim must not walk ten thousand live names.
        """
        for names in (self.made_up, self.chosen):
            for _ in range(min(len(names), OF_OWNER_MAX + 1)):
                name = next(iter(names))
                if not is_live(name):
                    return name
                names.move_to_end(name)
        return None


class KeptNames:
    """The kept names of one domain.

    Args:
        keep_s: how long a name that went is its owner's; 0: no longer than it is held.
        is_live: whether a session holds a name now.
        changed: is told a name and what has become of it.

    Attributes:
        seen_every_s: how often it is written down that a name is live.
    """

    def __init__(
        self,
        keep_s: float,
        is_live: Callable[[str], bool],
        changed: Callable[[str, Change], None],
    ) -> None:
        self._keep_s = keep_s
        self.seen_every_s = min(SEEN_EVERY_S, keep_s / _SEEN_WITHIN_KEPT)
        self._is_live = is_live
        self._changed = changed
        self._names: dict[str, Kept] = {}
        self._all = _Share()
        self._of_strangers = _Share()
        self._of_owner: dict[str, _Share] = {}
        self._of_address: dict[str, _Share] = {}
        self._addresses: dict[str, str] = {}  # by name; in memory alone

    def __repr__(self) -> str:
        return f"<KeptNames {len(self._names)} of {len(self._of_owner)} owners>"

    def __len__(self) -> int:
        return len(self._names)

    def __iter__(self) -> Iterator[tuple[str, Kept]]:
        return iter(self._names.items())

    @property
    def are_kept(self) -> bool:
        """Whether names are kept at all."""
        return self._keep_s > 0

    def get(self, name: str) -> Kept | None:
        """The owner's right to a name, which may be over: see `may_claim`."""
        return self._names.get(name)

    def read(self, names: Mapping[str, Kept]) -> None:
        """Take what was written down, before this started or by another program since.

        That is so of live ones, too: somebody may have given them away. What has not changed stays
        where it is: another server's every write is no reason to sort ten thousand names.
        """
        for name in [name for name in self._names if name not in names]:
            self._forget(name)
        news = [(name, kept) for name, kept in names.items() if self._names.get(name) != kept]
        for name, kept in sorted(news, key=lambda item: item[1].seen_at):
            self._put(name, kept, self._addresses.get(name))

    def is_over(self, name: str, now: float) -> bool:
        """Whether a kept name has been away for so long that whoever asks for it gets it."""
        kept = self._names.get(name)
        if kept is None or self._is_live(name):
            return False
        return now - kept.seen_at >= self._keep_s

    def may_claim(self, owner: str, name: str, now: float) -> bool:
        """Whether an owner may have a name. One that is over is forgotten."""
        kept = self._names.get(name)
        if kept is None or kept.owner == owner:
            return True
        if not self.is_over(name, now):
            return False
        self.release(name)
        return True

    def claimed(
        self, owner: str, name: str, now: float, *, chosen: bool, address: str | None = None
    ) -> None:
        """An owner holds a name. It is kept from now on, if names are.

        Args:
            chosen: somebody wanted this name. One that was chosen once stays so.
            address: of the client, where it is counted; None where tokens are needed.
        """
        if not self._keep_s:
            return
        before = self._names.get(name)
        kept = Kept(owner, chosen, int(now))
        if before is not None and before.owner == owner:
            seen_at = max(kept.seen_at, before.seen_at)
            kept = Kept(owner, chosen or before.chosen, seen_at)
        self._put(name, kept, address)
        if before is None or before[:2] != kept[:2] or now - before.seen_at >= self.seen_every_s:
            self._changed(name, kept)
        self._make_room(owner, address)

    def all(self) -> tuple[str, ...]:
        """The names that are kept now."""
        return tuple(self._names)

    def is_to_be_seen(self, name: str, now: float) -> bool:
        """Whether it is to be written down that a name is live: once in `seen_every_s`."""
        kept = self._names.get(name)
        if kept is None or not self._is_live(name):
            return False
        return now - kept.seen_at >= self.seen_every_s

    def seen(self, name: str, now: float) -> None:
        """Write down that a name is live, or was until now; nothing if it is not kept."""
        if (kept := self._names.get(name)) is None:
            return
        # It never falls: a clock that was behind for a while must not make a name look forgotten.
        kept = kept._replace(seen_at=max(int(now), kept.seen_at))
        self._put(name, kept, self._addresses.get(name))
        self._changed(name, Seen(kept.owner, kept.seen_at))

    def release(self, name: str) -> bool:
        """Make a name nobody's. Returns whether it was somebody's."""
        if name not in self._names:
            return False
        self._forget(name)
        self._changed(name, None)
        return True

    def give(self, name: str, owner: str, now: float) -> None:
        """Make a name this owner's, whoever's it was; as one that was chosen."""
        kept = Kept(owner, chosen=True, seen_at=int(now))
        self._put(name, kept)
        self._changed(name, kept)

    # --- shares ---

    def _make_room(self, owner: str, address: str | None) -> None:
        self._shrink(self._of_owner[owner], OF_OWNER_MAX)
        if address is not None:
            self._shrink(self._of_address[address], OF_ADDRESS_MAX)
        for _ in range(_to_forget(self._all, IN_ALL_MAX)):
            if not self._drop_one(strange=_is_strange(owner)):
                break

    def _drop_one(self, *, strange: bool) -> bool:
        """Forget a stranger's name, or, for an owner with a token, any; whether there was one."""
        name = self._of_strangers.longest_away(self._is_live)
        if name is None and not strange:
            name = self._all.longest_away(self._is_live)
        return name is not None and self.release(name)

    def _shrink(self, share: _Share, most: int) -> None:
        for _ in range(_to_forget(share, most)):
            if (name := share.longest_away(self._is_live)) is None:
                break
            self.release(name)

    def _put(self, name: str, kept: Kept, address: str | None = None) -> None:
        before = self._names.get(name)
        same = before is not None and before[:2] == kept[:2]
        if same and self._addresses.get(name) == address:
            self._names[name] = kept
            for share in self._shares_of(kept.owner, address):
                share.seen(name, chosen=kept.chosen)
            return
        self._forget(name)
        self._names[name] = kept
        if address is not None:
            self._addresses[name] = address
        for share in self._shares_of(kept.owner, address):
            share.add(name, chosen=kept.chosen)

    def _shares_of(self, owner: str, address: str | None) -> Iterator[_Share]:
        yield self._all
        if _is_strange(owner):
            yield self._of_strangers
        yield self._of_owner.setdefault(owner, _Share())
        if address is not None:
            yield self._of_address.setdefault(address, _Share())

    def _forget(self, name: str) -> None:
        kept = self._names.pop(name, None)
        if kept is None:
            return
        self._all.remove(name)
        self._of_strangers.remove(name)
        _leave(self._of_owner, kept.owner, name)
        if (address := self._addresses.pop(name, None)) is not None:
            _leave(self._of_address, address, name)


def _to_forget(share: _Share, most: int) -> int:
    """The number of names that a claim forgets of this share."""
    return min(max(len(share) - most, 0), _FORGOTTEN_AT_ONCE)


def _is_strange(owner: str) -> bool:
    """Whether nobody has given it a token: the names of tokens have no colon."""
    return ":" in owner


def _leave(shares: dict[str, _Share], key: str, name: str) -> None:
    share = shares[key]
    share.remove(name)
    if not share:
        del shares[key]
