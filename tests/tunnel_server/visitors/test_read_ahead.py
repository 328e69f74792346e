from __future__ import annotations

import trio
from trio.testing import MockClock

from protocol.drivers.stream import TunnelStream
from tests.edge_fakes import World, get
from tunnel_server.visitors.read_ahead import READ_AHEAD_MAX_BYTES


async def silent(stream: TunnelStream) -> None:
    """An app that never answers."""
    await trio.sleep_forever()


async def test_no_more_than_8_kib_are_read_ahead(world: World, autojump_clock: MockClock) -> None:
    await world.client(silent)
    visitor = world.visit(lockstep=True)
    await visitor.send(get())
    taken = 0
    with trio.move_on_after(1):
        while True:
            await visitor.send(b"x" * 1024)
            taken += 1024
    assert taken == READ_AHEAD_MAX_BYTES == 8 * 1024


async def test_what_comes_with_a_head_is_read_ahead_no_further(
    world: World, autojump_clock: MockClock
) -> None:
    await world.client(silent)
    for size, is_taken in ((READ_AHEAD_MAX_BYTES, True), (READ_AHEAD_MAX_BYTES + 1, False)):
        visitor = world.visit(lockstep=True)
        with trio.move_on_after(1) as scope:
            await visitor.send(get() + b"x" * size)
        assert scope.cancelled_caught is not is_taken
