"""The commands `token ...`, from what was asked for to what is printed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

from protocol.errors import ConfigError
from protocol.program.command_line import Asked
from protocol.program.process import EXIT_FAILED
from protocol.program.showing import wants_json
from tunnel_server.admin.token_answers import Answer
from tunnel_server.admin.token_desk import TokenDesk
from tunnel_server.admin.token_texts import (
    said_of_end,
    said_of_import,
    said_of_secret,
    said_of_which,
    shown_tokens,
)
from tunnel_server.owners.authenticator import wall_time
from tunnel_server.owners.stored_tokens import parse_names
from tunnel_server.owners.token_table import NewToken
from tunnel_server.settings.config import ServerConfig
from tunnel_server.settings.rows import (
    TOKEN_CREATE,
    TOKEN_DELETE,
    TOKEN_IMPORT,
    TOKEN_LIST,
    TOKEN_REVOKE,
    TOKEN_ROTATE,
    TOKEN_WHICH,
)
from tunnel_server.settings.token_flags import EXPIRES, GRACE, INIT, NAMES, OWNER, read, word


class Done(NamedTuple):
    """A command that was done.

    Fields:
        out: for stdout.
        said: for the person, beside it; "": nothing.
        exit_code: 1 where a server could not be told.
    """

    out: str
    said: str = ""
    exit_code: int = 0

    def __repr__(self) -> str:
        return f"<Done, exit code {self.exit_code}>"  # there may be a secret in it


def do_token_command(asked: Asked, config: ServerConfig, stdin: Callable[[], str]) -> Done:
    """Do a command. Raises NotDoneError and ConfigError, and as `TokenDesk` does.

    Args:
        config: of the server that is meant.
        stdin: reads a secret.
    """
    if asked.command == TOKEN_IMPORT and asked.words:
        config = replace(config, auth_file=Path(asked.words[0]))
        if not config.tokens_file.exists():
            raise ConfigError("FILE", f"takes a file that is there, not {config.tokens_file}")
    desk = TokenDesk(config, makes_state=bool(read(asked, INIT)))
    answer = _ASK[asked.command](desk, asked, stdin)
    done = _told(asked, answer)
    problem = answer.get("not_told")
    if problem is None:
        return done
    late = f"it is in the store, but a server was not told of it, and sees it later: {problem}"
    return Done(done.out, f"{done.said} {late}".strip(), EXIT_FAILED)


def _told(asked: Asked, answer: Answer) -> Done:
    if wants_json(asked):
        return Done(json.dumps(answer))
    return _TOLD[asked.command](answer)


def _create(desk: TokenDesk, asked: Asked, _: Callable[[], str]) -> Answer:
    name, lives_s = word(asked), cast("float | None", read(asked, EXPIRES))
    expires_at = None if lives_s is None else int(wall_time() + lives_s)
    owner, patterns = str(read(asked, OWNER) or name), read(asked, NAMES)
    try:
        names = () if patterns is None else parse_names(str(patterns))
    except ValueError as error:
        raise ConfigError(NAMES.flag, f"{error}, not {patterns!r}") from None
    return desk.create(NewToken(name, owner, names, "", expires_at))


def _secret(answer: Answer, *, verb: str) -> Done:
    return Done(str(answer["token"]), said_of_secret(answer, verb))


Do = Callable[[TokenDesk, Asked, Callable[[], str]], Answer]

_ASK: Final[Mapping[str, Do]] = {
    TOKEN_CREATE: _create,
    TOKEN_LIST: lambda desk, asked, stdin: desk.all(),
    TOKEN_WHICH: lambda desk, asked, stdin: desk.which(stdin()),
    TOKEN_ROTATE: lambda desk, asked, stdin: desk.rotate(
        word(asked), cast("float", read(asked, GRACE))
    ),
    TOKEN_REVOKE: lambda desk, asked, stdin: desk.revoke(word(asked)),
    TOKEN_DELETE: lambda desk, asked, stdin: desk.delete(word(asked)),
    TOKEN_IMPORT: lambda desk, asked, stdin: desk.import_file(),
}
_TOLD: Final[Mapping[str, Callable[[Any], Done]]] = {
    TOKEN_CREATE: partial(_secret, verb="may connect"),
    TOKEN_LIST: lambda answer: Done(shown_tokens(answer)),
    TOKEN_WHICH: lambda answer: Done(said_of_which(answer)),
    TOKEN_ROTATE: partial(_secret, verb="connects from now on"),
    TOKEN_REVOKE: lambda answer: Done(said_of_end(answer)),
    TOKEN_DELETE: lambda answer: Done(f"{answer['name']} is forgotten."),
    TOKEN_IMPORT: lambda answer: Done(said_of_import(answer)),
}
