"""What visitors do: take places and streams, and make work."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial

import trio

from benchmarks.attacks.load import Load
from benchmarks.attacks.tenants import tenant
from benchmarks.attacks.visitors import request, until_end
from benchmarks.attacks.ways import address_of
from protocol.drivers.stream import TunnelStream
from protocol.http.websocket import accept_for
from protocol.mux.messages import Head
from protocol.options import Options

OWNER = "attacker"
CLIENT, VISITOR = address_of(10), address_of(11)
SESSIONS = 4  # of which each carries 1,024 streams
CHUNKS = b"1\r\nx\r\n" * 2_700  # 16 KB
EMPTY_FRAMES = b"\x82\x80\0\0\0\0" * 150
KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
UPGRADE = (
    (b"Connection", b"Upgrade"),
    (b"Upgrade", b"websocket"),
    (b"Sec-WebSocket-Version", b"13"),
    (b"Sec-WebSocket-Key", KEY),
)
POURING = 200
SWITCHED, NO_CONTENT = 101, 204
PARTS_PER_S = 6  # of each of them
MANY_FIELDS = tuple((b"x-%d" % number, b"value of a field") for number in range(200))


# --- the attacker's own tunnels -------------------------------------------------------------------


async def answer_for_ever(stream: TunnelStream) -> None:
    await stream.send_head(Head(200, b"OK", ((b"Content-Type", b"text/event-stream"),), "chunked"))
    await trio.sleep_forever()


async def answer_at_once(stream: TunnelStream) -> None:
    await stream.send_head(Head(NO_CONTENT, b"No Content", (), None))
    stream.send_eof()


async def take_all(stream: TunnelStream) -> None:
    if stream.opened.kind == "websocket":
        fields = ((b"Sec-WebSocket-Accept", accept_for(KEY)),)
        await stream.send_head(Head(SWITCHED, b"Switching Protocols", fields, None))
    while await stream.receive_some():
        await trio.lowlevel.checkpoint()


async def with_tunnels(
    load: Load,
    serve: Callable[[TunnelStream], Awaitable[None]],
    attack: Callable[[], Awaitable[None]],
    sessions: int = 1,
) -> None:
    async with AsyncExitStack() as stack:
        for number in range(sessions):
            name, options = f"bad{number}", Options(ws_keepalive_s=30).as_map()
            await stack.enter_async_context(
                tenant(load.entrance, OWNER, CLIENT, name, serve, options)
            )
        await attack()


# --- the attacks ----------------------------------------------------------------------------------


async def places(load: Load) -> None:
    """Requests of one address that are answered for ever, through tunnels of the attacker's."""

    async def stay(number: int) -> None:
        asked = request("GET", f"bad{number % SESSIONS}", "/", *load.entrance.fields(VISITOR))
        await load.visit(VISITOR, asked, until_end)

    attack = partial(load.keep, 3000, 300, stay)
    await with_tunnels(load, answer_for_ever, attack, SESSIONS)


async def streams(load: Load) -> None:
    """Event streams of one address through the tunnel that is measured."""
    asked = request("GET", "honest", "/events", *load.entrance.fields(VISITOR))

    async def stay(_number: int) -> None:
        await load.visit(VISITOR, asked, until_end)

    await load.keep(1200, 200, stay)


async def chunks(load: Load) -> None:
    """Uploads in chunks of one byte."""
    chunked = (b"Transfer-Encoding", b"chunked")
    asked = request("POST", "bad0", "/", chunked, *load.entrance.fields(VISITOR))

    async def upload(_number: int) -> None:
        async with load.visitor(VISITOR) as stream:
            await stream.send_all(asked)
            await pour(stream, CHUNKS)

    await with_tunnels(load, take_all, partial(load.keep, POURING, POURING, upload))


async def frames(load: Load) -> None:
    """WebSocket frames without a byte in them."""
    asked = request("GET", "bad0", "/", *UPGRADE, *load.entrance.fields(VISITOR))

    async def send(_number: int) -> None:
        then = partial(pour, part=EMPTY_FRAMES)
        await load.visit(VISITOR, asked, then, wanted=SWITCHED)

    await with_tunnels(load, take_all, partial(load.keep, POURING, POURING, send))


async def pour(stream: trio.SocketStream, part: bytes) -> None:
    """Send it again and again."""
    due = trio.current_time()
    while True:
        await stream.send_all(part)
        due = max(due + 1 / PARTS_PER_S, trio.current_time() - 1)
        await trio.sleep_until(due)


async def fields(load: Load) -> None:
    """Requests with two hundred fields each, one after another on kept connections."""
    asked = request("GET", "bad0", "/", *MANY_FIELDS, *load.entrance.fields(VISITOR))

    async def repeat(_number: int) -> None:
        async with load.visitor(VISITOR) as stream:
            while True:
                await load.ask(stream, asked, NO_CONTENT)
                load.counts["asked"] += 1  # the next
                await trio.sleep(1 / 4)

    await with_tunnels(load, answer_at_once, partial(load.keep, 50, 50, repeat))


async def drip(load: Load) -> None:
    """Heads that come a byte at a time."""
    asked = request("GET", "honest", "/", *load.entrance.fields(VISITOR), *MANY_FIELDS)

    async def trickle(_number: int) -> None:
        async with load.visitor(VISITOR) as stream:
            for at in range(len(asked)):
                await stream.send_all(asked[at : at + 1])
                await trio.sleep(1 / 4)

    await load.keep(1000, 300, trickle)
