"""A program's settings file: TOML, one key a setting, each optional.

Errors name the line: `PATH:LINE: KEY: ...`. tomllib tells the line of bad syntax alone, so the line
of a key is found by reading the file once more, statement by statement.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from protocol.errors import ConfigError
from protocol.program.kinds import FilePath
from protocol.program.settings import Given, Layer, Setting, Table, nearest
from protocol.program.text import printable

# All settings with a comment each take a few KiB; what is larger is some other file.
FILE_MAX_BYTES: Final = 256 * 1024
# A statement of more lines is not looked for: each try reads all of its lines once more.
_STATEMENT_MAX_LINES: Final = 200


def from_file(table: Table, path: Path) -> Layer:
    """Read the file. Paths come back absolute, `~` expanded.

    Raises:
        FileNotFoundError: there is none.
        ConfigError: the file cannot be read, or has an unknown key, or a value of another type.
    """
    text = _text_of(path)
    rows = {row.name: row for row in table.rows if row.in_file}
    content, lines = _parsed(path, text), lines_of_keys(text)
    layer = {}
    for name, value in content.items():
        line = f":{lines[name]}" if name in lines else ""
        key = f"{path}{line}: {printable(name)}"
        if name not in rows:
            raise ConfigError(key, _unknown(name, rows))
        layer[name] = _given(rows[name], value, key, path)
    return layer


def is_there(path: Path) -> bool:
    """Whether there is such a file, and this user may look for it.

    `sudo -u trio-tunnel` may leave HOME=/root: what this user may not look into is not its.
    """
    try:
        return path.exists()
    except OSError:  # or a path too long to be one
        return False


def _given(row: Setting, value: object, key: str, path: Path) -> Given:
    said = row.kind.from_file(value, key)
    if isinstance(row.kind, FilePath):
        said = row.kind.beside(path, said, key)
    return Given(said, key, "file")


def _text_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(FILE_MAX_BYTES + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ConfigError(str(path), f"cannot be read: {error.strerror}") from None
    if len(content) > FILE_MAX_BYTES:
        raise ConfigError(str(path), f"has more than {FILE_MAX_BYTES:,} bytes")
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise ConfigError(str(path), "is not UTF-8") from None


def _parsed(path: Path, text: str) -> Mapping[str, object]:
    import tomllib  # most clients have no file

    try:
        return tomllib.loads(text)
    except ValueError as error:  # TOMLDecodeError, and what int() says to 5,000 digits
        said = printable(str(error))
        raise ConfigError(f"{path}{_line_of(said, text)}", f"is not TOML: {said}") from None
    except RecursionError:
        raise ConfigError(str(path), "is not TOML: too many brackets in one another") from None


def _line_of(said: str, text: str) -> str:
    """The line of bad syntax, `:3`, or "" where tomllib told none."""
    if place := re.search(r" \(at line ([0-9]+), ", said):
        return f":{place[1]}"
    last = len(text.removesuffix("\n").split("\n"))
    return f":{last}" if said.endswith("(at end of document)") else ""


def lines_of_keys(text: str) -> dict[str, int]:
    """The line on which each key of the file's top level stands, counted from 1.

    Args:
        text: TOML that tomllib takes.
    """
    import tomllib

    found: dict[str, int] = {}
    # Not splitlines(): it splits at U+2028 and others, too, which TOML has in comments and strings.
    lines = [f"{line}\n" for line in text.split("\n")]
    in_table, start = False, 0
    for end in range(1, len(lines) + 1):
        statement = "".join(lines[start:end])
        try:
            keys = tomllib.loads(statement).keys()
        except (ValueError, RecursionError):  # its end is on a later line
            if end - start >= _STATEMENT_MAX_LINES:
                break
            continue
        in_table = in_table or statement.lstrip().startswith("[")
        if not in_table or statement.lstrip().startswith("["):
            found = dict.fromkeys(keys, start + 1) | found
        start = end
    return found


def _unknown(name: str, rows: Mapping[str, Setting]) -> str:
    near = nearest(name, rows)
    return (
        f"unknown key; did you mean {near}?" if near else f"unknown key; allowed: {', '.join(rows)}"
    )
