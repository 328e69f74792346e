from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from protocol.drivers.stream import TunnelStream
from protocol.http.limits import READ_CHUNKS_MOST_BYTES
from tests.edge_fakes import World, get
from tunnel_server.visitors.read_ahead import READ_AHEAD_MAX_BYTES
from tunnel_server.visitors.requests import most_behind


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


async def reads_all_and_is_silent(stream: TunnelStream) -> None:
    while await stream.receive_some():
        pass
    await trio.sleep_forever()


def with_length(size: int) -> bytes:
    return b"Content-Length: %d\r\n\r\n" % size + bytes(size)


def in_chunks(size: int, each: int) -> bytes:
    chunk = b"%x\r\n" % each + bytes(each) + b"\r\n"
    return b"Transfer-Encoding: chunked\r\n\r\n" + chunk * (size // each) + b"0\r\n\r\n"


POST = b"POST / HTTP/1.1\r\nHost: app.localhost\r\n"


async def takes(world: World, request: bytes, size: int) -> bool:
    """Whether so many bytes behind it are read while the app is silent."""
    visitor = world.visit(lockstep=True)
    with trio.move_on_after(1) as scope:
        await visitor.send(request + b"x" * size)
    return not scope.cancelled_caught


@pytest.mark.parametrize("size", [1, 60_000, 200_000])
async def test_what_comes_with_the_last_of_a_body_is_read_ahead_no_further(
    world: World, autojump_clock: MockClock, size: int
) -> None:
    await world.client(reads_all_and_is_silent)
    assert await takes(world, POST + with_length(size), READ_AHEAD_MAX_BYTES)
    assert not await takes(world, POST + with_length(size), READ_AHEAD_MAX_BYTES + 1)


CHUNKS = pytest.mark.parametrize("each", [1, 1_000, 8 * 1024, 100_000])


@CHUNKS
async def test_neither_is_what_comes_with_the_last_chunk_of_a_large_request(
    world: World, autojump_clock: MockClock, each: int
) -> None:
    await world.client(reads_all_and_is_silent)
    request = POST + b"X: " + b"x" * 9_000 + b"\r\n" + in_chunks(200_000, each)
    assert await takes(world, request, READ_AHEAD_MAX_BYTES)
    assert not await takes(world, request, READ_AHEAD_MAX_BYTES + 1)


@CHUNKS
async def test_of_chunks_behind_a_usual_head_it_is_what_that_leaves_of_32_kib(
    world: World, autojump_clock: MockClock, each: int
) -> None:
    await world.client(reads_all_and_is_silent)
    request = POST + in_chunks(200_000, each)
    most = READ_CHUNKS_MOST_BYTES - 3 * (request.index(b"\r\n\r\n") + 4)
    assert await takes(world, request, READ_AHEAD_MAX_BYTES)
    assert not await takes(world, request, most + 1)


def test_how_much_that_is() -> None:
    assert most_behind(1, is_chunked=False) == READ_AHEAD_MAX_BYTES
    assert most_behind(100, is_chunked=True) == READ_CHUNKS_MOST_BYTES - 300
    assert most_behind(8 * 1024 - 1, is_chunked=True) == READ_AHEAD_MAX_BYTES + 3
    assert most_behind(8 * 1024 + 1, is_chunked=True) == READ_AHEAD_MAX_BYTES
