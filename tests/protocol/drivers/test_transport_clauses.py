"""Two rules of the connection that the library below keeps for us, or must be told."""

from __future__ import annotations

import trio
from trio.testing import memory_stream_pair

from protocol.drivers.transport import accept_websocket, open_websocket
from protocol.limits import READ_BYTES


class Watched(trio.abc.HalfCloseableStream):
    """A stream that notes what each read asked for, and all that was sent."""

    def __init__(self, stream: trio.abc.HalfCloseableStream) -> None:
        self.asked_for: list[int | None] = []
        self.sent = b""
        self._stream = stream

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        self.sent += bytes(data)
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        await self._stream.send_eof()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        self.asked_for.append(max_bytes)
        return await self._stream.receive_some(max_bytes)

    async def aclose(self) -> None:
        await self._stream.aclose()


async def an_hour_of_silence() -> tuple[Watched, Watched]:
    """Server's and client's end of a control WebSocket on which one message went, each way."""
    server, client = map(Watched, memory_stream_pair())
    async with trio.open_nursery() as nursery:

        async def accept() -> None:
            transport = await accept_websocket(nursery, server, b"")
            await transport.send(b"down")
            assert await transport.receive() == b"up"

        nursery.start_soon(accept)
        transport = await open_websocket(nursery, client, host="x", authorization="Bearer y")
        await transport.send(b"up")
        assert await transport.receive() == b"down"
        await trio.sleep(3600)
        nursery.cancel_scope.cancel()
    return server, client


async def test_neither_end_sends_a_websocket_ping(
    autojump_clock: trio.testing.MockClock,
) -> None:
    server, client = await an_hour_of_silence()
    assert server.sent.partition(b"\r\n\r\n")[2] == b"\x82\x04down"
    masked = client.sent.partition(b"\r\n\r\n")[2]
    assert (masked[:2], len(masked)) == (b"\x82\x82", 8)


async def test_each_read_asks_for_64_kib(autojump_clock: trio.testing.MockClock) -> None:
    for end in await an_hour_of_silence():
        assert set(end.asked_for) == {READ_BYTES}
    assert READ_BYTES == 64 * 1024
