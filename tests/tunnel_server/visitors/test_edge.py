from __future__ import annotations

from pathlib import Path

import trio
from trio.testing import wait_all_tasks_blocked

from protocol.drivers.stream import TunnelStream
from tests.edge_fakes import World, get, hello, make_edge, open_world, tunnel_error
from tunnel_server.answers.answer import HealthDetails
from tunnel_server.owners.tokens import add_token, make_token
from tunnel_server.visitors.edge import Edge, Login

TOKEN = make_token(bytes(32))
BEARER = f"Bearer {TOKEN}".encode()


def guarded(folder: Path) -> Edge:
    add_token(folder / "tokens", "alice", TOKEN)
    return make_edge(folder / "tokens")


def test_its_url_is_the_apex() -> None:
    edge = make_edge()
    assert edge.public_url == "http://localhost:8080"
    assert repr(edge) == "<Edge serving 0 connections <Registry 0 held, 0 remembered>>"
    edge.draining = True
    assert repr(edge).startswith("<Edge draining")


def test_an_owner_is_who_a_token_says(tmp_path: Path) -> None:
    edge = guarded(tmp_path)
    assert edge.owner_of(BEARER) == "alice"
    assert edge.owner_of(BEARER[:-1]) is None
    assert edge.owner_of(b"Basic x") is None
    assert edge.owner_of(None) is None


def test_a_login_holds_while_its_token_does(tmp_path: Path) -> None:
    edge = guarded(tmp_path)
    login = Login("alice", BEARER)
    assert edge.is_allowed(login)
    assert not edge.is_allowed(Login("bob", BEARER))
    (tmp_path / "tokens").write_text("")
    assert not edge.is_allowed(login)


def test_where_no_token_is_needed_every_login_holds() -> None:
    assert make_edge().is_allowed(Login("anonymous:1", None))


def test_details_of_health_are_for_those_with_a_token(tmp_path: Path) -> None:
    edge = guarded(tmp_path)
    assert edge.health(None) is None
    assert edge.health(b"Bearer wrong") is None
    assert edge.health(BEARER) == HealthDetails("1.2.3", 0, 0, 0, 0, 0)


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
    health = world.edge.health(None)
    assert health is not None
    assert health[:3] == ("1.2.3", 2, 3)
    go.set()
    await wait_all_tasks_blocked()
    health = world.edge.health(None)
    assert health is not None
    assert health[:3] == ("1.2.3", 2, 0)


async def test_sessions_without_a_valid_token_end(tmp_path: Path) -> None:
    add_token(tmp_path / "tokens", "alice", TOKEN)
    async with open_world(tmp_path / "tokens") as world:
        login = Login("alice", BEARER)
        good = await world.client(hello, "good", login=login)
        bad = await world.client(hello, "bad", login=login)
        world.edge.sessions[bad.server] = Login("alice", BEARER[:-1])
        world.edge.end_revoked_sessions()
        await wait_all_tasks_blocked()
        assert good.server.closed_reason is None
        assert bad.server.closed_reason == "its token is not valid any more"
        assert world.edge.registry.find("bad") is None
        assert world.edge.registry.find("good") is not None


async def test_a_missing_tunnel_was_never_there_or_is_offline(world: World) -> None:
    answer = world.edge.missing("app", b"")
    assert (answer.status, dict(answer.fields)[b"Tunnel-Error"]) == (404, b"tunnel-not-found")
    client = await world.client(hello)
    world.edge.release(client.server)
    answer = world.edge.missing("app", b"text/html")
    assert (answer.status, dict(answer.fields)[b"Tunnel-Error"]) == (503, b"tunnel-offline")
    assert b"for 0 seconds" in answer.body


async def test_a_release_of_one_claim_leaves_the_others(world: World) -> None:
    client = await world.client(hello)
    world.edge.release(client.server, 2)
    visitor = world.visit()
    await visitor.send(get())
    assert tunnel_error(await visitor.head()) == (200, None)
