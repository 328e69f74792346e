"""The end of a connection whose last answer has left: FIN first, and what still comes is dropped.

Closing with unread bytes would reset the connection, and the answer might be lost on its way.
"""

from __future__ import annotations

import contextlib
from typing import Final

import trio

from protocol.limits import READ_BYTES
from tunnel_server.visitors.connection import Connection
from tunnel_server.visitors.phases import PhaseEvent
from tunnel_server.visitors.tls_stream import TlsStream

LINGER_S: Final = 2.0  # for what a visitor still sends after our last answer
STOP_LINGER_S: Final = 0.25  # the same while somebody waits for the server's end: a round trip
LINGER_MAX_BYTES: Final = 1024 * 1024


async def linger(connection: Connection) -> None:
    """End our direction after a last answer, and drop what still comes: 1 MiB or 2 s of it."""
    connection.move(PhaseEvent.LINGER)
    connection.deadlines.owe()
    broken = (trio.BrokenResourceError, trio.ClosedResourceError)
    patience_s = STOP_LINGER_S if connection.edge.hurries else LINGER_S
    with trio.move_on_after(patience_s), contextlib.suppress(*broken):
        await _end_writing(connection)
        dropped = 0
        while not connection.half_closed and dropped <= LINGER_MAX_BYTES:
            data = await connection.stream.receive_some(READ_BYTES)
            if not data:
                break
            dropped += len(data)


async def _end_writing(connection: Connection) -> None:
    if isinstance(connection.stream, TlsStream):
        secured, connection.stream = connection.stream, connection.stream.connection
        # trio sends a close_notify and waits for the other; what comes instead is dropped.
        with contextlib.suppress(trio.BrokenResourceError):
            await secured.unwrap()
    if isinstance(connection.stream, trio.abc.HalfCloseableStream):
        await connection.stream.send_eof()
