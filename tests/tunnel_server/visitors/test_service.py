from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from protocol.drivers.session import Session
from protocol.drivers.stream import TunnelStream
from protocol.mux.messages import Claim, Claimed
from tests.edge_fakes import World, get, hello, open_world
from tunnel_server.answers.answer import NAMES_LISTED_MAX, OwnDetails, health
from tunnel_server.owners.auth_file import add_token
from tunnel_server.owners.tokens import digest_of, make_token
from tunnel_server.tunnels.directory import Login
from tunnel_server.tunnels.owned_sessions import OwnedSessions
from tunnel_server.visitors.service import health_details

TOKEN = make_token(bytes(32))
BEARER = f"Bearer {TOKEN}".encode()
ALICE = Login("alice", digest_of(TOKEN))
BOB_TOKEN = make_token(bytes(range(32)))
BOB = Login("bob", digest_of(BOB_TOKEN))


async def test_with_a_token_health_tells_its_owners_own_and_without_one_nothing(
    tmp_path: Path,
) -> None:
    add_token(tmp_path / "tokens", "alice", TOKEN)
    add_token(tmp_path / "tokens", "bob", BOB_TOKEN)
    async with open_world(tmp_path / "tokens") as world:
        directory = world.directory
        assert health_details(directory, None) is None
        assert health_details(directory, b"Bearer wrong") is None
        assert health_details(directory, BEARER) == OwnDetails(
            "1.2.3", "alice", 0, (), 0, "alice", (), None
        )
        for name, login in (("shop", ALICE), ("blog", ALICE), ("other", BOB)):
            await world.client(hello, name, login=login)
        details = health_details(directory, BEARER)
        assert details == OwnDetails(
            *("1.2.3", "alice", 2, ("blog", "shop"), 0),
            *("alice", (), None),
        )
        answer = health(details)
        assert json.loads(answer.body) == {
            "status": "ok",
            "version": "1.2.3",
            "owner": "alice",
            "sessions": 2,
            "names": ["blog", "shop"],
            "more_names": 0,
            "token": "alice",
            "may_have": [],
            "expires": None,
        }


@pytest.mark.parametrize("more", [-1, 0, 1, 10_000])
async def test_health_lists_so_many_names_of_an_owner_and_counts_the_others(
    tmp_path: Path, more: int
) -> None:
    add_token(tmp_path / "tokens", "alice", TOKEN)
    async with open_world(tmp_path / "tokens") as world:
        await world.client(hello, "first".ljust(63, "x"), login=ALICE)
        [session] = world.directory.sessions
        for number in range(1, NAMES_LISTED_MAX + more):
            asked = Claim(number + 1, f"n{number:05}".ljust(63, "x"), bytes(16), True, {}, "")
            claimed = world.directory.claim(session, asked)
            assert isinstance(claimed, Claimed)
        details = health_details(world.directory, BEARER)
        assert isinstance(details, OwnDetails)
        assert len(details.names) == NAMES_LISTED_MAX + min(more, 0)
        assert details.names[0] == "first".ljust(63, "x")
        assert (details.sessions, details.more_names) == (1, max(more, 0))
        assert len(health(details).body) < 18 * 1024


async def test_an_owner_asks_for_its_own_and_nobody_walks_the_sessions_of_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_token(tmp_path / "tokens", "alice", TOKEN)
    add_token(tmp_path / "tokens", "bob", BOB_TOKEN)
    async with open_world(tmp_path / "tokens") as world:
        await world.client(hello, "shop", login=ALICE)
        await world.client(hello, "other", login=BOB)

        def walk(_: object) -> Iterator[Session]:
            raise AssertionError("all sessions were walked")

        monkeypatch.setattr(OwnedSessions, "__iter__", walk)
        details = health_details(world.directory, BEARER)
        monkeypatch.undo()
        assert details == OwnDetails("1.2.3", "alice", 1, ("shop",), 0, "alice", (), None)


async def test_an_open_server_that_others_reach_tells_them_nothing_of_others() -> None:
    async with open_world(domain="example.com", open=True) as world:
        await world.client(hello)
        assert health_details(world.directory, None) is None
        owner = f"key:{digest_of('ti_x').hex()}"
        found = health_details(world.directory, b"Bearer ti_x")
        assert found == OwnDetails("1.2.3", owner, 0, (), 0, None, (), None)


async def test_health_counts_sessions_and_streams(world: World) -> None:
    go = trio.Event()

    async def app(stream: TunnelStream) -> None:
        await go.wait()
        await hello(stream)

    await world.client(app)
    await world.client(hello, "other")
    visitors = [world.visit() for _ in range(3)]
    for visitor in visitors:
        await visitor.send(get())
    await wait_all_tasks_blocked()
    counts = health_details(world.directory, None)
    assert counts is not None
    assert counts[:3] == ("1.2.3", 2, 3)
    go.set()
    await wait_all_tasks_blocked()
    counts = health_details(world.directory, None)
    assert counts is not None
    assert counts[:3] == ("1.2.3", 2, 0)
