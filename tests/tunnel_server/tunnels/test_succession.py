"""Two servers with one store, in this process: what the one leaves, and the other takes up."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
import trio

from tunnel_server.owners.authenticator import Authenticator
from tunnel_server.owners.names import Kept
from tunnel_server.owners.store import Store, open_store
from tunnel_server.settings.config import ServerConfig
from tunnel_server.tunnels.assembly import build_directory
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
    store = open_store(folder / "state.db")
    server = Running(ServerConfig(), store, folder)
    assert server.writer is not None
    with closing(store):
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
        await old.succession.is_off()
        assert answered == ["claim"]


@pytest.mark.parametrize(("failures", "warned"), [(3, False), (10**6, True)], ids=["short", "long"])
async def test_a_store_that_is_locked_is_read_again_until_it_takes_too_long(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    *,
    failures: int,
    warned: bool,
) -> None:
    async with running(tmp_path) as new:
        read = Store.names_of
        tried: list[str] = []

        def locked(self: Store, domain: str) -> dict[str, Kept]:
            tried.append(repr(new.directory.gate))
            if len(tried) <= failures:
                raise sqlite3.OperationalError("database is locked")
            return read(self, domain)

        monkeypatch.setattr("tunnel_server.tunnels.succession._AGAIN_S", 0.001)
        monkeypatch.setattr("tunnel_server.tunnels.succession._READ_S", 0.05 if warned else 1e9)
        new.succession.takes_over()
        monkeypatch.setattr(Store, "names_of", locked)
        await new.succession.has_taken_over()
        text = (
            "cannot be read, so a name that was given in its last moments may go to somebody else"
        )
        assert (text in caplog.text) is warned
        assert set(tried) == {"<ClaimGate closed, 0 wait>"}
        assert warned or len(tried) == 4
        assert repr(new.directory.gate) == "<ClaimGate open>"
