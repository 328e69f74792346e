"""The dispatcher decides which worker replays which stream.

A stream starts at once: on an idle connection if the policy of reuse has one for it, else on a new
one. Nothing is queued, since idle WebSockets would stop later requests silently; the server holds
to the number of streams that our hello announced. Only a visitor's connection has an order: its
next request waits until the one before has reached the app whole, or will not.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

import trio

from protocol.drivers.bonds import VisitorConnection
from protocol.mux.streams import KINDS
from protocol.program.observing import Sink
from tunnel_client.identity.rewriting import Identity
from tunnel_client.observing.events import RequestEnded, RequestOpened, WebSocketOpened
from tunnel_client.origin.binding import BoundWorkers
from tunnel_client.origin.choosing import IdentityChooser
from tunnel_client.origin.dial import Dialer
from tunnel_client.origin.idle import IdleWorkers
from tunnel_client.origin.refusals import REFUSED, Refusals
from tunnel_client.origin.replay import STOPPED_STUCK, Replay, ReplayConfig
from tunnel_client.origin.stopping import Stopping
from tunnel_client.origin.tap import OriginTap, PlainTap
from tunnel_client.origin.transfers import Transfers
from tunnel_client.origin.visitor_stream import VisitorStream
from tunnel_client.origin.worker import Worker, why_gone

log = logging.getLogger(__name__)

_TOLD_OF_SOCKET: Final = 4  # the first fields of SocketEnd are the event's last
SWEEP_EVERY_S: Final = 1.0  # so much later than its deadline a request may end

# A log-in that takes one step (Negotiate with Kerberos) succeeds all the same, so a challenge alone
# is no news.
_LOGIN_FAILS: Final = (
    "a log-in by NTLM or Negotiate fails here: it is one connection's, and the server does not say"
    " whose a connection is, since a proxy that speaks HTTP stands before it, or since it is older"
    " than this client. It succeeds through a proxy in TCP mode with the PROXY protocol, and"
    " without a proxy (docs/behind-a-proxy.md)"
)


class Dispatcher:
    """Serves the streams of all sessions of one client.

    Args:
        tasks: where the workers run; it outlives the sessions.
        sink: is told of each request.
        identity: how the app is asked; None: as itself.
        origin_timeout_s, ws_keepalive_s: see ReplayConfig.
        tells_opened: the sink is told when a request begins, too; else when a WebSocket is opened.
        tap_for: is asked at the begin of each request for a tap that sees it, or None; one that is
            a PlainTap is the request's own.
        chooser: has the identity of each request; None: it is `identity`.

    Attributes:
        served: how many requests it was given.
        stopping: ends what is under way, when the client stops.
        transfers: knows what is under way for long.
    """

    def __init__(
        self,
        dialer: Dialer,
        sink: Sink[RequestOpened | RequestEnded | WebSocketOpened],
        tasks: trio.Nursery,
        *,
        origin_timeout_s: float,
        identity: Identity | None = None,
        ws_keepalive_s: float = 0.0,
        tells_opened: bool = False,
        tap_for: Callable[[VisitorStream], OriginTap | None] | None = None,
        chooser: IdentityChooser | None = None,
    ) -> None:
        self.dialer = dialer
        identity = identity or Identity(dialer.target)
        on_socket = None if tells_opened else self._socket_opened
        self._config = ReplayConfig(
            identity, origin_timeout_s, tasks, ws_keepalive_s, chooser, on_socket
        )
        self._refusals = Refusals(chooser)
        self._tap_for = tap_for
        self._tells_opened = tells_opened
        self._sink = sink
        self._idle = IdleWorkers(tasks)
        self._bound = BoundWorkers()
        self._busy: set[Replay] = set()
        self.served = 0
        self.stopping = Stopping(self._busy)
        self.transfers = Transfers(self._busy)
        self._uploads: dict[VisitorConnection, Replay] = {}  # under way, with a body
        self._quiet: trio.Event | None = None
        self._told_of_login = False

    def __repr__(self) -> str:
        return f"<Dispatcher {len(self._busy)} busy, {len(self._idle)} idle workers>"

    @property
    def busy_count(self) -> int:
        """Requests under way."""
        return len(self._busy)

    def serve(self, stream: VisitorStream) -> None:
        """Start to replay a stream. Called in the session's reader: never blocks or raises."""
        further = None if self._tap_for is None else self._tap_for(stream)
        # A plain tap that does more stands for both: one call and one object less.
        tap = further if isinstance(further, PlainTap) else PlainTap(trio.current_time(), further)
        replay = Replay(stream, self._config, tap)
        self._busy.add(replay)
        self.served += 1
        if self._tells_opened:
            opened = stream.opened
            self._sink.tell(
                RequestOpened(stream.id, opened.kind, opened.method, opened.target, opened.visitor)
            )
        if stream.opened.kind not in KINDS:
            replay.fail(
                "unsupported", f"this client serves no streams of kind {stream.opened.kind}"
            )
            self.ended(replay)
            return
        if self._uploads and stream.visitor_connection in self._uploads:
            self._config.tasks.start_soon(self._begin_behind, replay)
        else:
            self._begin(replay)

    def cancel(self, stream: VisitorStream) -> bool:
        """End a request as if its visitor had gone; False: it is over. Never blocks or raises."""
        for replay in self._busy:
            if replay.stream is stream:
                replay.cancel()
                return True
        return False

    async def wait_quiet(self) -> None:
        """Wait until no request is under way."""
        while self._busy:
            if self._quiet is None:
                self._quiet = trio.Event()
            await self._quiet.wait()

    async def sweep(self) -> None:
        """Once a second, for ever: end what is overdue, and connections that are of no use."""
        while True:
            await trio.sleep(SWEEP_EVERY_S)
            now = trio.current_time()
            for replay in tuple(self._busy):
                replay.sweep(now)
            self.stopping.look(now)
            self._bound.sweep(now)

    def _begin(self, replay: Replay) -> None:
        stream = replay.stream
        if replay.has_body:
            connection = stream.visitor_connection
            if connection is not None:
                self._uploads[connection] = replay
        worker = self._bound.take(stream.visitor_connection) if self._bound else None
        if worker is None:
            repeatable = stream.opened.kind == "http" and replay.is_repeatable
            worker = self._idle.take(repeatable=repeatable)
        if worker is not None:
            worker.assign(replay)
        else:
            self._config.tasks.start_soon(Worker(self).run, replay)

    async def _begin_behind(self, replay: Replay) -> None:
        """Begin it when the upload before it on its visitor's connection has ended.

        Its answer has, or the server would not have begun another. Pipelined on one connection the
        app would see them in this order (RFC 9112 9.3.2); here this one comes by another
        connection, unless a log-in binds that of the upload.
        """
        connection = replay.stream.visitor_connection
        try:
            with trio.CancelScope() as replay.dialling:
                if replay.aborted:  # before this task's first turn
                    replay.dialling.cancel()
                while connection is not None and (before := self._uploads.get(connection)):
                    if before.over is None:
                        before.over = trio.Event()
                    await before.over.wait()
        except BaseException:
            replay.abort()
            self.ended(replay)
            raise
        replay.dialling = None
        if replay.aborted:
            replay.fail(*why_gone(replay))
            self.ended(replay)
        else:
            self._begin(replay)

    def _end_upload(self, replay: Replay) -> None:
        connection = replay.stream.visitor_connection
        if connection is not None and self._uploads.get(connection) is replay:
            del self._uploads[connection]
        if replay.over is not None:
            replay.over.set()

    # --- what the workers call ---

    def park(self, worker: Worker) -> None:
        """See WorkerPool."""
        if worker.bound_to is None:
            self._idle.put(worker)
        else:
            worker.idle_since = trio.current_time()
            self._bound.put(worker.bound_to, worker.bound_for, worker)

    def asks(self, replay: Replay) -> None:
        """See WorkerPool."""
        self._idle.asks(replay)

    def connected(self, replay: Replay) -> None:
        """See WorkerPool."""
        self._idle.connected(replay, self.dialer.lives)

    @property
    def has_answered(self) -> bool:
        """See WorkerPool."""
        return self._refusals.settled_life == self.dialer.lives

    @property
    def says_close(self) -> bool:
        """See WorkerPool."""
        return self._idle.says_close

    @property
    def closing(self) -> trio.CapacityLimiter:
        """See WorkerPool."""
        return self._idle.closing

    def ended(self, replay: Replay) -> None:
        """See WorkerPool."""
        self._idle.ended(replay)
        replay.stream.on_stopped = None
        self._busy.discard(replay)
        if self._uploads:
            self._end_upload(replay)
        if not self._busy and self._quiet is not None:
            self._quiet.set()
            self._quiet = None
        if replay.ends_login and not self._told_of_login:
            self._told_of_login = True
            replay.stream.log_by(log).warning(_LOGIN_FAILS)
        opened, tap = replay.stream.opened, replay.tap
        lives = self.dialer.lives
        if tap.status in REFUSED or lives != self._refusals.settled_life:
            self._refusals.answered(replay.stream, tap.status, lives, replay.identity)
        if tap.error == STOPPED_STUCK:
            self.stopping.cut_off += 1
        tap.ended(tap.error)
        event = RequestEnded(
            replay.stream.id,
            opened.method,
            opened.target,
            tap.error_status if tap.status is None else tap.status,
            tap.bytes_in,
            tap.bytes_out,
            round((trio.current_time() - tap.began_at) * 1000, 1),
            tap.error,
            len(self._busy),
            opened.kind,
            *(tap.socket or ())[:_TOLD_OF_SOCKET],
        )
        self._sink.tell(event)
        if log.isEnabledFor(logging.DEBUG):
            _log(event, replay.stream)

    def _socket_opened(self, stream: VisitorStream) -> None:
        self._sink.tell(WebSocketOpened(stream.opened.target))


def _log(ended: RequestEnded, stream: VisitorStream) -> None:
    """Write the record of a request: without its target, which may hold secrets."""
    stream.log_by(log).debug(
        "request %d: %s %d, %d bytes in, %d bytes out, %d ms, %s",
        ended.id,
        ended.method.decode("ascii", "replace"),
        ended.status or 0,
        ended.bytes_in,
        ended.bytes_out,
        round(ended.ms),
        ended.error or "ended well",
    )
