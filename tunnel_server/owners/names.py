"""Names stay their owner's: who may claim one that nobody holds now, and which are forgotten.

A name that goes offline is kept for its owner, since bookmarks, webhooks and cookies go on coming
to it. One is *made up* if nobody chose it; else *chosen*. What is kept has an end, of an owner, of
an address on a server that needs no tokens, and in all. When a share is full the one that was away
longest goes, of those that were made up if there are any, and never one that is live. Where all of
it are live, one more is served and not kept. So a claim is never refused for want of room.

Where all that may be kept is taken, the one who has most pays, and nobody for one that has as many:
whoever takes many names costs no other owner any.

Nothing is freed by the clock alone: what has been away for too long goes when somebody else asks
for it, or when a share is full. A clock that jumps a year then costs nobody a name.

No I/O and no clock: times are seconds since the epoch. What has changed is told to a sink, which
writes it down (`store`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import islice, takewhile
from typing import Final, NamedTuple

from tunnel_server.owners.kept_shares import KeptShares

OF_OWNER_MAX: Final = 256
OF_ADDRESS_MAX: Final = 64  # where no token is needed: an install key costs nothing
IN_ALL_MAX: Final = 10_000

# Names that one claim forgets, of each share that is full: a claim brings one, and of what was
# written down an owner may have thousands. What is too much goes with later claims.
_FORGOTTEN_AT_ONCE: Final = 16

# Owners that have the same number of names: so many are compared for whose was away longest.
_COMPARED: Final = 64

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
        self._of_owner = KeptShares(is_live)
        self._of_address = KeptShares(is_live)
        self._of_stranger = KeptShares(is_live)  # by address, since owners cost them nothing
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
        """An owner holds a name. It is kept from now on, if names are, and if there is room.

        One that is kept already stays so.

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
            address = self._moved(name, address)
            self._shrink(self._of_owner, owner, OF_OWNER_MAX, _FORGOTTEN_AT_ONCE)
        elif not self._make_room(owner, address):
            return
        self._put(name, kept, address)
        if before is None or before[:2] != kept[:2] or now - before.seen_at >= self.seen_every_s:
            self._changed(name, kept)

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
        """Write down that a name is live, or was until now; nothing if it is not kept.

        If its owner has too many, one goes that is away.
        """
        if (kept := self._names.get(name)) is None:
            return
        # It never falls: a clock that was behind for a while must not make a name look forgotten.
        kept = kept._replace(seen_at=max(int(now), kept.seen_at))
        self._put(name, kept, self._addresses.get(name))
        self._changed(name, Seen(kept.owner, kept.seen_at))
        self._shrink(self._of_owner, kept.owner, OF_OWNER_MAX, 1)

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

    def _make_room(self, owner: str, address: str | None) -> bool:
        """Whether there is room for one more name of these; for that some are forgotten."""
        shares = [(self._of_owner, owner, OF_OWNER_MAX)]
        if address is not None:
            shares.append((self._of_address, address, OF_ADDRESS_MAX))
        if not all(_can_take(*share) for share in shares):
            return False
        before = len(self._names)
        for share, key, most in shares:
            self._shrink(share, key, most - 1, _FORGOTTEN_AT_ONCE)
        for _ in range(min(len(self._names) + 1 - IN_ALL_MAX, _FORGOTTEN_AT_ONCE)):
            if (name := self._next_of_all(owner, address)) is None:
                break
            self.release(name)
        return len(self._names) < max(before, IN_ALL_MAX)

    def _next_of_all(self, owner: str, address: str | None) -> str | None:
        """The one to go for this owner's next: a stranger's, or, for a token's owner, any.

        Whoever has most pays. Of one's own the one that was away longest goes, if nobody has more.
        """
        if _is_strange(owner):
            return self._of_heaviest(self._of_stranger, address or owner)
        # Nobody who has a token needs to have few for a stranger's to go.
        name = self._of_heaviest(self._of_stranger, None)
        return name or self._of_heaviest(self._of_owner, owner)

    def _of_heaviest(self, shares: KeptShares, key: str | None) -> str | None:
        away = shares.heaviest_away(0 if key is None else shares.has(key))
        first = next(away, None)
        if first is None:
            return None if key is None else shares.longest_away(key)
        alike = takewhile(lambda each: each[0] == first[0], islice(away, _COMPARED - 1))
        names = (name for _, name in (first, *alike))
        return min(names, key=lambda name: self._names[name][1:])  # those made up, and then by time

    def _shrink(self, share: KeptShares, key: str, most: int, at_once: int) -> None:
        """Forget names of a key that are away until it has no more than so many."""
        for _ in range(min(share.has(key) - most, at_once)):
            if (name := share.longest_away(key)) is None:
                break
            self.release(name)

    def _moved(self, name: str, address: str | None) -> str | None:
        """The address by which a kept name is counted, which is held from this one now.

        Where this one has no room, it stays as it was: nobody loses a name for being elsewhere.
        """
        before = self._addresses.get(name)
        if address is None or address == before:
            return address
        if not _can_take(self._of_address, address, OF_ADDRESS_MAX):
            return before
        self._shrink(self._of_address, address, OF_ADDRESS_MAX - 1, _FORGOTTEN_AT_ONCE)
        return address

    def _put(self, name: str, kept: Kept, address: str | None = None) -> None:
        before = self._names.get(name)
        if before is None or before.owner != kept.owner or self._addresses.get(name) != address:
            self._forget(name)
        self._names[name] = kept
        if address is not None:
            self._addresses[name] = address
        for share, key in self._shares_of(kept.owner, address):
            share.put(key, name, chosen=kept.chosen)

    def _shares_of(self, owner: str, address: str | None) -> Iterator[tuple[KeptShares, str]]:
        yield self._of_owner, owner
        if address is not None:
            yield self._of_address, address
        if _is_strange(owner):
            yield self._of_stranger, address or owner

    def _forget(self, name: str) -> None:
        if (kept := self._names.pop(name, None)) is None:
            return
        for share, key in self._shares_of(kept.owner, self._addresses.pop(name, None)):
            share.remove(key, name)


def _can_take(share: KeptShares, key: str, most: int) -> bool:
    """Whether a key may have one more, if need be for one that is away."""
    return share.has(key) < most or share.longest_away(key) is not None


def _is_strange(owner: str) -> bool:
    """Whether nobody has given it a token: the names of tokens have no colon."""
    return ":" in owner
