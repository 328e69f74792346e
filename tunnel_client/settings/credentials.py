"""The token that goes to the server, and the server that it may go to.

A token goes by https, or to this machine, unless somebody says that the line is safe. One that
stands in the settings file goes to the server that stands beside it and to no other: a slip in
`--server` would else hand it to whoever answers there. An install key is not worth that much: it
goes anywhere, and each server gets a value of its own, which tells it nothing about others.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import Any, Final, NamedTuple

from protocol.errors import ConfigError
from protocol.program.kinds import path_of
from protocol.program.private_files import warning_of
from protocol.program.settings import Gathered, Given, value_of
from tunnel_client.settings.addresses import DEFAULT_SERVER, ServerUrl, is_loopback
from tunnel_client.settings.install_key import install_key
from tunnel_client.settings.logins import Logins
from tunnel_client.settings.rows import TABLE
from tunnel_client.settings.stable_name import origin_of

SHOWN_BY_PS: Final = "--token shows in the process list; --token-file and TUNNEL_TOKEN do not"
READABLE: Final = "everybody on the way to {} can read the install key, and take this one's names"
NOT_BY_HTTP: Final = (
    "may not go to {} unencrypted; use https, or say --insecure-server if the line is safe"
)

# A token says by its first letters what it is: `tt_` is one of a server's.
KEY_PREFIX: Final = "ti_"

_ROWS: Final = {row.name: row for row in TABLE.rows}


class Credential(NamedTuple):
    """The value of `Authorization: Bearer`, and what the person should be told about it.

    Attributes:
        is_given: it is a token that somebody gave, and not what this installation is to a server.
    """

    token: str
    warnings: tuple[str, ...] = ()
    is_given: bool = False

    def __repr__(self) -> str:
        return f"<Credential {'of nobody' if not self.token else 'hidden'}>"


def choose_credential(
    gathered: Gathered, server: ServerUrl, state_folder: Path | None
) -> Credential:
    """The token that was given, else that of a login there, else what this installation is to it.

    Args:
        gathered: what was given.
        server: where it goes.
        state_folder: None leaves it empty where no token was given, and makes no key.

    Raises:
        ConfigError: the token may not go to this server, or a file with it cannot be used.
    """
    resolved = gathered.resolved
    safe = server.tls or is_loopback(server.host) or _is_said_to_be_safe(gathered, server)
    for name in ("token", "token_file"):
        if given := resolved.get(name):
            token = _value(name, given)
            if given.source == "file":
                _check_server(given, gathered.said_by_file.get("server"), server)
            if not safe:
                raise ConfigError(given.key, NOT_BY_HTTP.format(server))
            return Credential(token, _warnings(name, given, gathered.file), is_given=True)
    if state_folder is None:
        return Credential("")
    logins = Logins(state_folder)
    if (stored := logins.of(server)) is not None:
        if not safe and not stored.insecure:
            raise ConfigError("login", NOT_BY_HTTP.format(server))
        return Credential(stored.token, tuple(filter(None, [logins.warning])), is_given=True)
    own = install_key(state_folder)
    warnings = (own.warning, "" if safe else READABLE.format(server))
    return Credential(key_for(own.key, server), tuple(filter(None, warnings)))


def key_for(install_key: str, server: ServerUrl) -> str:
    """The install key as this server gets it: the HMAC-SHA256 of the server's origin (RFC 2104).

    With it nobody learns what another server believes, and it is the same after each restart. All
    names of this machine are one.
    """
    mac = hmac.digest(install_key.encode(), origin_of(server).encode(), hashlib.sha256)
    return KEY_PREFIX + urlsafe_b64encode(mac).decode("ascii").rstrip("=")


def _warnings(name: str, given: Given, file: Path | None) -> tuple[str, ...]:
    """Say it of what somebody else on this machine may read: the command line, or a file."""
    if name == "token" and given.by_flag:
        return (SHOWN_BY_PS,)
    paths = [file] if given.source == "file" and name == "token" and file else []
    if name == "token_file":
        paths.append(path_of(str(given.value), given.key))
    return tuple(filter(None, map(warning_of, paths)))


def _is_said_to_be_safe(gathered: Gathered, server: ServerUrl) -> bool:
    """Whether somebody says so of the line to this server; a file does of its own `server`."""
    said = gathered.resolved.get("insecure_server")
    if said is None or not _value("insecure_server", said):
        return False
    return said.source != "file" or _is_beside(gathered.said_by_file.get("server"), server)


def _is_beside(beside: Given | None, server: ServerUrl) -> bool:
    """Whether this is the server of the file; one without a `server` is the default's."""
    return (DEFAULT_SERVER if beside is None else _value("server", beside)) == server


def _check_server(given: Given, beside: Given | None, server: ServerUrl) -> None:
    if _is_beside(beside, server):
        return
    none = "" if beside else " (there is none)"
    text = f"goes to the `server` that stands beside it{none}, and this is {server}"
    raise ConfigError(given.key, f"{text}; give another token with --token-file")


def _value(name: str, given: Given) -> Any:
    return value_of(_ROWS[name], given)
