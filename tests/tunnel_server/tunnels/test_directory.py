from __future__ import annotations

from pathlib import Path

from trio.testing import wait_all_tasks_blocked

from tests.edge_fakes import World, get, hello, make_edge, open_world, tunnel_error
from tunnel_server.owners.tokens import add_token, make_token
from tunnel_server.tunnels.directory import Directory, Login

TOKEN = make_token(bytes(32))
BEARER = f"Bearer {TOKEN}".encode()


def guarded(folder: Path) -> Directory:
    add_token(folder / "tokens", "alice", TOKEN)
    return make_edge(folder / "tokens").directory


def test_an_owner_is_who_a_token_says(tmp_path: Path) -> None:
    directory = guarded(tmp_path)
    assert directory.owner_of(BEARER) == "alice"
    assert directory.owner_of(BEARER[:-1]) is None
    assert directory.owner_of(b"Basic x") is None
    assert directory.owner_of(None) is None


def test_a_login_holds_while_its_token_does(tmp_path: Path) -> None:
    directory = guarded(tmp_path)
    login = Login("alice", BEARER)
    assert directory.is_allowed(login)
    assert not directory.is_allowed(Login("bob", BEARER))
    (tmp_path / "tokens").write_text("")
    assert not directory.is_allowed(login)


def test_where_no_token_is_needed_every_login_holds() -> None:
    assert make_edge().directory.is_allowed(Login("anonymous:1", None))


async def test_sessions_without_a_valid_token_end(tmp_path: Path) -> None:
    add_token(tmp_path / "tokens", "alice", TOKEN)
    async with open_world(tmp_path / "tokens") as world:
        login = Login("alice", BEARER)
        good = await world.client(hello, "good", login=login)
        bad = await world.client(hello, "bad", login=login)
        world.directory.sessions[bad.server] = Login("alice", BEARER[:-1])
        world.directory.end_revoked_sessions()
        await wait_all_tasks_blocked()
        assert good.server.closed_reason is None
        assert bad.server.closed_reason == "its token is not valid any more"
        assert world.directory.registry.find("bad") is None
        assert world.directory.registry.find("good") is not None


async def test_a_release_of_one_claim_leaves_the_others(world: World) -> None:
    client = await world.client(hello)
    world.directory.release(client.server, 2)
    visitor = world.visit()
    await visitor.send(get())
    assert tunnel_error(await visitor.head()) == (200, None)
