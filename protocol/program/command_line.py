"""The command lines of both programs: click's options, made of the rows of the settings table.

Nothing runs inside of click: what was asked for comes back, as typed, and `cli` does it. Bad usage
is one `ConfigError` in words of ours; of click's errors the attributes are read, never the wording.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import click

from protocol.errors import ConfigError
from protocol.program.kinds import OptionalText, Texts, Value
from protocol.program.process import EXIT_STOPPED, cannot_say, version
from protocol.program.settings import Setting, Table, nearest


class Command(NamedTuple):
    """A command, of one word or two.

    Attributes:
        name: `http`, `token create`.
        help: what it does.
        words: what it takes beside its flags, in this order: `("NAME", "OWNER")`.
        flags: its own, which are no settings.
        epilog: below the flags in --help.
    """

    name: str
    help: str
    words: tuple[str, ...] = ()
    flags: tuple[Setting, ...] = ()
    epilog: str = ""


class CommandLine(NamedTuple):
    """All that a program's command line takes.

    Attributes:
        help: what the program is for.
        groups: what the commands of two words have in common, by the first of them.
        default: the command where none is named; "" if one has to be.
        there_are: what stands before the list of what is allowed.
        see: what stands behind a complaint that no command is named.
        repeats_words: whether words too many are repeated: they may be a token.
    """

    table: Table
    help: str
    commands: tuple[Command, ...]
    groups: Mapping[str, str]
    default: str
    there_are: str
    see: str
    repeats_words: bool

    @property
    def program(self) -> str:
        return self.table.program

    @property
    def listed(self) -> str:
        """All commands, for people: `serve, token create, and config check, show and path`."""
        words: dict[str, list[str]] = {}
        for command in self.commands:
            first, _, second = command.name.partition(" ")
            words.setdefault(first, []).append(second or " ".join(command.words))
        *others, last = (f"{first} {_and(behind)}".strip() for first, behind in words.items())
        return f"{', '.join(others)}, and {last}" if others else last

    def see_help_of(self, name: str) -> str:
        """Return what stands behind a complaint about the words of a command, or of a group."""
        return f"; see {self.program} {name} --help"


def _and(words: Sequence[str]) -> str:
    *others, last = words
    return f"{', '.join(others)} and {last}" if others else last


class Asked(NamedTuple):
    """One command line, with the values as they were typed.

    Attributes:
        command: its name.
        flags: the settings that were given, by the names of their rows.
        own: the command's own flags that were given. One may have the name of a setting.
        words: the command's words that were given.
    """

    command: str
    flags: Mapping[str, Value]
    own: Mapping[str, Value]
    words: tuple[str, ...]


def asked_for(line: CommandLine, arguments: Sequence[str]) -> Asked | int:
    """Read a command line; an exit code where --help or --version has printed all there is.

    Raises:
        ConfigError: bad usage.
    """
    words = list(arguments)
    if line.default and (not words or words[0].startswith("-")):
        words = [line.default, *words]
    try:
        with _root(line).make_context(line.program, words) as context:
            asked: Asked = context.command.invoke(context)
            return asked
    except click.exceptions.Exit as done:
        return done.exit_code
    except (KeyboardInterrupt, click.Abort):
        return EXIT_STOPPED
    except (OSError, UnicodeEncodeError) as error:  # `--help | head`
        return cannot_say(line.program, error)


def _root(line: CommandLine) -> click.Group:
    root = _Group(line, line.program, line.help, [_version_option(line.program)])
    for command in line.commands:
        first, _, second = command.name.partition(" ")
        if not second:
            root.add_command(_leaf(line, command), first)
            continue
        group = root.commands.setdefault(first, _Group(line, first, line.groups[first], []))
        assert isinstance(group, click.Group)
        group.add_command(_leaf(line, command), second)
    return root


def _leaf(line: CommandLine, command: Command) -> click.Command:
    rows = (*line.table.of(command.name), *command.flags)
    parameters: list[click.Parameter] = [option_of(row) for row in rows]
    for number, word in enumerate(command.words):
        # No setting has such a name; required=False, since `cli` knows why each is needed.
        name = f"{_WORD}{number}"
        parameters.append(click.Argument([name], metavar=word, required=False))
    if command.name == line.default:
        parameters.append(_version_option(line.program))
    return _Command(line, command, parameters)


_WORD = "word "

# Commands are short, and "start" is not meant by "status".
_OF_COMMANDS = 0.75


def option_of(row: Setting) -> click.Option:
    """The flag of a setting. Its value stays text, and None where it was not given."""
    names, shown = [row.flag, row.name], row.shown_help
    if row.is_switch:
        return click.Option(names, is_flag=True, help=shown)
    if isinstance(row.kind, OptionalText):
        alone = row.kind.alone
        return click.Option(
            names, metavar=f"[{row.kind.metavar}]", help=shown, is_flag=False, flag_value=alone
        )
    # Never is_flag=False for these: click then makes the value optional, and says nothing.
    several = isinstance(row.kind, Texts)
    return click.Option(names, metavar=row.kind.metavar, help=shown, multiple=several)


def _version_option(program: str) -> click.Option:
    return click.Option(
        ["--version"],
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=partial(_show_version, program),
        help="Show the version.",
    )


def _show_version(program: str, context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        click.echo(f"{program} {version()}")
        context.exit()


_SETTINGS = {"help_option_names": ["-h", "--help"]}


class _Command(click.Command):
    """A command that says what it was asked, in our words where it cannot."""

    def __init__(
        self, line: CommandLine, command: Command, parameters: list[click.Parameter]
    ) -> None:
        self._line = line
        one = "one " if len(command.words) == 1 else ""
        self._takes = f"{one}{_and(command.words)}" if command.words else "flags alone"
        super().__init__(
            command.name,
            callback=partial(_asked, command),
            params=parameters,
            help=command.help,
            epilog=command.epilog,
            no_args_is_help=False,
            context_settings={**_SETTINGS, "allow_extra_args": True},
        )

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        rest = in_our_words(self._line, self, partial(super().parse_args, ctx, args))
        if rest:
            words = f" ({' '.join(rest)})" if self._line.repeats_words else ""
            said = f"{self.name} takes {self._takes}, and there are too many words"
            raise ConfigError("", f"{said}{words}{self._line.see_help_of(str(self.name))}")
        return rest


class _Group(click.Group):
    """Commands with a word in front, or all of them."""

    def __init__(
        self, line: CommandLine, name: str, text: str, parameters: list[click.Parameter]
    ) -> None:
        self._line = line
        super().__init__(
            name,
            callback=click.pass_context(self._check_named),
            params=parameters,
            help=text,
            no_args_is_help=False,
            invoke_without_command=True,  # so that _check_named complains
            subcommand_metavar="COMMAND [ARGS]...",  # some versions of click put one in brackets
            context_settings=_SETTINGS,
        )

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return in_our_words(self._line, self, partial(super().parse_args, ctx, args))

    @property
    def _is_root(self) -> bool:
        return self.name == self._line.program

    @property
    def _allowed(self) -> str:
        """The commands that may stand here: `there are check, show and path`."""
        if self._is_root:
            return f"{self._line.there_are} {self._line.listed}"
        there_are = self._line.there_are
        if len(self.commands) == 1:
            there_are = there_are.replace("there are", "there is")
        return f"{there_are} {_and(list(self.commands))}"

    def _check_named(self, context: click.Context) -> None:
        if context.invoked_subcommand is None:
            behind = "" if self._is_root else f" behind {self.name}"
            see = self._line.see if self._is_root else self._line.see_help_of(str(self.name))
            raise ConfigError("", f"a command is missing{behind}; {self._allowed}{see}")

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in self.commands:
            key = args[0] if self._is_root else f"{self.name} {args[0]}"
            near = nearest(args[0], self.commands, likeness=_OF_COMMANDS)
            meant = f"did you mean {near}?" if near else self._allowed
            raise ConfigError(key, f"no such command; {meant}")
        return super().resolve_command(ctx, args)


def _asked(command: Command, **parameters: object) -> Asked:
    words = [parameters.pop(f"{_WORD}{number}") for number in range(len(command.words))]
    # A flag that was not given is None, False or (); one that was given may be "".
    given = {name: v for name, v in parameters.items() if isinstance(v, str) or v}
    own = {row.name: given.pop(row.name) for row in command.flags if row.name in given}
    said = tuple(str(word) for word in words if word is not None)
    return Asked(command.name, given, own, said)  # type: ignore[arg-type]  # click's are Any


def in_our_words(
    line: CommandLine, command: click.Command, parse: Callable[[], list[str]]
) -> list[str]:
    """Parse, and say what click refuses in words of ours. Raises ConfigError."""
    try:
        return parse()
    except click.UsageError as error:
        option = getattr(error, "option_name", None)
        if option is None:
            raise ConfigError("", f"the command line cannot be understood{line.see}") from None
        raise ConfigError(option, _about_flag(line, option, command.params)) from None


def _about_flag(line: CommandLine, option: str, parameters: Iterable[click.Parameter]) -> str:
    """Say what is wrong about a flag: a value too many or too few, or it is unknown."""
    takes = {name: each.metavar for each in parameters for name in each.opts if name[0] == "-"}
    takes["--help"] = None
    if option not in takes:
        near = _nearest_flag(option, takes)
        meant = f"did you mean {near}?" if near else f"{line.there_are} {', '.join(takes)}"
        return f"no such flag; {meant}"
    return f"needs a value, {takes[option]}" if takes[option] else "takes no value"


def _nearest_flag(option: str, flags: Iterable[str]) -> str:
    """The flag that was probably meant, or "". --no-open means anything but --open."""
    if option.startswith("--no-"):
        return ""
    words = [flag[2:] for flag in flags]
    begins = [word for word in words if word.startswith(option[2:])] if option[2:] else []
    near = begins[0] if len(begins) == 1 else nearest(option[2:], words)
    return f"--{near}" if near else ""
