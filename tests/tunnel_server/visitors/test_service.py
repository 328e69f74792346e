from __future__ import annotations

from pathlib import Path

import trio
from trio.testing import wait_all_tasks_blocked

from protocol.drivers.stream import TunnelStream
from tests.edge_fakes import World, get, hello, make_edge
from tunnel_server.answers.answer import HealthDetails
from tunnel_server.owners.auth_file import add_token
from tunnel_server.owners.tokens import make_token
from tunnel_server.tunnels.directory import Directory
from tunnel_server.visitors.service import health_details

TOKEN = make_token(bytes(32))
BEARER = f"Bearer {TOKEN}".encode()


def guarded(folder: Path) -> Directory:
    add_token(folder / "tokens", "alice", TOKEN)
    return make_edge(folder / "tokens").directory


async def test_details_of_health_are_for_those_with_a_token(tmp_path: Path) -> None:
    directory = guarded(tmp_path)
    assert health_details(directory, None) is None
    assert health_details(directory, b"Bearer wrong") is None
    assert health_details(directory, BEARER) == HealthDetails("1.2.3", 0, 0, 0, 0, 0)


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
    health = health_details(world.directory, None)
    assert health is not None
    assert health[:3] == ("1.2.3", 2, 3)
    go.set()
    await wait_all_tasks_blocked()
    health = health_details(world.directory, None)
    assert health is not None
    assert health[:3] == ("1.2.3", 2, 0)
