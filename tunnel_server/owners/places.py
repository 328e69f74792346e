"""The places of a server's state: what it believes nobody else may write."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from protocol.program.private_files import check_folder, check_place
from tunnel_server.owners.auth_file import AuthFile
from tunnel_server.settings.config import ServerConfig


def open_auth_file(config: ServerConfig) -> AuthFile | None:
    """The tokens of a server that needs them, once its state folder was looked at.

    Raises:
        ConfigError: the auth file cannot be read or has bad lines.
        UnsafePathError: others may write it, or in the state folder.
    """
    if not config.trust_state_dir:
        check_folder(config.state_dir)
    if not config.authentication_required:
        return None
    return AuthFile(config.tokens_file, partial(check_tokens, config))


def check_tokens(config: ServerConfig, path: Path) -> None:
    """Refuse an auth file that others may write. Only one that was named may be a symlink."""
    if not config.trust_state_dir:
        check_place(path, links=config.auth_file is not None)
