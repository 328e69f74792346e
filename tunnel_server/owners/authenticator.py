"""The Ownership that today's tokens give: an owner for each, and every name to everybody."""

from __future__ import annotations

from collections.abc import Callable

import trio

from tunnel_server.owners.auth_file import AuthFile


class Authenticator:
    """Knows owners by the digests of what their clients show.

    With an auth file only its tokens have owners, the names in it. Without one, on a server that
    needs no tokens, any value at all is its own owner, so that strangers there cannot take each
    other's names.

    Args:
        auth_file: the file of tokens.
        clock: seconds, for how long a file is gone.

    """

    def __init__(
        self, auth_file: AuthFile | None, clock: Callable[[], float] = trio.current_time
    ) -> None:
        self._file = auth_file
        self._clock = clock

    def __repr__(self) -> str:
        return f"<Authenticator {self._file or 'open'}>"

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
        if self._file is None:
            return f"key:{digest.hex()}"
        if digest not in self._file.owners:
            self.look()
        return self._file.owners.get(digest)

    def may_claim(self, owner: str, name: str) -> bool:
        """Return True: a name is nobody's for longer than it is held."""
        return True
