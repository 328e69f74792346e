from __future__ import annotations

from pathlib import Path

import pytest
from trio.testing import wait_all_tasks_blocked

from protocol.mux.messages import Claim, Refused
from tests.edge_fakes import World, get, hello, make_edge, open_world, tunnel_error
from tunnel_server.owners.auth_file import add_token
from tunnel_server.owners.tokens import digest_of, make_token
from tunnel_server.tunnels.directory import Directory, Login

TOKEN = make_token(bytes(32))
BEARER = f"Bearer {TOKEN}".encode()
LOGIN = Login("alice", digest_of(TOKEN))
OTHER = make_token(bytes(range(32)))


def guarded(folder: Path) -> Directory:
    add_token(folder / "tokens", "alice", TOKEN)
    return make_edge(folder / "tokens").directory


async def test_an_owner_is_who_a_token_says(tmp_path: Path) -> None:
    directory = guarded(tmp_path)
    assert directory.login_of(BEARER) == LOGIN
    assert directory.login_of(BEARER[:-1]) is None
    assert directory.login_of(b"Basic x") is None
    assert directory.login_of(None) is None


async def test_a_login_holds_while_its_token_does(tmp_path: Path) -> None:
    directory = guarded(tmp_path)
    assert directory.is_allowed(LOGIN)
    assert not directory.is_allowed(Login("bob", LOGIN.digest))
    assert not directory.is_allowed(Login("alice", None))
    (tmp_path / "tokens").write_text((tmp_path / "tokens").read_text().replace("alice", "bob"))
    directory.look_at_owners()
    assert not directory.is_allowed(LOGIN)


def test_where_no_token_is_needed_every_login_holds() -> None:
    assert make_edge().directory.is_allowed(Login("anonymous:1", None))


async def test_sessions_without_a_valid_token_end(tmp_path: Path) -> None:
    add_token(tmp_path / "tokens", "alice", TOKEN)
    async with open_world(tmp_path / "tokens") as world:
        good = await world.client(hello, "good", login=LOGIN)
        bad = await world.client(hello, "bad", login=LOGIN)
        world.directory.sessions[bad.server] = Login("bob", digest_of(OTHER))
        world.directory.look_at_owners()
        # Nothing has changed, so nobody is looked at.
        assert world.directory.registry.find("bad") is not None
        add_token(tmp_path / "tokens", "carol", OTHER)
        world.directory.look_at_owners()
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


class Landlord:
    """An Ownership that lets `app` to alice alone."""

    revision = 0

    def look(self) -> None:
        pass

    def owner_of(self, digest: bytes) -> str | None:
        return digest.hex()

    def may_claim(self, owner: str, name: str) -> bool:
        return owner == "alice" or name != "app"


@pytest.mark.parametrize(("owner", "code"), [("alice", ""), ("bob", "name-taken")])
async def test_a_name_goes_to_an_owner_who_may_have_it(owner: str, code: str) -> None:
    edge = make_edge()
    directory = Directory(edge.config, Landlord(), edge.directory.registry, version="1")
    async with open_world() as world:
        session = (await world.client(hello, "other")).server
    directory.sessions[session] = Login(owner, None)
    for name, expected in (("app", code), ("free", ""), ("", "")):
        answer = directory.claim(session, Claim(len(name), name, b"i" * 16, True, {}))
        assert getattr(answer, "code", "") == expected


async def test_of_a_server_that_stops_nobody_gets_a_name(world: World) -> None:
    session = (await world.client(hello)).server
    world.directory.drain()
    answer = world.directory.claim(session, Claim(2, "late", b"i" * 16, True, {}))
    assert answer == Refused(2, "draining", "the server stops")
    assert world.directory.registry.find("late") is None
