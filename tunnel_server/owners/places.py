"""The places of a server's state: what it believes nobody else may write."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path

from protocol.errors import ConfigError
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
    needed, path = config.authentication_required, config.tokens_file
    try:
        file = AuthFile(path, partial(check_tokens, config), needed=needed)
    except ConfigError as error:
        if config.auth_file is not None:
            raise
        raise ConfigError("--state-dir", error.message) from None  # which nobody has named
    return Authenticator(file, everybody=not needed)


def open_names(config: ServerConfig) -> Store | None:
    """The store of kept names; None where none are written down, or where none can be made.

    Raises:
        StoreUnusableError: there is one that may not be used.
        UnsafePathError: others may write it.
    """
    if not config.keep_names_s:
        return None
    path = config.state_dir / FILE_NAME
    if not config.trust_state_dir:
        check_place(path, links=False)
    try:
        with as_owner_of(path):  # what root makes there is that user's
            return open_store(path)
    except StoreNotMadeError as error:
        log.warning("%s", error)
        return None


def check_names(config: ServerConfig) -> None:
    """Refuse a store that a start would refuse; none is made, and none is changed.

    Raises:
        StoreUnusableError: there is one that may not be used.
        UnsafePathError: others may write it.
    """
    path = config.state_dir / FILE_NAME
    if not config.keep_names_s:
        return
    if not config.trust_state_dir:
        check_place(path, links=False)
    check_store(path)


def check_tokens(config: ServerConfig, path: Path) -> None:
    """Refuse an auth file that others may write. Only one that was named may be a symlink."""
    if not config.trust_state_dir:
        check_place(path, links=config.auth_file is not None)
