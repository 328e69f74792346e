"""The end of what passes by a session that has ended, as whoever revoked its token waits for it."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from protocol.drivers.stream import TunnelStream
from tests.edge_fakes import answer, get, head, hello, open_world
from tunnel_server.visitors.revoking import ENDS_S, end_what_passes

BODY = bytes(8_000)


async def large(stream: TunnelStream) -> None:
    """All of it is at the server at once: its client owes nothing."""
    await answer(stream, head(200, b"OK", body=len(BODY)), BODY)


async def test_where_nothing_passes_nobody_waits(mock_clock: MockClock) -> None:
    async with open_world() as world:
        await world.client(hello)
        visitor = world.visit()
        await visitor.send(get())
        await visitor.head()
        began = trio.current_time()
        await end_what_passes(world.edge)
        assert trio.current_time() == began


async def test_a_visitor_that_reads_slowly_gets_no_byte_afterwards(mock_clock: MockClock) -> None:
    mock_clock.autojump_threshold = 0.01
    async with open_world() as world:
        client = await world.client(large)
        other = await world.client(hello, "other")
        slow, idle = world.visit(lockstep=True), world.visit()
        await slow.send(get())
        await wait_all_tasks_blocked()  # its head is not taken
        client.server.refuse("unauthorized", "not valid", "not valid")
        began = trio.current_time()
        await end_what_passes(world.edge)
        assert trio.current_time() - began == pytest.approx(ENDS_S)
        await slow.done.wait()
        assert BODY not in await slow.rest()
        await idle.send(get(host=b"other.localhost"))  # and nobody else's ends
        assert (await idle.head()).startswith(b"HTTP/1.1 200")
        assert other.server.closed_reason is None


async def test_what_can_end_by_itself_is_not_cut(mock_clock: MockClock) -> None:
    async def waits(stream: TunnelStream) -> None:
        await trio.sleep_forever()

    mock_clock.autojump_threshold = 0.01
    async with open_world() as world:
        client = await world.client(waits)
        visitor = world.visit()
        await visitor.send(get())
        await wait_all_tasks_blocked()
        client.server.refuse("unauthorized", "not valid", "not valid")
        await end_what_passes(world.edge)
        assert (await visitor.head()).startswith(b"HTTP/1.1 50")
