from __future__ import annotations

import pytest

from protocol.errors import ConfigError
from protocol.program.kinds import Numbers, Switch, Text, Value
from protocol.program.settings import (
    Given,
    Setting,
    Source,
    Table,
    from_environment,
    from_flags,
    nearest,
    read,
    resolve,
    strange_variables,
)
from tunnel_client.settings import rows as client
from tunnel_server.settings import rows as server


def row(name: str, kind: Text, group: str = "") -> Setting:
    return Setting(name=name, kind=kind, help="", commands=("run",), group=group)


TABLE = Table(
    "a-program",
    (
        row("size", Text("N"))._replace(variables=("SIZE",), default="7"),
        row("beat", Numbers("S,S", lambda text, _: tuple(text.split(","))))._replace(
            fields=("interval", "timeout")
        ),
        row("quiet", Switch()),
        row("checked", Switch(), "trust"),
        row("ca", Text("FILE"), "trust"),
    ),
    {"trust": "one is enough"},
)


def layer(source: Source, **values: Value) -> dict[str, Given]:
    return {name: Given(value, f"{source} {name}", source) for name, value in values.items()}


def held(*layers: dict[str, Given]) -> dict[str, Value]:
    return {name: given.value for name, given in resolve(TABLE, layers).items()}


def test_variables_are_made_of_program_and_name() -> None:
    environ = {"A_PROGRAM_SIZE": "1", "SIZE": "2", "A_PROGRAM_QUIET": "true", "A_PROGRAM_CA": ""}
    found = from_environment(TABLE, environ)
    assert {name: (given.value, given.key) for name, given in found.items()} == {
        "size": ("1", "A_PROGRAM_SIZE"),  # the longer name is the stronger one
        "quiet": (True, "A_PROGRAM_QUIET"),
    }
    assert from_environment(TABLE, {"SIZE": "2"})["size"].key == "SIZE"


def test_variable_that_is_no_setting_is_told_without_its_value() -> None:
    environ = {"A_PROGRAM_SIZ": "secret", "A_PROGRAM": "x", "A_PROGRAM_SIZE": "1", "OTHER": "y"}
    assert strange_variables(TABLE, environ) == [
        "A_PROGRAM_SIZ is no setting, and passed over; did you mean A_PROGRAM_SIZE?"
    ]


def test_strongest_source_wins_setting_by_setting() -> None:
    flags, file = layer("flag", size="1"), layer("file", size="2", quiet=True)
    assert held(flags, file) == {"size": "1", "quiet": True}
    assert held(layer("variable", quiet=False), file) == {"size": "2", "quiet": False}
    assert held() == {}


@pytest.mark.parametrize(
    ("strong", "weak", "found"),
    [
        ({"ca": "a"}, {"checked": True}, {"ca": "a"}),
        ({"checked": True}, {"ca": "a"}, {"checked": True}),
        ({}, {"ca": "a"}, {"ca": "a"}),
        # What is off decides for itself alone.
        ({"checked": False}, {"ca": "a"}, {"ca": "a"}),
        ({"checked": False}, {"checked": True}, {"checked": False}),
        ({"checked": False, "ca": "a"}, {}, {"ca": "a"}),
        ({}, {}, {}),
    ],
)
def test_strongest_source_that_has_one_of_a_group_decides_for_all(
    strong: dict[str, Value], weak: dict[str, Value], found: dict[str, Value]
) -> None:
    assert held(layer("flag", **strong), layer("file", **weak)) == found


def test_two_of_a_group_in_one_source_are_refused() -> None:
    both = layer("file", checked=True, ca="a")
    with pytest.raises(ConfigError) as caught:
        held(layer("flag", size="1"), both)
    assert str(caught.value) == "file checked: not together with file ca: one is enough"
    assert held(layer("flag", ca="b"), both) == {"ca": "b"}  # nobody asks the weaker one


def test_values_become_the_attributes_of_the_config() -> None:
    assert read(TABLE.rows, {}) == {"size": "7"}
    given = layer("flag", size="8", beat="1,2", quiet=True, ca="a")
    assert read(TABLE.rows, given) == {
        "size": "8",
        "interval": "1",
        "timeout": "2",
        "quiet": True,
        "ca": "a",
    }
    assert read([TABLE.rows[4]._replace(fields=())], given) == {}


def test_value_is_in_no_repr() -> None:
    given = from_flags(TABLE, {"ca": "hunter2", "unknown": "x"})
    assert repr(given) == "{'ca': <Given --ca by flag>}"


def test_nearest_word_is_near() -> None:
    assert nearest("domian", ["bind", "domain"]) == "domain"
    assert nearest("tunnels", ["bind", "domain"]) == ""


@pytest.mark.parametrize("table", [server.TABLE, client.TABLE], ids=lambda table: table.program)
def test_rows_of_a_program_are_sound(table: Table) -> None:
    names = [row.name for row in table.rows]
    assert len(set(names)) == len(names)
    assert {row.group for row in table.rows if row.group} == set(table.groups)
    for row in table.rows:
        assert row.commands, row
        assert row.help.endswith((".", ").")), row
        assert row.default is None or not row.unset, row
        # A value that is on by default could not be switched off: there are no --no- flags.
        assert not row.is_switch or row.default is None, row
