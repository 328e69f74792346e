"""What clients do: take sessions, names and waiting places, and make the server check and keep."""

from __future__ import annotations

import trio

from benchmarks.attacks.load import Load
from benchmarks.attacks.tenants import (
    claim_of,
    control_connection,
    greet,
    resume,
    token_of,
)
from benchmarks.attacks.visitors import request, until_end
from benchmarks.attacks.ways import address_of
from protocol.drivers.transport import WebSocketTransport
from protocol.limits import CLAIMS_MAX
from protocol.mux.map_bodies import pack_map
from protocol.mux.messages import Goaway
from protocol.mux.wire import FrameType, frame, split_message

OWNER = "attacker"
CLIENT = address_of(10)
TOKEN = token_of(OWNER)

GOAWAYS = frame(FrameType.GOAWAY, 0, pack_map(Goaway("no-error", "", 0))) * 100
HELD_S = 16.0  # between the resumes of one session


async def read_on(transport: WebSocketTransport) -> None:
    """Answer pings until the server has ended the session."""
    while True:
        for kind, _, body in split_message(await transport.receive()):
            if kind == FrameType.PING:
                await transport.send(frame(FrameType.PONG, 0, body))


async def claim(transport: WebSocketTransport, number: int, name: str) -> bool:
    """Ask for a name and wait for the answer; whether it was given."""
    await transport.send(frame(FrameType.CLAIM, 0, pack_map(claim_of(number, name))))
    while True:
        for kind, _, _ in split_message(await transport.receive()):
            if kind in (FrameType.CLAIMED, FrameType.REFUSED):
                return kind == FrameType.CLAIMED


# --- the attacks ----------------------------------------------------------------------------------


async def sessions(load: Load) -> None:
    """Sessions of one token, which stay."""

    async def stay(_number: int) -> None:
        async with control_connection(load.entrance, CLIENT, TOKEN) as transport:
            await greet(transport)
            load.counts["served"] += 1
            await read_on(transport)

    await load.keep(1200, 100, stay)


async def tokens(load: Load) -> None:
    """Handshakes with tokens that are nobody's."""

    async def fail(number: int) -> None:
        async with control_connection(load.entrance, CLIENT, token_of(f"nobody {number}")):
            load.counts["served"] += 1

    await load.keep(100, 200, fail)


async def names(load: Load) -> None:
    """Sessions that claim sixteen names each, say goaway a thousand times, and begin anew."""

    async def churn(number: int) -> None:
        async with control_connection(load.entrance, CLIENT, TOKEN) as transport:
            await greet(transport)
            for name in range(CLAIMS_MAX):
                given = await claim(transport, name + 1, f"bad{number}-{name}")
                load.counts["served" if given else "refused"] += 1
            for _ in range(10):
                await transport.send(GOAWAYS)
                await trio.sleep(0.1)

    await load.keep(16, 10, churn)


async def held(load: Load) -> None:
    """Sessions with a name whose connection breaks, again and again."""

    async def come_and_go(number: int) -> None:
        async with control_connection(load.entrance, CLIENT, TOKEN) as transport:
            welcome = await greet(transport)
            await claim(transport, 1, f"bad{number % 200}")
        attempt = 0
        while True:
            load.counts["served"] += 1
            await trio.sleep(HELD_S)
            attempt += 1
            async with control_connection(load.entrance, CLIENT, TOKEN) as transport:
                if not await resume(transport, welcome, attempt):
                    raise trio.BrokenResourceError("the session is gone")

    await load.keep(800, 50, come_and_go)


async def parked(load: Load) -> None:
    """Requests for four names of one owner, whose clients are away."""

    async def away(number: int) -> None:
        async with control_connection(load.entrance, CLIENT, TOKEN) as transport:
            await greet(transport)
            await claim(transport, 1, f"bad{number}")

    async def wait(number: int) -> None:
        address = address_of(1000 + number)
        asked = request("GET", f"bad{number % 4}", "/", *load.entrance.fields(address))
        await load.visit(address, asked, until_end)

    for number in range(4):
        await away(number)
    await load.keep(1500, 300, wait)
