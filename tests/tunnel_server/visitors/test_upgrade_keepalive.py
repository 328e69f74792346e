"""Pings of ours to a visitor whose WebSocket is idle (`--ws-keepalive`)."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from protocol.http.websocket import close_frame
from tests.edge_fakes import FakeClient, Visitor, World
from tests.upgrade_peers import MASK, SWITCHED, UPGRADE, Peer, frame, masked, restart

AFTER_S = 20
PING_BYTES = 18
PING, PONG = 0x89, 0x8A


async def switched(
    world: World, visitor: Visitor, after_s: int = AFTER_S
) -> tuple[Visitor, Peer, FakeClient]:
    """A WebSocket of a claim that asked for keepalive."""
    peer = Peer()
    client = await world.client(peer, options={"ws-keepalive": after_s})
    await visitor.send(UPGRADE)
    await visitor.expect(SWITCHED)
    await wait_all_tasks_blocked()
    return visitor, peer, client


async def pinged(visitor: Visitor) -> bytes:
    """The payload of a ping, which is awaited."""
    ping = await visitor.receive(PING_BYTES)
    assert ping[:2] == b"\x89\x10"
    return ping[2:]


async def test_an_idle_visitor_is_pinged_and_its_pong_does_not_cross(
    world: World, autojump_clock: MockClock
) -> None:
    visitor, peer, _ = await switched(world, world.visit())
    payloads = set()
    for _ in range(5):
        began = trio.current_time()
        payload = await pinged(visitor)
        assert AFTER_S - 1 <= trio.current_time() - began <= AFTER_S + 1
        payloads.add(payload)
        await visitor.send(masked(payload, PONG))
    assert len(payloads) == 5
    await visitor.send(masked(b"x"))
    await wait_all_tasks_blocked()
    assert peer.received == masked(b"x")


async def test_the_pong_is_cut_out_of_what_came_with_it(
    world: World, autojump_clock: MockClock
) -> None:
    visitor, peer, _ = await switched(world, world.visit())
    pong = masked(await pinged(visitor), PONG)
    await visitor.send(masked(b"a", 0x02) + pong + masked(b"b", 0x80) + masked(b"c", PONG))
    await wait_all_tasks_blocked()
    assert peer.received == masked(b"a", 0x02) + masked(b"b", 0x80) + masked(b"c", PONG)


async def test_what_goes_to_the_visitor_puts_it_off_and_what_comes_does_not(
    world: World, autojump_clock: MockClock
) -> None:
    visitor, peer, _ = await switched(world, world.visit())
    for _ in range(5):
        await trio.sleep(15)
        await peer.send(frame(b"x"))
        await visitor.expect(frame(b"x"))
    await trio.sleep(15)
    await visitor.send(masked(b"y"))
    began = trio.current_time()
    await pinged(visitor)
    assert trio.current_time() - began <= 6


async def test_there_is_no_second_while_one_is_unanswered(
    world: World, autojump_clock: MockClock
) -> None:
    visitor, _, _ = await switched(world, world.visit())
    payload = await pinged(visitor)
    await trio.sleep(1000)
    await visitor.nothing_comes()
    await visitor.send(masked(payload, PONG))
    await pinged(visitor)


async def test_there_is_none_while_the_apps_own_is_unanswered(
    world: World, autojump_clock: MockClock
) -> None:
    visitor, peer, _ = await switched(world, world.visit())
    await peer.send(frame(b"app's", PING))
    await visitor.expect(frame(b"app's", PING))
    await trio.sleep(1000)
    await visitor.nothing_comes()
    await visitor.send(masked(b"app's", PONG))
    await pinged(visitor)
    assert peer.received == masked(b"app's", PONG)


async def test_there_is_none_without_the_option(world: World, autojump_clock: MockClock) -> None:
    await world.client(Peer())
    visitor = world.visit()
    await visitor.send(UPGRADE)
    await visitor.expect(SWITCHED)
    await trio.sleep(1000)
    await visitor.nothing_comes()


async def test_there_is_none_in_the_middle_of_a_frame(
    world: World, autojump_clock: MockClock
) -> None:
    visitor, peer, _ = await switched(world, world.visit())
    await peer.send(frame(b"abc", 0x02)[:-1])
    await visitor.expect(frame(b"abc", 0x02)[:-1])
    await trio.sleep(1000)
    await visitor.nothing_comes()
    await peer.send(frame(b"abc", 0x02)[-1:])
    await visitor.expect(b"c")
    await pinged(visitor)  # between two fragments
    await peer.send(frame(b"d", 0x80))
    await visitor.expect(frame(b"d", 0x80))


@pytest.mark.parametrize("of_app", [False, True])
async def test_there_is_none_after_a_close(
    world: World, autojump_clock: MockClock, of_app: bool
) -> None:
    visitor, peer, _ = await switched(world, world.visit())
    if of_app:
        await peer.send(close_frame(1000))
        await visitor.expect(close_frame(1000))
    else:
        await visitor.send(close_frame(1000, mask=MASK))
    await trio.sleep(1000)
    await visitor.nothing_comes()


@pytest.mark.parametrize("of_app", [False, True])
async def test_there_is_none_behind_an_illegal_header(
    world: World, autojump_clock: MockClock, of_app: bool
) -> None:
    visitor, peer, _ = await switched(world, world.visit())
    if of_app:
        await peer.send(b"\x83\x00")
        await visitor.expect(b"\x83\x00")
    else:
        await visitor.send(b"\x83\x00")
    await trio.sleep(1000)
    await visitor.nothing_comes()


async def test_half_closed_it_still_ends_after_60_s_without_a_byte(
    world: World, autojump_clock: MockClock
) -> None:
    visitor, peer, _ = await switched(world, world.visit())
    await visitor.end()
    began = trio.current_time()
    assert await visitor.rest() == b""  # no ping: nobody could answer it
    await visitor.done.wait()
    assert 60 <= trio.current_time() - began <= 64
    assert peer.ended == "end"


async def test_there_is_none_once_a_visitor_who_is_not_heard_has_ended(
    world: World, autojump_clock: MockClock
) -> None:
    visitor, peer, _ = await switched(world, world.visit())
    peer.stop()
    await wait_all_tasks_blocked()
    await visitor.send(masked(b"x"))  # by which it is found out
    await wait_all_tasks_blocked()
    await visitor.end()
    await trio.sleep(1000)
    await visitor.nothing_comes()


async def test_there_is_none_once_the_app_has_ended(
    world: World, autojump_clock: MockClock
) -> None:
    visitor, peer, _ = await switched(world, world.visit())
    peer.end()
    assert await visitor.rest() == b""
    for _ in range(3):
        await trio.sleep(50)
        await visitor.send(masked(b"x"))
    await wait_all_tasks_blocked()
    assert peer.received == masked(b"x") * 3


async def test_a_visitor_who_does_not_read_gets_one_and_what_follows_it_in_order(
    world: World, autojump_clock: MockClock
) -> None:
    visitor, peer, _ = await switched(world, world.visit(lockstep=True))
    await trio.sleep(100)  # the ping is being written
    await peer.send(frame(b"abc"))
    await trio.sleep(100)
    payload = await pinged(visitor)
    await visitor.expect(frame(b"abc"))
    await trio.sleep(100)
    await visitor.nothing_comes()
    await visitor.send(masked(payload, PONG))
    await pinged(visitor)


async def test_frames_that_come_as_the_sweep_looks_are_neither_lost_nor_cut(
    world: World, autojump_clock: MockClock
) -> None:
    visitor, peer, _ = await switched(world, world.visit(), after_s=1)
    received = bytearray()
    sent = b""
    pings = 0

    async def read() -> None:
        nonlocal pings
        while True:
            first, size = await visitor.receive(2)
            data = await visitor.receive(size)
            if first == PING and size == 16:
                pings += 1
                await visitor.send(masked(data, PONG))
            else:
                received.extend(frame(data, first))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        for number in range(200):
            # 0.5, 1, 1.5 s ...: at the very times of the sweep too, before it or after it.
            await trio.sleep(0.5 if number % 3 else 2)
            data = frame(b"%d" % number)
            sent += data
            await peer.send(data)
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert received == sent
    assert pings >= 60
    assert peer.received == b""


async def test_a_stop_is_a_close_also_while_a_ping_is_unanswered(
    world: World, autojump_clock: MockClock
) -> None:
    visitor, peer, _ = await switched(world, world.visit())
    payload = await pinged(visitor)
    restart(world)
    await visitor.expect(close_frame(1012))
    await visitor.send(masked(payload, PONG) + close_frame(1012, mask=MASK))
    await peer.send(close_frame(1012))
    assert await visitor.rest() == b""


async def test_when_the_session_is_lost_there_is_no_ping_before_the_close(
    world: World, autojump_clock: MockClock
) -> None:
    visitor, peer, client = await switched(world, world.visit())
    await trio.sleep(0.5)
    await peer.send(frame(b"x"))
    await visitor.expect(frame(b"x"))
    await trio.sleep(AFTER_S + 0.2)  # it is due, and the sweep has not looked
    client.session.close("gone")
    await visitor.expect(close_frame(1014))


async def test_under_tls_it_is_the_same(world: World, autojump_clock: MockClock) -> None:
    visitor, peer, _ = await switched(world, await world.visit_by_tls())
    for _ in range(2):
        await visitor.send(masked(await pinged(visitor), PONG))
    await wait_all_tasks_blocked()
    assert peer.received == b""
