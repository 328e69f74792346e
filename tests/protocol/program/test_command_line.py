from __future__ import annotations

import click
import pytest

from protocol.errors import ConfigError
from protocol.program.command_line import (
    Asked,
    Command,
    CommandLine,
    asked_for,
    in_our_words,
    option_of,
)
from protocol.program.kinds import OptionalText, Switch, Text, Texts, Value
from protocol.program.settings import Setting, Table
from tunnel_client.settings import rows as client
from tunnel_server.settings import rows as server

RUN, MAKE = "run", "thing make"
COMMANDS = "run TARGET, and thing make"
UNKNOWN = "no such flag; there are --the-size, --quiet, --field, --help"

TABLE = Table(
    "a-program",
    (
        Setting(
            name="the_size", kind=Text("N"), help="How large.", default="7", commands=(RUN, MAKE)
        ),
        Setting(name="quiet", kind=Switch(), help="Say less.", commands=(RUN,)),
        Setting(name="field", kind=Texts("F"), help="May be repeated.", commands=(RUN,)),
    ),
)

# Of the command, and of the same name as a setting.
OWN = Setting(name="quiet", kind=Switch(), help="Make it quietly.", commands=())


def line(default: str = "", *, repeats_words: bool = True) -> CommandLine:
    return CommandLine(
        TABLE,
        help="What it is for.",
        commands=(
            Command(RUN, "Run it.", ("TARGET",), epilog="More."),
            Command(MAKE, "Make one.", flags=(OWN,)),
        ),
        groups={"thing": "Things."},
        default=default,
        there_are="there are",
        see="; see --help",
        repeats_words=repeats_words,
    )


@pytest.mark.parametrize(
    ("arguments", "flags", "words"),
    [
        (["run"], {}, ()),
        (["run", "x"], {}, ("x",)),
        (["run", "--the-size", "", "--quiet", ""], {"the_size": "", "quiet": True}, ("",)),
        (["run", "--the-size=a b", "x"], {"the_size": "a b"}, ("x",)),
        (["run", "--the-size=1", "--the-size=2"], {"the_size": "2"}, ()),
        (["run", "--field", "a", "--field", ""], {"field": ("a", "")}, ()),
        (["run", "--the-size", "--quiet"], {"the_size": "--quiet"}, ()),
        (["run", "--", "--quiet"], {}, ("--quiet",)),
    ],
)
def test_values_come_back_as_they_were_typed(
    arguments: list[str], flags: dict[str, Value], words: tuple[str, ...]
) -> None:
    assert asked_for(line(), arguments) == Asked(RUN, flags, {}, words)


def test_command_of_two_words_takes_the_flags_of_its_rows() -> None:
    assert asked_for(line(), ["thing", "make", "--the-size", "1"]) == Asked(
        MAKE, {"the_size": "1"}, {}, ()
    )


def test_flags_of_a_command_are_no_settings() -> None:
    asked = asked_for(line(), ["thing", "make", "--quiet", "--the-size", "1"])
    assert asked == Asked(MAKE, {"the_size": "1"}, {"quiet": True}, ())


def of_two_words() -> CommandLine:
    return line()._replace(commands=(Command(MAKE, "Make one.", ("NAME", "OWNER")),))


def test_words_of_a_command_come_back_in_their_order() -> None:
    for words in ((), ("shop",), ("shop", "alice")):
        assert asked_for(of_two_words(), ["thing", "make", *words]) == Asked(MAKE, {}, {}, words)


def test_two_words_of_a_command_are_named_where_there_are_too_many() -> None:
    with pytest.raises(ConfigError) as caught:
        asked_for(of_two_words(), ["thing", "make", "a", "b", "c"])
    assert str(caught.value) == (
        "thing make takes NAME and OWNER, and there are too many words (c); "
        "see a-program thing make --help"
    )


def test_default_command_is_what_is_meant_where_none_is_named() -> None:
    assert asked_for(line(RUN), []) == Asked(RUN, {}, {}, ())
    assert asked_for(line(RUN), ["--quiet"]) == Asked(RUN, {"quiet": True}, {}, ())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], f"a command is missing; there are {COMMANDS}; see --help"),
        (
            ["thing"],
            "a command is missing behind thing; there is make; see a-program thing --help",
        ),
        (["frob"], f"frob: no such command; there are {COMMANDS}"),
        (["thing", "frob", "x"], "thing frob: no such command; there is make"),
        (
            ["run", "a", "b c"],
            "run takes one TARGET, and there are too many words (b c); see a-program run --help",
        ),
        (
            ["thing", "make", "a"],
            "thing make takes flags alone, and there are too many words (a); "
            "see a-program thing make --help",
        ),
        (["run", "--the-size"], "--the-size: needs a value, N"),
        (["run", "--field"], "--field: needs a value, F"),
        (["run", "--quiet=1"], "--quiet: takes no value"),
        (["run", "--help=1"], "--help: takes no value"),
        (
            ["run", "--no-quiet"],
            "--no-quiet: no such flag; there are --the-size, --quiet, --field, --help",
        ),
        (
            ["thing", "make", "--field"],
            "--field: no such flag; there are --the-size, --quiet, --help",
        ),
        (["run", "--the"], "--the: no such flag; did you mean --the-size?"),
        (["run", "--filed"], "--filed: no such flag; did you mean --field?"),
        (["run", "--other"], f"--other: {UNKNOWN}"),
        (["-x"], "-x: no such flag; there are --version, --help"),
    ],
)
def test_bad_usage_is_told_in_our_words(arguments: list[str], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        asked_for(line(), arguments)
    assert str(caught.value) == said


def test_words_too_many_may_be_a_token_and_are_not_repeated() -> None:
    with pytest.raises(ConfigError) as caught:
        asked_for(line(repeats_words=False), ["run", "a", "hunter2"])
    assert str(caught.value) == (
        "run takes one TARGET, and there are too many words; see a-program run --help"
    )


def test_what_click_says_is_not_repeated() -> None:
    def parse() -> list[str]:
        raise click.UsageError("Got something else.")

    with pytest.raises(ConfigError) as caught:
        in_our_words(line(), click.Command("c"), parse)
    assert str(caught.value) == "the command line cannot be understood; see --help"


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("run",), "run"),
        (("run", "end"), "run, and end"),
        (("run", "a b", "c d", "c e", "c f"), "run, a b, and c d, e and f"),
    ],
)
def test_commands_are_listed_from_the_table(names: tuple[str, ...], said: str) -> None:
    commands = tuple(Command(name, "Do it.") for name in names)
    assert line()._replace(commands=commands).listed == said


def test_help_shows_what_the_rows_say(capsys: pytest.CaptureFixture[str]) -> None:
    assert asked_for(line(), ["run", "-h"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("Usage: a-program run [OPTIONS] TARGET\n")
    assert "--the-size N  How large. [7]" in out
    assert "--quiet       Say less.\n" in out
    assert "More." in out
    assert asked_for(line(), ["--help"]) == 0
    assert "thing  Things." in capsys.readouterr().out


@pytest.mark.parametrize("table", [server.TABLE, client.TABLE], ids=lambda table: table.program)
def test_every_flag_but_a_switch_needs_its_value(table: Table) -> None:
    """click takes `is_flag=False` for "the value is optional", and says nothing of it."""
    for row in table.rows:
        option = option_of(row)
        parsed = click.Command("c", params=[option], callback=lambda **_: None)
        assert option.is_flag is row.is_switch
        if isinstance(row.kind, OptionalText):
            context = parsed.make_context("c", [row.flag])
            assert context.params[row.name] == row.kind.alone
        elif not row.is_switch:
            with pytest.raises(click.BadOptionUsage):
                parsed.make_context("c", [row.flag])
        # No variable is read by click, and nothing is a default: what was not given stays unknown.
        context = click.Command("c", params=[option_of(row)]).make_context("c", [])
        assert not context.params[row.name]
        assert option.envvar is None
