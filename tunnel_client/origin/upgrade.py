"""A WebSocket after its 101: both directions, and how each ends.

Ends cross as they came: FIN as FIN, RST as RST, and no frame is added. Only when the session is
lost does the app get a Close that no visitor sent, 1001, between two frames. What breaks RFC 6455
crosses as well: the app is to judge its visitor as it would without the tunnel.

The task that relays to the app is the only one that writes there: pings of ours too. The sweep
wakes it where it waits for the visitor.

However it ends, both halves of the stream and the connection have ended when `run` returns.
"""

from __future__ import annotations

from typing import Final, Protocol

import trio

from protocol.drivers.websocket_leg import WebSocketLeg
from protocol.errors import SessionClosed, StreamReset, StreamStopped
from tunnel_client.origin.connection import OriginClosed, OriginConnection
from tunnel_client.origin.visitor_stream import VisitorStream

GOING_AWAY: Final = 1001  # RFC 6455 7.4.1
CLOSE_ANSWER_S: Final = 2.0  # for the app's answer to a Close of ours
TLS_DRAIN_S: Final = 10.0  # trio's TLS has no half-close: the other direction has this long
HALF_CLOSED_S: Final = 60.0  # without a byte, once one direction has ended
CLOSE_S: Final = 1.0  # for the close_notify of TLS


class Counts(Protocol):
    """Where the bytes of both directions are counted, and what went wrong is said."""

    bytes_in: int
    bytes_out: int
    error: str | None


class OriginWebSocket:
    """One WebSocket between a stream and the app's connection.

    Args:
        stream: its head, the 101, has been sent back.
        connection: what the app sent behind its head was taken from it.
        counts: is kept up to date.
        ws_keepalive_s: when an app that gets nothing is pinged; 0 for never.
    """

    def __init__(
        self,
        stream: VisitorStream,
        connection: OriginConnection,
        counts: Counts,
        *,
        ws_keepalive_s: float,
    ) -> None:
        self._stream = stream
        self._connection = connection
        self._counts = counts
        self._leg = WebSocketLeg(stream, connection.send, masked=True, ping_after_s=ws_keepalive_s)
        self._from_app = self._leg.from_peer if ws_keepalive_s else None  # only for our pongs
        self._to_app_ended = False
        self._one_ended = False
        self._swept_at = trio.current_time()
        self._lost = False  # the session
        self._scope = trio.CancelScope()

    def __repr__(self) -> str:
        state = "session lost" if self._lost else "half ended" if self._one_ended else "open"
        return f"<OriginWebSocket {state} {self._leg!r} {self._stream!r}>"

    async def run(self, first: bytes) -> None:
        """Relay until both directions have ended. Only Cancelled is raised.

        Args:
            first: what the app sent behind its 101.
        """
        self._stream.on_stopped = self._on_stopped
        with self._scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._relay_to_app)
                await self._relay_from_app(first)
        if self._leg.sending or (self._lost and not self._leg.at_boundary):
            self._connection.drop(reset=True)  # cut off in the middle, and so it looks
        await self._connection.aclose(CLOSE_S)
        self._stream.reset("truncated", self._counts.error or "the WebSocket was idle")
        self._stream.stop_sending("no-error")

    def sweep(self, now: float) -> None:
        """Once a second: see whether the app should get a ping.

        While the session has no connection, the time of a half-closed upgrade stands still.
        """
        if self._stream.detached and not self._lost:
            self._scope.deadline += now - self._swept_at
        self._swept_at = now
        self._leg.sweep(now)

    def _on_stopped(self) -> None:
        """Called in the session's reader: the visitor is gone, or the session."""
        if self._stream.stopped is not None:
            self._abort("the visitor went away")
            return
        self._lost = True
        self._counts.error = "the connection to the server was lost"
        self._scope.deadline = trio.current_time() + CLOSE_ANSWER_S
        if self._to_app_ended:
            self._scope.cancel()  # nothing can be said any more

    def _abort(self, why: str) -> None:
        """Reset what is left, at once; what the app sent before that still arrives."""
        self._counts.error = self._counts.error or why
        self._connection.drop(reset=True)
        self._stream.reset("truncated", why)
        self._stream.stop_sending("truncated")
        self._scope.cancel()

    def _moved(self) -> None:
        """A half-closed upgrade lives on while it is used; one whose session is lost does not."""
        if self._one_ended and not self._lost and self._connection.can_half_close:
            self._scope.deadline = trio.current_time() + HALF_CLOSED_S

    def _direction_ended(self) -> None:
        self._one_ended = True
        self._leg.end_pings()
        if not self._lost:
            patience_s = HALF_CLOSED_S if self._connection.can_half_close else TLS_DRAIN_S
            self._scope.deadline = trio.current_time() + patience_s

    # --- from the app ---

    async def _relay_from_app(self, first: bytes) -> None:
        data = first
        cutter = self._from_app
        try:
            while True:
                if cutter is not None:
                    data = cutter.feed(data)
                if data:
                    await self._give(data)
                data = await self._connection.receive()
                if not data:
                    break
                self._moved()
            if cutter is not None and cutter.held:
                await self._give(cutter.held)
        except OriginClosed:
            if not self._connection.dropped:
                self._abort("the app reset the connection")
        except StreamStopped:
            pass  # `_on_stopped` has seen to the end
        else:
            self._stream.send_eof()
            self._direction_ended()

    async def _give(self, data: bytes) -> None:
        """To the visitor; after the session's loss to nobody, while the app's Close is awaited."""
        try:
            await self._stream.send_all(data)
        except SessionClosed:
            return
        self._counts.bytes_out += len(data)

    # --- to the app ---

    async def _relay_to_app(self) -> None:
        try:
            await self._leg.pump(self._taken)
            self._to_app_ended = True
            if self._connection.can_half_close:
                await self._connection.send_eof()
            self._direction_ended()
        except OriginClosed:
            self._to_app_ended = True
            self._stream.stop_sending("truncated")  # its other direction may still have something
        except StreamReset:
            self._abort("the visitor reset the connection")
        except SessionClosed:
            await self._close_to_app()

    def _taken(self, data: bytes) -> None:
        self._counts.bytes_in += len(data)
        self._moved()

    async def _close_to_app(self) -> None:
        """The session is lost: a Close where one fits, and then the app's answer is awaited."""
        if not self._leg.at_boundary:
            self._abort("the connection to the server was lost")
        elif not self._leg.to_peer.closed:
            try:
                await self._leg.send_close(GOING_AWAY)
            except OriginClosed:
                self._to_app_ended = True
