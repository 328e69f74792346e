"""The token of the inspector: whoever has it may read all that is kept.

It is made once an installation, so that a link in the history of a browser, or a script that waits
for webhooks, goes on working. It travels in the fragment of a link, in `Authorization`, and as the
first message of a WebSocket; never in a cookie, since those of 127.0.0.1 go to every port there.
"""

from __future__ import annotations

import hmac
import secrets
from pathlib import Path
from typing import Final, NamedTuple

from protocol.errors import ConfigError
from protocol.program.private_files import as_owner_of, warning_of
from tunnel_client.settings.install_key import store
from tunnel_client.settings.tokens import read_token

FILE_NAME: Final = "inspector-token"
_RANDOM_BYTES: Final = 32  # as many as the tunnel's own tokens have: nobody guesses it
_SCHEME: Final = b"bearer "


class InspectorToken(NamedTuple):
    """The token, and what the person should be told about it, or ""."""

    text: str
    warning: str = ""

    def __repr__(self) -> str:
        return "<InspectorToken hidden>"

    def is_same(self, given: str) -> bool:
        """Whether this is it, found in a time that says nothing of how much of it was right."""
        return hmac.compare_digest(given.encode("utf-8", "replace"), self.text.encode())

    def is_in(self, authorization: bytes) -> bool:
        """Whether a value of Authorization has it, as `Bearer TOKEN` (RFC 6750 2.1)."""
        scheme, given = authorization[: len(_SCHEME)], authorization[len(_SCHEME) :]
        same = hmac.compare_digest(given.strip(b" \t"), self.text.encode())
        return scheme.lower() == _SCHEME and same


def inspector_token(state_folder: Path) -> InspectorToken:
    """Return the token of this installation, made on the first call.

    Where the folder cannot be written, or its file holds none, the token is good for this process
    alone, and is in its link like any other.
    """
    path = state_folder / FILE_NAME
    made = secrets.token_urlsafe(_RANDOM_BYTES)
    try:
        if not path.exists():
            with as_owner_of(path):
                store(path, made)
        return InspectorToken(read_token(path, str(path)), warning_of(path))
    except OSError:
        return InspectorToken(made)
    except ConfigError as error:
        return InspectorToken(made, f"{error}; delete it and a new one is made")
