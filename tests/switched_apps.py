"""A WebSocket to an app: the test is the server with its visitor, and the app."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from protocol.drivers.stream import TunnelStream
from tests.origin_fakes import SWITCHED, App, MemoryTunnel, RawOrigin, a_shared_app

HELLO = b"\x81\x02hi"  # of the app
MASKED = b"\x81\x82\0\0\0\0hi"  # of the visitor
CLOSE = b"\x88\x82\0\0\0\0\x03\xe8"  # of the visitor, 1000


async def switched(
    tunnel: MemoryTunnel,
    origin: RawOrigin,
    behind: bytes = b"",
    tls: ssl.SSLContext | None = None,
) -> tuple[TunnelStream, App]:
    """A WebSocket that is open."""
    stream = tunnel.open_websocket()
    app = await origin.accept(tls)
    await app.request()
    await app.send(SWITCHED + behind)
    assert (await stream.receive_head()).status == 101
    return stream, app


@asynccontextmanager
async def a_websocket() -> AsyncIterator[tuple[MemoryTunnel, TunnelStream, App]]:
    async with a_shared_app() as (tunnel, origin):
        stream, app = await switched(tunnel, origin)
        yield tunnel, stream, app


def unmasked(frame: bytes) -> bytes:
    """The payload of a short masked frame."""
    assert frame[1] & 0x80
    mask = frame[2:6]
    return bytes(byte ^ mask[index % 4] for index, byte in enumerate(frame[6:]))
