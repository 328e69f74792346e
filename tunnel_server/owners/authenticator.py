"""The Ownership that tokens give: those of the store, those of an auth file, and install keys.

Whether a name is somebody's already is the matter of `names`.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Final

import trio

from tunnel_server.owners.auth_file import AuthFile
from tunnel_server.owners.ownership import Right
from tunnel_server.owners.stored_tokens import StoredTokens, TokenBook

log = logging.getLogger(__name__)

KEY = "key:"
"""Owners by install key begin so, and no name of a token has a colon."""

TOLD_EVERY_S: Final = 60.0  # that nobody can connect, while it is so


def wall_time() -> float:
    """Seconds since the epoch, by which tokens end."""
    return datetime.now(UTC).timestamp()


class Authenticator:
    """Knows owners by the digests of what their clients show.

    A secret that the store knows is good or not as the store says. One that it does not know may be
    in the auth file, where its owner is the name in front of it. On a server that needs no tokens
    any other value is its own owner, so that strangers there cannot take each other's names.

    Args:
        auth_file: the file of tokens, if there is one.
        everybody: no token is needed.
        command: what makes a token, for the log.
        clock: seconds, for how long a file is gone.
        wall: seconds since the epoch.
    """

    def __init__(
        self,
        auth_file: AuthFile | None,
        *,
        everybody: bool,
        command: str = "tunnel-server token create NAME",
        clock: Callable[[], float] = trio.current_time,
        wall: Callable[[], float] = wall_time,
    ) -> None:
        self._everybody = everybody
        self._file = auth_file
        self._command = command
        self._clock = clock
        self._wall = wall
        self._book = TokenBook()
        self._used_on: dict[int, date] = {}
        self._write_used: Callable[[int, str], None] | None = None
        self._told_at = -math.inf

    def __repr__(self) -> str:
        return f"<Authenticator {'open ' if self._everybody else ''}{self._book!r} {self._file!r}>"

    @property
    def revision(self) -> int:
        """See Ownership."""
        return self._book.revision + (0 if self._file is None else self._file.revision)

    def read(self, stored: StoredTokens) -> None:
        """Take what the store knows of tokens now."""
        self._book.read(stored, self._wall())

    def write_used_by(self, write: Callable[[int, str], None]) -> None:
        """Have it written down by this on which date a token, by its number, was used last."""
        self._write_used = write

    def look(self) -> None:
        """See Ownership."""
        self._book.look(self._wall())
        if self._file is not None:
            self._file.look(self._clock())
        self._tell_if_nobody_can_connect()

    def right_of(self, digest: bytes) -> Right | None:
        """See Ownership. For a token that is not known the file is looked at: it may be new."""
        if self._book.knows(digest):
            token = self._book.find(digest, self._wall())
            if token is None:
                return None
            return Right(token.owner, token.name, token.names, token.expires_at)
        if self._file is not None:
            if digest not in self._file.owners:
                self._file.look(self._clock())
            if (name := self._file.owners.get(digest)) is not None:
                return Right(name, name)
        return Right(f"{KEY}{digest.hex()}") if self._everybody else None

    def knows(self, owner: str) -> bool:
        """See Ownership."""
        if self._file is not None and owner in self._file.owners.values():
            return True
        if self._everybody and owner.startswith(KEY):
            return True
        return self._book.has_owner(owner, self._wall())

    def used(self, digest: bytes) -> None:
        """See Ownership. It is written down once a day, and not of tokens in a file."""
        now = self._wall()
        token = self._book.find(digest, now)
        today = datetime.fromtimestamp(now, UTC).date()
        if token is None or self._write_used is None or self._used_on.get(token.id) == today:
            return
        self._used_on[token.id] = today
        if token.last_used_on != today.isoformat():
            self._write_used(token.id, today.isoformat())

    def _tell_if_nobody_can_connect(self) -> None:
        has_some = len(self._book) or (self._file is not None and self._file.owners)
        now = self._clock()
        if self._everybody or has_some or now - self._told_at < TOLD_EVERY_S:
            return
        self._told_at = now
        log.warning("there is no token, so nobody can connect: %s", self._command)
