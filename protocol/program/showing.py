"""Settings as text: `config check|show|path` of both programs, complaints, and docs/settings.md."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from protocol.errors import ConfigError
from protocol.program.command_line import Asked, Command
from protocol.program.kinds import Switch
from protocol.program.process import EXIT_BAD_USAGE, complain, say
from protocol.program.settings import Gathered, Given, Setting, Table
from protocol.program.text import printable

if TYPE_CHECKING:
    from pathlib import Path

HIDDEN: Final = "***"

CHECK: Final = "config check"
SHOW: Final = "config show"
PATH: Final = "config path"
SHOWING: Final = (CHECK, SHOW)  # these take the flags of what they check, too

GROUP: Final = {"config": "Look at the settings: those of flags, variables and the file."}

JSON_FLAG: Final = Setting(
    name="json", kind=Switch(), help="Print one JSON object.", commands=(), in_file=False
)

COMMANDS: Final = (
    Command(CHECK, "Whether the settings can be used: exit code 0, or 2.", flags=(JSON_FLAG,)),
    Command(SHOW, "Each setting that holds, and where it is from.", flags=(JSON_FLAG,)),
    Command(PATH, "Where the settings file is.", flags=(JSON_FLAG,)),
)


def _json(value: object) -> str:
    from json import dumps  # 2 ms that --help does not need

    return dumps(value)


def _toml(value: object) -> str:
    """JSON's strings, numbers, lists and booleans are TOML's, but for how it writes 🚇 and DEL."""
    from json import dumps

    text = dumps(value, ensure_ascii=False)
    return "".join(char if char.isprintable() else f"\\U{ord(char):08x}" for char in text)


def epilog(table: Table, file_name: str) -> str:
    """Say where settings may stand beside the flags, for --help."""
    example = table.variables_of(table.rows[0])[0]
    return f"A flag may be a variable, too ({example}), or a key of {file_name}: docs/settings.md."


def checked(file: Path | None, *, as_json: bool) -> str:
    """Return what `config check` says where all is well."""
    if as_json:
        return _json({"ok": True, "file": None if file is None else str(file)})
    where = "there is no file" if file is None else f"the file is {printable(str(file))}"
    return f"the settings can be used; {where}"


def refused(error: ConfigError) -> str:
    """Return what `--json` says of a setting that cannot be used."""
    return _json({"ok": False, "key": error.key, "message": error.message})


def shown_path(path: Path, *, exists: bool, as_json: bool) -> str:
    """Return what `config path` says."""
    return _json({"path": str(path), "exists": exists}) if as_json else printable(str(path))


def shown(table: Table, resolved: Mapping[str, Given], *, as_json: bool) -> str:
    """Return what `config show` says: a settings file of what holds, or one JSON object."""
    if as_json:
        return _json({"settings": {r.name: _as_json(r, resolved.get(r.name)) for r in table.rows}})
    lines = [
        (_as_toml(row, resolved.get(row.name)), _from(row, resolved.get(row.name)))
        for row in table.rows
    ]
    width = min(40, max(len(said) for said, _ in lines))
    return "\n".join(f"{said:{width}}  # {printable(where)}".rstrip() for said, where in lines)


def _plain(row: Setting, given: Given | None) -> object:
    """The value as JSON and TOML have it; None for none."""
    if given is not None:
        return HIDDEN if row.secret else row.kind.plain(given.value)
    if row.default is not None:
        return row.kind.plain(row.default)
    return False if row.is_switch else None


def _as_json(row: Setting, given: Given | None) -> dict[str, object]:
    source = "default" if given is None else given.source
    where = {} if given is None else {"from": _from(row, given)}
    return {"value": _plain(row, given), "source": source, **where}


def _as_toml(row: Setting, given: Given | None) -> str:
    value = _plain(row, given)
    said = "" if value is None else _toml(value)
    # A comment is what cannot stand in a file, or stands for nothing.
    stands = row.in_file and value is not None and value is not HIDDEN and _is_unicode(value)
    return f"{'' if stands else '# '}{row.name} = {said}".rstrip()


def _is_unicode(value: object) -> bool:
    """False where an argument's byte that is no UTF-8 stands, which TOML has no text for."""
    texts = value if isinstance(value, list) else [value]
    return not any("\ud800" <= char <= "\udfff" for text in texts for char in str(text))


def _from(row: Setting, given: Given | None) -> str:
    if given is not None:
        return given.key.removesuffix(f": {row.name}")
    return "default" if row.default is not None or row.is_switch else (row.unset or "not set")


class ConfigCommands:
    """`config check`, `show` and `path` of a program. Each prints, and returns an exit code.

    Args:
        checked: the settings, after all that can be checked of them without running; it raises
            ConfigError.
        place: the settings file that holds, or would, and whether it is there.
    """

    def __init__(
        self,
        table: Table,
        checked: Callable[[Asked], Gathered],
        place: Callable[[Asked], tuple[Path, bool]],
    ) -> None:
        self._table = table
        self._checked = checked
        self._place = place
        self.by_name = {CHECK: self._check, SHOW: self._show, PATH: self._path}

    def __repr__(self) -> str:
        return f"<ConfigCommands of {self._table.program}>"

    def _check(self, asked: Asked) -> int:
        file = self._checked(asked).file
        return self._say(checked(file, as_json=wants_json(asked)))

    def _show(self, asked: Asked) -> int:
        resolved = self._checked(asked).resolved
        return self._say(shown(self._table, resolved, as_json=wants_json(asked)))

    def _path(self, asked: Asked) -> int:
        path, exists = self._place(asked)
        return self._say(shown_path(path, exists=exists, as_json=wants_json(asked)))

    def _say(self, text: str) -> int:
        return say(self._table.program, text)


def wants_json(asked: Asked) -> bool:
    return bool(asked.own.get(JSON_FLAG.name))


def refuse(program: str, arguments: Sequence[str], error: ConfigError) -> int:
    """Say why a command line cannot be done; `config ... --json` says it on stdout, too."""
    if arguments[:1] == ["config"] and JSON_FLAG.flag in arguments:
        say(program, refused(error))
    complain(program, str(error))
    return EXIT_BAD_USAGE


def warn(program: str, warnings: Iterable[str]) -> None:
    """Print what a person should be told and nothing fails for, a line each."""
    for warning in warnings:
        complain(program, f"warning: {warning}")


def table_of(table: Table) -> str:
    """The settings of a program as a table in Markdown."""
    head = ["flag", "key", "variable", "takes", "default", "what for"]
    rows = [head, ["--"] * len(head), *(_cells(table, row) for row in table.rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows) + "\n"


def _cells(table: Table, row: Setting) -> list[str]:
    in_file = f"`{row.name}`: {row.kind.in_file}" if row.in_file else ""
    variables = ", ".join(f"`{name}`" for name in reversed(table.variables_of(row)))
    flag = f"`{row.flag} {row.kind.metavar}`" if row.kind.metavar else f"`{row.flag}`"
    default = (
        f"`{row.default}`"
        if row.default is not None
        else (row.unset or ("`false`" if row.is_switch else ""))
    )
    text = f"{row.help} {_exclusions(table, row)}".strip()
    cells = [flag, in_file, variables, row.kind.limits, default, text]
    return [cell.replace("|", "\\|") for cell in cells]


def _exclusions(table: Table, row: Setting) -> str:
    others = [
        f"`{other.flag}`"
        for other in table.rows
        if row.group and other.group == row.group and other is not row
    ]
    return f"Not together with {', '.join(others)}." if others else ""
