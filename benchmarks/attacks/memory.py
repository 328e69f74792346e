"""What fills memory: answers that no visitor reads, uploads that no client acknowledges, and
streams that no client lets go.
"""

from __future__ import annotations

import socket
from contextlib import AsyncExitStack

import trio

from benchmarks.attacks.load import Load
from benchmarks.attacks.tenants import claim_of, control_connection, greet, tenant, token_of
from benchmarks.attacks.visitors import request
from benchmarks.attacks.ways import address_of
from protocol.drivers.stream import TunnelStream
from protocol.drivers.transport import WebSocketTransport
from protocol.mux.codec import pack
from protocol.mux.map_bodies import pack_map
from protocol.mux.messages import Head
from protocol.mux.wire import COUNTED, FrameType, frame, split_message

CLIENTS = 20
VISITORS = 500
LEAVING = 8000
LEAVING_A_S = 400
STAYS_S = 0.1
NO_STATUS = 0  # no answer is expected
BLOCK = bytes(64 * 1024)
ENDLESS_BYTES = 1 << 40


async def answer_endlessly(stream: TunnelStream) -> None:
    await stream.send_head(Head(200, b"OK", (), "chunked"))
    while True:
        await stream.send_all(BLOCK)
        await trio.lowlevel.checkpoint()


async def unread(load: Load) -> None:
    """Visitors that take the head of an endless answer, and no more."""

    async def stay(number: int) -> None:
        address = address_of(1000 + number)
        name = f"bad{number % CLIENTS}"

        async def read_nothing(stream: trio.SocketStream) -> None:
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            await trio.sleep_forever()

        asked = request("GET", name, "/", *load.entrance.fields(address))
        await load.visit(address, asked, read_nothing)

    async with AsyncExitStack() as stack:
        for number in range(CLIENTS):
            owner, address, name = f"attacker{number}", address_of(100 + number), f"bad{number}"
            client = tenant(load.entrance, owner, address, name, answer_endlessly)
            await stack.enter_async_context(client)
        await load.keep(VISITORS, 100, stay)


async def unacknowledged(load: Load) -> None:
    """Uploads that a few sessions take all of, and say nothing of."""
    await say_nothing(load, CLIENTS, VISITORS // CLIENTS)


async def small_sessions(load: Load) -> None:
    """The same of as many sessions as there may be: each has some memory of its own."""
    await say_nothing(load, 1000, 1)


async def say_nothing(load: Load, sessions: int, uploads: int) -> None:
    async def client(number: int) -> None:
        address = address_of(100 + number)
        token = token_of(f"attacker{number % CLIENTS}")
        async with (
            control_connection(load.entrance, address, token) as transport,
            trio.open_nursery() as nursery,
        ):
            await greet(transport)
            claim = frame(FrameType.CLAIM, 0, pack_map(claim_of(1, f"bad{number}")))
            await transport.send(claim)
            claimed = trio.Event()
            nursery.start_soon(take_all, transport, claimed)
            await claimed.wait()
            load.counts["served"] += 1
            for upload in range(uploads):
                nursery.start_soon(
                    send, f"bad{number}", address_of(2000 + number * uploads + upload)
                )

    async def send(name: str, address: str) -> None:
        chunked = (b"Transfer-Encoding", b"chunked")
        asked = request("POST", name, "/", chunked, *load.entrance.fields(address))
        chunk = b"%x\r\n%b\r\n" % (len(BLOCK), BLOCK)
        async with load.visitor(address) as stream:
            await stream.send_all(asked)
            while True:
                await stream.send_all(chunk)

    await load.keep(sessions, 50, client)


async def kept_streams(load: Load) -> None:
    """Visitors that leave at once, and clients that end none of their streams."""

    async def client(number: int) -> None:
        address, token = address_of(100 + number), token_of(f"attacker{number}")
        async with control_connection(load.entrance, address, token) as transport:
            await greet(transport)
            claim = frame(FrameType.CLAIM, 0, pack_map(claim_of(1, f"bad{number}")))
            await transport.send(claim)
            await acknowledge_all(transport)

    async def come_and_go(number: int) -> None:
        address = address_of(1000 + number)
        asked = request("GET", f"bad{number % CLIENTS}", "/", *load.entrance.fields(address))
        async with load.visitor(address) as stream:
            with trio.move_on_after(STAYS_S):
                await load.ask(stream, asked, NO_STATUS)

    async with trio.open_nursery() as nursery:
        for number in range(CLIENTS):
            nursery.start_soon(client, number)
        await load.keep(LEAVING, LEAVING_A_S, come_and_go)


async def acknowledge_all(transport: WebSocketTransport) -> None:
    """Answer pings, acknowledge what comes, and end nothing."""
    count = 0
    while True:
        said = split_message(await transport.receive())
        count += sum(kind in COUNTED for kind, _, _ in said)
        pongs = [frame(FrameType.PONG, 0, body) for kind, _, body in said if kind == FrameType.PING]
        await transport.send(b"".join([*pongs, frame(FrameType.ACK, 0, pack(count))]))


async def take_all(transport: WebSocketTransport, claimed: trio.Event) -> None:
    """Give credit for everything, answer pings, and acknowledge nothing."""
    while True:
        for kind, stream_id, body in split_message(await transport.receive()):
            if kind == FrameType.OPEN:
                credit = frame(FrameType.CREDIT, stream_id, pack(ENDLESS_BYTES))
                await transport.send(credit)
            elif kind == FrameType.PING:
                await transport.send(frame(FrameType.PONG, 0, body))
            elif kind == FrameType.CLAIMED:
                claimed.set()
            elif kind in (FrameType.REFUSED, FrameType.GOAWAY):
                raise trio.BrokenResourceError("sent away")
