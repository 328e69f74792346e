"""The client's config file: TOML, in the user's config folder, each key optional.

server = "https://tunnel.example.com"
token_file = "token"            # a relative path starts at the folder of this file
subdomain = "myapp"
"""

from __future__ import annotations

import tomllib
from pathlib import Path

from protocol.errors import ConfigError
from protocol.program.text import printable

FILE_NAME = "client.toml"

Value = str | float | bool | tuple[str, ...]  # float stands for int as well

_SECONDS = (int, float)
_STRINGS = "a list of strings"
# key -> the types that it may have, and their name for people
_TYPES: dict[str, tuple[type | tuple[type, ...], str]] = {
    "server": (str, "a string"),
    "server_ca": (str, "a string"),
    "subdomain": (str, "a string"),
    "token": (str, "a string"),
    "token_file": (str, "a string"),
    "origin_timeout": (_SECONDS, "a number of seconds"),
    "origin_wait": (_SECONDS, "a number of seconds"),
    "origin_insecure": (bool, "true or false"),
    "origin_ca": (str, "a string"),
    "drain_timeout": (_SECONDS, "a number of seconds"),
    "give_up_after": (_SECONDS, "a number of seconds"),
    "identity": (str, "a string"),
    "host_header": (str, "a string"),
    "request_header": (list, _STRINGS),
    "request_header_remove": (list, _STRINGS),
    "response_header": (list, _STRINGS),
    "response_header_remove": (list, _STRINGS),
    "ws_keepalive": (_SECONDS, "a number of seconds"),
}
_PATHS = ("server_ca", "token_file", "origin_ca")


def read_config_file(folder: Path) -> dict[str, Value]:
    """What the file says, or nothing if there is no file.

    Paths come back absolute, `~` expanded. ConfigError names an unknown key, a value of the wrong
    type, or a file that cannot be read.
    """
    path = folder / FILE_NAME
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigError(str(path), f"cannot be read: {error.strerror}") from None
    try:
        table = tomllib.loads(content.decode())
    except UnicodeDecodeError:
        raise ConfigError(str(path), "is not UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(str(path), f"is not TOML: {printable(str(error))}") from None
    return {key: _checked(path, key, value) for key, value in table.items()}


def _checked(path: Path, key: str, value: object) -> Value:
    if key not in _TYPES:
        raise ConfigError(f"{path}: {printable(key)}", f"unknown key; allowed: {', '.join(_TYPES)}")
    types, name = _TYPES[key]
    if types is list:
        return _strings(path, key, value)
    # bool is an int to Python, and no number of seconds.
    right = isinstance(value, types) and (types is bool or not isinstance(value, bool))
    if not (right and isinstance(value, str | int | float)):  # the second half is for mypy
        raise ConfigError(f"{path}: {key}", name)
    if key in _PATHS:
        return _absolute(path, key, str(value))
    return value


def _strings(path: Path, key: str, value: object) -> tuple[str, ...]:
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return tuple(value)
    raise ConfigError(f"{path}: {key}", _STRINGS)


def _absolute(path: Path, key: str, value: str) -> str:
    try:
        return str(path.parent / Path(value).expanduser())
    except RuntimeError:  # what pathlib raises for a user it does not know
        raise ConfigError(
            f"{path}: {key}", "~ stands for a home folder, and there is none"
        ) from None
