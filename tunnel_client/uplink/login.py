"""The commands `login`, `logout` and `status`: what is stored, and what servers say of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import trio

from protocol.errors import ConfigError
from protocol.program.process import EXIT_FAILED, EXIT_REFUSED
from tunnel_client.settings.addresses import ServerUrl, is_loopback
from tunnel_client.settings.credentials import NOT_BY_HTTP
from tunnel_client.settings.logins import Logins, StoredLogin
from tunnel_client.uplink.connect import ConnectFailed
from tunnel_client.uplink.health import TokenStanding, Way, standing_of
from tunnel_client.uplink.lookups import Lookups

WayTo = Callable[[ServerUrl], Way]

_ASK_FOR_ONE: Final = (
    "ask whoever runs it for a new one (tunnel-server token create NAME), and log in again"
)


class LoginDone(NamedTuple):
    """A command that was done.

    Fields:
        out: for stdout.
        said: a complaint for stderr; "": none.
    """

    out: str = ""
    said: str = ""
    exit_code: int = 0


class LoginDesk:
    """Does commands for a person.

    Args:
        logins: what is stored.
        way_to: how a server is reached.

    Raises:
        ConfigError: by each method; something that was given, or is stored, cannot be used.
    """

    def __init__(self, logins: Logins, way_to: WayTo) -> None:
        self._logins = logins
        self._way_to = way_to

    def __repr__(self) -> str:
        return f"<LoginDesk {self._logins!r}>"

    def login(self, server: ServerUrl, read: Callable[[], str], *, insecure: bool) -> LoginDone:
        """Have a token proved by its server, and store it. `read` gives the token.

        It is not read for a server that needs none, nor for a line on which others can read it.
        """
        if not (server.tls or is_loopback(server.host) or insecure):
            raise ConfigError("URL", NOT_BY_HTTP.format(server))
        try:
            if not self._ask(server, "").needs_token:
                return LoginDone(f"{server} needs no token, and none is stored")
            token = read()
            standing = self._ask(server, token)
        except ConnectFailed as error:
            return LoginDone(said=str(error), exit_code=EXIT_FAILED)
        if not standing.owner:
            said = f"{server} does not take this token: {_ASK_FOR_ONE}"
            return LoginDone(said=said, exit_code=EXIT_REFUSED)
        self._logins.put(server, token, insecure=insecure)
        uses = "tunnel-client uses it there from now on, and goes there where nothing else is said"
        return LoginDone(f"logged in at {server} as {_who(standing)}; {uses}")

    def logout(self, server: ServerUrl | None) -> LoginDone:
        """Forget the token of a server, of the only one where none is named."""
        if server is None:
            server = self._only()
        if self._logins.remove(server):
            return LoginDone(f"the token for {server} is forgotten")
        return LoginDone(said=f"there is no token for {server}", exit_code=EXIT_FAILED)

    def status(self, server: ServerUrl | None, *, as_json: bool) -> LoginDone:
        """Say of each server, or of this one, what it says of the token that is stored for it."""
        stored = self._logins.all()
        newest = stored[-1].server if stored else ""
        if server is not None:
            found = self._logins.of(server)
            if found is None:
                return LoginDone(said=f"there is no token for {server}", exit_code=EXIT_FAILED)
            stored = [found]
        rows = [self._row(each, is_default=each.server == newest) for each in reversed(stored)]
        exit_code = 0 if all(row["state"] == "good" for row in rows) else EXIT_FAILED
        if as_json:
            return LoginDone(json.dumps({"logins": rows}), exit_code=exit_code)
        return LoginDone(_shown(rows), exit_code=exit_code)

    def _only(self) -> ServerUrl:
        stored = self._logins.all()
        if len(stored) != 1:
            where = ", ".join(each.server for each in stored)
            are = f"you are logged in at {where}" if stored else "you are logged in nowhere"
            raise ConfigError("URL", f"is missing; {are}")
        return ServerUrl.parse(stored[0].server)

    def _ask(self, server: ServerUrl, token: str) -> TokenStanding:
        return trio.run(_ask, self._way_to(server), token)

    def _row(self, stored: StoredLogin, *, is_default: bool) -> dict[str, Any]:
        row = {"server": stored.server, "default": is_default}
        try:
            standing = self._ask(ServerUrl.parse(stored.server), stored.token)
        except ConnectFailed as error:
            return {**row, "state": "unreachable", "why": str(error)}
        if not standing.needs_token:
            return {**row, "state": "needless", "why": "it needs no token any more"}
        if not standing.owner:
            return {**row, "state": "refused", "why": f"it does not take it: {_ASK_FOR_ONE}"}
        return {
            **row,
            "state": "good",
            "owner": standing.owner,
            "token": standing.token or None,
            "may_have": list(standing.may_have),
            "expires": standing.expires,
            "names": list(standing.names),
        }


async def _ask(way: Way, token: str) -> TokenStanding:
    trio.socket.set_custom_hostname_resolver(Lookups())
    return await standing_of(way, token)


def _who(standing: TokenStanding) -> str:
    has_own_name = standing.token not in ("", standing.owner)
    return f"{standing.owner} (token {standing.token})" if has_own_name else standing.owner


def _shown(rows: Sequence[dict[str, Any]]) -> str:
    if not rows:
        return "you are logged in nowhere; tunnel-client login URL stores a token"
    return "\n".join(map(_line, rows))


def _line(row: dict[str, Any]) -> str:
    where = f"{row['server']}{' (default)' if row['default'] else ''}"
    if row["state"] != "good":
        return f"{where}: {row['state']}: {row['why']}"
    token = row["token"]
    by = f" by the token {token}" if token not in (None, row["owner"]) else ""
    may = f", for {', '.join(row['may_have'])}" if row["may_have"] else ""
    until = f", until {row['expires']}" if row["expires"] else ""
    live = f"; {', '.join(row['names'])}" if row["names"] else ""
    return f"{where}: {row['owner']}{by}{may}{until}{live}"
