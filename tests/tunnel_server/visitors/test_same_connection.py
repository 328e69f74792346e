"""The client is told which requests came by one connection, and when a bound one has ended."""

from __future__ import annotations

from functools import partial

import pytest
from trio.testing import wait_all_tasks_blocked

from protocol.drivers.stream import TunnelStream
from protocol.mux.messages import Head
from tests.edge_fakes import VISITOR, FakeClient, Visitor, World, get, hello, open_world
from tunnel_server.settings.values import parse_networks

BOUND = Head(200, b"OK", ((b"Content-Length", b"0"),), 0, bound=True)


async def bind(stream: TunnelStream) -> None:
    """An app whose connection is bound by each request."""
    await stream.send_head(BOUND)
    stream.send_eof()


def numbers(client: FakeClient) -> list[tuple[int | None, int | None]]:
    return [(stream.opened.connection, stream.opened.request) for stream in client.streams]


def gone(client: FakeClient) -> list[int]:
    """Watch for the ends of connections."""
    told: list[int] = []
    for number in range(1, 5):
        client.session.bonds.bind(number, partial(told.append, number))
    return told


async def ask(visitor: Visitor, host: bytes = b"app.localhost", *fields: bytes) -> None:
    await visitor.send(get(b"/", *fields, host=host))
    assert (await visitor.head()).startswith(b"HTTP/1.1 200 OK\r\n")


async def test_each_connection_has_a_number_and_counts_its_requests(world: World) -> None:
    client = await world.client(bind)
    first, second = world.visit(), world.visit()
    for visitor in (first, first, second, first):
        await ask(visitor)
    assert numbers(client) == [(1, 0), (1, 1), (2, 0), (1, 2)]


async def test_the_client_hears_of_the_end_of_what_it_has_bound(world: World) -> None:
    client = await world.client(bind)
    told = gone(client)
    first, second = world.visit(), world.visit()
    await ask(first)
    await ask(second)
    await second.stream.aclose()
    await second.done.wait()
    await wait_all_tasks_blocked()
    assert told == [2]
    await first.end()
    await first.done.wait()
    await wait_all_tasks_blocked()
    assert told == [2, 1]


async def test_of_what_is_not_bound_it_hears_nothing(world: World) -> None:
    client = await world.client(hello)
    told = gone(client)
    visitor = world.visit()
    await ask(visitor)
    await visitor.stream.aclose()
    await visitor.done.wait()
    await wait_all_tasks_blocked()
    assert told == []


async def test_a_connection_that_asks_another_tunnel_has_gone_from_the_first(world: World) -> None:
    client = await world.client(bind)
    other = await world.client(bind, "other")
    told = gone(client)
    visitor = world.visit()
    await ask(visitor)
    await ask(visitor, b"other.localhost")
    await wait_all_tasks_blocked()
    assert told == [1]
    await ask(visitor)
    assert numbers(client) == [(1, 0), (2, 2)]
    assert numbers(other) == [(1, 1)]


@pytest.mark.parametrize("field", [b"X-Forwarded-For: 203.0.113.7", b"X-Other: 1"])
async def test_behind_a_proxy_that_speaks_http_no_connection_is_a_visitors(field: bytes) -> None:
    async with open_world(trusted_proxies=parse_networks(VISITOR, "")) as world:
        client = await world.client(bind)
        await ask(world.visit(), b"app.localhost", field)
        assert numbers(client) == [(None, None)]


async def test_a_client_of_version_1_is_told_no_numbers_and_no_end(world: World) -> None:
    client = await world.client(bind, version=1)
    visitor = world.visit()
    await ask(visitor)
    assert numbers(client) == [(None, None)]
    await visitor.stream.aclose()
    await visitor.done.wait()
    await wait_all_tasks_blocked()
    assert client.session.closed_reason is None
