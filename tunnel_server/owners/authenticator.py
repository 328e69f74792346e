"""The Ownership that today's tokens give: an owner for each, who may have any name.

Whether a name is somebody's already is the matter of `names`.
"""

from __future__ import annotations

from collections.abc import Callable

import trio

from tunnel_server.owners.auth_file import AuthFile

KEY = "key:"
"""Owners by install key begin so, and no name of a token has a colon."""


class Authenticator:
    """Knows owners by the digests of what their clients show.

    A token of the auth file has its owner, the name in it. On a server that needs no tokens any
    other value is its own owner, so that strangers there cannot take each other's names.

    Args:
        auth_file: the file of tokens, if there is one.
        everybody: no token is needed.
        clock: seconds, for how long a file is gone.

    """

    def __init__(
        self,
        auth_file: AuthFile | None,
        *,
        everybody: bool,
        clock: Callable[[], float] = trio.current_time,
    ) -> None:
        self._everybody = everybody
        self._file = auth_file
        self._clock = clock

    def __repr__(self) -> str:
        return f"<Authenticator {'open ' if self._everybody else ''}{self._file!r}>"

    @property
    def revision(self) -> int:
        """See Ownership."""
        return 0 if self._file is None else self._file.revision

    def look(self) -> None:
        """See Ownership."""
        if self._file is not None:
            self._file.look(self._clock())

    def owner_of(self, digest: bytes) -> str | None:
        """See Ownership. For a token that is not known the file is looked at: it may be new."""
        owner = None
        if self._file is not None:
            if digest not in self._file.owners:
                self.look()
            owner = self._file.owners.get(digest)
        return owner or (f"{KEY}{digest.hex()}" if self._everybody else None)

    def knows(self, owner: str) -> bool:
        """See Ownership."""
        if self._file is not None and owner in self._file.owners.values():
            return True
        return self._everybody and owner.startswith(KEY)

    def may_claim(self, owner: str, name: str) -> bool:
        """Return True: tokens say nothing about names."""
        return True
