"""The commands `token ...`: what they change in the store, and tell the servers that run.

A change is in the store before a server is told of it. So it holds if none runs, if one cannot be
asked, and after a crash; a server that was not told sees it within a second or two.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Final

import trio

from protocol.errors import ConfigError
from protocol.program.private_files import as_owner_of, check_place
from tunnel_server.admin.asking import NotDoneError, ask_each
from tunnel_server.admin.control_socket import places_in
from tunnel_server.admin.token_answers import Answer, TokenInFile, file_row, stored_row, utc
from tunnel_server.listening.local import PlaceError
from tunnel_server.owners.auth_file import NAME_RULE, AuthFile, is_token_name
from tunnel_server.owners.authenticator import wall_time
from tunnel_server.owners.places import check_tokens, command_of
from tunnel_server.owners.store import FILE_NAME, Store, open_store
from tunnel_server.owners.stored_tokens import StoredTokens
from tunnel_server.owners.token_table import NewToken, TokenRefusedError
from tunnel_server.owners.tokens import (
    TOKEN_RANDOM_BYTES,
    digest_of,
    fingerprint_of,
    make_token,
)
from tunnel_server.settings.config import ServerConfig

RELOAD: Final = "reload-tokens"


class TokenDesk:
    """Does commands for a person. Each returns what `--json` prints.

    What ends tokens answers with `ended_sessions`, how many there were of them, and, where a server
    could not be told, with the reason as `not_told`: what passes by it ends a little later.

    Args:
        config: where the state folder and the auth file are.
        makes_state: a state folder and a store that are not there are made.
        now: seconds since the epoch.
        random_bytes: for secrets.

    Raises:
        NotDoneError: by each of them, as also StoreUnusableError, StoreNotMadeError,
            UnsafePathError and, of the auth file, ConfigError.
    """

    def __init__(
        self,
        config: ServerConfig,
        *,
        makes_state: bool = False,
        now: Callable[[], float] = wall_time,
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._config = config
        self._makes_state = makes_state
        self._now = now
        self._random_bytes = random_bytes

    def __repr__(self) -> str:
        return f"<TokenDesk of {self._config.state_dir}>"

    def create(self, new: NewToken) -> Answer:
        """Make a token; the answer has its secret, which nobody can see again."""
        for key, name in (("NAME", new.name), ("--owner", new.owner)):
            if not is_token_name(name):
                raise ConfigError(key, f"takes {NAME_RULE}, not {name!r}")
        self._refuse_name_of_file(new.name)
        secret = make_token(self._random_bytes(TOKEN_RANDOM_BYTES))
        with self._changing(new.name) as store:
            store.tokens.create(new, digest_of(secret), int(self._now()))
            row = self._row(store, new.name)
        self._tell()  # one that is not told finds it by itself
        return {"token": secret, **row}

    def rotate(self, name: str, grace_s: float) -> Answer:
        """Give a token another secret, which the answer has; those before it have `grace_s`."""
        secret, now = make_token(self._random_bytes(TOKEN_RANDOM_BYTES)), int(self._now())
        with self._changing(name) as store:
            store.tokens.rotate(name, digest_of(secret), now, int(grace_s))
            row = self._row(store, name)
        until = utc(now + int(grace_s)) if grace_s else None
        return {"token": secret, **row, "former_until": until, **self._tell()}

    def revoke(self, name: str) -> Answer:
        """End a token; when it returns, all its sessions have ended, and what passed by them."""
        with self._changing(name) as store:
            store.tokens.revoke(name, int(self._now()))
            row = self._row(store, name)
        return {**row, **self._tell()}

    def delete(self, name: str) -> Answer:
        """Forget a token that has ended."""
        with self._changing(name) as store:
            store.tokens.delete(name, int(self._now()))
        return {"name": name, **self._tell()}

    def import_file(self) -> Answer:
        """Copy the tokens of the auth file into the store; the file stays as it is."""
        news = {each.digest: NewToken(each.name, each.name) for each in self._of_file()}
        with self._changing("") as store:
            made, known = store.tokens.add_all(news, int(self._now()))
        self._tell()
        return {"imported": made, "known": known, "from": str(self._config.tokens_file)}

    def all(self) -> Answer:
        """All tokens, of the store and of the auth file."""
        stored, now = self._stored(), self._now()
        known = {secret.digest for secret in stored.secrets}
        rows = [stored_row(token, stored, now) for token in stored.tokens]
        rows += [self._file_row(each) for each in self._of_file() if each.digest not in known]
        return {"tokens": sorted(rows, key=lambda row: str(row["name"]))}

    def which(self, secret: str) -> Answer:
        """Say which token a secret is, and whether it is good."""
        digest, stored = digest_of(secret), self._stored()
        shown = fingerprint_of(digest)
        mine = next((each for each in stored.secrets if each.digest == digest), None)
        if mine is None:
            found = next((each for each in self._of_file() if each.digest == digest), None)
            if found is None:
                raise NotDoneError(f"{shown} is no token here")
            return self._file_row(found)
        token = next((each for each in stored.tokens if each.id == mine.token), None)
        if token is None:
            raise NotDoneError(f"{shown} was a token that is deleted")
        row = {**stored_row(token, stored, self._now()), "fingerprint": shown}
        is_former = mine.ends_at is not None
        if is_former and self._now() >= (mine.ends_at or 0) and row["state"] == "good":
            row["state"] = "rotated"
        return {**row, "former_until": utc(mine.ends_at)}

    # --- what they stand on ---

    @property
    def _path(self) -> Path:
        return self._config.state_dir / FILE_NAME

    @contextmanager
    def _open(self) -> Iterator[Store]:
        path = self._path
        if not self._makes_state and not os.path.lexists(path):
            make = command_of(self._config, "token create NAME --init")
            text = f"there is no store in {self._config.state_dir} (--state-dir)"
            raise NotDoneError(f"{text}: start the server once, or make it here: {make}")
        with as_owner_of(path):
            if not self._config.trust_state_dir:
                check_place(path, links=False)
            try:
                with closing(open_store(path)) as store:
                    yield store
            except sqlite3.Error as error:
                raise NotDoneError(f"{path} cannot be used: {error}") from None

    @contextmanager
    def _changing(self, name: str) -> Iterator[Store]:
        """Say of a token that is in the auth file alone that it is changed there."""
        try:
            with self._open() as store:
                yield store
        except TokenRefusedError as error:
            if any(each.name == name for each in self._of_file()):
                text = f"{name} is in {self._config.tokens_file} alone: change its line there"
                raise NotDoneError(f"{text}, or copy it into the store (token import)") from None
            raise NotDoneError(str(error)) from None

    def _stored(self) -> StoredTokens:
        if not os.path.lexists(self._path):
            return StoredTokens()
        with self._open() as store:
            return store.tokens.all()

    def _row(self, store: Store, name: str) -> Answer:
        stored = store.tokens.all()
        token = next(each for each in stored.tokens if each.name == name)
        return stored_row(token, stored, self._now())

    def _of_file(self) -> list[TokenInFile]:
        path = self._config.tokens_file
        with as_owner_of(path):
            owners = AuthFile(path, partial(check_tokens, self._config)).owners
        return [TokenInFile(name, digest) for digest, name in owners.items()]

    def _file_row(self, each: TokenInFile) -> Answer:
        return file_row(each, self._config.tokens_file)

    def _refuse_name_of_file(self, name: str) -> None:
        if any(each.name == name for each in self._of_file()):
            file = self._config.tokens_file
            raise NotDoneError(f"{file} has a token {name} already: choose another name")

    def _tell(self) -> Answer:
        """Have all servers of the state folder take what the store has now; what came of it."""
        folder, trusted = self._config.state_dir, self._config.trust_state_dir
        try:
            with as_owner_of(self._path):
                places = places_in(folder, trusted=trusted)
                answers = trio.run(ask_each, places, {"do": RELOAD})
        except (NotDoneError, PlaceError) as error:
            return {"ended_sessions": None, "not_told": str(error)}
        return {"ended_sessions": sum(int(each.get("ended", 0)) for each in answers)}
