"""Peers that speak the control connection by hand, frame by frame, at either end of it."""

from __future__ import annotations

from contextlib import suppress

import trio

from protocol.mux.codec import pack, pack_code, pack_head, pack_map
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
