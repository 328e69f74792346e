"""A client that wants no name in particular gets its own: the same each time, and no other's."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from protocol.drivers.session import Session
from protocol.mux.messages import Claim, Claimed
from tests.edge_fakes import World, hello, open_world
from tunnel_server.owners.names import Kept
from tunnel_server.owners.tokens import digest_of
from tunnel_server.tunnels.directory import RESERVED, Login

NAME = "brisk-otter-k3v9q2mz"
MADE_UP = re.compile(r"[a-z]+-[a-z]+-[a-z2-7]{8}")


def login(owner: str) -> Login:
    return Login(owner, digest_of(owner), address="192.0.2.7")


class Machine:
    """A client with a session, and without its wire."""

    def __init__(self, world: World, session: Session, owner: str, instance: bytes) -> None:
        self.world, self.session, self.instance = world, session, instance
        world.directory.sessions[session] = login(owner)

    def claim(self, name: str = "", default: str = NAME, *, start: bool = True) -> Claimed:
        asked = Claim(9, name, self.instance * 16, start, {}, default)
        answer = self.world.directory.claim(self.session, asked)
        assert isinstance(answer, Claimed)
        return answer


@asynccontextmanager
async def two(first: str = "ann", second: str = "ann") -> AsyncIterator[tuple[Machine, Machine]]:
    async with open_world() as world:
        sessions = [(await world.client(hello, name)).server for name in ("one", "other")]
        pairs = zip(sessions, (first, second), (b"1", b"2"), strict=True)
        one, other = (Machine(world, *pair) for pair in pairs)
        yield one, other


async def test_a_free_one_is_given_and_kept_as_made_up() -> None:
    async with two("ann", "bob") as (ann, bob):
        assert ann.claim().name == NAME
        kept = ann.world.directory.names.get(NAME)
        assert kept is not None
        assert (kept.owner, kept.chosen) == ("ann", False)
        ann.world.directory.release(ann.session)
        other = bob.claim()  # ann is away, and it is hers
        assert other.name != NAME
        assert MADE_UP.fullmatch(other.name)
        assert other.note is None
        assert ann.claim().name == NAME


async def test_a_second_client_gets_another_and_hears_where_the_first_one_runs() -> None:
    async with two() as (one, other):
        one.claim()
        answer = other.claim()
        assert answer.name != NAME
        taken = f"{NAME} is in use by another client of yours at 192.0.2.7"
        assert answer.note == f"{taken}; --subdomain gives this one a name that stays"
        assert one.world.directory.registry.carrier_of(NAME) is one.session


async def test_one_that_is_away_is_no_reason_for_another_name() -> None:
    """A program that was killed is started anew: its session is still held."""
    async with two() as (one, other):
        one.claim()
        one.session.detached_at = trio.current_time()
        answer = other.claim()
        assert (answer.name, answer.note) == (NAME, None)


async def test_the_same_process_takes_it_along_to_its_next_session() -> None:
    async with two() as (one, other):
        one.claim()
        other.instance = one.instance
        assert other.claim().name == NAME


@pytest.mark.parametrize("name", ["", "No Name", "-a", "a" * 64])
async def test_one_that_is_no_name_is_passed_over(name: str) -> None:
    async with two() as (one, _):
        assert MADE_UP.fullmatch(one.claim(default=name).name)


async def test_one_that_is_reserved_or_kept_for_another_is_not_given() -> None:
    async with open_world(domain="tunnel.example.com") as world:
        session = (await world.client(hello, "x")).server
        machine = Machine(world, session, "ann", b"1")
        assert machine.claim(default=min(RESERVED)).name not in RESERVED
        world.directory.release(session)
        world.directory.names.read({NAME: Kept("bob", chosen=True, seen_at=2**32)})
        assert machine.claim().name != NAME


async def test_whoever_asks_for_a_name_gets_that_one() -> None:
    async with two() as (one, _):
        assert one.claim("shop").name == "shop"
