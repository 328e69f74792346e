"""The tokens in the store: each change is one transaction, so that of two commands both are done.

What a command changes is on the disk when it returns. Every function may raise sqlite3.Error.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from protocol.errors import TunnelError
from tunnel_server.owners.stored_tokens import Secret, StoredToken, StoredTokens
from tunnel_server.owners.transactions import transaction

SCHEMA: Final = (
    """
    CREATE TABLE token (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL UNIQUE,
        owner TEXT NOT NULL,
        names TEXT NOT NULL,
        limits TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        expires_at INTEGER,
        revoked_at INTEGER,
        last_used_on TEXT NOT NULL
    ) STRICT
    """,
    # That of a token that was deleted stays: see `stored_tokens`.
    """
    CREATE TABLE secret (
        digest BLOB PRIMARY KEY,
        token INTEGER NOT NULL,
        ends_at INTEGER
    ) STRICT
    """,
)

_TOKENS: Final = """
    SELECT id, name, owner, names, limits, created_at, expires_at, revoked_at, last_used_on
    FROM token ORDER BY id
"""
_CREATE: Final = """
    INSERT INTO token (name, owner, names, limits, created_at, expires_at, last_used_on)
    VALUES (?, ?, ?, ?, ?, ?, '')
"""


class TokenRefusedError(TunnelError):
    """The tokens are not such that this can be done; its text is for the person."""


class NewToken(NamedTuple):
    """A token to make; see `StoredToken`."""

    name: str
    owner: str
    names: tuple[str, ...] = ()
    limits: str = ""
    expires_at: int | None = None


class TokenTable:
    """The tokens of an open store."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __repr__(self) -> str:
        return f"<TokenTable of {self._connection!r}>"

    def all(self) -> StoredTokens:
        """All of them, the oldest first, and their secrets; of one moment."""
        with transaction(self._connection, reads=True):
            rows = self._connection.execute(_TOKENS).fetchall()
            secrets = self._connection.execute("SELECT digest, token, ends_at FROM secret")
            return StoredTokens(tuple(map(_token, rows)), tuple(Secret(*row) for row in secrets))

    def create(self, new: NewToken, digest: bytes, now: int) -> None:
        """Make a token. Raises TokenRefusedError: there is one of this name, or this secret."""
        with transaction(self._connection):
            self._insert(new, digest, now)

    def rotate(self, name: str, digest: bytes, now: int, grace_s: int) -> StoredToken:
        """Give a token another secret. Those before it end now, or after `grace_s` at the latest.

        Raises:
            TokenRefusedError: there is none of this name, or it is revoked.
        """
        with transaction(self._connection):
            token = self._named(name)
            if token.revoked_at is not None:
                raise TokenRefusedError(f"{name} is revoked: make a new token (token create)")
            end = now + grace_s
            self._connection.execute(
                "UPDATE secret SET ends_at = ?"
                " WHERE token = ? AND (ends_at IS NULL OR ends_at > ?)",
                (end, token.id, end),
            )
            self._put_secret(digest, token.id)
        return token

    def revoke(self, name: str, now: int) -> StoredToken:
        """End a token for good. One that is revoked stays as it is.

        Raises:
            TokenRefusedError: there is none of this name.
        """
        with transaction(self._connection):
            token = self._named(name)
            self._connection.execute(
                "UPDATE token SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL",
                (now, token.id),
            )
        return token

    def delete(self, name: str, now: int) -> StoredToken:
        """Forget a token that has ended; its secrets are good no more, whatever happens.

        Raises:
            TokenRefusedError: there is none of this name, or it is good still.
        """
        with transaction(self._connection):
            token = self._named(name)
            if token.state(now) == "good":
                raise TokenRefusedError(f"{name} is good still: revoke it first (token revoke)")
            self._connection.execute("DELETE FROM token WHERE id = ?", (token.id,))
        return token

    def add_all(self, news: Mapping[bytes, NewToken], now: int) -> tuple[list[str], list[str]]:
        """Make those, by digest, whose secrets are not known: all of them, or none.

        Returns:
            the names of those that were made, and of those whose secrets were known.

        Raises:
            TokenRefusedError: another token has the name of one.
        """
        made, known = [], []
        with transaction(self._connection):
            for digest, new in news.items():
                if self._has_secret(digest):
                    known.append(new.name)
                else:
                    self._insert(new, digest, now)
                    made.append(new.name)
        return made, known

    def used(self, dates: Iterable[tuple[int, str]]) -> None:
        """Write down on which dates tokens, by number, were used; in the caller's transaction."""
        self._connection.executemany(
            "UPDATE token SET last_used_on = ? WHERE id = ?", [(on, id_) for id_, on in dates]
        )

    def _insert(self, new: NewToken, digest: bytes, now: int) -> None:
        values = (new.name, new.owner, ",".join(new.names), new.limits, now, new.expires_at)
        try:
            cursor = self._connection.execute(_CREATE, values)
        except sqlite3.IntegrityError:
            text = f"there is a token {new.name} already: choose another name, or rotate it"
            raise TokenRefusedError(text) from None
        assert cursor.lastrowid is not None
        self._put_secret(digest, cursor.lastrowid)

    def _put_secret(self, digest: bytes, token: int) -> None:
        if self._has_secret(digest):
            raise TokenRefusedError("this secret was a token's before: make a new one")
        self._connection.execute("INSERT INTO secret VALUES (?, ?, NULL)", (digest, token))

    def _has_secret(self, digest: bytes) -> bool:
        found = self._connection.execute("SELECT 1 FROM secret WHERE digest = ?", (digest,))
        return found.fetchone() is not None

    def _named(self, name: str) -> StoredToken:
        rows = self._connection.execute(f"SELECT * FROM ({_TOKENS}) WHERE name = ?", (name,))  # noqa: S608  # our own text
        row = rows.fetchone()
        if row is None:
            raise TokenRefusedError(f"there is no token {name}; token list shows all")
        return _token(row)


def _token(row: tuple[object, ...]) -> StoredToken:
    id_, name, owner, names, *rest = row
    patterns = tuple(str(names).split(",")) if names else ()
    return StoredToken(id_, name, owner, patterns, *rest)  # type: ignore[arg-type]  # STRICT has checked
