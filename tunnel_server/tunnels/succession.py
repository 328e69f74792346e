"""One server after another on the same address: what the one leaves, and the other takes up.

The old one notes which names are live, writes down what it knows of kept ones, and answers no claim
from the moment at which it gives its sockets away. The new one answers none until the old one has
said that it stops, or is gone, and what it wrote has been read. So a name has one owner throughout.
"""

from __future__ import annotations

import logging
import sqlite3
from pathlib import Path
from typing import Final

import trio

from tunnel_server.owners.store_writer import StoreWriter
from tunnel_server.tunnels.directory import Directory
from tunnel_server.tunnels.recent_names import RECENT_S, take_note, write_note

log = logging.getLogger(__name__)

# Less than the other server waits for a word (handover.STEP_S), and more than a commit takes beside
# another program that writes.
_WRITE_S: Final = 3.0
# Another program may keep the store locked. Clients wait for the answer to a claim for 15 s.
_READ_S: Final = 9.0
_AGAIN_S: Final = 1.0
_NOT_READ: Final = (
    "what the old server wrote last cannot be read, so a name that was given in its last moments "
    "may go to somebody else: %r"
)


class Succession:
    """The part of a server in this.

    Args:
        directory: its names.
        writer: of the store; None: there is none.
        note: the file of live names.
    """

    def __init__(self, directory: Directory, writer: StoreWriter | None, note: Path) -> None:
        self._directory = directory
        self._writer = writer
        self._note = note

    def __repr__(self) -> str:
        return f"<Succession {self._directory.gate!r}>"

    # --- the old one ---

    def begins(self) -> None:
        """See HandOver."""
        self.note_names()
        self._directory.gate.close()

    async def is_certain(self) -> None:
        """See HandOver."""
        if self._writer is not None:
            with trio.move_on_after(_WRITE_S):
                await self._writer.flush()
            self._writer.succeeded(True)

    async def is_off(self) -> None:
        """See HandOver."""
        if self._writer is not None:
            self._writer.succeeded(False)
        await self._directory.gate.open()

    def note_names(self) -> None:
        """Leave word of the names that are live now, or were a moment ago."""
        directory = self._directory
        held = directory.registry.held_within(RECENT_S, directory.wall_time())
        write_note(self._note, held)

    # --- the new one ---

    def expect_names(self) -> None:
        """Expect the clients whose names an old server has noted."""
        directory = self._directory
        trusted = directory.config.trust_state_dir
        directory.expect(take_note(self._note, directory.wall_time(), trusted=trusted))

    def takes_over(self) -> None:
        """The sockets came from a server that still runs."""
        self._directory.gate.close()

    async def has_taken_over(self) -> None:
        """The old one stops, or is gone."""
        if self._writer is not None:
            await self._read(self._writer)
        await self._directory.gate.open()

    async def _read(self, writer: StoreWriter) -> None:
        """Read what the old one wrote; claims wait meanwhile."""
        gives_up_at = trio.current_time() + _READ_S
        while True:
            try:
                with trio.fail_after(_WRITE_S):
                    await writer.read_again()
                return
            except (sqlite3.Error, trio.TooSlowError) as error:
                if trio.current_time() >= gives_up_at:
                    log.warning(_NOT_READ, error)
                    return
            await trio.sleep(_AGAIN_S)
