from __future__ import annotations

import re
from pathlib import Path

import pytest

from protocol.errors import ConfigError
from protocol.program.kinds import (
    Commas,
    Duration,
    FilePath,
    Number,
    Numbers,
    Seconds,
    Switch,
    Text,
    Texts,
    Value,
    WholeNumber,
    choice,
    path_of,
)

KEY = "TUNNEL_X"


@pytest.mark.parametrize(
    ("kind", "text", "value", "plain"),
    [
        (Text("X"), "a", "a", "a"),
        (Number("N"), "1.5", "1.5", 1.5),
        (WholeNumber("N"), "07", "07", 7),
        (Seconds("S"), "1e1", "1e1", 10.0),
        (Commas("A,..."), "a, b", "a, b", ["a", "b"]),
        (Numbers("S,S"), "5,9", "5,9", [5, 9]),
        (Texts("F"), "A: 1, 2", ("A: 1, 2",), ["A: 1, 2"]),
        (Switch(), "true", True, True),
        (Switch(), "false", False, False),
        (choice("local", "public"), "local", "local", "local"),
    ],
)
def test_variable_is_what_a_flag_would_say_and_is_shown_as_in_a_file(
    kind: Text, text: str, value: Value, plain: object
) -> None:
    assert kind.from_variable(text, KEY) == value
    assert kind.plain(value) == plain
    if value not in ("1e1", "07", "a, b"):  # these are spelt otherwise there
        assert kind.from_file(plain, KEY) == value


@pytest.mark.parametrize(
    ("kind", "value", "said"),
    [
        (Text("X"), 1, "a string"),
        (Text("X", limits="a host"), 1, "a string"),
        (Number("N"), True, "a number, not true"),
        (Number("N"), "1", "a number, not '1' in quotes"),
        (Number("N", limits="1 to 9"), "x", "1 to 9, not 'x'"),
        (WholeNumber("N"), "a" * 61, "a whole number"),
        pytest.param(WholeNumber("N"), 16**4000, "a whole number", id="4,817 digits"),
        (WholeNumber("N"), {}, "a whole number"),
        (Commas("A,..."), "a", "a list of strings"),
        (Commas("A,..."), [1], "a list of strings"),
        (Numbers("S,S"), [True], "a list of whole numbers"),
        (Numbers("S,S"), [1.0], "a list of whole numbers"),
        (Numbers("S,S", limits="two"), "1,2", "a list of whole numbers, not '1,2'"),
        (Texts("F"), "A: secret", "a list of strings"),
        (Texts("F"), [1], "a list of strings"),
        (Switch(), "true", "true or false, not 'true'"),
        (Switch(), 1, "true or false, not 1"),
        (choice("a", "b"), 1.5, "a or b, not 1.5"),
    ],
)
def test_value_of_another_type_is_refused_with_what_is_taken(
    kind: Text, value: object, said: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        kind.from_file(value, KEY)
    assert str(caught.value) == f"{KEY}: takes {said}"


def test_number_of_many_digits_is_shown_without_an_error() -> None:
    assert Number("N").plain(f"{'0' * 5000}1") == 1.0
    assert Number("N").plain("\u0665") == 5


def test_choice_names_what_there_is() -> None:
    kind = choice("a", "b", "c")
    assert (kind.metavar, kind.limits) == ("a|b|c", "a, b or c")
    assert kind.read("b", KEY) == "b"
    for wrong in ("", "d", "A", "a|b"):
        with pytest.raises(
            ConfigError, match=rf"^{KEY}: takes a, b or c, not {re.escape(repr(wrong))}$"
        ):
            kind.read(wrong, KEY)


def test_path_is_shown_as_it_can_stand_in_any_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/ada")
    kind = FilePath("FILE", path_of)
    assert kind.plain("a/../b") == f"{tmp_path}/a/../b"
    assert kind.plain("~/b") == "/home/ada/b"
    assert kind.plain("/b") == "/b"
    # What nobody reads, since it is of no use, is no path perhaps.
    for no_path in ("", "a\0b", "~no-such-user-here/b"):
        assert kind.plain(no_path) == no_path


def test_path_may_begin_in_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    assert path_of("~/tokens", "--auth-file") == Path("/home/ada/tokens")
    assert path_of("tokens", "--auth-file") == Path("tokens")


def test_home_of_an_unknown_user_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^--tls-key: takes a path; ~ stands for a home folder"):
        path_of("~no-such-user-here/key.pem", "--tls-key")


@pytest.mark.parametrize("value", ["", "a\0b"])
def test_path_that_cannot_be_one_is_refused(value: str) -> None:
    with pytest.raises(ConfigError, match=r"^--tls-key: takes a path, not "):
        path_of(value, "--tls-key")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("60", 60), ("90s", 90), ("10m", 600), ("2h", 7_200), ("30d", 2_592_000), ("0", 0), ("0d", 0)],
)
def test_a_duration_is_seconds_or_has_its_unit(text: str, seconds: float) -> None:
    kind = Duration(60, 30 * 86_400, zero="off")
    for value in (text, kind.from_variable(text, "K"), kind.from_file(text, "k")):
        assert kind.read(value, "--keep") == seconds
    assert kind.plain(text) == (int(text) if text.isdecimal() else text)


def test_a_duration_may_be_a_number_in_the_file() -> None:
    kind = Duration(60, 30 * 86_400)
    assert kind.read(kind.from_file(90, "keep"), "keep") == 90
    with pytest.raises(ConfigError, match=r"^keep: takes a time from 60 s to 30 d, such as 30s"):
        kind.from_file(True, "keep")


@pytest.mark.parametrize("text", ["", "s", "1w", "1.5h", "-1", "+1", "1 h", "1H", "1_0", "1" * 10])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(
        ConfigError, match=r"^--keep: takes a time from 0 s to 11574 d, such as 30s"
    ):
        Duration(0, 10**9).read(text, "--keep")


@pytest.mark.parametrize("text", ["59", "0", "59s", "721h", "31d", "2592001"])
def test_a_duration_beyond_its_limits_is_refused_with_them(text: str) -> None:
    with pytest.raises(ConfigError, match=f"from 60 s to 30 d, .*not '{text}'$"):
        Duration(60, 30 * 86_400).read(text, "--keep")
