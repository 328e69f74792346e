"""The flags of the commands about tokens, and those commands. They are no settings of a server."""

from __future__ import annotations

from typing import Final

from protocol.errors import ConfigError
from protocol.program.command_line import Asked, Command
from protocol.program.kinds import Duration, Switch, Text
from protocol.program.settings import Setting
from protocol.program.showing import JSON_FLAG
from tunnel_server.settings.rows import (
    TOKEN_CREATE,
    TOKEN_DELETE,
    TOKEN_IMPORT,
    TOKEN_LIST,
    TOKEN_REVOKE,
    TOKEN_ROTATE,
    TOKEN_WHICH,
)

NEVER: Final = "never"
_TEN_YEARS_S: Final = 3_650 * 86_400


class _Expiry(Duration):
    """A time, or `never`."""

    def __init__(self) -> None:
        super().__init__(60, _TEN_YEARS_S)
        self.limits = f"{NEVER}, or {self.limits}"
        self.parse = self._or_never

    def _or_never(self, text: str, key: str) -> object:
        return None if text == NEVER else self._parse(text, key)


def _flag(name: str, kind: Text, text: str, default: str | None = None, unset: str = "") -> Setting:
    return Setting(name, kind, text, commands=(), default=default, unset=unset, in_file=False)


OWNER: Final = _flag("owner", Text("OWNER"), "Whose it is.", unset="NAME")
NAMES: Final = _flag(
    "names",
    Text("PATTERN,..."),
    "The names that it may have, such as demo-*,api.",
    unset="any",
)
EXPIRES: Final = _flag("expires", _Expiry(), "When it ends, from now on.", NEVER)
GRACE: Final = _flag(
    "grace",
    Duration(1, _TEN_YEARS_S, zero="it ends at once"),
    "How long the secret before it is good.",
    "0",
)
INIT: Final = _flag("init", Switch(), "Make the state folder, and a store in it.")

_ONCE: Final = "It is printed this once: the store keeps its hash alone."
COMMANDS: Final = (
    Command(
        TOKEN_CREATE,
        "Make a token for NAME, and print it.",
        ("NAME",),
        (OWNER, NAMES, EXPIRES, INIT, JSON_FLAG),
        epilog=f"{_ONCE} With --auth-file it goes into that file instead.",
    ),
    Command(TOKEN_LIST, "All tokens, and whose each is.", flags=(JSON_FLAG,)),
    Command(
        TOKEN_WHICH,
        "Say which token stdin has.",
        flags=(JSON_FLAG,),
        epilog="tunnel-server token which < FILE",
    ),
    Command(
        TOKEN_ROTATE,
        "Give a token another secret, and print it.",
        ("NAME",),
        (GRACE, JSON_FLAG),
        epilog=_ONCE,
    ),
    Command(
        TOKEN_REVOKE,
        "End a token, its sessions, and what passes by them.",
        ("NAME",),
        (JSON_FLAG,),
    ),
    Command(TOKEN_DELETE, "Forget a token that has ended.", ("NAME",), (JSON_FLAG,)),
    Command(
        TOKEN_IMPORT,
        "Copy the tokens of an auth file into the store.",
        ("FILE",),
        (INIT, JSON_FLAG),
        epilog="FILE is the server's own where none is named, and stays as it is.",
    ),
)


def read(asked: Asked, row: Setting) -> object:
    """The value of one of these flags; its default, or None. Raises ConfigError."""
    given = asked.own.get(row.name, row.default)
    return None if given is None else row.kind.read(given, row.flag)


def word(asked: Asked) -> str:
    """The word that a command needs. Raises ConfigError: it is missing."""
    if not asked.words:
        raise ConfigError("NAME", f"is missing; see tunnel-server {asked.command} --help")
    return asked.words[0]
