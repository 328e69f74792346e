"""Shares of which somebody waits: for room in what is under way, or for something else altogether.

What is under way never ends to make room. So a request over its share waits for one of its own
(`RoomShare`), and of things that only wait, the oldest of the heaviest goes (`HeldShare`).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator
from typing import Final, Generic, TypeVar

import trio

from protocol.drivers.latch import Latch
from tunnel_server.owners.shares import ALPHA, Share

T = TypeVar("T")

# A burst over a share is over sooner; whoever waits for longer gets no answer that it still wants.
WAIT_S: Final = 2.0
_LOOKED_AT: Final = 64  # keys that wait, when something is given back


class Pause:
    """A pause of a request, whose connection is read meanwhile all the same.

    Attributes:
        over: it need wait no more.
    """

    __slots__ = ("_gate", "_scope", "over")

    def __init__(self) -> None:
        self.over = False
        self._gate = Latch()
        self._scope: trio.CancelScope | None = None

    def __repr__(self) -> str:
        return f"<Pause {'over' if self.over else 'waiting'}>"

    def end(self) -> None:
        """Let the request go on."""
        self.over = True
        self._gate.open()
        if self._scope is not None:
            self._scope.cancel()

    async def wait(self) -> None:
        """Wait for `end`."""
        while not self.over:
            await self._gate.wait()

    def until_over(self) -> trio.CancelScope:
        """A scope for one read, which `end` cancels."""
        self._scope = trio.CancelScope()
        if self.over:
            self._scope.cancel()
        return self._scope


PassTime = Callable[[Pause], Awaitable[None]]


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
        self._waiting: OrderedDict[str | None, OrderedDict[Pause, None]] = OrderedDict()

    def __repr__(self) -> str:
        return f"<RoomShare {self.used} of {self.most}, {len(self._of)} keys>"

    def of(self, key: str | None) -> int:
        """The number that a key has."""
        return self._of.get(key, 0)

    def has_room(self, key: str | None) -> bool:
        """Whether one more may be taken for this key."""
        free = self.most - self.used
        return free > 0 and (key is None or self._of.get(key, 0) < ALPHA * free)

    def is_open(self, key: str | None) -> bool:
        """Whether one more may be taken for this key now, with nobody of it waiting."""
        return self.has_room(key) and key not in self._waiting

    def is_over(self, key: str | None) -> bool:
        """Whether the newest that was taken for this key has had no room, or others wait."""
        if key in self._waiting:
            return True
        free = self.most - self.used + 1
        return free <= 0 or (key is not None and self._of.get(key, 0) > ALPHA * free)

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
            self._hand_on(key)

    async def take_when_open(self, key: str | None, pass_time: PassTime = Pause.wait) -> bool:
        """Wait until one more may be taken for this key, and take it; whether within WAIT_S.

        Cancelled, it has taken nothing.

        Args:
            key: see above.
            pass_time: waits until the turn is over. Nobody wants the turn any more where this
                raises, or returns before.
        """
        if self.is_open(key):
            self.take(key)
            return True
        turn, has_taken = self._join_line(key), False
        try:
            with trio.move_on_after(WAIT_S):
                await pass_time(turn)
            has_taken = turn.over
        finally:
            if not has_taken:
                self._leave_line(key, turn)
        return has_taken

    def _join_line(self, key: str | None) -> Pause:
        turn = Pause()
        self._waiting.setdefault(key, OrderedDict())[turn] = None
        return turn

    def _leave_line(self, key: str | None, turn: Pause) -> None:
        if turn.over:  # it has come, and is another's now
            self.give(key)
            return
        line = self._waiting[key]
        del line[turn]
        if not line:
            del self._waiting[key]

    def _hand_on(self, key: str | None) -> None:
        """Take one for the first that has room: of this key, or of others in turn."""
        waiting = self._waiting
        if key in waiting and self.has_room(key):
            self._call_first(key)
            return
        for _ in range(min(len(waiting), _LOOKED_AT)):
            key = next(iter(waiting))
            waiting.move_to_end(key)  # the last to be looked at the next time
            if self.has_room(key):
                self._call_first(key)
                return

    def _call_first(self, key: str | None) -> None:
        line = self._waiting[key]
        turn, _ = line.popitem(last=False)
        if not line:
            del self._waiting[key]
        self.take(key)
        turn.end()


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
