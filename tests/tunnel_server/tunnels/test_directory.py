from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from protocol.drivers.session import Session
from protocol.mux.events import ClaimAsked
from protocol.mux.messages import Claim, Claimed, Refused
from tests.edge_fakes import World, get, hello, make_edge, open_world, tunnel_error
from tunnel_server.answers.refusal import Refusal
from tunnel_server.owners.auth_file import add_token
from tunnel_server.owners.authenticator import KEY, Authenticator
from tunnel_server.owners.names import OF_ADDRESS_MAX, Kept
from tunnel_server.owners.ownership import Right
from tunnel_server.owners.store import open_store
from tunnel_server.owners.tokens import digest_of, make_token
from tunnel_server.settings.config import ServerConfig
from tunnel_server.tunnels import registry as registry_module
from tunnel_server.tunnels.assembly import build_directory
from tunnel_server.tunnels.claims import take_event
from tunnel_server.tunnels.directory import RESERVED, SEE_NAMES_EVERY_S, Directory, Login
from tunnel_server.tunnels.resumes import CLOSED_AT_ONCE
from tunnel_server.visitors.admission import missing

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
    await directory.look_at_owners()
    assert not directory.is_allowed(LOGIN)


def test_where_no_token_is_needed_every_login_holds() -> None:
    assert make_edge().directory.is_allowed(Login("anonymous:1", None))


async def test_sessions_without_a_valid_token_end(tmp_path: Path) -> None:
    add_token(tmp_path / "tokens", "alice", TOKEN)
    async with open_world(tmp_path / "tokens") as world:
        good = await world.client(hello, "good", login=LOGIN)
        bad = await world.client(hello, "bad", login=LOGIN)
        world.directory.sessions[bad.server] = Login("bob", digest_of(OTHER))
        await world.directory.look_at_owners()
        # Nothing has changed, so nobody is looked at.
        assert world.directory.registry.find("bad") is not None
        add_token(tmp_path / "tokens", "carol", OTHER)
        await world.directory.look_at_owners()
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


class Landlord(Authenticator):
    """An Authenticator whose only token may have certain names alone."""

    def __init__(self, *names: str) -> None:
        super().__init__(None, everybody=True)
        self.names = names

    def right_of(self, digest: bytes) -> Right | None:
        return Right("alice", "alice", self.names)

    def knows(self, owner: str) -> bool:
        return owner == "alice"


def claimed_by(directory: Directory, session: Session, name: str, default: str = "") -> str:
    """The name that is had, or the code of the refusal."""
    number = len(directory.registry.names_of(session)) + 1
    answer = directory.claim(session, Claim(number, name, b"i" * 16, True, {}, default))
    return answer.name if isinstance(answer, Claimed) else answer.code


@asynccontextmanager
async def limited_to(*names: str) -> AsyncIterator[tuple[Directory, Session]]:
    directory, _ = build_directory(make_edge().config, Landlord(*names), None)
    async with open_world() as world:
        session = (await world.client(hello, "other")).server
    directory.sessions[session] = Login("alice", b"digest")
    yield directory, session


async def test_a_token_has_the_names_that_it_may_have_and_no_others() -> None:
    async with limited_to("demo-*", "api") as (directory, session):
        for name, expected in (
            *(("app", "name-not-allowed"), ("demo-1", "demo-1"), ("api", "api")),
            *(("demo", "name-not-allowed"), ("Api", "name-not-allowed")),
        ):
            assert claimed_by(directory, session, name) == expected
        answer = directory.claim(session, Claim(9, "app", b"i" * 16, True, {}))
        assert isinstance(answer, Refused)
        assert answer.message == "app is not one that this token may have: demo-*, api"


async def test_without_a_name_it_gets_one_that_is_the_same_each_time() -> None:
    async with limited_to("x", "demo-*-?", "demo-*") as (directory, session):
        assert claimed_by(directory, session, "", "brisk-otter-k3v9q2mz") == "x"
    async with limited_to("demo-*-?", "demo-*") as (directory, session):
        assert claimed_by(directory, session, "", "brisk-otter-k3v9q2mz") == "demo-k3v9q2mz"
        tunnel = directory.registry.find("demo-k3v9q2mz")
        assert tunnel is not None
        assert not tunnel.chosen
    async with limited_to("?*") as (directory, session):  # its own is let through
        own = "brisk-otter-k3v9q2mz"
        assert claimed_by(directory, session, "", own) == own
        assert re.fullmatch("[a-z]+-[a-z]+-[a-z2-7]{8}", claimed_by(directory, session, ""))
    async with limited_to("*-x") as (directory, session):  # a client that knows no default
        assert re.fullmatch("[a-z2-7]{8}-x", claimed_by(directory, session, ""))


async def test_one_whose_default_is_in_use_gets_another_that_it_may_have() -> None:
    async with limited_to("demo-*") as (directory, session):
        first = claimed_by(directory, session, "", "brisk-otter-k3v9q2mz")
        answer = directory.claim(session, Claim(9, "", b"j" * 16, True, {}, "brisk-otter-k3v9q2mz"))
        assert isinstance(answer, Claimed)
        assert first == "demo-k3v9q2mz" != answer.name
        assert re.fullmatch("demo-[a-z2-7]{8}", answer.name)
        assert answer.note is not None
        assert answer.note.startswith(f"{first} is in use by another client of yours")


async def test_where_nothing_can_be_made_up_it_is_refused() -> None:
    async with limited_to("demo-?") as (directory, session):
        answer = directory.claim(session, Claim(1, "", b"i" * 16, True, {}, "brisk-otter-k3v9q2mz"))
        assert isinstance(answer, Refused)
        said = "no name is left that is one that this token may have: demo-?"
        assert (answer.code, answer.message) == ("name-not-allowed", said)


async def test_of_a_server_that_stops_nobody_gets_a_name(world: World) -> None:
    session = (await world.client(hello)).server
    await world.directory.drain()
    answer = world.directory.claim(session, Claim(2, "late", b"i" * 16, True, {}))
    assert answer == Refused(2, "draining", "the server stops")
    assert world.directory.registry.find("late") is None


async def test_whose_token_is_taken_away_gets_no_name_while_others_are_closed(
    tmp_path: Path,
) -> None:
    tokens = tmp_path / "tokens"
    add_token(tokens, "alice", TOKEN)
    async with open_world(tokens) as world:
        names = [f"n{number}" for number in range(2 * CLOSED_AT_ONCE + 1)]
        servers = [(await world.client(hello, name, login=LOGIN)).server for name in names]
        last, asked = servers[-1], Claim(2, "late", b"i" * 16, True, {})

        async def claim_meanwhile() -> None:
            while servers[0].closed_reason is None:
                await trio.lowlevel.checkpoint()
            assert last.closed_reason is None
            last.core.control._asked = asked  # it has come just now
            take_event(world.directory, last, ClaimAsked(asked))
            assert last.closed_reason == "its token is not valid any more"

        tokens.write_text("")
        add_token(tokens, "bob", OTHER)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(claim_meanwhile)
            nursery.start_soon(world.directory.look_at_owners)
        await wait_all_tasks_blocked()
        assert not world.directory.registry.holders()


async def test_one_that_comes_back_with_another_token_meanwhile_goes_on(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    add_token(tokens, "alice", TOKEN)
    async with open_world(tokens) as world:
        names = [f"n{number}" for number in range(2 * CLOSED_AT_ONCE + 1)]
        servers = [(await world.client(hello, name, login=LOGIN)).server for name in names]

        async def resume() -> None:
            while servers[0].closed_reason is None:
                await trio.lowlevel.checkpoint()
            world.directory.sessions[servers[-1]] = Login("alice", digest_of(OTHER))

        tokens.write_text("")
        add_token(tokens, "alice", OTHER)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(resume)
            nursery.start_soon(world.directory.look_at_owners)
        reasons = [server.closed_reason for server in servers]
        assert reasons == ["its token is not valid any more"] * (len(servers) - 1) + [None]


async def test_whoever_looks_while_another_does_waits_for_what_that_one_ends(
    tmp_path: Path,
) -> None:
    tokens = tmp_path / "tokens"
    add_token(tokens, "alice", TOKEN)
    async with open_world(tokens) as world:
        names = [f"n{number}" for number in range(2 * CLOSED_AT_ONCE + 1)]
        servers = [(await world.client(hello, name, login=LOGIN)).server for name in names]
        tokens.write_text("")
        add_token(tokens, "bob", OTHER)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(world.directory.look_at_owners)  # as the sweep does
            while servers[0].closed_reason is None:
                await trio.lowlevel.checkpoint()
            assert servers[-1].closed_reason is None
            assert await world.directory.look_at_owners() == 0
            assert all(server.closed_reason for server in servers)


# --- names that are kept -------------------------------------------------------------------------

NO_OPTIONS: Mapping[str, object] = {}
RELEASE: Mapping[str, object] = {"release": True}
ANN, BOB = (Login(name, digest_of(name)) for name in ("ann", "bob"))


class Clients:
    """One session that is several owners', one after the other, without its wire."""

    def __init__(self, world: World, session: Session) -> None:
        self.directory = world.directory
        self._session = session

    def claim(
        self,
        login: Login,
        name: str,
        *,
        default: str | None = "",
        number: int = 9,
        start: bool = True,
        options: Mapping[str, object] = NO_OPTIONS,
    ) -> str:
        """The code of the refusal, or the name."""
        self.directory.sessions[self._session] = login
        claim = Claim(number, name, b"i" * 16, start, options, default)
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
    async with clients(state_dir=Path("/var/lib/my tunnel")) as of:
        of.claim(ANN, "shop")
        of.leave()
        of.claim(BOB, "shop")
        command = "`tunnel-server name release shop --state-dir '/var/lib/my tunnel'`"
        assert command in caplog.text


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
        assert of.claim(BOB, "www", number=10) == "name-reserved"
        of.leave()
        of.directory.names.give("www", "ann", 0.0)  # it has been over for years
        assert of.claim(BOB, "www", number=10) == "name-reserved"
        assert of.claim(ANN, "www", number=11) == "www"
    async with clients() as of:
        assert of.claim(ANN, "www") == "www"


async def test_a_name_that_its_owner_gives_up_is_nobodys() -> None:
    async with clients() as of:
        of.claim(ANN, "shop")
        assert of.claim(ANN, "shop", number=10, options=RELEASE) == "name-taken"  # it is served
        of.leave()
        assert of.claim(BOB, "shop", options=RELEASE) == "name-taken"
        assert of.claim(ANN, "shop", options=RELEASE) == "name-released"
        assert of.directory.names.get("shop") is None
        assert missing(of.directory, "shop") == Refusal("tunnel-not-found")
        assert of.claim(ANN, "shop", options=RELEASE) == "name-released"  # it was nobody's
        of.claim(BOB, "shop", number=12)
        of.directory.names.give("shop", "ann", 0.0)  # and bob serves on
        assert of.claim(ANN, "shop", number=13, options=RELEASE) == "name-released"
        of.leave()
        assert of.directory.registry.find("shop") is None


@pytest.mark.parametrize(
    ("name", "options", "code"),
    [
        ("Shop", {"release": True}, "name-invalid"),
        ("", {"release": True}, "name-invalid"),
        ("shop", {"release": True, "other": 1}, "unknown-option"),
        ("shop", {"release": 1}, "option-invalid"),
        ("shop", {"release": False}, "option-invalid"),
    ],
)
async def test_a_release_that_is_not_right_does_nothing(
    name: str, options: dict[str, object], code: str
) -> None:
    async with clients() as of:
        of.claim(ANN, "shop")
        of.leave()
        assert of.claim(ANN, name, options=options) == code
        assert of.directory.names.get("shop") is not None


async def test_a_claim_that_is_asked_again_takes_back_no_name_that_was_given_away() -> None:
    async with clients() as of:
        assert of.claim(BOB, "shop", number=5) == "shop"
        of.directory.names.give("shop", "ann", 0.0)
        assert of.claim(BOB, "", number=5) == "shop"  # its client has missed the answer
        kept = of.directory.names.get("shop")
        assert kept is not None
        assert kept.owner == "ann"
        of.directory.names.release("shop")
        assert of.claim(BOB, "other", number=5) == "shop"
        assert of.directory.names.get("shop") is None


async def test_a_name_that_was_given_away_since_is_not_expected_for_the_one_before() -> None:
    async with clients() as of:
        of.directory.names.give("shop", "bob", 0.0)
        of.directory.expect({"shop": "ann", "blog": "ann"})
        assert of.directory.is_away("blog")
        assert not of.directory.is_away("shop")
        assert of.claim(BOB, "shop") == "shop"


async def test_a_name_that_is_forgotten_is_not_told_from_a_guess() -> None:
    async with clients() as of:
        of.claim(ANN, "shop")
        of.leave()
        assert missing(of.directory, "shop").code == "tunnel-offline"
        of.directory.names.release("shop")  # by the operator, or since a share is full
        assert missing(of.directory, "shop") == Refusal("tunnel-not-found")


async def test_an_old_client_that_comes_back_chooses_no_name() -> None:
    """It does not say which names were made up."""
    async with clients() as of:
        made = of.claim(ANN, "", default=None, number=11)
        assert of.claim(ANN, "shop", default=None, number=12) == "shop"
        of.leave()
        for name, chosen in ((made, False), ("shop", True), ("before", False)):
            assert of.claim(ANN, name, default=None, start=False, number=20) == name
            tunnel = of.directory.registry.find(name)
            assert tunnel is not None
            assert tunnel.chosen is chosen
            of.leave()


async def test_what_a_name_was_is_known_of_an_old_clients_name_after_a_restart() -> None:
    async with clients() as of:
        of.directory.names.read({"shop": Kept("ann", True, 0)})
        of.claim(ANN, "shop", default=None, start=False)
        tunnel = of.directory.registry.find("shop")
        assert tunnel is not None
        assert tunnel.chosen


async def test_nothing_is_kept_for_an_install_key_that_will_be_another_one() -> None:
    key = Login(f"{KEY}{'0' * 64}", b"a key's digest")
    async with clients() as of:
        of.claim(key, "shop", default=None)
        assert of.directory.names.get("shop") is None
        of.claim(key, "blog", default="", number=10)
        assert of.directory.names.get("blog") is not None


async def test_live_names_are_noted_while_they_are_live() -> None:
    async with clients() as of:
        of.claim(ANN, "shop")
        of.directory.names.read({"shop": Kept("ann", True, 0)})
        of.directory.names._names["shop"] = Kept("ann", True, 0)  # a month ago
        now = trio.current_time()
        await of.directory.sweep(now)
        kept = of.directory.names.get("shop")
        assert kept is not None
        assert kept.seen_at > 0
        of.directory.names._names["shop"] = Kept("ann", True, 0)
        await of.directory.sweep(now + SEE_NAMES_EVERY_S - 1)
        assert of.directory.names.get("shop") == Kept("ann", True, 0)
        await of.directory.sweep(now + SEE_NAMES_EVERY_S)
        assert of.directory.names.get("shop") != Kept("ann", True, 0)


async def test_a_token_that_went_ends_its_session_on_an_open_server_too(tmp_path: Path) -> None:
    add_token(tmp_path / "tokens", "alice", TOKEN)
    async with open_world(tmp_path / "tokens", open=True) as world:
        client = await world.client(hello, "app", login=LOGIN)
        stranger = await world.client(hello, "other", login=Login("anonymous:1", None))
        text = (tmp_path / "tokens").read_text().replace("alice", "bob")
        (tmp_path / "tokens").write_text(text)
        await world.directory.look_at_owners()
        await wait_all_tasks_blocked()
        assert client.server.closed_reason == "its token is not valid any more"
        assert stranger.server.closed_reason is None


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
        store.write(ServerConfig().names_key, kept)
        for auth_file, expected in ((None, set(kept)), (tmp_path / "tokens", {"blog"})):
            directory, _ = build_directory(ServerConfig(auth_file=auth_file), Landlord(), store)
            assert {name for name, _ in directory.names} == expected


@pytest.mark.parametrize("how", ["give", "release", "read"])
async def test_who_was_expected_for_a_name_is_not_once_it_changed_hands(how: str) -> None:
    """What the operator says holds at once, also in the first half minute after a start."""
    async with clients() as of:
        names = of.directory.names
        names.read({"shop": Kept("ann", True, 0)})
        of.directory.expect({"shop": "ann", "blog": "ann"})
        assert of.directory.is_away("shop")
        if how == "give":
            names.give("shop", "bob", of.directory.wall_time())
        elif how == "release":
            names.release("shop")
        else:
            names.read({"shop": Kept("bob", True, 0)})
            of.directory.read_again()
        assert (of.directory.is_away("shop"), of.directory.is_away("blog")) == (False, True)
        assert of.claim(BOB, "shop") == "shop"
