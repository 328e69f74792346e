from __future__ import annotations

from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from protocol.drivers.stream import TunnelStream
from protocol.mux.events import ClaimAsked, GoingAway
from protocol.mux.map_bodies import pack_map
from protocol.mux.messages import Claim, Claimed, Goaway, Refused, Release
from protocol.mux.wire import FrameType, frame, split_message
from tests.edge_fakes import HELLO, World, get, hello, tunnel_error
from tests.tunnel_server.control_client import (
    APP,
    TOKEN,
    bearer,
    claim,
    connected,
    message,
    received,
    said,
)
from tunnel_server.owners.auth_file import add_token
from tunnel_server.tunnels.claims import take_event


async def test_a_claim_is_answered_and_its_requests_come(world: World) -> None:
    client = await connected(world)
    answer = await claim(client, APP)
    granted = Claimed(1, "app", "http://app.localhost:8080")._asdict()
    assert answer == {key: value for key, value in granted.items() if value is not None}
    visitor = world.visit()
    await visitor.send(get())
    opcode, payload = await received(client)
    assert opcode == 2
    assert FrameType.OPEN in [found for found, _, _ in split_message(payload)]


async def test_a_refused_claim_says_why_and_the_session_goes_on(world: World) -> None:
    client = await connected(world)
    answer = await claim(client, APP._replace(options={"basic-auth": "x"}))
    assert (answer["claim"], answer["code"]) == (1, "unknown-option")
    assert "basic-auth" in str(answer["message"])
    assert (await claim(client, APP))["name"] == "app"


async def test_strangers_on_an_open_server_have_names_of_their_own(world: World) -> None:
    first = await connected(world, bearer("key-one"))
    assert (await claim(first, APP))["name"] == "app"
    for fields in ((bearer("key-two"),), ()):
        other = await connected(world, *fields)
        assert (await claim(other, APP))["code"] == "name-taken"
    again = await connected(world, bearer("key-one"))
    assert (await claim(again, APP))["name"] == "app"
    assert (await said(first, FrameType.RELEASE))["code"] == "taken-over"


async def test_who_is_taken_over_finishes_its_streams(world: World) -> None:
    go = trio.Event()

    async def slow(stream: TunnelStream) -> None:
        await go.wait()
        await hello(stream)

    old = await world.client(slow)
    visitor = world.visit()
    await visitor.send(get())
    await wait_all_tasks_blocked()
    new = await world.client(hello)
    assert old.released == [Release(1, "taken-over", "another client of yours has taken app")]
    other = world.visit()
    await other.send(get())
    await other.expect(HELLO)
    go.set()
    await visitor.expect(HELLO)
    assert (len(old.streams), len(new.streams)) == (1, 1)


async def test_a_goaway_of_the_client_frees_its_names_and_is_answered(world: World) -> None:
    client = await world.client(hello)
    visitor = world.visit()
    client.session.goaway("shutting-down", "the client stops", 8)
    await wait_all_tasks_blocked()
    assert client.goaways == [Goaway("no-error", "nothing more will be opened", 0)]
    await visitor.send(get())
    assert tunnel_error(await visitor.head()) == (503, "tunnel-offline")
    assert client.streams == []


async def test_a_client_that_leaves_gets_no_name_any_more(world: World) -> None:
    """After a resume it asks again a claim that was not answered, and then says that it leaves."""
    client = await world.client(hello)
    client.session.goaway("shutting-down", "the client stops", 8)
    client.session.claim(Claim(2, "other", b"i" * 16, True, {}))
    await wait_all_tasks_blocked()
    assert client.claimed[-1] == Refused(2, "draining", "this client stops")
    assert client.server.attached
    visitor = world.visit()
    await visitor.send(get(host=b"other.localhost"))
    assert tunnel_error(await visitor.head()) == (404, "tunnel-not-found")


async def test_a_released_claim_frees_its_name_alone(world: World) -> None:
    client = await world.client(hello)
    client.session.claim(Claim(2, "other", b"i" * 16, True, {}))
    await wait_all_tasks_blocked()
    client.session.release(1, "no-error", "")
    await wait_all_tasks_blocked()
    assert world.directory.registry.find("app") is None
    assert world.directory.registry.find("other") is not None


async def test_a_claim_that_waits_while_its_session_is_resumed_is_asked_again(world: World) -> None:
    """The answer of the first is for a connection that is gone."""
    session = (await world.client(hello)).server
    claim = Claim(2, "late", b"i" * 16, True, {})
    world.directory.gate.close()
    session.core.control.receive(FrameType.CLAIM, pack_map(claim), 0.0)
    take_event(world.directory, session, ClaimAsked(claim))
    session.core.control.resume()
    await world.directory.gate.open()
    assert world.directory.registry.find("late") is None


async def test_a_client_that_leaves_does_not_want_the_claim_that_waits(world: World) -> None:
    session = (await world.client(hello)).server
    claim = Claim(2, "late", b"i" * 16, True, {})
    world.directory.gate.close()
    session.core.control.receive(FrameType.CLAIM, pack_map(claim), 0.0)
    take_event(world.directory, session, ClaimAsked(claim))
    take_event(world.directory, session, GoingAway(Goaway("shutting-down", "", 0)))
    await world.directory.gate.open()
    assert world.directory.registry.find("late") is None


async def test_a_claim_at_a_server_that_stops_is_refused_for_now(world: World) -> None:
    client = await connected(world)
    world.directory.draining = True
    assert (await claim(client, APP))["code"] == "draining"


async def test_a_claim_with_a_token_that_was_taken_away_ends_the_session(
    guarded: World, tmp_path: Path, autojump_clock: MockClock
) -> None:
    client = await connected(guarded, bearer())
    (tmp_path / "tokens").write_text("# nobody\n")
    await client.send(message(frame(FrameType.CLAIM, 0, pack_map(APP))))
    while (await received(client))[0] == 2:
        pass
    assert guarded.edge.directory.registry.find("app") is None


async def test_a_claim_waits_while_two_servers_change_places(world: World) -> None:
    client, gone = await connected(world), await connected(world)
    world.directory.gate.close()
    for each, name in ((client, "app"), (gone, "other")):
        await each.send(message(frame(FrameType.CLAIM, 0, pack_map(APP._replace(name=name)))))
    await wait_all_tasks_blocked()
    assert world.directory.registry.find("app") is None
    await gone.stream.aclose()
    await gone.done.wait()
    await world.directory.gate.open()
    assert (await said(client, FrameType.CLAIMED))["name"] == "app"
    assert world.directory.registry.find("other") is None


async def test_a_claim_that_waited_at_a_server_that_stops_is_refused_for_now(world: World) -> None:
    client = await connected(world)
    world.directory.gate.close()
    await client.send(message(frame(FrameType.CLAIM, 0, pack_map(APP))))
    await wait_all_tasks_blocked()
    await world.directory.drain()
    assert (await said(client, FrameType.REFUSED))["code"] == "draining"


async def test_the_log_says_whose_a_name_is_and_the_client_is_told_that_it_is_taken(
    guarded: World, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level("INFO")
    other = TOKEN[:-1] + "_"
    add_token(tmp_path / "tokens", "bob", other)
    await claim(await connected(guarded, bearer()), APP)
    answer = await claim(await connected(guarded, bearer(other)), APP)
    assert (answer["code"], answer["message"]) == ("name-taken", "app is another owner's")
    assert "claim of bob refused: name-taken (app is alice's)" in caplog.text
