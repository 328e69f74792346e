"""A setting is said once, as a row of its program's table.

From the row come its flag and the text of --help, its key in the file, its variable, its place in
`config show` and in docs/settings.md, and the reading of its value. The frozen config of the
program checks what is read; this module knows nothing of what a single setting means.

A flag is stronger than a variable, that than the file, that than the default.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, get_args

from protocol.errors import ConfigError
from protocol.program.kinds import Switch, Text, Value, choice

if TYPE_CHECKING:
    from pathlib import Path

Source = Literal["flag", "variable", "file", "login", "default"]


class Setting(NamedTuple):
    """A row.

    Attributes:
        name: its key in the file; the flag and the variable are made of it.
        kind: how its value is said.
        help: one sentence.
        commands: which commands take the flag. All of a program's commands read file and variables.
        default: what holds where nobody says anything, as the flag would say it.
        unset: the same for people, where the default is no value.
        fields: which attributes of the config the value becomes; None: that of the same name; none
            at all: the program reads it itself, since it depends on others.
        variables: further variables, beside the program's own for it.
        group: settings of one group exclude each other.
        secret: its value is never shown.
        in_file: whether it may stand there.
        flag_name: of the flag, where one sets less than the key does: `--limit` of `limits`.
    """

    name: str
    kind: Text
    help: str
    commands: tuple[str, ...]
    default: str | None = None
    unset: str = ""
    fields: tuple[str, ...] | None = None
    variables: tuple[str, ...] = ()
    group: str = ""
    secret: bool = False
    in_file: bool = True
    flag_name: str = ""

    @property
    def flag(self) -> str:
        return f"--{(self.flag_name or self.name).replace('_', '-')}"

    @property
    def shown_help(self) -> str:
        """The help, and what holds without the flag."""
        without = self.unset if self.default is None else self.default
        notes = "; ".join(filter(None, (*self.variables, without)))
        return f"{self.help} [{notes}]" if notes else self.help

    @property
    def is_switch(self) -> bool:
        return isinstance(self.kind, Switch)


class Table(NamedTuple):
    """All settings of a program.

    Attributes:
        program: its name, `tunnel-server`.
        rows: in the order of --help.
        groups: why the settings of each group exclude each other.
    """

    program: str
    rows: tuple[Setting, ...]
    groups: Mapping[str, str] = MappingProxyType({})

    @property
    def prefix(self) -> str:
        """The beginning of the program's own variables."""
        return f"{self.program.replace('-', '_').upper()}_"

    def of(self, command: str) -> tuple[Setting, ...]:
        """The rows whose flags a command takes."""
        return tuple(row for row in self.rows if command in row.commands)

    def variables_of(self, row: Setting) -> tuple[str, ...]:
        """The variables of a setting, the strongest first."""
        return (f"{self.prefix}{row.name.upper()}", *row.variables)

    def name_in(self, source: Source, row: Setting) -> str:
        """Return the name of a setting in a source: `--hold`, `TUNNEL_SERVER_HOLD`, `hold`."""
        if source == "variable":
            return self.variables_of(row)[0]
        return row.name if source == "file" else row.flag


class Given(NamedTuple):
    """A value, which may be a secret, and where it came from.

    Attributes:
        key: the setting as the person gave it, for errors: `--hold`, `server.toml:3: hold`.
    """

    value: Value
    key: str
    source: Source

    def __repr__(self) -> str:
        return f"<Given {self.key} by {self.source}>"

    @property
    def by_flag(self) -> bool:
        return self.source == "flag"


# The settings of one source by name; of several sources, the strongest comes first.
Layer = Mapping[str, Given]


class Gathered(NamedTuple):
    """The settings of all sources.

    Attributes:
        resolved: of each setting that was given, the strongest source's, not yet read.
        file: the settings file; None if there is none.
        warnings: what the person should be told, one line each.
        said_by_file: what that file says, stronger sources left aside.
    """

    resolved: Mapping[str, Given]
    file: Path | None
    warnings: tuple[str, ...]
    said_by_file: Layer


def from_flags(table: Table, flags: Mapping[str, Value]) -> Layer:
    """Return the layer of the command line."""
    return {
        row.name: Given(flags[row.name], row.flag, "flag")
        for row in table.rows
        if row.name in flags
    }


def from_environment(table: Table, environ: Mapping[str, str]) -> Layer:
    """Return the layer of the environment. An empty variable is an unset one: so a shell clears it.

    Raises:
        ConfigError: a switch that is neither true nor false.
    """
    layer = {}
    for row in table.rows:
        for variable in table.variables_of(row):
            if text := environ.get(variable):
                layer[row.name] = Given(
                    row.kind.from_variable(text, variable), variable, "variable"
                )
                break
    return layer


def strange_variables(table: Table, environ: Mapping[str, str]) -> list[str]:
    """A warning for each variable that looks like a setting and is none, without its value.

    It is no error: Kubernetes makes such variables for a service of the program's name.
    """
    known = {variable for row in table.rows for variable in table.variables_of(row)}
    strange = (name for name in environ if name.startswith(table.prefix) and name not in known)
    return [
        f"{name} is no setting, and passed over{_meant(table, name)}" for name in sorted(strange)
    ]


def _meant(table: Table, name: str) -> str:
    # Without the prefix: it makes all of them alike.
    words = [row.name.upper() for row in table.rows]
    near = nearest(name.removeprefix(table.prefix), words)
    return f"; did you mean {table.prefix}{near}?" if near else ""


def nearest(word: str, words: Iterable[str], *, likeness: float = 0.6) -> str:
    """The word that was probably meant, or ""; `likeness` is difflib's, up to 1."""
    from difflib import get_close_matches  # 10 ms that only a mistake costs

    return next(iter(get_close_matches(word, words, 1, likeness)), "")


def resolve(table: Table, layers: Sequence[Layer]) -> dict[str, Given]:
    """Return, of all that was given, what holds.

    Args:
        layers: one for each source, the strongest first.

    Raises:
        ConfigError: one source has two settings that exclude each other.
    """
    found: dict[str, Given] = {}
    for row in table.rows:
        if not row.group:
            given = next((layer[row.name] for layer in layers if row.name in layer), None)
            found |= {} if given is None else {row.name: given}
    for group, why in table.groups.items():
        names = [row.name for row in table.rows if row.group == group]
        found |= _of_group(names, why, layers)
    return found


def _of_group(names: Sequence[str], why: str, layers: Sequence[Layer]) -> dict[str, Given]:
    """The one that holds: the strongest source that has one of them decides for all."""
    taken_back: dict[str, Given] = {}
    for layer in layers:
        present = {name: layer[name] for name in names if name in layer and name not in taken_back}
        # A switch that is off decides nothing, but for itself in weaker sources.
        off = {name: given for name, given in present.items() if given.value is False}
        taken_back |= off
        on = [name for name in present if name not in off]
        if len(on) > 1:
            first, second = present[on[0]], present[on[1]]
            raise ConfigError(first.key, f"not together with {second.key}: {why}")
        if on:
            return {on[0]: present[on[0]]}
    return taken_back


def read(rows: Iterable[Setting], resolved: Mapping[str, Given]) -> dict[str, object]:
    """The attributes of the config that the rows say; of those without a value, none.

    Raises:
        ConfigError: a value is not allowed.
    """
    attributes: dict[str, object] = {}
    for row in rows:
        fields = (row.name,) if row.fields is None else row.fields
        value = value_of(row, resolved.get(row.name)) if fields else None
        if value is not None:
            values = value if isinstance(value, tuple) and len(fields) > 1 else (value,)
            attributes |= zip(fields, values, strict=True)
    return attributes


def value_of(row: Setting, given: Given | None) -> object:
    """The value that was given, or the default; None without either. Raises ConfigError."""
    if given is not None:
        return row.kind.read(given.value, given.key)
    return None if row.default is None else row.kind.read(row.default, row.flag)


LogLevel = Literal["error", "warning", "info", "debug", "frames"]
# What protocol/program/logs.py has a number for; a test compares the two.
LOG_LEVELS: Final[tuple[LogLevel, ...]] = get_args(LogLevel)


def log_level(*commands: str) -> Setting:
    """The row of both programs."""
    return Setting(
        name="log_level",
        kind=choice(*LOG_LEVELS, metavar="LEVEL"),
        default="info",
        help="error, warning, info, debug (a line for each request) or frames (slow).",
        commands=commands,
    )
