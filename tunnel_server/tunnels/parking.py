"""Requests whose tunnel's client is away for a moment: they wait here, in a bounded number.

A request is parked before anything of it was sent, so it goes to whoever holds the name afterwards:
the same session once it is resumed, or another one that has taken the name. It waits for as long as
the session is held, or until the server ceases to expect the name.
"""

from __future__ import annotations

from typing import Final

import trio

from protocol.drivers.latch import Latch

# Each keeps a connection and what was read ahead of it, 32 KiB at most. A page of 300 modules that
# is loaded in the gap comes by six connections of a browser.
PARKED_MAX: Final = 1024
PARKED_OF_ONE_NAME_MAX: Final = 256


class Waiter:
    """One request that waits. Its reading task goes on reading meanwhile.

    Attributes:
        over: it need wait no more.
    """

    __slots__ = ("_gate", "_scope", "over")

    def __init__(self) -> None:
        self.over = False
        self._gate = Latch()
        self._scope: trio.CancelScope | None = None

    def __repr__(self) -> str:
        return f"<Waiter {'over' if self.over else 'waiting'}>"

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
    """All that is parked, by name."""

    def __init__(self) -> None:
        self._waiters: dict[str, set[Waiter]] = {}
        self.count = 0

    def __repr__(self) -> str:
        return f"<Parking {self.count} requests for {len(self._waiters)} names>"

    def has_place(self, name: str) -> bool:
        """Whether one more request of this name may wait."""
        waiters = self._waiters.get(name, ())
        return self.count < PARKED_MAX and len(waiters) < PARKED_OF_ONE_NAME_MAX

    def enter(self, name: str) -> Waiter:
        """Let a request of this name wait, where `has_place`; it leaves by `leave`."""
        waiter = Waiter()
        self._waiters.setdefault(name, set()).add(waiter)
        self.count += 1
        return waiter

    def leave(self, name: str, waiter: Waiter) -> None:
        """The request waits no more, for whatever reason."""
        waiters = self._waiters[name]
        waiters.remove(waiter)
        self.count -= 1
        if not waiters:
            del self._waiters[name]

    def release(self, name: str) -> None:
        """Let the requests of this name look again."""
        for waiter in self._waiters.get(name, ()):
            waiter.end()

    def release_all(self) -> None:
        """Let all look again."""
        for name in self._waiters:
            self.release(name)
