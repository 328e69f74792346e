"""Reads on while a connection's request waits, so that a visitor that leaves is noticed.

What comes may be the next requests. It is bounded: then nothing more is read until the wait ends.
"""

from __future__ import annotations

from typing import Final

from protocol.http.heads import HeadBuffer
from tunnel_server.owners.waiting import Pause
from tunnel_server.visitors.connection import Connection
from tunnel_server.visitors.exchange import Exchange

# As much as a page asks at once.
READ_AHEAD_MAX_BYTES: Final = 8 * 1024


class ReadAhead:
    """Reads on while a request waits for its turn, its tunnel's client or its answer.

    Only the reading task uses it. Cancelled, each of its waits loses nothing that was read. Each
    raises VisitorGone where the connection breaks.

    Args:
        connection: the visitor's.
        buffer: takes what is read.
    """

    __slots__ = ("_buffer", "_connection")

    def __init__(self, connection: Connection, buffer: HeadBuffer) -> None:
        self._connection = connection
        self._buffer = buffer

    def __repr__(self) -> str:
        return f"<ReadAhead {self._buffer!r} of {self._connection!r}>"

    def take_rest(self) -> bytes:
        """Take what was read ahead: it is no request."""
        return self._buffer.take_rest()

    async def until_turn(self, turn: Pause) -> None:
        """Wait for a turn of its share, and go on reading.

        A visitor that ends its direction may be gone, as most that end it are. It loses its turn,
        since others are waiting who are not.
        """
        while not turn.over and not self._connection.half_closed:
            await self._read_meanwhile(turn)

    async def until_over(self, pause: Pause) -> None:
        """Wait until the pause is over, and go on reading; also where the visitor sends no more."""
        while not pause.over:
            await self._read_meanwhile(pause)

    async def _read_meanwhile(self, pause: Pause) -> None:
        connection = self._connection
        held = len(self._buffer)
        if connection.half_closed or held >= READ_AHEAD_MAX_BYTES:
            await pause.wait()
            return
        data: bytes | None = None
        with pause.until_over():
            data = await connection.receive(READ_AHEAD_MAX_BYTES - held)
        if data:
            self._buffer.feed(data)
        elif data is not None:
            connection.visitor_half_closed()

    async def until_decided(self, exchange: Exchange) -> None:
        """Wait until the answer is over, or a 101 has left, and go on reading."""
        connection = self._connection
        buffer = self._buffer
        while not exchange.decided:
            held = len(buffer)
            if held and exchange.request_ended:
                exchange.follow()
            if connection.half_closed or held >= READ_AHEAD_MAX_BYTES or not exchange.request_ended:
                await exchange.wait_decided()
                return
            data: bytes | None = None
            if not held and not (connection.source.secure and exchange.asks_upgrade):
                # Whatever comes next wakes us, so nobody else needs to. Behind a 101 this task may
                # have to tell the visitor of the app's end, which is so under TLS alone.
                data = await connection.receive(READ_AHEAD_MAX_BYTES)
            else:
                with exchange.until_decided():
                    data = await connection.receive(READ_AHEAD_MAX_BYTES - held)
            if data:
                buffer.feed(data)
            elif data is not None:
                connection.visitor_half_closed()
