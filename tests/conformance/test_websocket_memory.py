"""A frame of 64 MiB crosses both programs in flat memory, also while nobody reads it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import trio

from tests.conformance.websocket_script import BINARY, FIN, MASK, ask, switch
from tests.conformance.websocket_ways import listen
from tests.memory import MIB, TAKEN_MAX_BYTES, Memory, stands_still
from tests.programs import Tunnel, open_programs

FRAME_BYTES = 64 * MIB
PIECE = bytes(range(256)) * 1024
LENGTH = FRAME_BYTES.to_bytes(8, "big")
FROM_VISITOR = bytes([FIN | BINARY, 0x80 | 127]) + LENGTH + MASK
FROM_APP = bytes([FIN | BINARY, 127]) + LENGTH


class Frame:
    """One frame under way in one direction."""

    def __init__(self, header: bytes) -> None:
        self.sent_bytes = 0
        self._header = header

    async def send(self, stream: trio.SocketStream) -> None:
        await stream.send_all(self._header)
        while self.sent_bytes < FRAME_BYTES:
            await stream.send_all(PIECE)
            self.sent_bytes += len(PIECE)

    def __repr__(self) -> str:
        return f"<Frame {self.sent_bytes} of {FRAME_BYTES} bytes sent>"

    def count(self) -> int:
        return self.sent_bytes

    async def receive(self, stream: trio.SocketStream) -> None:
        """All of it, and it is what was sent."""
        seen, left = hashlib.sha256(), len(self._header) + FRAME_BYTES
        while left:
            data = await stream.receive_some(min(left, 65536))
            assert data
            seen.update(data)
            left -= len(data)
        expected = hashlib.sha256(self._header)
        for _ in range(FRAME_BYTES // len(PIECE)):
            expected.update(PIECE)
        assert seen.digest() == expected.digest()


async def opened(
    tunnel: Tunnel, listener: trio.SocketListener
) -> tuple[trio.SocketStream, trio.SocketStream]:
    """A WebSocket: the visitor's end and the app's."""
    visitor = await trio.open_tcp_stream("127.0.0.1", tunnel.address.port)
    await visitor.send_all(ask())
    app = await listener.accept()
    for stream in (visitor, app):
        hold_little(stream)
    await to_empty_line(app)
    await app.send_all(switch())
    await to_empty_line(visitor)
    return visitor, app


def hold_little(stream: trio.SocketStream) -> None:
    """Keep the kernel's buffers at the test's ends small: some let them grow to 32 MiB each."""
    for buffer in (trio.socket.SO_RCVBUF, trio.socket.SO_SNDBUF):
        stream.setsockopt(trio.socket.SOL_SOCKET, buffer, MIB)


async def to_empty_line(stream: trio.SocketStream) -> None:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        data = await stream.receive_some(1)
        assert data, head
        head += data


@pytest.mark.timeout(120)
async def test_a_frame_of_64_mib_each_way_keeps_memory_flat(tmp_path: Path) -> None:
    listener, port = await listen()
    async with listener, open_programs(tmp_path) as programs:
        # The client asks nothing: it looks at its app by a connection alone.
        tunnel = await programs.tunnel(port, "--identity", "local")
        await (await listener.accept()).aclose()
        visitor, app = await opened(tunnel, listener)
        async with visitor, app:
            await exchange(visitor, app)  # the heap grows when it is busy for the first time
            memory = Memory(tunnel)
            await exchange(visitor, app, memory)


async def exchange(
    visitor: trio.SocketStream, app: trio.SocketStream, memory: Memory | None = None
) -> None:
    """A frame each way, that nobody reads until both stand still."""
    there, back = Frame(FROM_VISITOR), Frame(FROM_APP)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(there.send, visitor)
        nursery.start_soon(back.send, app)
        if memory is not None:
            for frame in (there, back):
                assert await stands_still(frame.count) < TAKEN_MAX_BYTES
            memory.check()
        nursery.start_soon(there.receive, app)
        nursery.start_soon(back.receive, visitor)
    if memory is not None:
        memory.check()
