"""An upgrade after its 101, a WebSocket or another protocol: both directions, and how each ends.

Ends cross as they came: FIN as FIN, RST as RST, and nothing is added. Two ends of a WebSocket are
ours, and are told by a Close, 1001, between two frames: when the session is lost the app gets it,
and when this program stops both do. In the middle of a frame it is RST, and so it is with any other
protocol. What an app refuses that is gone was cut off: RST, where its Close has not passed before.
What breaks RFC 6455 crosses as well: the app is to judge its visitor as it would without
the tunnel.

The task that relays to the app is the only one that writes there, pings and a Close of ours too,
and the one that relays from it the only one that writes to the visitor. The sweep, and a stop, wake
them where they wait.

However it ends, both halves of the stream and the connection have ended when `run` returns.
"""

from __future__ import annotations

import contextlib
from typing import Final

import trio

from protocol.drivers.upgrade_leg import (
    CLOSE_ANSWER_S,
    HALF_CLOSED_UPGRADE_S,
    TLS_DRAIN_S,
    UpgradeLeg,
)
from protocol.errors import (
    HttpError,
    LocalProtocolError,
    SessionClosed,
    StreamReset,
    StreamStopped,
)
from protocol.http.stopping import STOP_ANSWER_S
from protocol.http.upgrades import WEBSOCKET as WEBSOCKET_PROTOCOL, crossing
from protocol.mux.messages import Open
from protocol.mux.streams import WEBSOCKET
from tunnel_client.observing.events import Closer
from tunnel_client.origin.connection import OriginClosed, OriginConnection
from tunnel_client.origin.socket_tally import SocketTally
from tunnel_client.origin.tap import PlainTap
from tunnel_client.origin.upgrade_states import (
    HALF_CLOSED,
    OURS,
    TOLD_ALL,
    TRANSITIONS,
    RelayEvent,
    RelayState,
)
from tunnel_client.origin.visitor_stream import VisitorStream, why_left

GOING_AWAY: Final = 1001  # RFC 6455 7.4.1
CLOSE_S: Final = 1.0  # for the close_notify of TLS


_OPEN: Final = RelayState.OPEN
_STOPPING: Final = RelayState.STOPPING
_STOPPED: Final = "the tunnel's client stops"
_GONE: Final = "the app is gone, and the visitor went on sending"
_ENDS_BY: Final[dict[RelayEvent, Closer]] = {
    RelayEvent.VISITOR_END: "visitor",
    RelayEvent.APP_END: "app",
    RelayEvent.REFUSAL: "app",
    RelayEvent.LOSS: "tunnel",
    RelayEvent.STOP: "tunnel",
}
"""From where the end comes; of a reset, its own call says so."""

_ENDS: Final = (RelayEvent.VISITOR_END, RelayEvent.APP_END)


def asked_for(opened: Open) -> bytes:
    """Return the protocols that a request for an upgrade asks for.

    Raises:
        HttpError: `bad-request`: none that the other end may ask for by this kind of stream.
    """
    if opened.kind == WEBSOCKET:
        return WEBSOCKET_PROTOCOL
    if not crossing(opened.upgrade):
        raise HttpError("bad-request", "the other end of the tunnel asked for no upgrade")
    return opened.upgrade


class OriginUpgrade:
    """One upgrade between a stream and the app's connection.

    Args:
        stream: its head, the 101, has been sent back.
        connection: what the app sent behind its head was taken from it.
        tap: sees what passes, and is told why it failed.
        ws_keepalive_s: when an app that gets nothing is pinged; 0 for never.
    """

    def __init__(
        self,
        stream: VisitorStream,
        connection: OriginConnection,
        tap: PlainTap,
        *,
        ws_keepalive_s: float,
    ) -> None:
        self._stream = stream
        self._connection = connection
        self._tap = tap
        self._leg = UpgradeLeg(
            stream,
            connection.send,
            framed=stream.opened.kind == WEBSOCKET,
            masked=True,
            ping_after_s=ws_keepalive_s,
            on_own=tap.own_frame,
        )
        self._from_app = self._leg.from_peer
        self._tally = SocketTally(self._leg.to_peer, self._from_app)
        self._writing = False  # to the visitor; true as well once that was cancelled
        self._visitor_told = False
        self._state = RelayState.OPEN
        self._swept_at = trio.current_time()
        self._scope = trio.CancelScope()
        self._reading = trio.CancelScope()

    def __repr__(self) -> str:
        return f"<OriginUpgrade {self._state.name} {self._leg!r} {self._stream!r}>"

    async def run(self, first: bytes) -> None:
        """Relay until both directions have ended. Only Cancelled is raised.

        Args:
            first: what the app sent behind its 101.
        """
        self._stream.on_stopped = self._on_stopped
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._relay_to_app)
                    await self._relay_from_app(first)
        finally:
            end = self._tally.settle()
            if self._leg.framed:
                self._tap.socket = end
        ours = self._state in OURS
        if self._leg.sending or (ours and not self._leg.at_boundary):
            self._connection.drop(reset=True)  # cut off in the middle, and so it looks
        await self._connection.aclose(CLOSE_S)
        if self._visitor_told:
            self._stream.send_eof()
        self._stream.reset("truncated", self._tap.error or "it was idle, and half closed")
        self._stream.stop_sending("no-error")

    def sweep(self, now: float) -> None:
        """Once a second: see whether the app should get a ping.

        While the session has no connection, the time of a half-closed upgrade stands still.
        """
        if self._stream.detached and self._state not in OURS:
            self._scope.deadline += now - self._swept_at
        self._swept_at = now
        self._leg.sweep(now)

    def stop(self) -> None:
        """This program stops: say so both ways, and end in STOP_ANSWER_S; nothing if it ends so."""
        if self._state >= RelayState.LOST:
            return
        self._happened(RelayEvent.STOP)
        self._scope.deadline = trio.current_time() + STOP_ANSWER_S
        self._leg.end_pings()
        self._leg.stop()
        if not self._writing:
            self._reading.cancel()

    def cancel(self, why: str) -> None:
        """Reset it both ways, at once."""
        self._stream.cancel("cancelled")
        self._abort("tunnel", why)

    def _on_stopped(self) -> None:
        """Called in the session's reader: the visitor is gone, or the session."""
        if self._stream.stopped is not None:
            by: Closer = "tunnel" if self._stream.server_stops else "visitor"
            self._abort(by, why_left(self._stream))
            return
        before = self._happened(RelayEvent.LOSS)
        if self._state is RelayState.LOST:
            self._tap.error = "the connection to the server was lost"
            self._scope.deadline = trio.current_time() + CLOSE_ANSWER_S
        if before in TOLD_ALL:
            self._scope.cancel()

    def _abort(self, by: Closer, why: str) -> None:
        """Reset what is left, at once; what the app sent before that still arrives."""
        self._tally.ends(by, "reset")
        self._happened(RelayEvent.ABORT)
        self._tap.error = self._tap.error or why
        self._connection.drop(reset=True)
        self._stream.reset("truncated", why)
        self._stream.stop_sending("truncated")
        self._scope.cancel()

    def _happened(self, event: RelayEvent) -> RelayState:
        """Change the state, and return the one before."""
        before = self._state
        try:
            self._state = TRANSITIONS[before, event]
        except KeyError:
            raise LocalProtocolError(f"{event.name} of an upgrade that is {before.name}") from None
        if (by := _ENDS_BY.get(event)) is not None:
            # A Close of ours goes where one fits.
            if by == "tunnel" and self._leg.at_boundary:
                self._tally.ends(by, "close", GOING_AWAY)
            else:
                self._tally.ends(by, "end" if event in _ENDS else "reset")
        return before

    @property
    def _lives_on_use(self) -> bool:
        """Whether it can be half closed, and each byte gives it HALF_CLOSED_UPGRADE_S.

        Else it has TLS_DRAIN_S in all.
        """
        return self._connection.can_half_close or not self._leg.framed

    def _moved(self) -> None:
        """One that is half closed lives on while it is used."""
        if self._state is _OPEN:  # nearly always, and asked for each frame
            return
        if self._state in HALF_CLOSED and self._lives_on_use:
            self._scope.deadline = trio.current_time() + HALF_CLOSED_UPGRADE_S

    def _direction_ended(self, event: RelayEvent) -> None:
        """One direction has ended well: the other one has a time limit from now on."""
        self._happened(event)
        self._leg.end_pings()
        if self._state in HALF_CLOSED:
            patience_s = HALF_CLOSED_UPGRADE_S if self._lives_on_use else TLS_DRAIN_S
            self._scope.deadline = trio.current_time() + patience_s

    # --- from the app ---

    async def _relay_from_app(self, first: bytes) -> None:
        try:
            with self._reading:
                await self._pump_from_app(first)
            if self._state is _STOPPING:
                await self._close_to_visitor()
                return
        except OriginClosed:
            if not self._connection.dropped and self._state is not _STOPPING:
                self._abort("app", "the app reset the connection")
        except StreamStopped:
            pass  # `_on_stopped` has seen to the end
        else:
            if self._state is RelayState.REFUSING and self._cuts_off:
                self._abort("app", _GONE)
                return
            self._stream.send_eof()
            self._direction_ended(RelayEvent.APP_END)

    @property
    def _cuts_off(self) -> bool:
        """Whether an app that has ended, and takes no more, has cut its visitor off.

        Not where its Close has passed: it waits for no answer to that, and nothing else may come
        (RFC 6455 5.5.1, 7.1.1).
        """
        return not self._from_app.closed

    async def _pump_from_app(self, data: bytes) -> None:
        """Relay until the app ends its direction, or this program stops."""
        cutter = self._from_app
        while True:
            data = cutter.feed(data)
            if data:
                await self._send_to_visitor(data)
            if self._state is _STOPPING:
                return
            data = await self._connection.receive()
            if not data:
                break
            self._moved()
        if cutter.held:
            await self._send_to_visitor(cutter.held)

    async def _send_to_visitor(self, data: bytes) -> None:
        """Send it on, but once the session is lost to nobody: only the app's Close is awaited."""
        self._writing = True
        try:
            await self._stream.send_all(data)
        except SessionClosed:
            return
        self._writing = False
        self._tap.body_out(data)

    async def _close_to_visitor(self) -> None:
        """Tell the visitor that this program stops, and await the app's answer to its own Close.

        What else the app sends is dropped: nothing goes behind a Close.
        """
        cutter = self._from_app
        if self._writing or not cutter.at_boundary:
            self._stream.reset("truncated", _STOPPED)
        else:
            with contextlib.suppress(SessionClosed):  # there is nobody to tell any more
                await self._leg.close_stream(GOING_AWAY)
                self._visitor_told = True
        while not cutter.closed and (data := await self._connection.receive()):
            cutter.feed(data)

    # --- to the app ---

    async def _relay_to_app(self) -> None:
        try:
            if not await self._leg.pump(self._taken):
                await self._stop_to_app()
                return
            self._direction_ended(RelayEvent.VISITOR_END)
            if self._lives_on_use:
                await self._connection.send_eof()
        except OriginClosed:
            if self._state is RelayState.APP_ENDED and self._cuts_off:
                self._abort("app", _GONE)
                return
            self._happened(RelayEvent.REFUSAL)
            self._stream.stop_sending("truncated")  # its other direction may still have something
        except StreamReset:
            self._abort("visitor", "the visitor reset the connection")
        except SessionClosed:
            if self._state is not _STOPPING:
                await self._close_to_app()

    def _taken(self, data: bytes) -> None:
        self._tap.body_in(data)
        self._moved()

    async def _close_to_app(self) -> None:
        """The session is lost: a Close where one fits, and then the app's answer is awaited."""
        if not self._leg.at_boundary:
            self._abort("tunnel", "the connection to the server was lost")
        else:
            with contextlib.suppress(OriginClosed):  # it has gone before
                await self._leg.close_peer(GOING_AWAY)

    async def _stop_to_app(self) -> None:
        """Tell the app that this program stops, and await the visitor's answer to its own Close."""
        if self._leg.at_boundary:
            await self._leg.close_peer(GOING_AWAY)
        else:
            self._connection.drop(reset=True)
        await self._leg.await_close()
