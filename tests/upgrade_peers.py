"""A WebSocket through the edge: the visitor upgrades, and the test is the app."""

from __future__ import annotations

from trio.testing import wait_all_tasks_blocked

from protocol.drivers.stream import TunnelStream
from protocol.errors import SessionClosed, StreamReset
from protocol.http.websocket import accept_for
from tests.edge_fakes import FakeClient, Visitor, World, get, head

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
UPGRADE = get(
    b"/ws",
    b"Connection: keep-alive, Upgrade",
    b"Upgrade: websocket",
    b"Sec-WebSocket-Key: " + KEY,
    b"Sec-WebSocket-Version: 13",
    b"Sec-WebSocket-Extensions: permessage-deflate",
)
SWITCH = head(
    101,
    b"Go On",
    b"Sec-WebSocket-Accept: " + accept_for(KEY),
    b"Sec-WebSocket-Protocol: chat",
    body=None,
)
SWITCHED = (
    b"HTTP/1.1 101 Go On\r\nSec-WebSocket-Accept: " + accept_for(KEY) + b"\r\n"
    b"Sec-WebSocket-Protocol: chat\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
)
MASK = bytes(4)


def frame(payload: bytes, first: int = 0x82) -> bytes:
    assert len(payload) < 126
    return bytes([first, len(payload)]) + payload


def masked(payload: bytes, first: int = 0x82) -> bytes:
    assert len(payload) < 126
    return bytes([first, 0x80 | len(payload)]) + MASK + payload


class Peer:
    """The app's end of a WebSocket; the test is the app.

    Attributes:
        ended: how the visitor's direction ended.
    """

    def __init__(self, *, behind: bytes = b"") -> None:
        self.stream: TunnelStream | None = None
        self.received = b""
        self.ended: str | None = None
        self.stops = False
        self._behind = behind

    async def __call__(self, stream: TunnelStream) -> None:
        self.stream = stream
        await stream.send_head(SWITCH)
        if self._behind:
            await stream.send_all(self._behind)
        try:
            while data := await stream.receive_some():
                self.received += data
            self.ended = "end"
        except (StreamReset, SessionClosed) as error:
            self.ended = getattr(error, "code", "lost")
            if not self.stops:
                stream.cancel("cancelled")

    @property
    def there(self) -> TunnelStream:
        assert self.stream is not None
        return self.stream

    async def send(self, data: bytes) -> None:
        await self.there.send_all(data)

    def end(self) -> None:
        self.there.send_eof()

    def stop(self) -> None:
        """Take no more."""
        self.stops = True
        self.there.stop_sending("truncated")


async def switched(
    world: World, visitor: Visitor, behind: bytes = b""
) -> tuple[Visitor, Peer, FakeClient]:
    peer = Peer(behind=behind)
    client = await world.client(peer)
    await visitor.send(UPGRADE)
    await visitor.expect(SWITCHED + behind)
    await wait_all_tasks_blocked()
    return visitor, peer, client


def restart(world: World) -> None:
    for connection in tuple(world.edge.connections):
        assert connection.close_upgrade(1012)
