"""A task with at most one connection to the local app, for one request after the other.

Between two requests it is parked with its connection. That is used again only if the request was
sent whole, the answer was read whole (and did not end with the connection), and no byte was left
over: left-over bytes would become the next request's answer. Behind a request with a body only the
same visitor may use it. An app that answers without reading that, and does not close the connection
as RFC 9112 9.3 wants it, reads it as the next request: one that the visitor has written, and whose
answer somebody else would get. Whether it has read it, nobody can tell from here: what was sent is
in a buffer.
"""

from __future__ import annotations

import contextlib
import logging
import math
from typing import Final, Protocol

import trio

from protocol.drivers.bonds import VisitorConnection
from protocol.drivers.latch import Latch
from protocol.errors import HttpError, NoHttpError, SessionClosed, StreamStopped
from protocol.http.stopping import VISITOR_STUCK
from tunnel_client.origin.choosing import IdentityChooser
from tunnel_client.origin.connection import OriginClosed, OriginConnection
from tunnel_client.origin.dial import Dialer, OriginRefused, OriginStream
from tunnel_client.origin.no_http import first_bytes, shared_by_tls, why_no_http
from tunnel_client.origin.relay import relay
from tunnel_client.origin.replay import BY_STOP, STOPPED_STUCK, Replay
from tunnel_client.origin.replay_states import ReplayState
from tunnel_client.origin.visitor_stream import why_left

log = logging.getLogger(__name__)

CLOSE_S: Final = 1.0  # for the close_notify of TLS
# So long an app that says that it closes may be the first to do so. The port that a closed
# connection had is then kept for a minute at its end (TIME_WAIT), where it costs nothing.
APP_CLOSES_S: Final = 0.2


class WorkerPool(Protocol):
    """The part of the dispatcher that a worker uses."""

    dialer: Dialer

    def park(self, worker: Worker) -> None:
        """The worker waits for its next request."""

    def asks(self, replay: Replay) -> None:
        """A new connection is about to be made for this request."""

    def connected(self, replay: Replay) -> None:
        """It is made."""

    @property
    def has_answered(self) -> bool:
        """Whether the app has answered a request, and not with 400, since it was last started."""

    @property
    def says_close(self) -> bool:
        """Whether requests say that their connection closes."""

    @property
    def closing(self) -> trio.CapacityLimiter:
        """The workers that wait for their app to close; beyond its limit none does."""

    def ended(self, replay: Replay) -> None:
        """A request is over."""


class Worker:
    """Replays requests.

    Attributes:
        idle_since: when it was parked, in trio's time.
        bound_to: the visitor's connection that alone may use its connection; None: any may.
        bound_for: that visitor's address.
    """

    def __init__(self, owner: WorkerPool) -> None:
        self.idle_since = math.inf
        self.bound_to: VisitorConnection | None = None
        self.bound_for = ""
        self._owner = owner
        self._connection: OriginConnection | None = None
        self._assigned = Latch()
        self._next: Replay | None = None

    def __repr__(self) -> str:
        return f"<Worker {self._connection!r} {self._next!r}>"

    # --- what the dispatcher does ---

    def assign(self, replay: Replay | None) -> None:
        """Give a parked worker its next request, or None to end it."""
        self._next = replay
        self._assigned.open()

    @property
    def is_stale(self) -> bool:
        """Whether a parked worker's connection cannot be used again."""
        return self._connection is None or self._connection.is_stale

    async def run(self, first: Replay) -> None:
        """Serve this request and those that are assigned, while the connection can be used again.

        Only Cancelled is raised; then a request under way is reset, visibly, at the app.
        """
        replay: Replay | None = first
        try:
            while replay is not None:
                try:
                    reusable = await self._serve(replay)
                except BaseException:
                    replay.abort()
                    raise
                finally:
                    self._owner.ended(replay)
                if not (reusable and self._may_keep(replay)):
                    await self._let_app_close()
                    return
                self._owner.park(self)
                await self._assigned.wait()
                replay, self._next = self._next, None
        finally:
            await self._close()  # noqa: ASYNC102  # under TLS `aclose` shields itself, for CLOSE_S

    def _may_keep(self, replay: Replay) -> bool:
        """Whether the connection may serve what comes next: anybody, or whom it is bound to.

        This request may have bound it.
        """
        if replay.bound:
            self.bound_to = replay.stream.visitor_connection
            self.bound_for = replay.stream.opened.visitor
            return self.bound_to is not None
        return not replay.has_body

    async def _let_app_close(self) -> None:
        connection, closing = self._connection, self._owner.closing
        if connection is None or not connection.app_closes or connection.is_stale:
            return
        if closing.available_tokens:
            with trio.move_on_after(APP_CLOSES_S), contextlib.suppress(OriginClosed):
                async with closing:
                    await connection.receive()

    async def _close(self) -> None:
        connection, self._connection, self.bound_to = self._connection, None, None
        if connection is not None:
            await connection.aclose(CLOSE_S)

    # --- one request ---

    async def _serve(self, replay: Replay) -> bool:
        """Replay one request; whether the connection may be used again. Raises only Cancelled."""
        try:
            return await self._replay(replay)
        except OriginRefused as error:
            failure = error.code, str(error)
        except OriginClosed:
            failure = self._why_closed(replay)
        except NoHttpError as error:
            failure = "origin-protocol-error", await self._why_no_http(error)
        except HttpError as error:
            failure = "origin-protocol-error", f"the answer of {self._owner.dialer.target}: {error}"
        except (StreamStopped, SessionClosed):
            failure = why_gone(replay)
        except Exception:  # noqa: BLE001  # logged; one request's fault must not end the others
            replay.stream.log_by(log).exception("request %d failed", replay.stream.id)
            failure = "internal", "the tunnel's client has a fault; its log says more"
        replay.fail(*failure)
        return False

    async def _replay(self, replay: Replay) -> bool:
        chooser = replay.config.chooser
        if chooser is not None and chooser.keeps_waiting(replay.stream.opened):
            await self._wait_for_verdict(replay, chooser)
        try:
            head = replay.head(closes=self._owner.says_close)
        except HttpError as error:
            replay.fail("bad-request", str(error))
            return False
        while True:
            connection = self._connection
            reused = connection is not None
            if connection is None:
                connection = self._connection = await self._connect(replay)
            replay.bound = replay.bound or self.bound_to is not None
            try:
                return await relay(replay, connection, head)
            except OriginClosed:
                if not (reused and replay.is_silent and replay.is_repeatable):
                    raise
                await self._close()

    async def _wait_for_verdict(self, replay: Replay, chooser: IdentityChooser) -> None:
        """Raises OriginClosed if the visitor is gone."""
        with trio.CancelScope() as replay.dialling:
            if replay.aborted:
                replay.dialling.cancel()
            await chooser.wait()
            return
        raise OriginClosed

    async def _connect(self, replay: Replay) -> OriginConnection:
        """Raises OriginRefused, and OriginClosed if the visitor is gone."""
        self._owner.asks(replay)
        replay.tap.connecting()
        await trio.lowlevel.checkpoint()  # a visitor that goes in the same moment comes in time
        stream = None if replay.aborted else self._owner.dialer.open_at_once()
        if stream is None:
            stream = await self._dial(replay)
        replay.tap.connected()
        self._owner.connected(replay)
        return OriginConnection(stream)

    async def _dial(self, replay: Replay) -> OriginStream:
        """Likewise, where it takes a wait."""
        with trio.CancelScope() as replay.dialling:
            if replay.aborted:
                replay.dialling.cancel()
            return await self._owner.dialer.open()
        raise OriginClosed

    async def _why_no_http(self, error: NoHttpError) -> str:
        target = self._owner.dialer.target
        assert self._connection is not None
        data = await first_bytes(self._connection)
        return f"the answer of {target}: {why_no_http(error, target, data)}"

    def _why_closed(self, replay: Replay) -> tuple[str, str]:
        target = self._owner.dialer.target
        state, tap = replay.state, replay.tap
        if state is ReplayState.OVERDUE:
            timeout_s = replay.config.timeout_s
            return "origin-timeout", f"{target} did not begin to answer in {timeout_s:g} s"
        if tap.error is not None:  # the request was cut off
            return "bad-request", tap.error
        if state is ReplayState.ABORTED:
            return why_gone(replay)
        if tap.status is not None:
            return "truncated", f"{target} closed the connection in the middle of its answer"
        if not replay.is_silent:
            where = "in the middle of its answer's head"
            return "origin-protocol-error", f"{target} closed the connection {where}"
        # So do Node, HAProxy and others that were asked without TLS.
        hint = "" if self._owner.has_answered else shared_by_tls(target, ". If it speaks TLS: ")
        return "origin-protocol-error", f"{target} closed the connection without an answer{hint}"


def why_gone(replay: Replay) -> tuple[str, str]:
    """Return with which code and words a request ends that nobody waits for any more."""
    if replay.tap.error in BY_STOP:
        return "cancelled", replay.tap.error
    if replay.stream.stopped == VISITOR_STUCK:
        return "cancelled", STOPPED_STUCK
    if replay.stream.stopped is None and replay.stream.reset_code is None:
        return "cancelled", "the connection to the server was lost"
    return "cancelled", why_left(replay.stream)
