"""200 requests at once, of which many end badly, leave nothing behind and spoil no other."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from random import Random

import h11
import pytest
import trio
from wsproto.events import BytesMessage, CloseConnection, Message

from tests.patience import PATIENCE
from tests.programs import Address, Program, Tunnel
from tests.system.peer import READ_BYTES, WsEvents
from tests.system.visitor import Visitor, fetch, health, visit

REQUESTS = 200
CROWD_S = 60 * PATIENCE  # one of so many at once may be the last
# Some bodies are smaller than a stream's first credit, most are larger, some than all of it.
BODY_BYTES_MAX = 600_000
# After the last visitor is gone: polls of health, this long apart. Nothing tells a visitor when
# the server has heard of it, so this one thing is asked again and again, but not for ever.
POLLS, POLL_S = 100 * PATIENCE, 0.1


async def echo(address: Address, random: Random) -> None:
    body = random.randbytes(random.randrange(BODY_BYTES_MAX))
    assert (await fetch(address, "/echo", "POST", body, CROWD_S)).body == body


async def leave_while_uploading(address: Address, random: Random) -> None:
    size = random.randrange(1, BODY_BYTES_MAX)
    async with visit(address) as visitor:
        await visitor.request("/sink", "POST", [("Content-Length", str(size))])
        await visitor.send(bytes(random.randrange(size)))
        if random.random() < 0.5:
            visitor.abort()


async def leave_a_stalled_echo(address: Address, random: Random) -> None:
    """It sends and does not read, so that after some time all are stuck."""
    async with visit(address) as visitor:
        await visitor.request("/echo", "POST", [("Transfer-Encoding", "chunked")])
        with trio.move_on_after(random.random()):
            while True:
                await visitor.send(bytes(READ_BYTES))
        if random.random() < 0.5:
            visitor.abort()


async def leave_while_downloading(address: Address, random: Random) -> None:
    size = random.randrange(BODY_BYTES_MAX)
    async with visit(address) as visitor:
        await visitor.request(f"/bytes?seed=1&size={size}")
        left = random.randrange(size + 1)
        await visitor.answer()
        async for data in visitor.body():
            left -= len(data)
            if left <= 0:
                break
        visitor.abort()


async def leave_before_the_answer(address: Address, random: Random) -> None:
    async with visit(address) as visitor:
        await visitor.request("/bytes?seed=1&size=100000")
        if random.random() < 0.5:
            visitor.abort()


async def see_the_app_die(address: Address, random: Random) -> None:
    size = random.randrange(1, BODY_BYTES_MAX)
    async with visit(address) as visitor:
        await visitor.request(f"/reset?size={size}")
        with pytest.raises((h11.RemoteProtocolError, trio.BrokenResourceError)):
            await whole_answer(visitor)


async def whole_answer(visitor: Visitor) -> None:
    await visitor.answer()
    async for _ in visitor.body():
        pass


async def see_the_app_die_early(address: Address, random: Random) -> None:
    answer = await fetch(address, "/reset?size=0", small_s=CROWD_S)
    assert (answer.status, answer.error) == (502, "origin-protocol-error")


async def talk(address: Address, random: Random, *, abort: bool) -> None:
    """A WebSocket with some echoes, that closes as it should or is cut off."""
    async with visit(address) as visitor:
        messages = await visitor.upgrade("/ws")
        for _ in range(random.randrange(1, 5)):
            await visitor.stream.send_all(messages.send(BytesMessage(b"x" * 10_000)))
            left = 10_000
            async for event in WsEvents(visitor.stream, messages):
                assert isinstance(event, Message)
                left -= len(event.data)
                if left == 0:
                    break
        if abort:
            visitor.abort()
            return
        await visitor.stream.send_all(messages.send(CloseConnection(code=1000)))
        assert [e async for e in WsEvents(visitor.stream, messages)] == [
            CloseConnection(code=1000, reason="")
        ]


Visit = Callable[[Address, Random], Awaitable[None]]
VISITS: list[Visit] = [
    echo,
    leave_while_uploading,
    leave_a_stalled_echo,
    leave_while_downloading,
    leave_before_the_answer,
    see_the_app_die,
    see_the_app_die_early,
    partial(talk, abort=True),
    partial(talk, abort=False),
]


async def no_stream_left(port: int) -> None:
    facts = await health(port)
    for _ in range(POLLS):
        if facts["streams"] == 0:
            break
        await trio.sleep(POLL_S)
        facts = await health(port)
    assert facts["streams"] == 0, facts


async def no_socket_left(program: Program, before: int) -> None:
    for _ in range(POLLS):
        if program.open_files() <= before:
            break
        await trio.sleep(POLL_S)
    assert program.open_files() <= before


async def no_stream_open(client: Program, address: Address) -> None:
    """One request more: the client's line about it tells how many streams it still has."""
    await fetch(address, "/the-last")
    assert (await client.event("request", path="/the-last"))["open_streams"] == 0


@pytest.mark.timeout(180)
@pytest.mark.parametrize("seed", range(3))
async def test_aborted_requests_leave_no_stream_and_spoil_no_other(
    tunnel: Tunnel, seed: int
) -> None:
    await fetch(tunnel.address)
    server_files = tunnel.server.open_files()
    async with trio.open_nursery() as nursery:
        for i in range(REQUESTS):
            random = Random(f"{seed}:{i}")
            nursery.start_soon(random.choice(VISITS), tunnel.address, random)
    await no_stream_left(tunnel.address.port)
    await no_stream_open(tunnel.client, tunnel.address)
    await no_socket_left(tunnel.server, server_files)
    assert [event["event"] for event in tunnel.client.events].count("ready") == 1  # one session
