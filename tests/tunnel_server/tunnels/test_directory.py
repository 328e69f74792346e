from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest
from trio.testing import wait_all_tasks_blocked

from protocol.drivers.session import Session
from protocol.mux.messages import Claim, Refused
from tests.edge_fakes import World, get, hello, make_edge, open_world, tunnel_error
from tunnel_server.answers.refusal import Refusal
from tunnel_server.app import build_directory
from tunnel_server.owners.auth_file import add_token
from tunnel_server.owners.names import OF_ADDRESS_MAX, Kept
from tunnel_server.owners.store import open_store
from tunnel_server.owners.tokens import digest_of, make_token
from tunnel_server.settings.config import ServerConfig
from tunnel_server.tunnels import registry as registry_module
from tunnel_server.tunnels.directory import RESERVED, Directory, Login
from tunnel_server.visitors.requests import missing

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
    directory, _ = build_directory(edge.config, Landlord(), None)
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


# --- names that are kept -------------------------------------------------------------------------

ANN, BOB = (Login(name, digest_of(name)) for name in ("ann", "bob"))


class Clients:
    """One session that is several owners', one after the other, without its wire."""

    def __init__(self, world: World, session: Session) -> None:
        self.directory = world.directory
        self._session = session

    def claim(self, login: Login, name: str, *, default: str = "", number: int = 9) -> str:
        """The code of the refusal, or the name."""
        self.directory.sessions[self._session] = login
        claim = Claim(number, name, b"i" * 16, True, {}, default)
        answer = self.directory.claim(self._session, claim)
        return answer.code if isinstance(answer, Refused) else answer.name

    def leave(self) -> None:
        self.directory.release(self._session)


@asynccontextmanager
async def clients(**settings: Any) -> AsyncIterator[Clients]:
    async with open_world(**settings) as world:
        yield Clients(world, (await world.client(hello, "other")).server)


async def test_a_name_that_went_is_no_other_owners(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    async with clients() as of:
        assert of.claim(ANN, "shop") == "shop"
        of.leave()
        assert of.claim(BOB, "shop") == "name-taken"
        assert "shop is kept for ann, away since 20" in caplog.text
        assert "`tunnel-server name release shop` frees it" in caplog.text
        assert of.claim(ANN, "shop") == "shop"


async def test_where_names_are_not_kept_it_is_free_at_once() -> None:
    async with clients(keep_names_s=0) as of:
        of.claim(ANN, "shop")
        of.leave()
        assert of.claim(BOB, "shop") == "shop"


async def test_a_name_is_made_up_if_it_is_the_default_or_the_servers() -> None:
    async with clients() as of:
        of.claim(ANN, "shop", default="otter", number=11)
        of.claim(ANN, "otter", default="otter", number=12)
        made = of.claim(ANN, "", number=13)
        names = of.directory.names
        assert names.get("shop") == Kept("ann", True, ANY)
        assert names.get("otter") == Kept("ann", False, ANY)
        assert names.get(made) is None  # the server stores none that it made
        of.leave()
        assert of.claim(ANN, made, default=made, number=14) == made  # its client comes back
        assert names.get(made) == Kept("ann", False, ANY)


async def test_once_it_went_only_a_name_that_was_chosen_is_said_to_be_offline() -> None:
    async with clients() as of:
        of.claim(ANN, "shop", number=11)
        of.claim(ANN, "otter", default="otter", number=12)
        made = of.claim(ANN, "", number=13)
        of.leave()
        assert missing(of.directory, "shop").code == "tunnel-offline"
        for name in ("otter", made, "never"):
            assert missing(of.directory, name) == Refusal("tunnel-not-found")


async def test_a_client_that_shows_nothing_keeps_nothing() -> None:
    async with clients() as of:
        of.claim(Login("anonymous:1", None), "shop")
        of.leave()
        assert of.directory.names.get("shop") is None
        assert of.claim(BOB, "shop") == "shop"


async def test_a_name_that_programs_look_up_is_reserved_where_others_reach_the_server() -> None:
    async with clients(domain="example.com", open=True) as of:
        for name in sorted(RESERVED):
            assert of.claim(ANN, name) == "name-reserved"
        of.directory.names.give("www", "ann", 0.0)  # the operator's word
        assert of.claim(ANN, "www") == "www"
        assert of.claim(BOB, "www", number=10) == "name-taken"
    async with clients() as of:
        assert of.claim(ANN, "www") == "www"


async def test_no_name_is_made_up_that_is_somebodys(monkeypatch: pytest.MonkeyPatch) -> None:
    made = iter(["kept-name", "free-name"])
    monkeypatch.setattr(registry_module, "generate_name", lambda _: next(made))
    async with clients() as of:
        of.directory.names.give("kept-name", "bob", 0.0)
        assert of.claim(ANN, "") == "free-name"


async def test_what_strangers_keep_is_counted_by_their_address() -> None:
    async with clients(domain="example.com", open=True) as of:
        for number in range(OF_ADDRESS_MAX + 1):
            login = Login(f"key:{number}", digest_of(str(number)), "192.0.2.1")
            of.claim(login, f"n{number}", number=number)
            of.leave()
        assert len(of.directory.names) == OF_ADDRESS_MAX


async def test_names_of_install_keys_do_not_count_where_tokens_are_needed(tmp_path: Path) -> None:
    with closing(open_store(tmp_path / "state.db")) as store:
        kept = {"shop": Kept("key:0", True, 10**12), "blog": Kept("ann", True, 10**12)}
        store.write("localhost", kept)
        for auth_file, expected in ((None, set(kept)), (tmp_path / "tokens", {"blog"})):
            directory, _ = build_directory(ServerConfig(auth_file=auth_file), Landlord(), store)
            assert {name for name, _ in directory.names} == expected
