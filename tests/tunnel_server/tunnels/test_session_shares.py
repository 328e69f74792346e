"""The connections that carry sessions are shared between owners, and between addresses."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from trio.testing import wait_all_tasks_blocked

from protocol.mux.messages import Resume, Resumed
from tests.edge_fakes import Visitor, World, logged, open_world, tunnel_error
from tests.tunnel_server.control_client import (
    APP,
    bearer,
    claim,
    connected,
    handshake,
    resumed,
    welcomed,
)
from tunnel_server.owners.auth_file import add_token
from tunnel_server.owners.tokens import make_token
from tunnel_server.tunnels.directory import sessions_for

ALICE, BOB = make_token(b"a" * 32), make_token(b"b" * 32)


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[World]:
    """A server that wants tokens, and has eight sessions: alone an owner gets six."""
    for name, token in (("alice", ALICE), ("bob", BOB)):
        add_token(tmp_path / "tokens", name, token)
    async with open_world(tmp_path / "tokens", max_sessions=8) as world:
        yield world


async def refused(world: World, *fields: bytes) -> bytes:
    visitor = world.visit()
    await visitor.send(handshake(*fields))
    return await visitor.rest()


async def six(world: World, *fields: bytes) -> list[Visitor]:
    return [await connected(world, *fields) for _ in range(6)]


async def test_an_owner_has_its_share_of_the_sessions_and_one_more_is_told_whose_that_is(
    guarded: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    clients = await six(guarded, bearer(ALICE))
    raw = await refused(guarded, bearer(ALICE), b"Accept: application/json")
    assert tunnel_error(raw) == (503, "overloaded")
    assert b"\r\nRetry-After: 1\r\n" in raw
    assert b"This token has its share of the 8 sessions of this server." in raw
    assert b"--max-sessions" in raw
    assert any("handshake refused: overloaded" in line for line in logged(caplog.records))
    await connected(guarded, bearer(BOB))  # who is unharmed
    await clients[0].stream.aclose()
    await clients[0].done.wait()
    await connected(guarded, bearer(ALICE))


async def test_where_all_are_taken_that_is_what_is_said(guarded: World) -> None:
    for _ in range(6):
        await connected(guarded, bearer(ALICE))
    for _ in range(2):
        guarded.directory.clients.take("somebody")
    raw = await refused(guarded, bearer(BOB), b"Accept: application/json")
    assert b"This server has all of its 8 sessions." in raw


async def test_where_no_token_is_needed_an_address_has_a_share_as_well() -> None:
    """An install key costs nothing: each of these is another owner."""
    async with open_world(max_sessions=8) as world:
        for number in range(6):
            await connected(world, bearer(f"ti_{number}"))
        raw = await refused(world, bearer("ti_7"), b"Accept: application/json")
        assert tunnel_error(raw) == (503, "overloaded")
        assert b"Your address has its share" in raw
        other = world.visit(address="198.51.100.7")
        await other.send(handshake(bearer("ti_8")))
        assert (await other.head()).startswith(b"HTTP/1.1 101 ")


async def test_a_session_is_given_back_though_its_owner_has_its_share(guarded: World) -> None:
    client, welcome = await welcomed(guarded, bearer(ALICE))
    assert (await claim(client, APP))["name"] == "app"  # else there is nothing to hold it for
    for _ in range(5):
        await connected(guarded, bearer(ALICE))
    await client.stream.aclose()
    await client.done.wait()
    asked = Resume(welcome.session, welcome.secret, 1, 0)
    _, answer = await resumed(guarded, asked, bearer(ALICE))
    assert answer == Resumed(0)


async def test_a_handshake_that_fails_takes_nothing(guarded: World) -> None:
    for _ in range(20):
        client = guarded.visit()
        await client.send(handshake(bearer(ALICE)))
        await client.head()
        await client.stream.aclose()
        await client.done.wait()
    await wait_all_tasks_blocked()
    assert repr(guarded.directory.clients) == "<Share 0 of 8, 0 keys>"


@pytest.mark.parametrize(
    ("descriptors", "sessions"),
    [(40, 16), (128, 16), (1024, 128), (8192, 1024), (8200, 1024), (1 << 30, 1024)],
)
def test_sessions_are_an_eighth_of_the_descriptors_and_a_thousand_at_most(
    descriptors: int, sessions: int
) -> None:
    assert sessions_for(descriptors) == sessions
