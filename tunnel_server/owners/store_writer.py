"""Changes on their way to the store and back: memory answers, and one worker thread writes.

A claim never waits for the disk. Changes are kept by name, the newest of each, until they are
written; a name that was given up before it was ever written needs none. So there are never more of
them than there are names here and in the store. While the store cannot be written (a full disk, a
file that was deleted) they stay here, the log says so once, and it is tried again: what is known
still holds, and nothing becomes more open.

Whoever waits for the thread may go: a disk can stand still for longer than anybody can wait. What
the thread was about to write is then written once more.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Final, TypeVar

import trio

from protocol.drivers.latch import Latch
from tunnel_server.owners.names import Change, Kept, Seen
from tunnel_server.owners.store import Store, StoreContent

log = logging.getLogger(__name__)

T = TypeVar("T")

LOOK_EVERY_S: Final = 1.0  # whether another program has written
AGAIN_S: Final = 10.0  # after a failure

# At the end of the program, for what is not written yet: a commit is 16 ms, a locked store 2 s.
LAST_WORDS_S: Final = 3.0


class StoreWriter:
    """Writes the kept names of one domain, and reads what other programs write, tokens among it.

    Args:
        store: an open one.
        domain: of all names here.
        read: is given all that is written down when another program has written.
        stored: the names that are written down, and whose each is.

    Attributes:
        failing: the last try did not succeed; what is said of it is in the log.
    """

    def __init__(
        self,
        store: Store,
        domain: str,
        read: Callable[[StoreContent], None],
        stored: Mapping[str, Kept] = MappingProxyType({}),
    ) -> None:
        self.failing = False
        self._store = store
        self._domain = domain
        self._read = read
        self._changes: dict[str, Change] = {}
        self._used_on: dict[int, str] = {}
        self._stored = _owners(stored)
        self._may_be_stored: set[str] = set()  # of a turn that nobody waited for
        self._must_read = False  # a look came to nothing
        self._is_succeeded = False
        self._news = Latch()
        self._turns = trio.Lock()
        self._thread = trio.CapacityLimiter(1)  # one connection, so one thread at a time

    def __repr__(self) -> str:
        state = "failing" if self.failing else "ok"
        return f"<StoreWriter {state} {len(self._changes)} to write>"

    def changed(self, name: str, change: Change) -> None:
        """Take what has become of a name. Never waits."""
        if change is None and name not in self._stored and name not in self._may_be_stored:
            self._changes.pop(name, None)
            return
        self._changes[name] = _after(self._changes, name, change)
        self._news.open()

    def token_used(self, token: int, on: str) -> None:
        """Take the date on which a token, by its number, was used. Never waits."""
        self._used_on[token] = on
        self._news.open()

    async def run(self) -> None:
        """Write what comes until cancelled; then what is left, and close the store."""
        try:
            while True:
                await self._turn()
                await self._rest()
        finally:
            with trio.move_on_after(LAST_WORDS_S, shield=True):
                await self._turn()
            if not self._thread.borrowed_tokens:  # else it stands still, and ends with the process
                self._store.close()

    async def flush(self) -> None:
        """Write what there is now; a store that fails keeps it. A cancelled one goes on."""
        await self._turn()

    def succeeded(self, succeeded: bool) -> None:
        """Another server has the names now, or does not after all.

        What still waits here is written only of names that are whose they were: at the other they
        may have been given away.
        """
        self._is_succeeded = succeeded
        if succeeded and self._changes:
            log.warning("%d names were not written before another server took over", len(self))

    def __len__(self) -> int:
        return len(self._changes)

    async def read_again(self) -> None:
        """Take what is written down, as another server has left it. Raises sqlite3.Error."""
        async with self._turns:
            self._take(await self._in_thread(partial(self._store.content, self._domain)))

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await trio.to_thread.run_sync(work, limiter=self._thread, abandon_on_cancel=True)

    async def _rest(self) -> None:
        if self.failing:
            await trio.sleep(AGAIN_S)
            return
        with trio.move_on_after(LOOK_EVERY_S):
            await self._news.wait()

    async def _turn(self) -> None:
        async with self._turns:
            changes, self._changes = self._changes, {}
            used_on, self._used_on = self._used_on, {}
            self._may_be_stored.update(changes)
            done = False
            try:
                work = partial(self._work, changes, used_on, self._must_read)
                content = await self._in_thread(work)
                done = True
            except sqlite3.Error as error:
                self._may_be_stored.difference_update(changes)  # it was rolled back
                self._failed(error)
                return
            finally:
                if not done:  # cancelled before the thread began, too
                    self._used_on = {**used_on, **self._used_on}
                    newer, self._changes = self._changes, changes
                    for name, change in newer.items():
                        self._changes[name] = _after(self._changes, name, change)
                    self._must_read = True
            self._written(changes, content)

    def _written(self, changes: Mapping[str, Change], content: StoreContent | None) -> None:
        for name, change in changes.items():
            if change is None:
                self._stored.pop(name, None)
            elif isinstance(change, Kept):
                self._stored[name] = change.owner
        self._may_be_stored.clear()
        self._must_read = False
        if self.failing:
            log.warning("%r can be used again", self._store)
        self.failing = False
        if content is not None:
            self._take(content)

    def _failed(self, error: sqlite3.Error) -> None:
        if not self.failing:
            text = "%r cannot be used (%s); names and tokens are as they were read until it can"
            log.error(text, self._store, error)
        self.failing = True

    def _work(
        self, changes: Mapping[str, Change], used_on: Mapping[int, str], must_read: bool
    ) -> StoreContent | None:
        """In the worker thread: write, and read if somebody else has written."""
        if changes or used_on:
            owners = self._stored if self._is_succeeded else None
            self._store.write(self._domain, changes, owners, used_on)
        must_read = self._store.has_changed() or must_read
        return self._store.content(self._domain) if must_read else None

    def _take(self, content: StoreContent) -> None:
        """Changes of names that came meanwhile are newer than what was read."""
        names = content.names
        self._stored = _owners(names)
        for name in self._changes:
            match _after(names, name, self._changes[name]):
                case Kept() as kept:
                    names[name] = kept
                case None:
                    names.pop(name, None)
        self._read(content)


def _owners(names: Mapping[str, Kept]) -> dict[str, str]:
    return {name: kept.owner for name, kept in names.items()}


def _after(changes: Mapping[str, Change], name: str, change: Change) -> Change:
    """Join what has become of a name with what it had become before."""
    if not isinstance(change, Seen) or name not in changes:
        return change
    before = changes[name]
    if isinstance(before, Kept) and before.owner == change.owner:
        return before._replace(seen_at=change.seen_at)
    return change if isinstance(before, Seen) else before
