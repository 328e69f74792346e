"""Two servers with one store, in this process: what the one leaves, and the other takes up."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from tunnel_server.app import build_directory
from tunnel_server.owners.authenticator import Authenticator
from tunnel_server.owners.store import Store, open_store
from tunnel_server.settings.config import ServerConfig
from tunnel_server.tunnels.directory import Directory
from tunnel_server.tunnels.succession import Succession


class Running:
    """A server, but for its sockets."""

    def __init__(self, config: ServerConfig, store: Store, folder: Path) -> None:
        authenticator = Authenticator(None, everybody=True)
        self.directory: Directory
        self.directory, self.writer = build_directory(config, authenticator, store)
        self.succession = Succession(self.directory, self.writer, folder / "note")


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Running]:
    server = Running(ServerConfig(), open_store(folder / "state.db"), folder)
    assert server.writer is not None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.writer.run)
        yield server
        nursery.cancel_scope.cancel()


async def test_what_the_old_one_gave_last_the_new_one_knows_before_it_gives_any(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as old, running(tmp_path) as new:
        new.succession.takes_over()
        old.directory.names.claimed("ann", "shop", 5.0, chosen=True)
        old.succession.begins()
        answered: list[str] = []
        for server in (old, new):
            server.directory.gate.answer(server, lambda: answered.append("claim"))
        await old.succession.is_certain()
        assert answered == []
        await new.succession.has_taken_over()
        assert answered == ["claim"]  # at the new one
        assert not new.directory.names.may_claim("bob", "shop", 6.0)
        assert repr(old.succession) == "<Succession <ClaimGate closed, 1 wait>>"


async def test_an_old_one_that_was_not_replaced_goes_on(tmp_path: Path) -> None:
    async with running(tmp_path) as old:
        answered: list[str] = []
        old.succession.begins()
        old.directory.gate.answer(old, lambda: answered.append("claim"))
        old.succession.is_off()
        assert answered == ["claim"]


async def test_a_store_that_cannot_be_read_again_costs_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def locked(*_: object) -> None:
        raise sqlite3.OperationalError("database is locked")

    async with running(tmp_path) as new:
        new.succession.takes_over()
        monkeypatch.setattr(Store, "names_of", locked)
        await new.succession.has_taken_over()
        assert (
            "what the old server wrote cannot be read: OperationalError('database is locked')"
            in caplog.text
        )
        assert repr(new.directory.gate) == "<ClaimGate open>"
