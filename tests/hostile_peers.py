"""Peers that speak the control connection by hand, frame by frame, at either end of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

import trio

from protocol.limits import MESSAGE_MAX_BYTES, PINGS_PER_SECOND_MAX, TIMEOUT_S
from protocol.mux.codec import pack, pack_code
from protocol.mux.head_bodies import pack_head
from protocol.mux.map_bodies import pack_map
from protocol.mux.messages import Claim, Claimed, Goaway, Head, Release
from protocol.mux.wire import FrameType, frame, split_message

BINARY, TEXT, CLOSE, PING, PONG = 0x82, 0x81, 0x88, 0x89, 0x8A
# What any call on a connection may raise that the other end has closed.
CLOSED = (trio.BrokenResourceError, trio.ClosedResourceError)


def websocket_frame(payload: bytes, first: int = BINARY, *, masked: bool) -> bytes:
    """One frame; a client's has a mask of zeros, which changes nothing."""
    size = len(payload)
    mask_bit = 0x80 if masked else 0
    if size < 126:
        length = bytes([mask_bit | size])
    elif size < 65_536:
        length = bytes([mask_bit | 126]) + size.to_bytes(2, "big")
    else:
        length = bytes([mask_bit | 127]) + size.to_bytes(8, "big")
    return bytes([first]) + length + (bytes(4) if masked else b"") + payload


class RawPeer:
    """A peer after the WebSocket's handshake.

    Attributes:
        said: the session's frames that were read, and streams' too.
    """

    def __init__(self, stream: trio.abc.Stream, *, masked: bool) -> None:
        self.stream = stream
        self.said: list[tuple[int, int, bytes]] = []
        self._masked = masked
        self._buffer = bytearray()

    def __repr__(self) -> str:
        return f"<RawPeer {len(self.said)} frames read>"

    # --- what it sends ---

    def websocket(self, payload: bytes, first: int = BINARY) -> bytes:
        return websocket_frame(payload, first, masked=self._masked)

    async def raw(self, data: bytes) -> None:
        await self.stream.send_all(data)

    async def message(self, *frames: bytes) -> None:
        await self.raw(self.websocket(b"".join(frames)))

    # --- what it reads ---

    async def frames(self) -> list[tuple[int, int, bytes]]:
        """Those of the next message; none at the end."""
        while True:
            head = await self._take(2)
            if len(head) < 2:
                return []
            size = head[1] & 0x7F
            if size == 126:
                size = int.from_bytes(await self._take(2), "big")
            masked = bool(head[1] & 0x80)
            mask = await self._take(4) if masked else bytes(4)
            payload = await self._take(size)
            if head[0] == CLOSE:
                return []
            if head[0] == BINARY:
                plain = bytes(byte ^ mask[at & 3] for at, byte in enumerate(payload))
                frames = split_message(plain)
                self.said += frames
                return frames

    async def until(self, kind: FrameType) -> tuple[int, int, bytes]:
        """The next frame of this type."""
        while frames := await self.frames():
            for found in frames:
                if found[0] == kind:
                    return found
        raise AssertionError(f"no {kind.name}")

    async def rest(self) -> None:
        """Read to the end, or to a Close, and close as well."""
        with suppress(*CLOSED):
            while await self.frames():
                pass
        await self.stream.aclose()

    async def _take(self, size: int) -> bytes:
        while len(self._buffer) < size:
            data = await self.stream.receive_some(65_536)
            if not data:
                return b""
            self._buffer += data
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken


# --- frames ---------------------------------------------------------------------------------------


def ack(count: int) -> bytes:
    return frame(FrameType.ACK, 0, pack(count))


def ping(number: int) -> bytes:
    return frame(FrameType.PING, 0, pack(number))


def pong(number: int) -> bytes:
    return frame(FrameType.PONG, 0, pack(number))


def credit(stream_id: int, limit: int) -> bytes:
    return frame(FrameType.CREDIT, stream_id, pack(limit))


def data(stream_id: int, body: bytes) -> bytes:
    return frame(FrameType.DATA, stream_id, body)


def end(stream_id: int) -> bytes:
    return frame(FrameType.END, stream_id)


def reset(stream_id: int, code: str = "cancelled") -> bytes:
    return frame(FrameType.RESET, stream_id, pack_code(code))


def stop_sending(stream_id: int, code: str = "cancelled") -> bytes:
    return frame(FrameType.STOP_SENDING, stream_id, pack_code(code))


def head(stream_id: int, status: int = 200, form: int | str | None = "chunked") -> bytes:
    return frame(FrameType.HEAD, stream_id, pack_head(Head(status, b"", (), form)))  # type: ignore[arg-type]  # any form


def claim(number: int, name: str) -> bytes:
    return frame(FrameType.CLAIM, 0, pack_map(Claim(number, name, b"h" * 16, True, {})))


def claimed(number: int, name: str) -> bytes:
    return frame(FrameType.CLAIMED, 0, pack_map(Claimed(number, name, f"http://{name}.test")))


def release(number: int) -> bytes:
    return frame(FrameType.RELEASE, 0, pack_map(Release(number, "given-up", "")))


def goaway() -> bytes:
    return frame(FrameType.GOAWAY, 0, pack_map(Goaway("shutting-down", "", 0)))


# --- msgpack that is more than it looks ----------------------------------------------------------

BOMBS = {
    "an array of 2**32": b"\xdd\xff\xff\xff\xff",
    "a map of 2**32": b"\xdf\xff\xff\xff\xff",
    "a text of 4 GiB": b"\xdb\xff\xff\xff\xff",
    "bytes of 4 GiB": b"\xc6\xff\xff\xff\xff",
    "an extension of 4 GiB": b"\xc9\xff\xff\xff\xff\x01",
    "arrays in arrays": b"\x91" * 64_000,
    "arrays of 272 in arrays": b"\xdc\x01\x10" * 20_000,
    "maps in maps": b"\x81\xa1x" * 20_000,
    "a number of many digits": b"\xcf" + b"\xff" * 8,
    "nothing": b"",
}


# --- what a peer at either end does wrong --------------------------------------------------------

Attack = Callable[[RawPeer], Awaitable[None]]
AnyPeer = TypeVar("AnyPeer", bound=RawPeer)


def said(*frames: bytes) -> Attack:
    """One message."""

    async def attack(peer: RawPeer) -> None:
        await peer.message(*frames)

    return attack


def sent(make: Callable[[RawPeer], bytes]) -> Attack:
    """Bytes on the wire."""

    async def attack(peer: RawPeer) -> None:
        await peer.raw(make(peer))

    return attack


async def until_closed(attack: Callable[[AnyPeer], Awaitable[None]], peer: AnyPeer) -> None:
    """The attack, to its end or to that of the connection."""
    with suppress(*CLOSED):
        await attack(peer)


# What ends the session at once, and what is said of it.
AT_ONCE: dict[str, tuple[Attack, str]] = {
    "an ack of what was not sent": (said(ack(1)), "an ack of 1, between 0 and 0"),
    "11 pings in a second": (said(*[ping(1)] * (PINGS_PER_SECOND_MAX + 1)), "too many pings"),
    "a type that is none": (said(frame(99, 0)), "a frame of type 99"),
    "an empty message": (said(), "a message of 0 bytes"),
    "text": (sent(lambda p: p.websocket(b"hello", TEXT)), "the peer sent a text message"),
    "a message too long": (said(bytes(MESSAGE_MAX_BYTES + 1)), "1009"),
    "empty fragments": (
        sent(lambda p: p.websocket(b"", 0x02) + p.websocket(b"", 0x00) * 30_000),
        "too many WebSocket frames for one message",
    ),
    "WebSocket pings": (sent(lambda p: p.websocket(b"", PING) * 9_999), "too many WebSocket fr"),
    "WebSocket pongs": (sent(lambda p: p.websocket(b"", PONG) * 9_999), "too many WebSocket fr"),
}


async def says_nothing(peer: RawPeer) -> None:
    await trio.sleep_forever()


async def half_a_message(peer: RawPeer) -> None:
    await peer.raw(peer.websocket(bytes(1_000))[:500])
    await trio.sleep_forever()


async def trickles_a_message(peer: RawPeer) -> None:
    for byte in peer.websocket(bytes(1_000)):
        await peer.raw(bytes([byte]))
        await trio.sleep(20)


async def trickles_fragments(peer: RawPeer) -> None:
    await peer.raw(peer.websocket(b"", 0x02))
    while True:
        await trio.sleep(20)
        await peer.raw(peer.websocket(b"", 0x00))


async def trickles_websocket_pings(peer: RawPeer) -> None:
    while True:
        await peer.raw(peer.websocket(b"", PING))
        await trio.sleep(20)


async def never_acks(peer: RawPeer) -> None:
    """Answers pings, sends pings of its own, and never says what it has."""
    for number in range(1_000):
        await peer.message(ping(number), pong(number))
        await trio.sleep(5)


# What only time ends: the seconds that it takes at most, and what is said of it.
IN_TIME: dict[str, tuple[Attack, float, str]] = {
    "says nothing": (says_nothing, TIMEOUT_S, "nothing was heard for 31 s"),
    "half a message": (half_a_message, TIMEOUT_S, "nothing was heard for 31 s"),
    "a message byte by byte": (trickles_a_message, 140, "no whole message within 120 s"),
    "fragments without end": (trickles_fragments, 140, "no whole message within 120 s"),
    "nothing but WebSocket pings": (
        trickles_websocket_pings,
        140,
        "no whole message within 120 s",
    ),
}
