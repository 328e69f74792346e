"""Transactions of the store that either happen whole or not at all."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def transaction(connection: sqlite3.Connection, *, reads: bool = False) -> Iterator[None]:
    """One that begins as a writer, so that it cannot fail in its middle for want of the lock.

    It may fail at its end: a commit waits for those who read.

    Args:
        reads: it writes nothing, and sees one moment of what others write.
    """
    connection.execute("BEGIN" if reads else "BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # SQLite has rolled back by itself after some errors, a full disk among them.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
