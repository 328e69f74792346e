"""The store: a SQLite file with kept names and tokens. All of it runs in a worker thread.

SQLite without a write-ahead log: with one, a start on a full disk could not even read, and writes
to a file that was deleted succeeded into nothing. A dozen writes a day need none.

A file that is damaged, empty, another program's or a newer version's is never used: the server
does not start, since with an empty store everybody's names would be free. SQLite itself opens a
file that was cut to nothing as a new one, so a store is made under another name and linked into its
place.
"""

from __future__ import annotations

import os
import secrets
import shlex
import sqlite3
from collections.abc import Mapping
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from types import MappingProxyType
from typing import Final, NamedTuple

from protocol.errors import TunnelError
from tunnel_server.owners.names import Change, Kept, Seen
from tunnel_server.owners.stored_tokens import StoredTokens
from tunnel_server.owners.token_table import SCHEMA, TokenTable
from tunnel_server.owners.transactions import transaction

FILE_NAME: Final = "state.db"
APPLICATION_ID: Final = 0x7474756E  # "ttun"
BUSY_S: Final = 2.0
_LATEST: Final = 253_370_764_800  # the year 9999

# One for each schema, from none on. They only add: after `--replace` the old server writes on.
MIGRATIONS: Final[tuple[tuple[str, ...], ...]] = (
    (
        """
    CREATE TABLE name (
        domain TEXT NOT NULL,
        label TEXT NOT NULL,
        owner TEXT NOT NULL,
        chosen INTEGER NOT NULL,
        seen_at INTEGER NOT NULL,
        PRIMARY KEY (domain, label)
    ) STRICT
    """,
    ),
    SCHEMA,
)

_PUT: Final = """
    INSERT INTO name (domain, label, owner, chosen, seen_at) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (domain, label) DO UPDATE
    SET owner = excluded.owner, chosen = excluded.chosen, seen_at = excluded.seen_at
"""
_PUT_IF_OURS: Final = _PUT + " WHERE owner = excluded.owner"

Changes = Mapping[str, Change]
"""Names, and what has become of each."""


class StoreContent(NamedTuple):
    """All that a server reads: the kept names of its domain, and the tokens."""

    names: dict[str, Kept]
    tokens: StoredTokens


class StoreUnusableError(TunnelError):
    """There is a store, and it may not be used; its text is for the person."""


class StoreNotMadeError(TunnelError):
    """There is none, and none can be made; its text is for the person."""


class Store:
    """An open store. Every method may raise sqlite3.Error.

    Attributes:
        tokens: its tokens.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self.path = path
        self.tokens = TokenTable(connection)
        self._version = self._data_version()

    def __repr__(self) -> str:
        return f"<Store {self.path}>"

    def names_of(self, domain: str) -> dict[str, Kept]:
        """The kept names of a domain."""
        rows = self._connection.execute(
            "SELECT label, owner, chosen, seen_at FROM name WHERE domain = ?", (domain,)
        )
        # Times that no calendar has come from other hands: a date is made of them for people.
        return {
            label: Kept(owner, bool(chosen), min(max(at, 0), _LATEST))
            for label, owner, chosen, at in rows
        }

    def content(self, domain: str) -> StoreContent:
        """The kept names of a domain, and all tokens."""
        return StoreContent(self.names_of(domain), self.tokens.all())

    def write(
        self,
        domain: str,
        changes: Changes,
        owners: Mapping[str, str] | None = None,
        used_on: Mapping[int, str] = MappingProxyType({}),
    ) -> None:
        """Write names of a domain down, and which tokens were used: all of it, or nothing.

        That a name was seen is written of its owner alone: while one server drains, an operator may
        have given the name to somebody else at the next.

        Args:
            domain: of the names.
            changes: of each.
            used_on: dates on which tokens, by number, were used.
            owners: those of names that were written down, if nothing of others may be changed.
        """
        kept, seen, gone = [], [], []
        for label, name in changes.items():
            match name:
                case Kept():
                    kept.append((domain, label, name.owner, name.chosen, int(name.seen_at)))
                case Seen():
                    seen.append((int(name.seen_at), domain, label, name.owner))
                case None:
                    gone.append((domain, label, None if owners is None else owners.get(label, "")))
        with transaction(self._connection):
            self._connection.executemany(_PUT if owners is None else _PUT_IF_OURS, kept)
            self._connection.executemany(
                "UPDATE name SET seen_at = ? WHERE domain = ? AND label = ? AND owner = ?", seen
            )
            self._connection.executemany(
                "DELETE FROM name WHERE domain = ? AND label = ? AND owner = ifnull(?, owner)", gone
            )
            self.tokens.used(used_on.items())

    def has_changed(self) -> bool:
        """Whether another program has written since this was last asked."""
        before, self._version = self._version, self._data_version()
        return before != self._version

    def back_up(self, path: Path) -> None:
        """Copy the store, whole, beside those that write it. An OSError is the disk's."""
        draft = _draft_of(path)
        os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        try:
            with closing(sqlite3.connect(draft)) as copy:
                self._connection.backup(copy)
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)

    def close(self) -> None:
        self._connection.close()

    def _data_version(self) -> int:
        (version,) = self._connection.execute("PRAGMA data_version").fetchone()
        return int(version)


def open_store(path: Path) -> Store:
    """Open the store, or make it where there is none.

    Raises:
        StoreUnusableError: what is there is no whole store that this version knows.
        StoreNotMadeError: there is none, and none can be made (no space, a read-only disk).
    """
    if not _is_there(path):
        _make(path)
    try:
        return _open(path)
    except sqlite3.Error as error:
        raise StoreUnusableError(_unreadable(path, error)) from None


def check_store(path: Path) -> None:
    """Raise StoreUnusableError where `open_store` would. Nothing is made or changed."""
    if not _is_there(path):
        return
    try:
        with closing(_connect(path)) as connection:
            _check(connection, path)
    except sqlite3.Error as error:
        raise StoreUnusableError(_unreadable(path, error)) from None


def _is_there(path: Path) -> bool:
    try:
        found = path.lstat().st_size
    except FileNotFoundError:
        return False
    except OSError as error:
        raise StoreUnusableError(f"{path} cannot be looked at: {error.strerror}") from None
    if not found:
        text = f"{path} is empty: what it held is lost. Put a backup in its place"
        raise StoreUnusableError(f"{text}, or delete it, and its tokens and kept names are gone")
    return True


def _open(path: Path) -> Store:
    with ExitStack() as closing_it:
        connection = closing_it.enter_context(closing(_connect(path)))
        connection.execute("PRAGMA synchronous = FULL")
        _check(connection, path)
        if connection.execute("PRAGMA journal_mode").fetchone() == ("wal",):  # somebody's doing
            connection.execute("PRAGMA journal_mode = DELETE")
        store = Store(connection, path)
        _migrate(store, connection, path)
        closing_it.pop_all()
    return store


def _remedy(path: Path) -> str:
    found = sorted(path.parent.glob(f"{path.name}.before-*"))
    one = f" ({found[-1]} is one, of an upgrade)" if found else ""
    backup = f"put a backup in its place{one}, and delete {path}-journal"
    return f"{backup}; or delete both, and its tokens and kept names are gone"


def first_read(store: Store, domain: str) -> StoreContent:
    """The content of the store, for a server that starts. Raises StoreUnusableError."""
    try:
        return store.content(domain)
    except sqlite3.Error as error:
        raise StoreUnusableError(_unreadable(store.path, error)) from None


def _unreadable(path: Path, error: sqlite3.Error) -> str:
    if getattr(error, "sqlite_errorcode", None) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        text = f"{path} is locked by another program, for longer than {BUSY_S:g} s"
        return f"{text}: end it (fuser {path.name} names it), and try again"
    if os.path.exists(path) and not os.access(path, os.R_OK | os.W_OK):
        whose = f"{path} may not be read and written by this user"
        return f"{whose}: chown {os.geteuid()} {shlex.quote(str(path))}, or run as its owner"
    return f"{path} cannot be read ({error}); {_remedy(path)}"


def _connect(path: Path) -> sqlite3.Connection:
    # It never makes a file: mode=rw. Autocommit, so that a transaction is where one is said to be.
    # Worker threads come and go; the owner of the store lets one at a time have it.
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw",
        uri=True,
        timeout=BUSY_S,
        isolation_level=None,
        check_same_thread=False,
    )


def _check(connection: sqlite3.Connection, path: Path) -> None:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (schema,) = connection.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION_ID:
        raise StoreUnusableError(f"{path} is no store of trio-tunnel; {_remedy(path)}")
    if schema > len(MIGRATIONS):
        text = f"{path} is a newer version's (schema {schema}; this one knows {len(MIGRATIONS)})"
        raise StoreUnusableError(f"{text}; start that version, or {_remedy(path)}")
    faults = [fault for (fault,) in connection.execute("PRAGMA quick_check(1)")]
    if faults != ["ok"]:
        raise StoreUnusableError(f"{path} is damaged ({faults[0]}); {_remedy(path)}")


def _migrate(store: Store, connection: sqlite3.Connection, path: Path) -> None:
    (schema,) = connection.execute("PRAGMA user_version").fetchone()
    if schema == len(MIGRATIONS):
        return
    try:
        store.back_up(path.with_name(f"{path.name}.before-{schema + 1}"))
    except OSError as error:
        text = f"{path} cannot be brought to schema {len(MIGRATIONS)}: {error.strerror}"
        raise StoreUnusableError(text) from None
    _apply(connection, schema)


def _apply(connection: sqlite3.Connection, schema: int) -> None:
    """All migrations from this schema on, in one transaction."""
    with transaction(connection):
        (found,) = connection.execute("PRAGMA user_version").fetchone()
        for migration in MIGRATIONS[max(schema, found) :]:  # another server may have been quicker
            for statement in migration:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")


def _make(path: Path) -> None:
    """Make an empty store in one step: of two servers that start at once the first wins."""
    draft = _draft_of(path)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        try:
            with closing(_connect(draft)) as connection:
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                _apply(connection, 0)
            with suppress(FileExistsError):
                os.link(draft, path)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        raise StoreNotMadeError(_not_made(path, error.strerror or str(error))) from None
    except sqlite3.Error as error:
        raise StoreNotMadeError(_not_made(path, str(error))) from None


def _not_made(path: Path, why: str) -> str:
    lost = "names are kept in memory, for as long as this runs, and no token can be made"
    return f"{path} cannot be made ({why}): {lost}"


def _draft_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.{os.getpid()}-{secrets.token_hex(4)}")
