"""The install key: who this client is to a server that asks for no token.

A name on an open server belongs to whoever took it, and this random key is what says "the same as
before" after a restart of the client (docs/protocol.md, names and their owners). It is sent like a
token, so it is kept like one: readable by its user alone.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path
from typing import NamedTuple

from protocol.errors import ConfigError
from protocol.program.folders import NO_HOME
from protocol.program.private_files import as_owner_of, warning_of
from tunnel_client.settings.tokens import read_token

FILE_NAME = "install-key"
NOWHERE = Path(os.devnull, FILE_NAME)
"""Stands for the state folder where there is none: nothing can be kept in it."""
_RANDOM_BYTES = 32  # as many as a token has: nobody guesses another's key


class InstallKey(NamedTuple):
    """The key of this installation, and what the person should be told about it, or "".

    Attributes:
        is_kept: the next start finds it again.
    """

    key: str
    warning: str = ""
    is_kept: bool = True

    def __repr__(self) -> str:
        return f"<InstallKey hidden, {'kept' if self.is_kept else 'of this process alone'}>"


def install_key(state_folder: Path) -> InstallKey:
    """The key of this installation, made on the first call.

    Two programs that make it at the same moment get the same key. Where the folder cannot be
    written (a container with a read-only disk) the key is good for this process alone, and the
    warning says so. ConfigError if the file is there and cannot be used.
    """
    path = state_folder / FILE_NAME
    key = f"ti_{secrets.token_urlsafe(_RANDOM_BYTES)}"
    try:
        if not path.exists():
            with as_owner_of(path):
                store(path, key)
    except OSError as error:
        reason = f"in {state_folder} ({error.strerror or type(error).__name__})"
        reason = f"since {NO_HOME}" if state_folder == NOWHERE else reason
        warning = (
            f"no install key can be kept {reason}: "
            "another program may take this one's name once it has stopped"
        )
        return InstallKey(key, warning, is_kept=False)
    try:
        return InstallKey(read_token(path, str(path)), warning_of(path))
    except ConfigError as error:
        raise ConfigError(error.key, f"{error.message}; delete it and a new one is made") from None


def store(path: Path, key: str) -> None:
    """Write a secret that only its user may read, unless one is there; OSError if that fails."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}-{secrets.token_hex(4)}")
    # The mode is given when the file is made: with a chmod afterwards there is a moment to read it.
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "w") as file:
            file.write(f"{key}\n")
        # A link never replaces: of two programs the first wins, and the file is whole at once.
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()
