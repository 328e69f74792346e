"""An upgrade after its 101, a WebSocket or another protocol: both directions, and how each ends.

Ends cross as they came: FIN as FIN, RST as RST, and nothing is added. Only an end of a WebSocket
that the tunnel itself makes is announced with a Close, where one fits: between two frames, and if
none has passed that way. A server that stops says 1012 both ways; when the session is lost, the
visitor is told 1014 (the client tells the app). The other side has 2 s to answer it, at a stop 0.5
s, then comes FIN. In the middle of a frame it is RST, and so it is with any other protocol.

Under TLS the end of a direction is a close_notify. Behind the app's the visitor may go on, and so
may the app behind the visitor's. Not so with a WebSocket, since browsers end both at once: when the
app ends, its visitor's leg is closed as soon as what is on its way from there has been passed on;
when the visitor ends, the app has a while to finish.

The writing task is the only one that writes to the visitor: pings of ours too, and a Close. Whoever
wants one of them wakes it where it waits for the app.
"""

from __future__ import annotations

import math
from contextlib import suppress
from typing import Final

import trio

from protocol.drivers.stream import TunnelStream
from protocol.drivers.upgrade_leg import (
    CLOSE_ANSWER_S,
    HALF_CLOSED_UPGRADE_S,
    TLS_DRAIN_S,
    UpgradeLeg,
)
from protocol.errors import LocalProtocolError, SessionClosed, StreamReset, StreamStopped
from protocol.http.limits import READ_FIRST_BYTES
from protocol.http.read_size import ReadSize
from tunnel_server.visitors.connection import Connection, VisitorGone
from tunnel_server.visitors.exchange import Exchange
from tunnel_server.visitors.upgrade_states import (
    FROM_VISITOR,
    TO_VISITOR,
    FromVisitor,
    FromVisitorEvent,
    ToVisitor,
    ToVisitorEvent,
)

TLS_PAUSE_S: Final = 0.2  # of the visitor, after which nothing is on its way; a long round trip

# The registry of RFC 6455, 11.7: Bad Gateway.
SESSION_GONE: Final = 1014


_F, _FE, _T, _TE = FromVisitor, FromVisitorEvent, ToVisitor, ToVisitorEvent


class VisitorUpgrade:
    """One upgrade. The reading task calls `relay_to_app`, the writing one `relay_to_visitor`.

    Attributes:
        from_visitor: how far the visitor's direction is.
        to_visitor: how far the app's is.
        code: of our Close, if there will be one.
    """

    def __init__(self, connection: Connection, exchange: Exchange, stream: TunnelStream) -> None:
        self._connection = connection
        self._exchange = exchange
        self._stream = stream
        self._leg = UpgradeLeg(
            stream,
            connection.send,
            framed=exchange.asks_websocket,
            masked=False,
            ping_after_s=exchange.ws_keepalive_s,
        )
        self._to_app, self._to_visitor = self._leg.from_peer, self._leg.to_peer
        self.from_visitor = _F.HELD
        self.to_visitor = _T.OPEN
        self.code = SESSION_GONE
        self._answer_s = CLOSE_ANSWER_S
        self._close_by = math.inf
        by_close_notify = connection.source.secure and not self._leg.framed
        self._until_end = trio.CancelScope() if by_close_notify else None
        """Around a read, to end it when the app ends; None: the reading task has not to know."""

    def __repr__(self) -> str:
        to_app = f"to app {self.from_visitor.name} {self._to_app!r}"
        return f"<VisitorUpgrade {to_app} to visitor {self.to_visitor.name} {self._to_visitor!r}>"

    @property
    def reads(self) -> bool:
        """See Relay."""
        return self.from_visitor is not _F.ENDED

    def move_from_visitor(self, event: FromVisitorEvent) -> None:
        """Raises LocalProtocolError: the table has no such pair."""
        state = FROM_VISITOR.get((self.from_visitor, event))
        if state is None:
            name = self.from_visitor.name
            raise LocalProtocolError(f"{event.name} from a visitor that is {name}")
        self.from_visitor = state

    def move_to_visitor(self, event: ToVisitorEvent) -> None:
        """Raises LocalProtocolError: the table has no such pair."""
        state = TO_VISITOR.get((self.to_visitor, event))
        if state is None:
            raise LocalProtocolError(f"{event.name} to a visitor that is {self.to_visitor.name}")
        self.to_visitor = state

    def close(self, code: int, answer_s: float = CLOSE_ANSWER_S) -> None:
        """See Relay. What is being sent to the visitor just now goes first, in the same time."""
        if not self._leg.framed:
            self._exchange.ended_by("tunnel")
            self._connection.abort()
            return
        if self._exchange.over:  # the visitor has had our end, and no Close fits behind that
            self._connection.reading.cancel()
            return
        if self.to_visitor is _T.OPEN:
            self.code = code
            self._answer_s = answer_s
        if self._close_by == math.inf:
            self._close_by = trio.current_time() + answer_s
        self.move_to_visitor(_TE.STOP)
        self._leg.stop()

    def sweep(self, now: float) -> None:
        """See Relay. A visitor that does not let our Close go is reset; after that it has time."""
        if now > self._close_by and self.to_visitor is not _T.CLOSING:
            self._connection.abort()
        self._leg.sweep(now)

    # --- the app's direction ---

    async def relay_to_visitor(self) -> None:
        """Relay to the end of this direction, or to an end that we make.

        Raises:
            StreamReset: the app's direction ended badly.
            VisitorGone: the connection broke.
        """
        ended = False
        taken = self._exchange.tap.body_out if self._exchange.tap is not None else None
        with suppress(SessionClosed):  # it is told, if nobody asked for another end
            ended = await self._leg.pump(taken)
        self.move_to_visitor(_TE.END if ended else _TE.CLOSE)
        self._exchange.ended_by("app" if ended else "tunnel")
        if ended:
            self._stream.on_stopped = self._on_stopped
            self._on_stopped()
            await trio.lowlevel.checkpoint_if_cancelled()
            await self._end_to_visitor()
        else:
            await self._close_both()

    def _on_stopped(self) -> None:
        """Called in the session's reader, once the app has ended; before, it is heard to its end.

        If it took no more of what had come, its visitor is reset.
        """
        if self._stream.stopped == "truncated":
            self._cut_off()

    def _cut_off(self) -> None:
        """The app takes no more. Where it has ended as well, what its visitor sent looked whole.

        Not so where the app's Close has passed: then only the answer to that may come.
        """
        if self.to_visitor is _T.ENDED and not self._to_visitor.closed:
            self._connection.abort()

    async def _end_to_visitor(self) -> None:
        connection = self._connection
        if await connection.send_eof():
            connection.deadlines.read = trio.current_time() + HALF_CLOSED_UPGRADE_S
        elif self._until_end is not None:
            connection.deadlines.read = trio.current_time() + HALF_CLOSED_UPGRADE_S
            self._until_end.cancel()
        elif self.from_visitor is _F.AWAITING:
            connection.reading.cancel()
        else:
            connection.deadlines.read = trio.current_time() + TLS_DRAIN_S

    # --- the visitor's direction ---

    async def relay_to_app(self, data: bytes) -> None:
        """See Relay. Raises VisitorGone."""
        try:
            if await self._pump_to_app(data):
                await self._end_to_app()
        except StreamStopped:
            self._cut_off()
            await self._drop_from_visitor()
        except SessionClosed:
            await self._drop_from_visitor()
        with trio.CancelScope() as patience:
            ends_by_tls = self._connection.half_closed and self._connection.source.secure
            if ends_by_tls and self._leg.framed:
                patience.deadline = trio.current_time() + TLS_DRAIN_S
            await self._exchange.wait_over()

    async def _pump_to_app(self, data: bytes) -> bool:
        """Whether the app is to be told of the visitor's end; else nothing more is wanted.

        Once we close, that tells the app of the end.
        """
        connection, size = self._connection, ReadSize()
        while True:
            if data and not await self._send_to_app(data):
                return False
            size.learn(len(data), self._to_app.pieces)
            if connection.half_closed:
                return self._visitor_ended()
            if self._exchange.over and connection.source.secure and self._leg.framed:
                return await self._drain_to_app()
            if self._exchange.over:
                connection.deadlines.read = trio.current_time() + HALF_CLOSED_UPGRADE_S
            self.move_from_visitor(_FE.AWAIT)
            data = await self._receive(size.next_bytes)
            if not data:
                return self._visitor_ended()

    def _visitor_ended(self) -> bool:
        """The visitor's direction has ended; returns as `_pump_to_app`.

        Raises:
            VisitorGone: nothing says that it was whole: a WebSocket's frames do, bare bytes do not.
        """
        if self._connection.truncated and not self._leg.framed:
            raise VisitorGone
        return self.to_visitor is not _T.CLOSING

    async def _receive(self, max_bytes: int) -> bytes:
        """Return what the visitor sends next; under TLS tell it meanwhile of the app's end."""
        if self._until_end is not None:
            with trio.CancelScope() as self._until_end:
                if self.to_visitor is _T.ENDED:
                    self._until_end.cancel()  # what has come is returned all the same
                return await self._connection.receive(max_bytes)
            self._until_end = None
            await self._connection.send_close_notify()
        return await self._connection.receive(max_bytes)

    async def _drain_to_app(self) -> bool:
        """Pass on what is on its way, until the visitor pauses; returns as `_pump_to_app`."""
        while True:
            data: bytes | None = None
            with trio.move_on_after(TLS_PAUSE_S):
                data = await self._connection.receive(READ_FIRST_BYTES)
            if not data:
                return data is not None and self.to_visitor is not _T.CLOSING
            await self._send_to_app(data)

    async def _send_to_app(self, data: bytes) -> bool:
        """Whether more is wanted."""
        if self._exchange.tap is not None:
            self._exchange.tap.body_in(data)
        frames = self._to_app.feed(data)
        if self.to_visitor is _T.CLOSING:
            return not self._to_app.closed  # nothing goes behind our Close
        if frames:
            self.move_from_visitor(_FE.SEND)
            await self._stream.send_all(frames)
        return True

    async def _end_to_app(self) -> None:
        self._exchange.ended_by("visitor")
        if self._to_app.held:
            self.move_from_visitor(_FE.SEND)  # so that an end of the app's does not cut it off
            await self._stream.send_all(self._to_app.held)
        self._stream.send_eof()
        self.move_from_visitor(_FE.END)
        self._leg.end_pings()  # no pong can come
        self._connection.visitor_half_closed(HALF_CLOSED_UPGRADE_S)

    async def _drop_from_visitor(self) -> None:
        """The app takes no more, but may still send; a visitor that leaves is noticed."""
        while not (self.to_visitor is _T.CLOSING and self._to_app.closed):
            data = await self._connection.receive(READ_FIRST_BYTES)
            if not data:
                self._leg.end_pings()
                return
            self._to_app.feed(data)

    # --- an end that we make ---

    async def _close_both(self) -> None:
        connection = self._connection
        connection.deadlines.read = trio.current_time() + self._answer_s
        told = False
        if self._leg.at_boundary:
            with trio.move_on_after(self._answer_s):
                await self._leg.close_peer(self.code)
                told = True
                await self._close_to_app(self.code)
        if not told:
            connection.abort()
            await trio.sleep_forever()
        if self.from_visitor is not _F.ENDED:
            self.move_from_visitor(_FE.END)
            self._stream.send_eof()
        if self._to_app.closed:  # the visitor has said all it will say
            connection.reading.cancel()

    async def _close_to_app(self, code: int) -> None:
        """Tell the app, and wait until it has answered."""
        if self.from_visitor is _F.SENDING or not self._to_app.at_boundary:
            self._stream.cancel("truncated")
            return
        try:
            if self.from_visitor is not _F.ENDED:
                await self._leg.close_stream(code)
            await self._leg.await_close()
        except (StreamReset, StreamStopped, SessionClosed):
            pass  # it is gone already, or wants to hear no more
