from __future__ import annotations

import json
from pathlib import Path

import trio
from trio.testing import wait_all_tasks_blocked

from protocol.drivers.stream import TunnelStream
from tests.edge_fakes import World, get, hello, open_world
from tunnel_server.answers.answer import OwnDetails, health
from tunnel_server.owners.auth_file import add_token
from tunnel_server.owners.tokens import digest_of, make_token
from tunnel_server.tunnels.directory import Login
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
        assert health_details(directory, BEARER) == OwnDetails("1.2.3", "alice", 0, ())
        for name, login in (("shop", ALICE), ("blog", ALICE), ("other", BOB)):
            await world.client(hello, name, login=login)
        details = health_details(directory, BEARER)
        assert details == OwnDetails("1.2.3", "alice", 2, ("blog", "shop"))
        answer = health(details)
        assert json.loads(answer.body) == {
            "status": "ok",
            "version": "1.2.3",
            "owner": "alice",
            "sessions": 2,
            "names": ["blog", "shop"],
        }


async def test_an_open_server_that_others_reach_tells_them_nothing_of_others() -> None:
    async with open_world(domain="example.com", open=True) as world:
        await world.client(hello)
        assert health_details(world.directory, None) is None
        owner = f"key:{digest_of('ti_x').hex()}"
        found = health_details(world.directory, b"Bearer ti_x")
        assert found == OwnDetails("1.2.3", owner, 0, ())


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
