"""A share of what is under way, and the turns of those that wait for one of their own to end.

What is under way never ends to make room. So a request over its share waits. Of things that only
wait for somebody, in `held.py`, the oldest of the heaviest goes.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final

import trio

from protocol.drivers.latch import Latch
from tunnel_server.owners.shares import ALPHA, full_from, heaviest_of

# A burst over a share is over sooner; whoever waits for longer gets no answer that it still wants.
WAIT_S: Final = 2.0


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

    __slots__ = ("_of", "_waiting", "_waiting_with", "most", "used")

    def __init__(self, most: int) -> None:
        self.most = most
        self.used = 0
        self._of: dict[str | None, int] = {}
        self._waiting: dict[str | None, OrderedDict[Pause, None]] = {}
        self._waiting_with: dict[int, OrderedDict[str | None, None]] = {}  # keys, by what each has

    def __repr__(self) -> str:
        return f"<RoomShare {self.used} of {self.most}, {len(self._of)} keys>"

    def of(self, key: str | None) -> int:
        """The number that a key has."""
        return self._of.get(key, 0)

    @property
    def heaviest(self) -> tuple[str, int] | None:
        """See Counted."""
        return heaviest_of(self._of.items())

    def has_room(self, key: str | None) -> bool:
        """Whether one more may be taken for this key."""
        free = self.most - self.used
        return free > 0 and (key is None or self._of.get(key, 0) < ALPHA * free)

    def has_its_share(self, key: str | None) -> bool:
        """Whether it is this key that has so many; else all of them together have."""
        return key is not None and self._of.get(key, 0) >= full_from(self.most, self.used)

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
        before = self._of.get(key, 0)
        self._of[key] = before + 1
        if key in self._waiting:
            self._move(key, before, before + 1)

    def give(self, key: str | None) -> None:
        """One is free again: whoever waits longest for this key has it, or else for another."""
        self.used -= 1
        left = self._of[key] - 1
        if left:
            self._of[key] = left
        else:
            del self._of[key]
        if self._waiting:
            if key in self._waiting:
                self._move(key, left + 1, left)
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
        if key not in self._waiting:
            self._waiting[key] = OrderedDict()
            self._waiting_with.setdefault(self.of(key), OrderedDict())[key] = None
        self._waiting[key][turn] = None
        return turn

    def _end_line(self, key: str | None) -> None:
        """Nobody waits for this key any more."""
        del self._waiting[key]
        self._move(key, self.of(key), None)

    def _move(self, key: str | None, before: int, after: int | None) -> None:
        """A key that waits has so many now; None: it waits no more."""
        keys = self._waiting_with[before]
        del keys[key]
        if not keys:
            del self._waiting_with[before]
        if after is not None:
            self._waiting_with.setdefault(after, OrderedDict())[key] = None

    def _leave_line(self, key: str | None, turn: Pause) -> None:
        if turn.over:  # it has come, and is another's now
            self.give(key)
            return
        line = self._waiting[key]
        del line[turn]
        if not line:
            self._end_line(key)

    def _hand_on(self, key: str | None) -> None:
        """Take one for the first that has room: of this key, or of one that has least.

        Where that has no room none has. There are few different counts: of 16,384 places 180.
        """
        if key in self._waiting and self.has_room(key):
            self._call_first(key)
            return
        if None in self._waiting and self.has_room(None):  # nobody's share bounds those
            self._call_first(None)
            return
        key = next(iter(self._waiting_with[min(self._waiting_with)]))
        if self.has_room(key):
            self._call_first(key)

    def _call_first(self, key: str | None) -> None:
        line = self._waiting[key]
        turn, _ = line.popitem(last=False)
        if not line:
            self._end_line(key)
        self.take(key)
        turn.end()
