"""The box in the middle adds no fault of its own, and makes those that it is told to."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio
import trio.testing

from tests.faults.middlebox import Middlebox
from tests.system.origin import blocks

BYTES = 3_000_001


class Ends:
    """A client's stream and the server's, with the box between them."""

    def __init__(
        self, box: Middlebox, client: trio.SocketStream, server: trio.SocketStream
    ) -> None:
        self.box = box
        self.client = client
        self.server = server


@asynccontextmanager
async def ends(rate: float = math.inf) -> AsyncIterator[Ends]:
    listener = (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0]
    port = listener.socket.getsockname()[1]
    async with listener, trio.open_nursery() as nursery:
        box = Middlebox(partial(trio.open_tcp_stream, "127.0.0.1", port), rate)
        await box.serve(nursery)
        async with await trio.open_tcp_stream("127.0.0.1", box.port) as client:
            async with await listener.accept() as server:
                await box.until_accepted(1)
                yield Ends(box, client, server)
        nursery.cancel_scope.cancel()


async def send(stream: trio.SocketStream, data: bytes) -> None:
    await stream.send_all(data)
    await stream.send_eof()


async def received(stream: trio.SocketStream) -> bytes:
    return b"".join([bytes(data) async for data in stream])


async def test_both_ways_all_bytes_pass_in_order_and_so_do_the_ends() -> None:
    up, down = (b"".join(blocks(seed, BYTES)) for seed in (1, 2))
    async with ends() as opened, trio.open_nursery() as nursery:
        nursery.start_soon(send, opened.client, up)
        assert await received(opened.server) == up
        nursery.start_soon(send, opened.server, down)
        assert await received(opened.client) == down


async def test_a_reset_reaches_both_sides() -> None:
    async with ends() as opened:
        assert opened.box.reset() == 1
        for stream in (opened.client, opened.server):
            with pytest.raises(trio.BrokenResourceError):
                await stream.receive_some()


@pytest.mark.parametrize("count", [1, 65_536, 100_000])
async def test_a_reset_comes_behind_the_byte_that_was_named(count: int) -> None:
    async with ends() as opened:
        crossing = opened.box.only
        crossing.down.after(count, crossing.reset)
        await opened.server.send_all(bytes(200_000))
        with pytest.raises(trio.BrokenResourceError):
            await received(opened.client)
        assert crossing.down.moved_bytes == count


async def test_what_is_passing_when_a_count_is_named_is_not_counted() -> None:
    async with ends(rate=100_000) as opened:
        crossing = opened.box.only
        await opened.server.send_all(bytes(20_000))
        assert len(await opened.client.receive_some(20_000))
        crossing.down.after(10, crossing.reset)  # the box rests from what it has passed
        await opened.server.send_all(bytes(50))
        with pytest.raises(trio.BrokenResourceError):
            await received(opened.client)
        assert crossing.down.moved_bytes == 20_010


async def test_of_a_half_open_connection_one_side_hears_nothing() -> None:
    async with ends() as opened:
        crossing = opened.box.only
        crossing.reset_one(crossing.client)
        with pytest.raises(trio.BrokenResourceError):
            await opened.client.receive_some()
        await opened.server.send_all(b"into nowhere")
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert opened.box.crossings == {crossing}


async def test_what_was_sent_into_silence_comes_when_it_ends() -> None:
    async with ends() as opened:
        opened.box.silence()
        await opened.client.send_all(b"one")
        await trio.testing.wait_all_tasks_blocked(0.01)
        with trio.move_on_after(0):
            assert not await opened.server.receive_some()
        opened.box.restore()
        assert await opened.server.receive_some() == b"one"


async def test_a_server_that_is_not_there_is_an_end_for_the_client(
    nursery: trio.Nursery,
) -> None:
    async def refused() -> trio.SocketStream:
        raise ConnectionRefusedError

    box = await Middlebox(refused).serve(nursery)
    async with await trio.open_tcp_stream("127.0.0.1", box.port) as client:
        with pytest.raises(trio.BrokenResourceError):
            await client.receive_some()
    assert box.accepted == 0
