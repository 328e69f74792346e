"""What a visitor's place holds of an answer while that is on its way, or goes on."""

from __future__ import annotations

import gc

import pytest
from trio.testing import wait_all_tasks_blocked

from protocol.drivers.stream import TunnelStream
from protocol.http.limits import FIELDS_MAX
from protocol.limits import FIRST_CREDIT_BYTES, KIB
from protocol.mux.messages import Head
from tests.edge_fakes import App, get, open_world


def large_head(status: int) -> Head:
    fields = tuple((b"X-Kept-%03d" % number, b"x" * 100) for number in range(FIELDS_MAX))
    return Head(status, b"", fields, "chunked" if status == 200 else None)


def large_heads() -> int:
    """How many are kept as they were read."""
    gc.collect()  # what other tests have left
    heads = [one for one in gc.get_objects() if type(one) is Head and one.fields]
    return sum(head.fields[0][0] == b"X-Kept-000" for head in heads)


async def endless(stream: TunnelStream) -> None:
    await stream.send_head(large_head(200))
    await stream.send_all(b"begun")


async def hints(stream: TunnelStream) -> None:
    await stream.send_head(large_head(103))


async def wrong(stream: TunnelStream) -> None:
    """A 304 with a body, which is no HTTP."""
    await stream.send_head(large_head(304)._replace(body=5))


async def test_nothing_is_kept_of_hints_that_the_visitor_does_not_know() -> None:
    async with open_world() as world:
        await world.client(hints)
        visitor = world.visit()
        await visitor.send(get().replace(b"HTTP/1.1", b"HTTP/1.0"))
        await visitor.nothing_comes()
        assert large_heads() == 0


@pytest.mark.parametrize("app", [endless, hints, wrong])
async def test_nothing_is_kept_of_a_head_as_it_was_read(app: App) -> None:
    async with open_world() as world:
        await world.client(app)
        visitor = world.visit(lockstep=True)  # the first write waits until it is read
        await visitor.send(get())
        await wait_all_tasks_blocked()
        assert large_heads() == 0
        assert b"HTTP/1.1 " in await visitor.head()
        await wait_all_tasks_blocked()
        assert large_heads() == 0


async def test_a_head_that_fills_the_first_credit_leaves_before_more_is_taken() -> None:
    async with open_world() as world:
        client = await world.client(endless)
        visitor = world.visit(lockstep=True)
        await visitor.send(get())
        await wait_all_tasks_blocked()
        (stream,) = client.server.core.streams.values()
        window = stream.receiving.window
        assert (window.consumed, window.received > 24 * KIB > FIRST_CREDIT_BYTES) == (0, True)
        await visitor.head()
        await visitor.expect(b"5\r\nbegun\r\n")
        assert window.consumed == window.received
