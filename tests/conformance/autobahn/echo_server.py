"""A WebSocket server that sends each message back: wsproto on trio, permessage-deflate included.

It passes every case of the suite by itself, so that whatever fails behind the tunnel is the
tunnel's.
"""

from __future__ import annotations

from typing import Generic, TypeVar

import trio
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    Request,
    TextMessage,
)
from wsproto.extensions import PerMessageDeflate
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

READ_BYTES = 64 << 10

T = TypeVar("T", str, bytes)


async def echo(stream: trio.abc.Stream) -> None:
    """Serve one connection to its end."""
    socket = Echo()
    async with stream:
        try:
            while not socket.ended and (data := await stream.receive_some(READ_BYTES)):
                await stream.send_all(socket.receive(bytes(data)))
        except trio.BrokenResourceError:
            pass  # several cases end like this


class Parts(Generic[T]):
    """The pieces of a message, until it is whole."""

    def __init__(self) -> None:
        self._pieces: list[T] = []

    def add(self, piece: T, last: bool) -> list[T] | None:
        self._pieces.append(piece)
        if not last:
            return None
        whole, self._pieces = self._pieces, []
        return whole


class Echo:
    """One connection without its I/O.

    Attributes:
        ended: nothing more is to be sent or received.
    """

    def __init__(self) -> None:
        self.ended = False
        self._ws = WSConnection(ConnectionType.SERVER)
        self._texts: Parts[str] = Parts()
        self._blobs: Parts[bytes] = Parts()

    def receive(self, data: bytes) -> bytes:
        """What there is to send in answer to these bytes."""
        try:
            self._ws.receive_data(data)
            return b"".join([self._answer(event) for event in self._ws.events()])
        except RemoteProtocolError as error:
            self.ended = True
            return self._ws.send(error.event_hint) if error.event_hint else b""
        except LocalProtocolError:  # the connection is closed already
            self.ended = True
            return b""

    def _answer(self, event: Event) -> bytes:
        match event:
            case Request():
                return self._ws.send(AcceptConnection(extensions=[PerMessageDeflate()]))
            case TextMessage():
                text = self._texts.add(event.data, event.message_finished)
                return b"" if text is None else self._ws.send(TextMessage("".join(text)))
            case BytesMessage():
                data = self._blobs.add(bytes(event.data), event.message_finished)
                return b"" if data is None else self._ws.send(BytesMessage(b"".join(data)))
            case Ping():
                return self._ws.send(event.response())
            case CloseConnection():
                self.ended = True
                return self._ws.send(event.response())
            case _:
                return b""
