"""Hostile clients against a real server: what it holds for them stays within its bounds."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
import trio

from protocol.limits import MESSAGE_MAX_BYTES, STREAMS_MAX, UNACKED_MAX_BYTES
from protocol.mux.handshake import hello_message
from protocol.mux.messages import Hello
from protocol.mux.wire import FrameType
from tests.hostile_peers import CLOSED, RawPeer, ack, claim, credit, ping, pong, stop_sending
from tests.memory import MIB, stands_still
from tests.programs import Address, Program, Programs
from tests.system.origin import BLOCK_BYTES, Origin, blocks
from tests.system.peer import READ_BYTES
from tests.system.visitor import fetch, visit

HANDSHAKE = (
    b"GET /_tunnel/control HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n"
    b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Sec-WebSocket-Protocol: trio-tunnel.2\r\n\r\n"
)
# As in tests/memory.py: a heap that is busy in other ways than before.
SLACK_BYTES = 16 * MIB
FLOOD_MESSAGES = 200  # 12 MiB


class Server:
    """A server with an honest client, which has been busy, and a hostile one."""

    def __init__(self, program: Program, port: int) -> None:
        self.program = program
        self.port = port
        self.other = Address(port, "app.localhost")
        self.bad = Address(port, "bad.localhost")

    async def others_are_served(self) -> None:
        body = b"".join(blocks(6, 16 * BLOCK_BYTES))
        for _ in range(2):
            assert (await fetch(self.other, "/echo", "POST", body)).body == body

    @asynccontextmanager
    async def hostile(self) -> AsyncIterator[RawPeer]:
        async with await trio.open_tcp_stream("127.0.0.1", self.port) as stream:
            await stream.send_all(HANDSHAKE)
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += bytes(await stream.receive_some(1))
            peer = RawPeer(stream, masked=True)
            await peer.message(hello_message(Hello((), "hostile/1", STREAMS_MAX, 0)))
            await peer.until(FrameType.WELCOME)
            await peer.message(claim(1, "bad"))
            await peer.until(FrameType.CLAIMED)
            yield peer


@pytest.fixture
async def server(programs: Programs, origin: Origin) -> Server:
    program, port = await programs.server()
    client = await programs.client(origin.port, port, "--subdomain", "app")
    await client.event("ready")
    server = Server(program, port)
    await server.others_are_served()
    return server


@pytest.mark.timeout(60)
async def test_a_client_that_takes_all_and_acknowledges_nothing_costs_what_is_announced(
    server: Server,
) -> None:
    before = server.program.resident_bytes()
    sent_bytes = 0
    async with server.hostile() as peer, trio.open_nursery() as nursery:

        @nursery.start_soon
        async def upload() -> None:
            nonlocal sent_bytes
            block = bytes(READ_BYTES)
            async with visit(server.bad) as visitor:
                await visitor.request("/", "POST", [("Transfer-Encoding", "chunked")])
                with suppress(*CLOSED):
                    while True:
                        await visitor.send(block)
                        sent_bytes += len(block)

        _, stream_id, _ = await peer.until(FrameType.OPEN)
        await peer.message(credit(stream_id, 1 << 40))
        nursery.start_soon(peer.rest)
        taken = await stands_still(lambda: sent_bytes)
        grown = server.program.resident_bytes() - before
        print(f"taken {taken / MIB:.1f} MiB, grown {grown / MIB:.1f} MiB")
        assert grown < UNACKED_MAX_BYTES + SLACK_BYTES
        await server.others_are_served()
        nursery.cancel_scope.cancel()


FLOODS = {
    "acks": ack(0),
    "pongs": pong(7),
    "stop-sendings": stop_sending(1),
    "credit": credit(1, 1 << 20),
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", FLOODS)
async def test_a_flood_fills_nothing(server: Server, name: str) -> None:
    before = server.program.resident_bytes()
    async with server.hostile() as peer, trio.open_nursery() as nursery:
        nursery.start_soon(fetch_in_vain, server.bad)
        await peer.until(FrameType.OPEN)
        message = FLOODS[name] * (MESSAGE_MAX_BYTES // len(FLOODS[name]))
        for _ in range(FLOOD_MESSAGES):
            await peer.message(message)
        await peer.message(ping(1))
        await peer.until(FrameType.PONG)
        grown = server.program.resident_bytes() - before
        print(f"grown {grown / MIB:.1f} MiB")
        assert grown < SLACK_BYTES
        nursery.cancel_scope.cancel()
    await server.others_are_served()


async def fetch_in_vain(address: Address) -> None:
    async with visit(address) as visitor:
        await visitor.request("/")
        await trio.sleep_forever()
