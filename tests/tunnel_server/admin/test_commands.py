"""Commands in a server that runs: its edge, with sessions in memory."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from protocol.limits import MEMORY_LENT_BYTES
from protocol.mux.memory import Memory
from tests.edge_fakes import ALICE, World, hello, open_world
from tunnel_server.admin.commands import Commands
from tunnel_server.owners.authenticator import Authenticator
from tunnel_server.owners.names import Kept
from tunnel_server.owners.store import FILE_NAME, Store, StoreContent, open_store
from tunnel_server.owners.store_writer import StoreWriter
from tunnel_server.owners.token_table import NewToken
from tunnel_server.tunnels.directory import Login
from tunnel_server.tunnels.parking import PARKED_MAX
from tunnel_server.tunnels.resumes import HELD_MAX
from tunnel_server.visitors.revoking import end_what_passes

DOMAIN = "example.com"
DIGEST = bytes(32)


class FullDisk(Store):
    def write(self, *what: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")


def commands_of(world: World) -> Commands:
    """Commands to a server that keeps names in memory."""
    return made(world, None)


def made(
    world: World, writer: StoreWriter | None, stop: Callable[[], None] = lambda: None
) -> Commands:
    end, shares = partial(end_what_passes, world.edge), world.edge.crowd.shares
    return Commands(world.directory, shares, 8080, writer, end, stop)


@asynccontextmanager
async def writing_to(store: Store) -> AsyncIterator[tuple[World, Commands]]:
    with closing(store):
        async with open_world(domain=DOMAIN, open=True) as world:
            writer = StoreWriter(store, DOMAIN, lambda _: None)
            world.directory.names._changed = writer.changed
            world.tasks.start_soon(writer.run)
            yield world, made(world, writer)


def names_in(path: Path) -> dict[str, Kept]:
    with closing(open_store(path)) as store:
        return store.names_of(DOMAIN)


async def test_status_counts_and_says_who_may_connect() -> None:
    async with open_world(domain=DOMAIN, open=True) as world:
        await world.client(hello, "shop")
        world.directory.names.claimed("bob", "blog", 0, chosen=True)
        status = await commands_of(world).answer({"do": "status"})
    shares: Any = status.pop("shares")
    assert list(shares) == [
        *("places", "served_requests"),
        *("session_connections", "held_sessions", "parked_requests", "memory_bytes"),
    ]
    assert status == {
        "bind": "127.0.0.1:8080",
        "url": "http://example.com:8080",
        "tokens_needed": False,
        "public_by": "its domain is example.com",
        "version": "1.2.3",
        "sessions": 1,
        "streams": 0,
        "unacked_bytes": 0,
        "held_sessions": 0,
        "parked_requests": 0,
        "names": 1,
        "kept_names": 1,
        "store": "none",
    }


async def test_status_counts_the_shares_and_says_who_has_most() -> None:
    async with open_world(domain=DOMAIN, open=True, max_connections=8, max_sessions=2) as world:
        world.directory.clients.take("ann", "192.0.2.9/32")
        places = [world.edge.crowd.enter("192.0.2.1/32", lambda: None) for _ in range(6)]
        assert None not in places
        world.directory.memory.lender("bob").take(Memory(), 100)
        shares: Any = (await commands_of(world).answer({"do": "status"}))["shares"]
        assert shares["places"] == share(8, 6, "192.0.2.1/32", 6, full=True)
        assert shares["served_requests"] == share(8, 0)
        assert shares["session_connections"] == share(2, 1, "ann", 1)
        assert shares["held_sessions"] == share(HELD_MAX, 0)
        assert shares["parked_requests"] == share(PARKED_MAX, 0)
        assert shares["memory_bytes"] == share(MEMORY_LENT_BYTES, 100, "bob", 100)


def share(
    most: int, taken: int, heaviest: str | None = None, has: int = 0, *, full: bool = False
) -> dict[str, object]:
    counted = {"most": most, "taken": taken, "heaviest": heaviest, "has": has}
    return {**counted, "at_its_share": full}


async def test_live_names_are_listed_with_their_owners() -> None:
    async with open_world(domain=DOMAIN, open=True) as world:
        await world.client(hello, "shop")
        answer = await commands_of(world).answer({"do": "names"})
    names: Any = answer["names"]
    assert [(name["name"], name["owner"], name["live"]) for name in names] == [
        ("shop", ALICE.owner, True)
    ]


async def test_a_change_is_answered_once_the_store_has_it(tmp_path: Path) -> None:
    path = tmp_path / FILE_NAME
    async with writing_to(open_store(path)) as (_, commands):
        answer = await commands.answer({"do": "give", "name": "shop", "owner": "bob"})
        assert answer == {"owner": "bob", "held_by": None, "known": False, "store": "ok"}
        assert names_in(path)["shop"][:2] == ("bob", True)
        answer = await commands.answer({"do": "release", "name": "shop"})
        assert answer == {"owner": "bob", "held_by": None, "store": "ok"}
        assert names_in(path) == {}


async def test_a_change_that_the_disk_does_not_take_holds_and_says_so(tmp_path: Path) -> None:
    open_store(tmp_path / FILE_NAME).close()
    connection = sqlite3.connect(tmp_path / FILE_NAME, check_same_thread=False)
    async with writing_to(FullDisk(connection, tmp_path / FILE_NAME)) as (world, commands):
        answer = await commands.answer({"do": "give", "name": "shop", "owner": "bob"})
        assert answer["store"] == "failing"
        kept = world.directory.names.get("shop")
        assert kept is not None
        assert kept.owner == "bob"
        assert (await commands.answer({"do": "status"}))["store"] == "failing"


@pytest.mark.parametrize("asked", [{}, {"do": "reboot"}, {"do": 7}, {"do": ["names"]}])
async def test_an_unknown_command_is_told(asked: dict[str, object]) -> None:
    async with open_world() as world:
        with pytest.raises(ValueError, match="this server knows no command"):
            await commands_of(world).answer(asked)
        await trio.lowlevel.checkpoint()


async def test_a_command_for_another_domain_is_refused(tmp_path: Path) -> None:
    async with writing_to(open_store(tmp_path / FILE_NAME)) as (_, commands):
        for asked in ({"do": "names"}, {"do": "give", "name": "shop", "owner": "bob"}):
            with pytest.raises(ValueError, match=f"has names under {DOMAIN}, not other.example"):
                await commands.answer({**asked, "names_under": "other.example"})
            await commands.answer({**asked, "names_under": DOMAIN})
            await commands.answer({**asked, "names_under": None})


async def test_a_server_that_gives_way_changes_no_name_any_more(tmp_path: Path) -> None:
    """The other one may have read the store already."""
    async with writing_to(open_store(tmp_path / FILE_NAME)) as (world, commands):
        give = {"do": "give", "name": "shop", "owner": "bob"}
        world.directory.gate.close()
        with pytest.raises(ValueError, match="another one takes its place: ask again"):
            await commands.answer(give)
        await commands.answer({"do": "names"})
        await world.directory.gate.open()
        await commands.answer(give)
        await world.directory.drain()
        with pytest.raises(ValueError, match="this server stops"):
            await commands.answer(give)


# --- tokens and sessions -------------------------------------------------------------------------


async def test_tokens_are_read_again_and_what_is_not_allowed_any_more_has_ended(
    tmp_path: Path,
) -> None:
    authenticator = Authenticator(None, everybody=False, wall=lambda: 0.0)
    with closing(open_store(tmp_path / FILE_NAME)) as store:
        store.tokens.create(NewToken("ann", "ann"), DIGEST, 0)
        async with open_world(domain=DOMAIN) as world:
            world.directory._ownership = authenticator
            writer = StoreWriter(store, DOMAIN, lambda content: authenticator.read(content.tokens))
            commands = made(world, writer)
            assert await commands.answer({"do": "reload-tokens"}) == {"ended": 0}
            client = await world.client(hello, "shop")
            login = Login("ann", DIGEST)
            world.directory.sessions[client.server] = login
            rows: Any = (await commands.answer({"do": "sessions"}))["sessions"]
            [row] = rows
            assert (row["owner"], row["token"], row["names"]) == ("ann", "ann", ["shop"])
            assert (row["connected"], row["requests"]) == (True, 0)
            store.tokens.revoke("ann", 0)
            assert await commands.answer({"do": "reload-tokens"}) == {"ended": 1}
            assert client.server.closed_reason == "its token is not valid any more"


async def test_a_store_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    class Unreadable(Store):
        def content(self, domain: str) -> StoreContent:
            raise sqlite3.OperationalError("disk I/O error")

    open_store(tmp_path / FILE_NAME).close()
    connection = sqlite3.connect(tmp_path / FILE_NAME, check_same_thread=False)
    async with writing_to(Unreadable(connection, tmp_path / FILE_NAME)) as (world, commands):
        with pytest.raises(ValueError, match=r"cannot read its store \(disk I/O error\)"):
            await commands.answer({"do": "reload-tokens"})
        with pytest.raises(ValueError, match="this server has no store"):
            await commands_of(world).answer({"do": "reload-tokens"})


async def test_a_name_is_closed_and_stays_its_owners() -> None:
    async with open_world(domain=DOMAIN, open=True) as world:
        client = await world.client(hello, "shop")
        commands = commands_of(world)
        owner = world.directory.owner_of("shop")
        assert await commands.answer({"do": "close", "name": "shop"}) == {"owner": owner}
        with trio.fail_after(5):
            while not client.released:
                await trio.testing.wait_all_tasks_blocked()
        assert client.released[0].code == "closed"
        for name, why in (("shop", "nobody serves under shop"), ("a b", "is no name")):
            with pytest.raises(ValueError, match=why):
                await commands.answer({"do": "close", "name": name})


async def test_the_server_is_stopped_when_the_answer_has_left() -> None:
    stopped: list[bool] = []
    async with open_world(domain=DOMAIN, open=True) as world:
        commands = made(world, None, lambda: stopped.append(True))
        await commands.answer({"do": "status"})
        commands.answered()
        assert stopped == []
        said = await commands.answer({"do": "drain"})
        assert said == {"drain_timeout_s": world.edge.config.drain_timeout_s}
        assert stopped == []
        commands.answered()
        assert stopped == [True]
