"""The sources of the server's settings: flags, variables, one file; and what they make."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from protocol.errors import ConfigError
from protocol.program.folders import user_config_folder
from protocol.program.kinds import Value
from protocol.program.settings import (
    Gathered,
    Given,
    Layer,
    from_environment,
    from_flags,
    read,
    resolve,
    strange_variables,
    value_of,
)
from protocol.program.settings_file import from_file, is_there
from tunnel_server.settings.config import ServerConfig
from tunnel_server.settings.rows import CONFIG, TABLE

FILE_NAME: Final = "server.toml"
SYSTEM_FOLDER: Final = Path("/etc/trio-tunnel")


def gather(flags: Mapping[str, Value], environ: Mapping[str, str]) -> Gathered:
    """Read flags, variables and the file. Raises ConfigError."""
    layers: list[Layer] = [from_flags(TABLE, flags), from_environment(TABLE, environ)]
    file, said = _read_file(layers)
    resolved = resolve(TABLE, [*layers, said])
    return Gathered(resolved, file, tuple(strange_variables(TABLE, environ)), said)


def file_path(flags: Mapping[str, Value], environ: Mapping[str, str]) -> tuple[Path, bool]:
    """The settings file, and whether it is there. Raises ConfigError."""
    named = _named([from_flags(TABLE, flags), from_environment(TABLE, environ)])
    places = _places() if named is None else (named[0],)
    there = next(filter(is_there, places), None)
    return (places[0], False) if there is None else (there, True)


def _read_file(layers: Sequence[Layer]) -> tuple[Path | None, Layer]:
    """The file that was named, or the first that is there, and what it says; never two."""
    named = _named(layers)
    path = next(filter(is_there, _places()), None) if named is None else named[0]
    if path is None:
        return None, {}
    try:
        return path, from_file(TABLE, path)
    except FileNotFoundError:
        key = str(path) if named is None else named[1]
        raise ConfigError(key, f"takes a file that is there, not {path}") from None


def _named(layers: Sequence[Layer]) -> tuple[Path, str] | None:
    given = resolve(TABLE, layers).get(CONFIG.name)
    if given is None:
        return None
    path = value_of(CONFIG, given)
    assert isinstance(path, Path)
    return path, given.key


def _places() -> tuple[Path, ...]:
    folders = (user_config_folder(), SYSTEM_FOLDER)
    return tuple(folder / FILE_NAME for folder in folders if folder is not None)


def load(resolved: Mapping[str, Given], environ: Mapping[str, str], pid: int) -> ServerConfig:
    """The settings that hold. Raises ConfigError for one that is not allowed.

    Args:
        environ: says whether sockets were passed to this process.
        pid: this process.
    """
    attributes: dict[str, Any] = read(TABLE.rows, resolved)
    replace = resolved.get("replace")
    if replace is not None and not replace.by_flag and environ.get("LISTEN_PID") == str(pid):
        # With passed sockets there is nothing to replace; app refuses the flag alone.
        attributes["replace"] = False
    return ServerConfig(**attributes)


def of_command(command: str, resolved: Mapping[str, Given]) -> ServerConfig:
    """The config of a server of which only this command's settings matter. Raises ConfigError."""
    attributes: dict[str, Any] = read(TABLE.of(command), resolved)
    return ServerConfig(**attributes)


@contextmanager
def named_as_given(resolved: Mapping[str, Given]) -> Iterator[None]:
    """A complaint about a flag names the variable, or the line of the file, that set it."""
    try:
        yield
    except ConfigError as error:
        raise _as_given(error, resolved) from None


def _as_given(error: ConfigError, resolved: Mapping[str, Given]) -> ConfigError:
    rows = {row.flag: row for row in TABLE.rows}
    given = {flag: resolved[row.name] for flag, row in rows.items() if row.name in resolved}
    at_fault, beside = given.get(error.key), given.get(error.beside)
    if at_fault is not None:
        message = error.message
        if beside is not None:
            same = beside.source == at_fault.source
            name = TABLE.name_in(beside.source, rows[error.beside]) if same else beside.key
            message = message.replace(f" {error.beside}", f" {name}")
        return ConfigError(at_fault.key, message)
    if beside is not None and not beside.by_flag:
        missing = TABLE.name_in(beside.source, rows[error.key])
        return ConfigError(beside.key, f"needs {missing} beside it")
    return error
