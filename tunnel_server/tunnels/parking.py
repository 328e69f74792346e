"""Requests whose tunnel's client is away for a moment: they wait here, in a bounded number.

A request is parked before anything of it was sent, so it goes to whoever holds the name afterwards:
the same session once it is resumed, or another one that has taken the name. It waits for as long as
the session is held, or until the server ceases to expect the name.
"""

from __future__ import annotations

from typing import Final

import trio

from protocol.drivers.latch import Latch
from tunnel_server.owners.shares import Share

# Each keeps a connection and what was read ahead of it, 32 KiB at most. A page of 300 modules that
# is loaded in the gap comes by six connections of a browser.
PARKED_MAX: Final = 1024


class Waiter:
    """One request that waits. Its reading task goes on reading meanwhile.

    Attributes:
        name: of its tunnel.
        keys: by which it is counted.
        over: it need wait no more.
        refused: it was let go since others are waiting.
    """

    __slots__ = ("_gate", "_scope", "keys", "name", "over", "refused")

    def __init__(self, name: str, keys: tuple[str, ...]) -> None:
        self.name = name
        self.keys = keys
        self.over = False
        self.refused = False
        self._gate = Latch()
        self._scope: trio.CancelScope | None = None

    def __repr__(self) -> str:
        state = "refused" if self.refused else "over" if self.over else "waiting"
        return f"<Waiter for {self.name}, {state}>"

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


class Parking:
    """All that is parked.

    Each is counted for its tunnel's owner and for its visitor. One that is too much lets the
    longest parked of the heaviest go: of its own, where these have their share, else of all.
    """

    def __init__(self) -> None:
        self._share = Share(PARKED_MAX)
        self._all: dict[Waiter, None] = {}
        self._of_name: dict[str, dict[Waiter, None]] = {}
        self._of_key: dict[str, dict[Waiter, None]] = {}  # the longest parked first

    def __repr__(self) -> str:
        return f"<Parking {self._share!r} for {len(self._of_name)} names>"

    @property
    def count(self) -> int:
        """The number of those that are parked."""
        return self._share.used

    def enter(self, name: str, *keys: str | None) -> Waiter:
        """Let a request of this name wait; it leaves by `leave`.

        Args:
            name: of the tunnel.
            keys: by which it is counted. None is counted among all alone.
        """
        while (longest := self._longest_too_heavy(keys)) is not None:
            self._refuse(longest)
        waiter = Waiter(name, tuple(key for key in keys if key is not None))
        self._share.take(*waiter.keys)
        self._all[waiter] = None
        self._of_name.setdefault(name, {})[waiter] = None
        for key in waiter.keys:
            self._of_key.setdefault(key, {})[waiter] = None
        return waiter

    def _longest_too_heavy(self, keys: tuple[str | None, ...]) -> Waiter | None:
        if self._share.has_room(*keys):
            return None
        heavy = self._share.too_heavy(*keys)
        return next(iter(self._all if heavy is None else self._of_key[heavy]))

    def leave(self, waiter: Waiter) -> None:
        """The request waits no more, for whatever reason; nothing when that is known."""
        if waiter not in self._all:
            return
        del self._all[waiter]
        _take_out(self._of_name, waiter.name, waiter)
        for key in waiter.keys:
            _take_out(self._of_key, key, waiter)
        self._share.give(*waiter.keys)

    def release(self, name: str) -> None:
        """Let the requests of this name look again."""
        for waiter in self._of_name.get(name, ()):
            waiter.end()

    def release_all(self) -> None:
        """Let all look again."""
        for name in self._of_name:
            self.release(name)

    def _refuse(self, waiter: Waiter) -> None:
        self.leave(waiter)
        waiter.refused = True
        waiter.end()


def _take_out(waiters_of: dict[str, dict[Waiter, None]], key: str, waiter: Waiter) -> None:
    del waiters_of[key][waiter]
    if not waiters_of[key]:
        del waiters_of[key]
