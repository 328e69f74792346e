"""Tokens, as they are given to the client: checked before they go into a header."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from protocol.errors import ConfigError
from protocol.program.kinds import path_of

if TYPE_CHECKING:
    from pathlib import Path

# token68 of RFC 9110 11.2: what may stand behind "Bearer". Anything else would be refused by the
# server, or by a proxy in between that says less clearly why.
_TOKEN68 = re.compile(r"[A-Za-z0-9._~+/-]+=*")

# Ours have 46 characters. A proxy's own may be longer, but a head has to stay small.
LONGEST_TOKEN_CHARS = 1024


def check_token(token: str, key: str) -> str:
    """The token as it is. ConfigError, which does not repeat it, if it can be none."""
    if len(token) > LONGEST_TOKEN_CHARS or not _TOKEN68.fullmatch(token):
        raise ConfigError(
            key,
            "a token is 1 to 1024 letters, digits and -._~+/, from `tunnel-server token create`",
        )
    return token


def token_in(path: str, key: str) -> str:
    """`read_token` of a path that is text still."""
    return read_token(path_of(path, key), key)


def read_token(path: Path, key: str) -> str:
    """The token in a file that holds it and one newline. ConfigError otherwise.

    Args:
        path: may be a pipe, such as a shell's `<(pass tunnel)`.
        key: what the error names.
    """
    try:
        with path.open("rb") as file:
            # A file that is longer is no token, whatever stands in it.
            content = file.read(LONGEST_TOKEN_CHARS + 3)
    except OSError as error:
        raise ConfigError(key, f"{path} cannot be read: {error.strerror}") from None
    line = content.removesuffix(b"\n").removesuffix(b"\r")
    try:
        return check_token(line.decode("ascii", "replace"), key)
    except ConfigError:
        raise ConfigError(key, f"{path} must hold a token and one newline, nothing else") from None
