"""The places of a server's state: what it believes nobody else may write."""

from __future__ import annotations

import logging
import shlex
from functools import partial
from pathlib import Path

from protocol.errors import ConfigError
from protocol.program.folders import user_state_folder
from protocol.program.private_files import as_owner_of, check_folder, check_place
from tunnel_server.owners.auth_file import AuthFile
from tunnel_server.owners.authenticator import Authenticator
from tunnel_server.owners.store import FILE_NAME, Store, StoreNotMadeError, check_store, open_store
from tunnel_server.settings.config import ServerConfig

log = logging.getLogger(__name__)


def open_authenticator(config: ServerConfig) -> Authenticator:
    """Owners as this server knows them, once its state folder was looked at.

    Raises:
        ConfigError: the auth file cannot be read or has bad lines.
        UnsafePathError: others may write it, or in the state folder.
    """
    if not config.trust_state_dir:
        check_folder(config.state_dir)
    try:
        file = AuthFile(config.tokens_file, partial(check_tokens, config))
    except ConfigError as error:
        if config.auth_file is not None:
            raise
        raise ConfigError("--state-dir", error.message) from None  # which nobody has named
    command = command_of(config, "token create NAME")
    return Authenticator(file, everybody=not config.authentication_required, command=command)


def command_of(config: ServerConfig, words: str) -> str:
    """A command that is about this server, and no other with another state folder."""
    folder = config.state_dir
    where = "" if folder == user_state_folder() else f" --state-dir {shlex.quote(str(folder))}"
    return f"tunnel-server {words}{where}"


def open_state(config: ServerConfig) -> Store | None:
    """The store of tokens and kept names; None where none can be made.

    Raises:
        StoreUnusableError: there is one that may not be used.
        UnsafePathError: others may write it.
    """
    path = config.state_dir / FILE_NAME
    if not config.trust_state_dir:
        check_place(path, links=False)
    try:
        with as_owner_of(path):  # what root makes there is that user's
            return open_store(path)
    except StoreNotMadeError as error:
        log.warning("%s", error)
        return None


def check_state(config: ServerConfig) -> None:
    """Refuse a store that a start would refuse; none is made, and none is changed.

    Raises:
        StoreUnusableError: there is one that may not be used.
        UnsafePathError: others may write it.
    """
    path = config.state_dir / FILE_NAME
    if not config.trust_state_dir:
        check_place(path, links=False)
    check_store(path)


def check_tokens(config: ServerConfig, path: Path) -> None:
    """Refuse an auth file that others may write. Only one that was named may be a symlink."""
    if not config.trust_state_dir:
        check_place(path, links=config.auth_file is not None)
