"""The command line: flags in, a checked config out. The one module of the client that prints.

Bad usage is one line on stderr and exit code 2. What needs trio, or checks values, is loaded when a
command is done, and not for --help.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final

from protocol.errors import ConfigError
from protocol.program import showing
from protocol.program.command_line import Asked, Command, CommandLine, asked_for
from protocol.program.folders import NO_HOME, user_config_folder, user_state_folder
from protocol.program.kinds import OptionalText
from protocol.program.process import EXIT_FAILED, EXIT_REFUSED, complain, say
from tunnel_client.settings.rows import HTTP, LOGIN, LOGOUT, PROGRAM, RELEASE, STATUS, TABLE

if TYPE_CHECKING:
    from pathlib import Path

    from protocol.program.settings import Gathered
    from tunnel_client.settings.addresses import ServerUrl
    from tunnel_client.settings.config import ClientConfig

_LINE: Final = CommandLine(
    TABLE,
    help="Give a local web app a public URL on a tunnel-server.",
    commands=(
        Command(
            HTTP,
            "Share the web app on TARGET.\n\n3000, host:3000, http(s)://host:3000 or unix:/path",
            ("TARGET",),
            epilog=showing.epilog(TABLE, "client.toml"),
        ),
        Command(
            RELEASE,
            "Give a name up that the server keeps for you.\n\nAnother owner may have it then.",
            ("NAME",),
        ),
        Command(
            LOGIN,
            "Store a token for the server at URL.",
            ("URL",),
            epilog="The token is asked for, and not shown; without a terminal it is the first line "
            "of stdin. The server has to take it, and it goes to that server alone.",
        ),
        Command(
            LOGOUT,
            "Forget the token for the server at URL.",
            ("URL",),
            epilog="URL may be left away where there is one alone.",
        ),
        Command(
            STATUS,
            "Where you are logged in, and what those servers say.",
            ("URL",),
            (showing.JSON_FLAG,),
        ),
        *showing.COMMANDS,
    ),
    groups=showing.GROUP,
    default="",
    there_are="allowed:",
    see=f"; see {PROGRAM} http --help",
    repeats_words=False,
)

_INSPECT: Final = "inspect"

_OF_PROGRAM: Final = ("-h", "--help", "--version")  # flags that stand before a command

# For `config`, which knows no app: one of which all settings can be looked at.
_SOME_TARGET: Final = "https://localhost"


def config_from(arguments: Sequence[str]) -> ClientConfig | int:
    """The config that a command line asks for, or the exit code if there is nothing to run.

    Prints help, version and settings on stdout, warnings and the line about bad usage on stderr.
    """
    try:
        asked = asked_for(_LINE, _meant(arguments))
        if isinstance(asked, int):
            return asked
        return _COMMANDS[asked.command](asked)
    except ConfigError as error:
        return showing.refuse(PROGRAM, list(arguments), error)


def say_where_to(config: ClientConfig) -> None:
    """Say what happens at once: what is loaded now, and the way to the server, take time."""
    if config.json:
        return
    from protocol.program.line_writer import write_to_stdout

    with suppress(OSError):  # a full disk, say: the client's report knows what to do
        write_to_stdout(f"connecting to {config.server_url} ...\n".encode())


def _meant(arguments: Sequence[str]) -> Sequence[str]:
    """The command line with `http` in front where nothing else can be meant: `3000`."""
    first = arguments[0] if arguments else ""
    is_flag = first.startswith("-") and first not in _OF_PROGRAM
    is_app = first.isdigit() or any(char in first for char in ":/.")
    return [HTTP, *arguments] if is_flag or is_app else arguments


def _state_folder() -> Path:
    from tunnel_client.settings.install_key import NOWHERE

    return user_state_folder() or NOWHERE


def _http(asked: Asked) -> ClientConfig:
    from tunnel_client.settings.config import load
    from tunnel_client.settings.stable_name import current_folder

    asked = _with_target(asked)
    gathered, target = _gathered(asked), next(iter(asked.words), None)
    config, warnings = load(target, gathered, os.environ, _state_folder(), current_folder())
    showing.warn(PROGRAM, warnings)
    return config


def _with_target(asked: Asked) -> Asked:
    """The same where `--inspect` stood before the TARGET and took it for its address."""
    given = asked.flags.get(_INSPECT)
    if asked.words or not isinstance(given, str) or given == OptionalText.alone:
        return asked
    return asked._replace(words=(given,), flags={**asked.flags, _INSPECT: OptionalText.alone})


def _release(asked: Asked) -> int:
    from tunnel_client.settings.config import load
    from tunnel_client.settings.values import dns_label

    if not asked.words:
        raise ConfigError("NAME", f"is missing; see {PROGRAM} {RELEASE} --help")
    name = dns_label(asked.words[0], "NAME")
    config, warnings = load(_SOME_TARGET, _gathered(asked), os.environ, _state_folder())
    showing.warn(PROGRAM, warnings)
    from tunnel_client.app import release
    from tunnel_client.uplink.release import ReleaseFailed

    try:
        return say(PROGRAM, release(config, name))
    except ReleaseFailed as error:
        complain(PROGRAM, str(error))
        return EXIT_REFUSED if error.final else EXIT_FAILED


def _login(asked: Asked) -> int:
    from tunnel_client.settings.config import way_settings
    from tunnel_client.settings.logins import Logins
    from tunnel_client.uplink.health import Way
    from tunnel_client.uplink.login import LoginDesk

    gathered = _gathered(asked)
    server = _server_of(asked)
    if server is None and asked.command == LOGIN:
        raise ConfigError("URL", f"is missing; see {PROGRAM} {LOGIN} --help")
    desk = LoginDesk(
        Logins(_state_folder()), lambda to: Way(to, *way_settings(gathered, to, os.environ))
    )
    if asked.command == LOGIN:
        assert server is not None
        insecure = asked.flags.get("insecure_server") is True
        done = desk.login(server, partial(_given_token, asked), insecure=insecure)
    elif asked.command == LOGOUT:
        done = desk.logout(server)
    else:
        done = desk.status(server, as_json=showing.wants_json(asked))
    if done.said:
        complain(PROGRAM, done.said)
    return (say(PROGRAM, done.out) if done.out else 0) or done.exit_code


def _server_of(asked: Asked) -> ServerUrl | None:
    from tunnel_client.settings.values import server_url

    return server_url(asked.words[0], "URL") if asked.words else None


def _given_token(asked: Asked) -> str:
    """The token of --token-file, or what a person types, or the first line of stdin."""
    from tunnel_client.settings.tokens import LONGEST_TOKEN_CHARS, check_token, token_in

    if path := asked.flags.get("token_file"):
        return token_in(str(path), "--token-file")
    if sys.stdin is not None and sys.stdin.isatty():
        from getpass import getpass

        return check_token(getpass("token: ").strip(), "the token")
    line = "" if sys.stdin is None else sys.stdin.readline(LONGEST_TOKEN_CHARS + 2)
    return check_token(line.strip(), "stdin")


def _gathered(asked: Asked) -> Gathered:
    from tunnel_client.settings.config import gather

    gathered = gather(asked.flags, os.environ, user_config_folder(), user_state_folder())
    showing.warn(PROGRAM, gathered.warnings)
    return gathered


def _checked(asked: Asked) -> Gathered:
    from tunnel_client.settings.config import load

    gathered = _gathered(asked)
    showing.warn(PROGRAM, load(_SOME_TARGET, gathered, os.environ, None).warnings)
    return gathered


def _place(asked: Asked) -> tuple[Path, bool]:
    from protocol.program.settings_file import is_there
    from tunnel_client.settings.config import FILE_NAME

    folder = user_config_folder()
    if folder is None:
        raise ConfigError("", f"{NO_HOME}, so there is no file either")
    path = folder / FILE_NAME
    return path, is_there(path)


_COMMANDS: Final[Mapping[str, Callable[[Asked], ClientConfig | int]]] = {
    HTTP: _http,
    RELEASE: _release,
    **dict.fromkeys((LOGIN, LOGOUT, STATUS), _login),
    **showing.ConfigCommands(TABLE, _checked, _place).by_name,
}
