"""The commands of whoever runs the server, from a command line to what it prints.

They go to the server that runs. Where none does, those about names go to its store.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any, Final

import trio

from protocol.program.private_files import as_owner_of, check_place
from tunnel_server.admin.asking import NotDoneError, ask_each, ask_one, do_in_store
from tunnel_server.admin.control_socket import control_place, places_in
from tunnel_server.admin.showing import (
    safe,
    said_of_gift,
    said_of_release,
    shown_names,
    shown_status,
)
from tunnel_server.admin.token_texts import shown_sessions
from tunnel_server.listening.local import PlaceError, SocketPlace
from tunnel_server.owners.store import FILE_NAME, open_store
from tunnel_server.settings.config import ServerConfig

_NO_SERVER: Final = "(no server runs; this is of names under {})"


class Operator:
    """Runs commands for a person. Each returns the text to print.

    Args:
        config: where the state folder is, and whose names are meant.
        bind: the address of the server that is meant; None: the only one of the folder.
        as_json: print what the server answers as it is.
        says_domain: the config's domain is meant, and not whatever the server has.

    Raises:
        NotDoneError: by each of them, as also StoreUnusableError and UnsafePathError.
    """

    def __init__(
        self, config: ServerConfig, bind: str | None, *, as_json: bool, says_domain: bool = False
    ) -> None:
        self._config = config
        self._bind = bind
        self._as_json = as_json
        self._beside = {"names_under": config.apex} if says_domain else {}

    def __repr__(self) -> str:
        return f"<Operator of {self._bind or 'the server'} in {self._config.state_dir}>"

    def status(self) -> str:
        """Say how each server is."""
        folder = self._config.state_dir
        with as_owner_of(folder / FILE_NAME):
            servers = trio.run(ask_each, self._places, {"do": "status"})
        if not servers:
            raise NotDoneError(f"{self._nobody}; those of other users have others")
        if self._as_json:
            return "\n".join(json.dumps(server) for server in servers)
        with _reading():
            return shown_status(servers)

    def list_sessions(self) -> str:
        """The sessions of the server."""
        answer = self._ask({"do": "sessions"})
        with _reading():
            return json.dumps(answer) if self._as_json else shown_sessions(answer)

    def close(self, name: str) -> str:
        """Take a name from the client that serves under it."""
        answer = self._ask({"do": "close", "name": name})
        with _reading():
            text = (
                f"{name} is closed; it stays {answer['owner']}'s. token revoke keeps somebody out"
            )
            return self._said(answer, [text])

    def drain(self) -> str:
        """Stop the server, as SIGTERM does."""
        answer = self._ask({"do": "drain"})
        with _reading():
            text = f"it stops, and waits up to {answer['drain_timeout_s']:g} s for open requests"
            return self._said(answer, [text])

    def list_names(self) -> str:
        """Names that are kept, or live."""
        answer = self._do({"do": "names"})
        with _reading():
            return self._said(answer, shown_names(answer["names"]).split("\n"))

    def release_name(self, name: str) -> str:
        """Make a name nobody's."""
        answer = self._do({"do": "release", "name": name})
        with _reading():
            return self._said(answer, said_of_release(name, answer))

    def give_name(self, name: str, owner: str) -> str:
        """Make a name this owner's, whoever's it was."""
        answer = self._do({"do": "give", "name": name, "owner": owner})
        with _reading():
            return self._said(answer, said_of_gift(name, answer))

    def _said(self, answer: Mapping[str, Any], text: list[str]) -> str:
        if self._as_json:
            return json.dumps(answer)
        if "store_of" in answer:
            text = [*text, _NO_SERVER.format(answer["store_of"])]
        return safe(text)

    @property
    def _places(self) -> dict[str, SocketPlace]:
        folder, trusted = self._config.state_dir, self._config.trust_state_dir
        if self._bind is not None:
            return {self._bind: control_place(folder, self._bind, trusted=trusted)}
        return self._all_places

    @property
    def _all_places(self) -> dict[str, SocketPlace]:
        folder, trusted = self._config.state_dir, self._config.trust_state_dir
        try:
            return places_in(folder, trusted=trusted)
        except PlaceError as error:
            raise NotDoneError(str(error)) from None

    @property
    def _nobody(self) -> str:
        on = f" on {self._bind}" if self._bind else ""
        return f"no server runs{on} with the state folder {self._config.state_dir} (--state-dir)"

    def _ask(self, command: Mapping[str, Any]) -> Mapping[str, Any]:
        """Ask the server that runs; there has to be one."""
        with as_owner_of(self._config.state_dir / FILE_NAME):
            answer = trio.run(ask_one, self._places, command)
        if answer is None:
            raise NotDoneError(self._nobody)
        return answer

    def _do(self, command: Mapping[str, Any]) -> Mapping[str, Any]:
        folder = self._config.state_dir
        with as_owner_of(folder / FILE_NAME):
            answer = trio.run(ask_one, self._places, {**command, **self._beside})
            if answer is None:
                self._check_that_none_runs()
                return self._do_in_store(command)
            return answer

    def _check_that_none_runs(self) -> None:
        """Write no store behind the back of a server that has it, on whatever address."""
        if others := trio.run(ask_each, self._all_places, {"do": "status"}):
            where = " and ".join(str(other["bind"]) for other in others)
            raise NotDoneError(f"{self._nobody}; --bind asks the one that runs on {where}")

    def _do_in_store(self, command: Mapping[str, Any]) -> Mapping[str, Any]:
        path, domain = self._config.state_dir / FILE_NAME, self._config.names_key
        if not os.path.lexists(path):
            text = f"{self._nobody}, and none has: start it once, and its names have a store"
            raise NotDoneError(text)
        if not self._config.trust_state_dir:
            check_place(path, links=False)
        try:
            with closing(open_store(path)) as store:
                answer = do_in_store(store, domain, self._config.keep_names_s, command)
                return {**answer, "store_of": domain}
        except NotDoneError as error:
            raise NotDoneError(f"{error} {_NO_SERVER.format(domain)}") from None
        except sqlite3.Error as error:
            raise NotDoneError(f"{path} cannot be written: {error}") from None


@contextmanager
def _reading() -> Iterator[None]:
    """A server of another version may answer something else than this one expects."""
    try:
        yield
    except (KeyError, TypeError, AttributeError):
        text = "the server's answer is not one that this version can read; --json shows it"
        raise NotDoneError(text) from None
