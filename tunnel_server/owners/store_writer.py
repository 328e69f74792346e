"""Changes on their way to the store: memory answers, and one worker thread writes.

A claim never waits for the disk. Changes are kept by name, the newest of each, until they are
written; so there are never more of them than there are names. While the store cannot be written
(a full disk, a file that was deleted) they stay here, the log says so once, and it is tried again:
what is known still holds, and nothing becomes more open.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable
from typing import Final

import trio

from protocol.drivers.latch import Latch
from tunnel_server.owners.names import Kept
from tunnel_server.owners.store import Store

log = logging.getLogger(__name__)

LOOK_EVERY_S: Final = 1.0  # whether another program has written
AGAIN_S: Final = 10.0  # after a failure

# At the end of the program, for what is not written yet: a commit is 16 ms, a locked store 2 s.
LAST_WORDS_S: Final = 3.0


class StoreWriter:
    """Writes the kept names of one domain, and reads what other programs write of them.

    Args:
        store: an open one.
        domain: of all names here.
        read: is given all names that are written down when another program has written.

    Attributes:
        failing: the last try did not succeed; what is said of it is in the log.
    """

    def __init__(self, store: Store, domain: str, read: Callable[[dict[str, Kept]], None]) -> None:
        self.failing = False
        self._store = store
        self._domain = domain
        self._read = read
        self._changes: dict[str, Kept | None] = {}
        self._news = Latch()
        self._thread = trio.CapacityLimiter(1)  # one connection, so one thread at a time

    def __repr__(self) -> str:
        state = "failing" if self.failing else "ok"
        return f"<StoreWriter {state} {len(self._changes)} to write>"

    def changed(self, name: str, kept: Kept | None) -> None:
        """Take what a name is now; None: nobody's. Never waits."""
        self._changes[name] = kept
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
            self._store.close()

    async def flush(self) -> None:
        """Write what there is now; a store that fails keeps it, as always."""
        await self._turn()

    async def read_again(self) -> None:
        """Take what is written down, as another server has left it."""
        names = await trio.to_thread.run_sync(
            self._store.names_of, self._domain, limiter=self._thread
        )
        self._take(names)

    async def _rest(self) -> None:
        if self.failing:
            await trio.sleep(AGAIN_S)
            return
        with trio.move_on_after(LOOK_EVERY_S):
            await self._news.wait()

    async def _turn(self) -> None:
        changes, self._changes = self._changes, {}
        written = False
        try:
            names = await trio.to_thread.run_sync(self._work, changes, limiter=self._thread)
            written = True
        except sqlite3.Error as error:
            self._failed(error)
            return
        finally:
            if not written:  # cancelled before the thread began, too
                self._changes = {**changes, **self._changes}
        if self.failing:
            log.warning("%r is written again", self._store)
        self.failing = False
        if names is not None:
            self._take(names)

    def _failed(self, error: sqlite3.Error) -> None:
        if not self.failing:
            text = "%r cannot be written (%s); names are kept in memory until it can"
            log.error(text, self._store, error)
        self.failing = True

    def _work(self, changes: dict[str, Kept | None]) -> dict[str, Kept] | None:
        """In the worker thread: write, and read if somebody else has written."""
        if changes:
            self._store.write(self._domain, changes)
        return self._store.names_of(self._domain) if self._store.has_changed() else None

    def _take(self, names: dict[str, Kept]) -> None:
        """Changes that came meanwhile are newer than what was read."""
        for name, kept in self._changes.items():
            if kept is None:
                names.pop(name, None)
            else:
                names[name] = kept
        self._read(names)
