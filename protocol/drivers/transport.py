"""DRIVER. The transport of a session's messages: the control WebSocket, over any trio stream.

trio-websocket runs a reader task for each connection and hands over whole messages. What it does
not do is done here: bytes are noted as they come (they, not messages, are what counts as life), and
cut off where they do not become messages (`progress`); messages of many small frames are handed
over in pieces; every failure is a TransportClosed; and the stream is closed in the end, which the
library leaves out after a failure. Neither end sends WebSocket pings: the library's reader waits
for the writer when it answers one.
"""

from __future__ import annotations

from collections import deque
from typing import Final, Protocol

import trio
import trio_websocket

from protocol import CONTROL_PATH, SUBPROTOCOLS, best_version, subprotocol_of, version_of
from protocol.errors import TunnelError
from protocol.limits import CLOSE_TIMEOUT_S, MESSAGE_MAX_BYTES, READ_BYTES
from protocol.mux.pieces import pieces_of
from protocol.mux.progress import Progress

# The library hands each message over before it reads on. With a queue between, messages that wait
# would count as bytes between messages.
_MESSAGE_QUEUE_SIZE: Final = 0


# Closed by something in between that stops or restarts (RFC 6455 7.4.1 and its registry). Ours
# closes with 1000, and what breaks the rules of a WebSocket gets another code.
_ENDED_FOR_NOW: Final = frozenset({1001, 1012, 1013, 1014})


class TransportClosed(TunnelError):
    """The connection is gone; the message says how.

    Attributes:
        final: and so is the session: the peer ended it by a closing handshake, or broke the rules
            of the connection. Else the connection was lost, and another may resume it.
    """

    def __init__(self, message: str, *, final: bool = False) -> None:
        super().__init__(message)
        self.final = final


class Transport(Protocol):
    """Carries whole messages, in order, until it breaks."""

    @property
    def heard_at(self) -> float:
        """The time, by trio's clock, at which the last byte came."""

    async def send(self, message: bytes) -> None:
        """Send one message. Only one task may; cancelling leaves the transport unusable.

        Raises:
            TransportClosed: it is gone.
        """

    async def receive(self) -> bytes:
        """Return the next message, or piece of one: whole frames. Cancelling loses nothing.

        Raises:
            TransportClosed: it is gone, or the peer sent what is no message of ours.
        """

    async def aclose(self) -> None:
        """Close it: politely if the peer lets us within CLOSE_TIMEOUT_S and no send was cut off.

        Closes at once when cancelled, as any trio resource does. Never fails otherwise.
        """


class CountingStream(trio.abc.Stream):
    """A stream that notes when bytes come, and breaks when they do not become messages.

    Args:
        stream: what carries the bytes.
        first: bytes of the peer that were read already; they come first.
        masked: the peer is a client.

    Attributes:
        heard_at: when the last byte came.
        progress: what became of them.
        fault: why it was broken off.
    """

    def __init__(self, stream: trio.abc.Stream, first: bytes = b"", *, masked: bool) -> None:
        self._stream = stream
        self._first = first
        self.heard_at = trio.current_time()
        self.progress = Progress(masked=masked)
        self.fault: str | None = None

    def __repr__(self) -> str:
        return f"<CountingStream {self.progress!r}>"

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        if self._first:
            await trio.lowlevel.checkpoint()
            data: bytes | bytearray = self._first
            self._first = b""
        else:
            data = await self._stream.receive_some(max_bytes)
        self.heard_at = trio.current_time()
        self.fault = self.progress.feed(data, self.heard_at)
        if self.fault is not None:
            raise trio.BrokenResourceError(self.fault)
        return data

    async def aclose(self) -> None:
        await self._stream.aclose()


class WebSocketTransport:
    """Messages over a WebSocket whose opening handshake is done.

    Attributes:
        version: of the wire, on which the handshake has settled.
    """

    def __init__(
        self, connection: trio_websocket.WebSocketConnection, stream: CountingStream, version: int
    ) -> None:
        self.version = version
        self._connection = connection
        self._stream = stream
        self._sending = False
        self._pieces: deque[bytes] = deque()  # of a message, not handed over yet
        stream.progress.opened = True

    def __repr__(self) -> str:
        return f"<WebSocketTransport {self._connection.closed or 'open'} {self._stream!r}>"

    @property
    def heard_at(self) -> float:
        return self._stream.heard_at

    async def send(self, message: bytes) -> None:
        """See Transport."""
        self._sending = True  # and so it stays if this is cut off
        try:
            await self._connection.send_message(message)
        except trio_websocket.ConnectionClosed as error:
            raise self._closed(error.reason) from None
        self._sending = False

    async def receive(self) -> bytes:
        """See Transport."""
        if self._pieces:
            await trio.lowlevel.checkpoint()
        else:
            self._pieces.extend(pieces_of(await self._next_message()))
        return self._pieces.popleft()

    async def _next_message(self) -> bytes:
        try:
            message = await self._connection.get_message()
        except trio_websocket.ConnectionClosed as error:
            raise self._closed(error.reason) from None
        self._stream.progress.message_taken()
        if isinstance(message, str):
            raise TransportClosed("the peer sent a text message", final=True)
        return message

    async def aclose(self) -> None:
        """See Transport."""
        try:
            # Behind a part of a message a Close frame would be taken for the rest of it.
            if not self._sending:
                with trio.move_on_after(CLOSE_TIMEOUT_S):
                    await self._connection.aclose()
        finally:
            await trio.aclose_forcefully(self._stream)

    def _closed(self, reason: trio_websocket.CloseReason | None) -> TransportClosed:
        if self._stream.fault is not None:
            return TransportClosed(f"the peer sent {self._stream.fault}", final=True)
        if reason is None or reason.code == 1006:
            return TransportClosed("the connection was lost")
        text = f": {reason.reason}" if reason.reason else ""
        said = f"the WebSocket was closed ({reason.code}{text})"
        return TransportClosed(said, final=reason.code not in _ENDED_FOR_NOW)


async def accept_websocket(
    nursery: trio.Nursery, stream: trio.abc.Stream, first: bytes
) -> WebSocketTransport:
    """The server's side of the opening handshake, whose head the edge has read and checked.

    Args:
        nursery: the connection's own: an exception of the library ends up there.
        stream: the visitor's connection.
        first: the request's head, and all else that was read.

    The caller sets the deadline: on a fault the library may never return.

    Raises:
        TransportClosed: the client offers no version of ours.
    """
    counting = CountingStream(stream, first, masked=True)
    request = await trio_websocket.wrap_server_stream(
        nursery,
        counting,
        message_queue_size=_MESSAGE_QUEUE_SIZE,
        max_message_size=MESSAGE_MAX_BYTES,
        receive_buffer_size=READ_BYTES,
    )
    version = best_version(request.proposed_subprotocols)
    if version is None:
        raise TransportClosed("the client does not speak our subprotocol")
    connection = await request.accept(subprotocol=subprotocol_of(version))
    return WebSocketTransport(connection, counting, version)


async def open_websocket(
    nursery: trio.Nursery, stream: trio.abc.Stream, *, host: str, authorization: str
) -> WebSocketTransport:
    """The client's side of the opening handshake.

    Args:
        nursery: the connection's own: an exception of the library, such as ConnectionRejected,
            ends up there.
        stream: connected to the server, through TLS and proxies.
        host: the Host field.
        authorization: the Authorization field.

    The caller sets the deadline: on a fault the library may never return.
    """
    counting = CountingStream(stream, masked=False)
    connection = await trio_websocket.wrap_client_stream(
        nursery,
        counting,  # type: ignore[arg-type]  # any trio.abc.Stream does; the annotation is narrower
        host,
        CONTROL_PATH,
        subprotocols=SUBPROTOCOLS,
        extra_headers=[
            (b"Authorization", authorization.encode("ascii")),
            (b"Accept", b"application/json"),  # for the reason of a refusal
        ],
        message_queue_size=_MESSAGE_QUEUE_SIZE,
        max_message_size=MESSAGE_MAX_BYTES,
        receive_buffer_size=READ_BYTES,
    )
    version = version_of(connection.subprotocol)
    if version is None:
        raise TransportClosed("the server does not speak our subprotocol")
    return WebSocketTransport(connection, counting, version)
