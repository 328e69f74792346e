"""The command line: flags in, a checked config out. The one module of the server that prints.

    tunnel-server [serve] ...          serve is what is done where no command is named
    tunnel-server status
    tunnel-server name list|release NAME|give NAME OWNER
    tunnel-server token create|rotate|revoke|delete NAME, list, which, import [FILE]
    tunnel-server sessions, close NAME, drain
    tunnel-server config check|show|path

Bad usage is one line on stderr and exit code 2. What needs trio, or checks values, is loaded when a
command is done, and not for --help.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from protocol.errors import ConfigError, TunnelError
from protocol.program import showing
from protocol.program.command_line import Asked, Command, CommandLine, asked_for
from protocol.program.process import (
    EXIT_FAILED,
    EXIT_STOPPED,
    complain,
    end_quietly,
    open_files_max,
    say,
)
from tunnel_server.settings.rows import (
    CLOSE,
    DRAIN,
    NAME_GIVE,
    NAME_LIST,
    NAME_RELEASE,
    PROGRAM,
    SERVE,
    SESSIONS,
    STATUS,
    TABLE,
    TOKEN_CREATE,
    TOKEN_ROTATE,
)
from tunnel_server.settings.token_flags import COMMANDS as TOKEN_COMMANDS

if TYPE_CHECKING:
    from pathlib import Path

    from protocol.program.settings import Gathered
    from tunnel_server.admin.operating import Operator

_SECRET_MAX_CHARS: Final = 4_096
_SEE: Final = f"; see {PROGRAM} --help"
_OF_STORE: Final = "The server that runs is asked; where none does, its store."
_LINE: Final = CommandLine(
    TABLE,
    help="Give web apps on other machines public URLs.",
    commands=(
        Command(
            SERVE,
            "Give web apps on other machines public URLs: what tunnel-client connects to.",
            epilog=f"Tokens for clients are made with: {PROGRAM} token create NAME\n\n"
            f"How it is, and whose names are: {PROGRAM} status, name list, release and give\n\n"
            f"Settings are checked and shown with: {PROGRAM} config check, show and path\n\n"
            f"{showing.epilog(TABLE, 'server.toml')}",
        ),
        *TOKEN_COMMANDS,
        Command(STATUS, "How the server is that runs here.", flags=(showing.JSON_FLAG,)),
        Command(SESSIONS, "The clients that are connected.", flags=(showing.JSON_FLAG,)),
        Command(
            CLOSE,
            "Take NAME from the client that serves under it.",
            ("NAME",),
            (showing.JSON_FLAG,),
            epilog=f"Its client ends. To keep somebody out: {PROGRAM} token revoke NAME",
        ),
        Command(DRAIN, "Stop the server, as SIGTERM does.", flags=(showing.JSON_FLAG,)),
        Command(NAME_LIST, "Whose each name is.", flags=(showing.JSON_FLAG,), epilog=_OF_STORE),
        Command(
            NAME_RELEASE,
            "Make a kept name anybody's.",
            ("NAME",),
            (showing.JSON_FLAG,),
            epilog=_OF_STORE,
        ),
        Command(
            NAME_GIVE,
            "Keep a name for an owner, whoever's it was.",
            ("NAME", "OWNER"),
            (showing.JSON_FLAG,),
            epilog="OWNER is the name of a token, or an owner that `name list` shows. NAME may be "
            f"one that is reserved. {_OF_STORE}",
        ),
        *showing.COMMANDS,
    ),
    groups={
        "name": "Look at names, and say whose they are.",
        "token": "Make tokens for clients, look at them and end them.",
        **showing.GROUP,
    },
    default=SERVE,
    there_are="there are",
    see=_SEE,
    repeats_words=True,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        argv: without the program's name; None: that of the process.

    Returns:
        The exit code: 0 stopped by the user, 1 could not start, 2 bad usage or config.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        asked = asked_for(_LINE, arguments)
        return asked if isinstance(asked, int) else _COMMANDS[asked.command](asked)
    except ConfigError as error:
        return showing.refuse(PROGRAM, arguments, error)
    except TunnelError as error:  # a place, a store or a server that cannot be used
        complain(PROGRAM, str(error))
        return EXIT_FAILED
    except KeyboardInterrupt:
        return EXIT_STOPPED
    finally:
        if argv is None:  # the process ends
            end_quietly()


def _serve(asked: Asked) -> int:
    from tunnel_server.settings.loading import load, named_as_given

    resolved = _gathered(asked).resolved
    with named_as_given(resolved):
        config = load(resolved, os.environ, os.getpid())
        # Not before the settings are right: the rest of the program takes a while to load.
        from tunnel_server.app import run

        return run(config)


def _token(asked: Asked) -> int:
    """Do a command about tokens; what is made for an auth file that was named goes there."""
    from tunnel_server.admin.token_line import do_token_command
    from tunnel_server.settings.loading import named_as_given, of_command

    if asked.command == TOKEN_CREATE and "auth_file" in asked.flags:
        return _append_token(asked)
    resolved = _gathered(asked).resolved
    with named_as_given(resolved):
        config = of_command(asked.command, resolved)
        done = do_token_command(asked, config, _secret_of_stdin)
    if failed := say(PROGRAM, done.out):
        if asked.command in (TOKEN_CREATE, TOKEN_ROTATE):
            complain(PROGRAM, f"nobody knows that token now: {PROGRAM} token rotate makes another")
        return failed
    if done.said:
        complain(PROGRAM, done.said)
    return done.exit_code


def _secret_of_stdin() -> str:
    """A token, without what is around it; on a terminal it is not shown."""
    if sys.stdin.isatty():
        from getpass import getpass

        return getpass("token: ").strip()
    return sys.stdin.readline(_SECRET_MAX_CHARS).strip()


def _append_token(asked: Asked) -> int:
    from protocol.program.private_files import as_owner_of
    from tunnel_server.owners.auth_file import NAME_RULE, add_token
    from tunnel_server.owners.places import check_tokens
    from tunnel_server.owners.tokens import TOKEN_RANDOM_BYTES, make_token
    from tunnel_server.settings.loading import named_as_given, of_command

    for flag in sorted(set(asked.own) - {showing.JSON_FLAG.name}):
        raise ConfigError(f"--{flag}", "is for tokens of the store, not of --auth-file")
    if not asked.words:
        raise ConfigError("NAME", f"is missing; allowed: {NAME_RULE}{_SEE}")
    (name,), resolved = asked.words, _gathered(asked).resolved
    token = make_token(os.urandom(TOKEN_RANDOM_BYTES))
    with named_as_given(resolved):
        config = of_command(TOKEN_CREATE, resolved)
        auth_file = config.tokens_file
        with as_owner_of(auth_file):
            check_tokens(config, auth_file)
            add_token(auth_file, name, token)
    if say(PROGRAM, token) != EXIT_STOPPED:
        complain(PROGRAM, f"nobody knows the token of {name} now: take its line out of {auth_file}")
        return EXIT_FAILED
    said = (
        f"{name} may connect with this token now. It is shown this once; {auth_file} has its hash."
    )
    complain(PROGRAM, said)
    return 0


def _operate(do: Callable[[Operator, Sequence[str]], str], asked: Asked) -> int:
    """Do a command with a server that runs, or with its store."""
    from tunnel_server.admin.operating import Operator
    from tunnel_server.settings.loading import named_as_given, of_command

    takes = next(command.words for command in _LINE.commands if command.name == asked.command)
    for missing in takes[len(asked.words) :]:
        raise ConfigError(missing, f"is missing; see {PROGRAM} {asked.command} --help")
    resolved = _gathered(asked).resolved
    with named_as_given(resolved):
        config = of_command(asked.command, resolved)
    bind = config.bind if "bind" in resolved and config.bind_port else None
    says_domain = not {"domain", "public_url"}.isdisjoint(resolved)
    as_json = showing.wants_json(asked)
    operator = Operator(config, bind, as_json=as_json, says_domain=says_domain)
    return say(PROGRAM, do(operator, asked.words))


def _gathered(asked: Asked) -> Gathered:
    from tunnel_server.settings.loading import gather

    gathered = gather(asked.flags, os.environ)
    showing.warn(PROGRAM, gathered.warnings)
    return gathered


def _checked(asked: Asked) -> Gathered:
    """The settings, after all that can be checked of them without serving."""
    from protocol.program.logs import set_up_logging
    from tunnel_server.owners.places import check_state, open_authenticator
    from tunnel_server.settings.loading import load, named_as_given
    from tunnel_server.visitors.edge import shortage_to_come

    set_up_logging()  # what is odd about a file is told there
    gathered = _gathered(asked)
    with named_as_given(gathered.resolved):
        config = load(gathered.resolved, os.environ, os.getpid())
        tls = config.tls_context()
        open_authenticator(config)
        check_state(config)
    if tls is not None:
        from tunnel_server.settings.certificate import certificate_warning

        now = time.time()  # noqa: TID251  # that of the wall: a certificate's dates are
        showing.warn(PROGRAM, filter(None, [certificate_warning(config, tls, now)]))
    if (shortage := shortage_to_come(config, open_files_max(raised=True))) is not None:
        showing.warn(PROGRAM, [shortage])
    return gathered


def _place(asked: Asked) -> tuple[Path, bool]:
    from tunnel_server.settings.loading import file_path

    return file_path(asked.flags, os.environ)


_COMMANDS: Final[Mapping[str, Callable[[Asked], int]]] = {
    SERVE: _serve,
    **{command.name: _token for command in TOKEN_COMMANDS},
    SESSIONS: partial(_operate, lambda operator, _: operator.list_sessions()),
    CLOSE: partial(_operate, lambda operator, words: operator.close(*words)),
    DRAIN: partial(_operate, lambda operator, _: operator.drain()),
    STATUS: partial(_operate, lambda operator, _: operator.status()),
    NAME_LIST: partial(_operate, lambda operator, _: operator.list_names()),
    NAME_RELEASE: partial(_operate, lambda operator, words: operator.release_name(*words)),
    NAME_GIVE: partial(_operate, lambda operator, words: operator.give_name(*words)),
    **showing.ConfigCommands(TABLE, _checked, _place).by_name,
}
