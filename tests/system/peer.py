"""What a visitor and an app have in common: HTTP/1.1 by h11 on a trio stream."""

from __future__ import annotations

import socket
import struct
from collections import deque

import h11
import trio
from wsproto.connection import Connection
from wsproto.events import Event

READ_BYTES = 64 << 10

UPGRADE = [("Connection", "Upgrade"), ("Upgrade", "websocket")]


async def h11_event(stream: trio.abc.ReceiveStream, connection: h11.Connection) -> h11.Event:
    """The next event; raises h11.RemoteProtocolError when the peer ends in the middle."""
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(bytes(await stream.receive_some(READ_BYTES)))
        else:
            assert not isinstance(event, type), event
            return event


def trailing(connection: h11.Connection) -> bytes:
    """What came behind the head of an upgrade."""
    return bytes(connection.trailing_data[0])


class Pieces:
    """The body that follows a head. No generator: one that is left early needs to be closed."""

    def __init__(self, stream: trio.abc.ReceiveStream, connection: h11.Connection) -> None:
        self.stream = stream
        self.connection = connection

    def __aiter__(self) -> Pieces:
        return self

    async def __anext__(self) -> bytes:
        event = await h11_event(self.stream, self.connection)
        if isinstance(event, h11.Data):
            return bytes(event.data)
        raise StopAsyncIteration


class WsEvents:
    """Pieces of messages, and control frames, until FIN."""

    def __init__(self, stream: trio.abc.ReceiveStream, messages: Connection) -> None:
        self.stream = stream
        self.messages = messages
        self.ready: deque[Event] = deque(messages.events())

    def __aiter__(self) -> WsEvents:
        return self

    async def __anext__(self) -> Event:
        while not self.ready:
            data = await self.stream.receive_some(READ_BYTES)
            if not data:
                raise StopAsyncIteration
            self.messages.receive_data(bytes(data))
            self.ready.extend(self.messages.events())
        return self.ready.popleft()


def abort(stream: trio.abc.AsyncResource) -> None:
    """Make the close that follows a reset, as when a program dies."""
    if isinstance(stream, trio.SSLStream):
        stream = stream.transport_stream
    assert isinstance(stream, trio.SocketStream)
    linger_0_s = struct.pack("ii", 1, 0)
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_0_s)
