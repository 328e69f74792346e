"""trio-websocket over streams in memory: what it does, and what we add to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import pytest
import trio
from trio.testing import MemoryReceiveStream, MemorySendStream, memory_stream_pair

from protocol import CONTROL_PATH, SUBPROTOCOLS
from protocol.drivers.transport import (
    CountingStream,
    TransportClosed,
    WebSocketTransport,
    accept_websocket,
    open_websocket,
)
from protocol.limits import (
    CLOSE_TIMEOUT_S,
    MESSAGE_MAX_BYTES,
    MESSAGE_TIMEOUT_S,
    WEBSOCKET_FRAMES_A_MESSAGE_MAX,
)
from protocol.mux.pieces import FRAMES_A_PIECE_MAX
from protocol.mux.wire import FrameType, frame

Stapled = trio.StapledStream[MemorySendStream, MemoryReceiveStream]


LONGEST = b"\xff" * MESSAGE_MAX_BYTES  # one frame, by the look of it


class Joined(NamedTuple):
    """Both ends of a control WebSocket, and the streams below."""

    server: WebSocketTransport
    client: WebSocketTransport
    server_stream: Stapled
    client_stream: Stapled


@asynccontextmanager
async def joined() -> AsyncIterator[Joined]:
    server_stream, client_stream = memory_stream_pair()
    async with trio.open_nursery() as server_nursery, trio.open_nursery() as client_nursery:
        ends: dict[str, WebSocketTransport] = {}

        async def accept() -> None:
            ends["server"] = await accept_websocket(server_nursery, server_stream, b"")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(accept)
            ends["client"] = await open_websocket(
                client_nursery, client_stream, host="tunnel.example", authorization="Bearer tt_x"
            )
        yield Joined(ends["server"], ends["client"], server_stream, client_stream)
        for transport in ends.values():
            await transport.aclose()


class Raw:
    """A peer that speaks WebSocket by hand, to a server's end of ours."""

    def __init__(self, stream: Stapled) -> None:
        self.stream = stream

    async def send_frame(self, first: int, payload: bytes) -> None:
        size = len(payload)
        length = bytes([0x80 | size]) if size < 126 else b"\xfe" + size.to_bytes(2, "big")
        await self.stream.send_all(bytes([first]) + length + bytes(4) + payload)  # mask of zeros


@asynccontextmanager
async def raw_peer() -> AsyncIterator[tuple[WebSocketTransport, Raw]]:
    """A server's end, accepted from a head that was read already, and its peer."""
    server_stream, client_stream = memory_stream_pair()
    head = (
        f"GET {CONTROL_PATH} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        f"Sec-WebSocket-Protocol: {SUBPROTOCOLS[0]}\r\n\r\n"
    )
    async with trio.open_nursery() as nursery:
        transport = await accept_websocket(nursery, server_stream, head.encode())
        answer = bytes(await client_stream.receive_some())
        assert answer.startswith(b"HTTP/1.1 101 ")
        yield transport, Raw(client_stream)
        await transport.aclose()


async def say_hello(ends: Joined) -> None:
    """A client's first message, which is short."""
    await ends.client.send(b"hello")
    assert await ends.server.receive() == b"hello"


async def is_closed(stream: Stapled) -> bool:
    """Whether the other end has closed, after what it may have sent."""
    with trio.move_on_after(1):
        try:
            while await stream.receive_some():
                pass
        except trio.BrokenResourceError:
            pass
        return True
    return False


async def test_messages_cross_both_ways(autojump_clock: trio.testing.MockClock) -> None:
    async with joined() as ends:
        await ends.client.send(b"up")
        await ends.server.send(b"down")
        assert await ends.server.receive() == b"up"
        assert await ends.client.receive() == b"down"


async def test_longest_message_passes_and_one_more_ends_it(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with joined() as ends:
        await say_hello(ends)
        await ends.client.send(LONGEST)
        assert len(await ends.server.receive()) == MESSAGE_MAX_BYTES
        await ends.client.send(LONGEST + b"x")
        with pytest.raises(TransportClosed, match="1009"):
            await ends.server.receive()


async def test_text_message_ends_it(autojump_clock: trio.testing.MockClock) -> None:
    async with raw_peer() as (transport, peer):
        await peer.send_frame(0x81, b"hello")
        with pytest.raises(TransportClosed, match="text message"):
            await transport.receive()


async def test_bytes_count_as_life_before_they_are_a_message(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with raw_peer() as (transport, peer):
        before = transport.heard_at
        await trio.sleep(5)
        await peer.send_frame(0x02, b"a part")
        await trio.testing.wait_all_tasks_blocked()
        assert transport.heard_at == before + 5


async def test_endless_empty_fragments_are_cut_off(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with raw_peer() as (transport, peer):
        await peer.send_frame(0x02, b"")
        fragment = bytes([0x00, 0x80, 0, 0, 0, 0])
        await peer.stream.send_all(fragment * (WEBSOCKET_FRAMES_A_MESSAGE_MAX - 1))
        with trio.move_on_after(1) as scope:
            await transport.receive()
        assert scope.cancelled_caught
        await peer.stream.send_all(fragment)
        with pytest.raises(TransportClosed, match="too many WebSocket frames for one message"):
            await transport.receive()


async def test_half_a_message_and_then_a_byte_now_and_then_is_cut_off(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with raw_peer() as (transport, peer):
        begun_at = trio.current_time()
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def trickle() -> None:
                await peer.stream.send_all(bytes([0x82, 0x80 | 100, 0, 0, 0, 0]))
                while True:
                    await trio.sleep(20)
                    await peer.stream.send_all(b"x")

            with pytest.raises(TransportClosed, match="no whole message within 120 s"):
                await transport.receive()
            nursery.cancel_scope.cancel()
        assert trio.current_time() - begun_at == MESSAGE_TIMEOUT_S + 20


async def test_a_message_of_many_small_frames_is_handed_over_in_pieces() -> None:
    async with joined() as ends:
        acks = frame(FrameType.ACK, 0, b"\x00") * (2 * FRAMES_A_PIECE_MAX + 1)
        await ends.client.send(acks)
        await ends.client.send(acks[:13])
        pieces = [await ends.server.receive() for _ in range(4)]
        assert [len(piece) // 13 for piece in pieces] == [256, 256, 1, 1]
        assert b"".join(pieces[:3]) == acks


async def test_bytes_between_messages_begin_anew_with_each(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with joined() as ends:
        await say_hello(ends)
        for _ in range(10):
            await ends.client.send(LONGEST)
            assert len(await ends.server.receive()) == MESSAGE_MAX_BYTES


async def test_full_messages_wait_unread_without_a_fault(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with joined() as ends:
        await say_hello(ends)
        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(ends.client.send, LONGEST)
                await trio.testing.wait_all_tasks_blocked()
            for _ in range(4):
                await trio.testing.wait_all_tasks_blocked()
                assert len(await ends.server.receive()) == MESSAGE_MAX_BYTES


async def test_polite_close_reaches_the_peer(autojump_clock: trio.testing.MockClock) -> None:
    async with joined() as ends:
        await ends.client.aclose()
        with pytest.raises(TransportClosed, match="closed \\(1000"):
            await ends.server.receive()
        with pytest.raises(TransportClosed):
            await ends.server.send(b"x")
        await ends.server.aclose()


async def test_close_does_not_wait_for_a_dead_peer(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with raw_peer() as (transport, peer):
        started = trio.current_time()
        await transport.aclose()
        assert trio.current_time() - started == CLOSE_TIMEOUT_S
        assert await is_closed(peer.stream)


async def test_close_when_cancelled_closes_at_once(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with raw_peer() as (transport, peer):
        started = trio.current_time()
        with trio.CancelScope() as scope:
            scope.cancel()
            await transport.aclose()
        assert trio.current_time() == started
        assert await is_closed(peer.stream)


async def test_cut_off_send_is_followed_by_no_close_frame(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with raw_peer() as (transport, peer):
        sender = transport._stream._stream
        assert isinstance(sender, trio.StapledStream)
        sender.send_stream.send_all_hook = trio.sleep_forever  # the kernel takes it, and stops
        with trio.move_on_after(1):
            await transport.send(b"cut off")
        started = trio.current_time()
        await transport.aclose()
        assert trio.current_time() == started
        received = bytearray()
        with trio.move_on_after(1):
            while piece := await peer.stream.receive_some():
                received += piece
        assert received == b"\x82\x07cut off"


async def test_stream_is_closed_also_after_the_connection_broke(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with joined() as ends:
        await trio.aclose_forcefully(ends.client_stream)
        with pytest.raises(TransportClosed, match="lost"):
            await ends.server.receive()
        with pytest.raises(TransportClosed):
            await ends.server.send(b"x")
        await ends.server.aclose()
        with pytest.raises(trio.ClosedResourceError):
            await ends.server_stream.send_all(b"x")


async def test_peers_broken_websocket_is_a_closed_transport(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with raw_peer() as (transport, peer):
        await peer.stream.send_all(b"\xff\xff\xff\xff\xff\xff")
        with pytest.raises(TransportClosed, match="1002"):
            await transport.receive()
        with pytest.raises(TransportClosed):
            await transport.send(b"x")


async def test_bytes_that_were_read_already_come_first() -> None:
    left, right = memory_stream_pair()
    counting = CountingStream(left, b"first", masked=True)
    await right.send_all(b"second")
    assert await counting.receive_some(100) == b"first"
    assert await counting.receive_some(100) == b"second"
    assert counting.progress.bytes_since_message == 11
    assert "11 bytes" in repr(counting)
