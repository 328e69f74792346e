"""One public connection: its stream, its deadlines and the ways it ends.

A connection has two tasks for its whole life, one for each direction (`requests`, `answering`); a
request costs no task, nursery or timeout of its own. Deadlines are attributes that the sweep looks
at once a second.

What was cut off must not look whole. Where the framing shows the cut, a FIN will do, and loses
nothing of what is on its way; where only the end of the connection ends the answer, it is reset
(under TLS it ends without a close_notify). What is whole ends with FIN, see `lingering`.
"""

from __future__ import annotations

import contextlib
import math
from typing import Final, Literal

import trio

from protocol.drivers.latch import Latch
from protocol.drivers.peer_progress import fill_send_buffer, peer_progress
from protocol.drivers.sockets import drop, is_readable, was_reset
from protocol.drivers.stream import StreamSession
from protocol.drivers.upgrade_leg import CLOSE_ANSWER_S
from protocol.errors import LocalProtocolError, TunnelError
from protocol.http.stopping import (
    STOP_ANSWER_S,
    TAKEN_S,
    Pace,
    UnderWay,
    Verdict,
    pace,
    patience_s,
)
from protocol.limits import READ_BYTES
from tunnel_server.answers.refusal import Refusal
from tunnel_server.visitors.crowd import Place
from tunnel_server.visitors.deadlines import Deadlines
from tunnel_server.visitors.edge import Edge
from tunnel_server.visitors.exchange import Exchange
from tunnel_server.visitors.phases import PHASES, Phase, PhaseEvent
from tunnel_server.visitors.stopping import InProgress
from tunnel_server.visitors.tls_stream import TlsStream
from tunnel_server.visitors.visitor import Source

IDLE_TIMEOUT_S: Final = 75.0  # between requests, as nginx
HEAD_TIMEOUT_S: Final = 30.0  # from its first byte
WRITE_TIMEOUT_S: Final = 300.0  # without progress of an answer
HALF_CLOSED_S: Final = 5.0  # the same, once the visitor has ended its direction
# While the server stops. A connection that was just used is likely to be used again, and of one
# that was just accepted the first request is on its way: closing it would lose what crosses. A
# second is a round trip on the slowest lines, and time for a page to go on.
SETTLE_S: Final = 1.0
# While somebody waits for the server's end, which is to take less. A head that has begun has as
# long: scanners leave theirs unfinished, and would hold up each stop.
STOP_SETTLE_S: Final = 0.75
SERVICE_RESTART: Final = 1012  # the registry of RFC 6455, 11.7
CLOSE_S: Final = 1.0  # closing a stream waits for nothing; should it wait all the same

End = Literal["FIN", "RST"]


class VisitorGone(TunnelError):
    """The visitor's connection broke."""


class Connection:
    """A visitor's connection.

    Attributes:
        edge: the server's state.
        source: the visitor.
        stream: its bytes. Only the two tasks use it.
        exchange: the request that is served now, or was last.
        deadlines: for what the visitor has to send and to take.
        phase: what it does beside its exchange.
        reading: around the reading of requests and frames; cancelled when no more are wanted.
        scope: around both tasks; cancelling it ends the connection.
        answer_ready: opened when there is something to answer: by a stream that the app has
            answered, or where the answer is ours. The writing task waits at it.
    """

    def __init__(
        self, edge: Edge, stream: trio.abc.Stream, source: Source, place: Place | None = None
    ) -> None:
        self.edge = edge
        self.source = source
        self.stream = stream
        self.exchange: Exchange | None = None
        self.deadlines = Deadlines(trio.current_time(), place)
        self.phase = Phase.IDLE
        self.reading = trio.CancelScope()
        self.scope = trio.CancelScope()
        self.answer_ready = Latch()
        self._half_closed_s: float | None = None
        """The visitor ended its direction, and has so long for each part of the answer."""
        self._receiving = False
        self._cut: End | None = None
        """The way in which it ends in the middle of something."""

    def __repr__(self) -> str:
        return f"<Connection {self.phase.name} {self.source.address} {self.exchange!r}>"

    @property
    def half_closed(self) -> bool:
        """Whether the visitor ended its direction."""
        return self._half_closed_s is not None

    @property
    def truncated(self) -> bool:
        """Whether the visitor's direction ended so that it may have been cut off."""
        return isinstance(self.stream, TlsStream) and self.stream.truncated

    @property
    def is_control(self) -> bool:
        """Whether it carries a session; then it stays so, and is no visitor's."""
        return self.phase is Phase.CONTROL

    def become_control(self) -> None:
        """It carries a session, or will; until that begins it owes us what says which."""
        self.move(PhaseEvent.CONTROL)
        self.deadlines.owe()

    def rest(self, now: float) -> None:
        """It waits for its next request.

        A proxy keeps its connection for whoever comes next: it is no visitor's meanwhile, so that
        nobody's share closes it just as another's request is on its way there.
        """
        self.deadlines.read = now + IDLE_TIMEOUT_S
        self.deadlines.owe()
        if self.source.trusted and self.deadlines.place is not None:
            self.deadlines.place.move(None)

    def begin_head(self, now: float) -> None:
        """A part of a request's head is there."""
        self.move(PhaseEvent.HEAD)
        self.deadlines.read = now + HEAD_TIMEOUT_S

    def move(self, event: PhaseEvent) -> None:
        """Go on to the next phase. Raises LocalProtocolError: the table has no such pair."""
        after = PHASES.get((self.phase, event))
        if after is None:
            raise LocalProtocolError(f"{event.name} of a connection that is {self.phase.name}")
        self.phase = after

    # --- bytes ---

    async def receive(self, max_bytes: int = READ_BYTES) -> bytes:
        """Return what the visitor sent; b"" when it ended its direction. Cancelling loses nothing.

        Raises:
            VisitorGone: the connection broke.
        """
        self._receiving = True
        try:
            return bytes(await self.stream.receive_some(max_bytes))
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise VisitorGone from error
        finally:
            self._receiving = False

    async def send(self, data: bytes) -> None:
        """Send all of it; a cancelled call has sent a part.

        Raises:
            VisitorGone: the connection broke.
        """
        patience_s = self._half_closed_s
        self.deadlines.moved_at = now = trio.current_time()
        self.deadlines.write = now + (patience_s or WRITE_TIMEOUT_S)
        try:
            await self.stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise VisitorGone from error
        patience_s = self._half_closed_s
        self.deadlines.write = trio.current_time() + patience_s if patience_s else math.inf

    async def send_eof(self) -> bool:
        """End our direction; false under TLS, where that is `send_close_notify`.

        Raises:
            VisitorGone: the connection broke.
        """
        if not isinstance(self.stream, trio.abc.HalfCloseableStream):
            return False
        try:
            await self.stream.send_eof()
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise VisitorGone from error
        return True

    async def send_close_notify(self) -> None:
        """End our direction under TLS; by the task that reads, once a `receive` had to wait.

        Raises:
            VisitorGone: the connection broke.
        """
        assert isinstance(self.stream, TlsStream)
        try:
            await self.stream.send_close_notify()
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise VisitorGone from error

    def visitor_half_closed(self, patience_s: float = HALF_CLOSED_S) -> None:
        """The visitor ended its direction: the answer goes on while it is taken, in patience_s."""
        self._half_closed_s = patience_s
        self.deadlines.write = trio.current_time() + patience_s

    # --- between the two tasks ---

    def hand_over(self, exchange: Exchange) -> None:
        """The reading task has begun a request."""
        self.move(PhaseEvent.BEGIN)
        self.deadlines.begin(trio.current_time())
        self.exchange = exchange
        if exchange.stream is None:
            self.answer_ready.open()  # else the stream does, when the answer comes

    async def next_exchange(self, before: Exchange | None) -> Exchange:
        """The writing task waits for a request of which there is something to answer.

        Args:
            before: the one that it answered last.
        """
        while True:
            exchange = self.exchange
            new = exchange if exchange is not before else None
            if new is not None and (new.stream is None or new.stream.is_readable):
                return new
            await self.answer_ready.wait()

    # --- what the sweep and the stop do ---

    @property
    def busy(self) -> bool:
        """See Swept. Here an answer has just left for a while, and a connection is as new."""
        if self.phase is Phase.CONTROL or self.phase is Phase.LEAVING:
            return False
        exchange = self.exchange
        serving = exchange is not None and not exchange.both_ended
        if serving or self.phase in (Phase.LATE, Phase.LINGERING):
            return True
        # For ever, while the reading task has a whole head that it has not handed over yet.
        has_head = self.phase is Phase.HEAD
        since = self.deadlines.read - (HEAD_TIMEOUT_S if has_head else IDLE_TIMEOUT_S)
        settle_s = STOP_SETTLE_S if self.edge.hurries else HEAD_TIMEOUT_S if has_head else SETTLE_S
        return trio.current_time() < since + settle_s or is_readable(self.stream)

    def sweep(self, now: float) -> None:
        """See Swept. One that carries a session has deadlines of its own there."""
        if self.is_control:
            return
        deadlines = self.deadlines
        deadlines.sweep(now, stand_still=self.waits_for_client)
        if now > deadlines.write or (not self._receiving and was_reset(self.stream)):
            if self.exchange is not None:
                self.exchange.ended_by("visitor")
            self.abort()
        elif now > deadlines.read:
            deadlines.read = math.inf
            self.move(PhaseEvent.EXPIRE)
            self.reading.cancel()
        else:
            self._sweep_upgrade(now)

    def _sweep_upgrade(self, now: float) -> None:
        exchange = self.exchange
        if exchange is not None and exchange.upgrade is not None and not exchange.over:
            exchange.upgrade.sweep(now)

    @property
    def waits_for_client(self) -> bool:
        """See Stoppable. Deadlines stand still until it is back."""
        exchange = self.exchange
        return exchange is not None and exchange.stream is not None and exchange.stream.detached

    def stop_when_idle(self) -> None:
        """See Swept. It ends with FIN, and what crosses that is read and dropped: no reset."""
        if not self.busy and not self.is_control:
            self.move(PhaseEvent.LEAVE)
            self.reading.cancel()

    @property
    def under_way(self) -> UnderWay | None:
        """See Stoppable."""
        return None if self.exchange is None else self.exchange.under_way_as

    @property
    def progress(self) -> InProgress | None:
        """See Stoppable."""
        exchange = self.exchange
        if exchange is None or exchange.stream is None:
            return None
        request, answer = exchange.stream.request_progress, exchange.stream.answer_progress
        began_at = self.deadlines.began_at
        return InProgress(exchange.name, exchange.method, began_at, request, answer)

    def pace(self, now: float) -> Pace:
        """See Stoppable. What is being sent is held up, while nothing else was begun."""
        deadlines = self.deadlines
        still_s, held_up = now - deadlines.moved_at, deadlines.write < math.inf
        peer = peer_progress(self.stream) if held_up else None
        if peer is None:
            return pace(still_s, held_up=held_up)
        # Behind a proxy it is that one's window, which says nothing of the visitor.
        is_proxy = self.source.trusted or self.edge.config.proxy_protocol
        if is_proxy or not peer.is_closed or still_s < TAKEN_S:
            return pace(min(still_s, peer.quiet_s), held_up=True)
        waits_s = patience_s(peer.taken_bytes, peer.taking_s)
        return pace(peer.quiet_s, held_up=True, patience_s=waits_s)

    @property
    def carried_by(self) -> StreamSession | None:
        """See Swept."""
        stream = None if self.exchange is None else self.exchange.stream
        return None if stream is None else stream.session

    @property
    def held_up(self) -> StreamSession | None:
        """See Stoppable."""
        stream = None if self.exchange is None else self.exchange.stream
        return None if stream is None or stream.peer_has_ended else stream.session

    def hurry(self) -> None:
        """See Stoppable."""
        if self.under_way is not None:
            fill_send_buffer(self.stream)

    def stop(self, how: Verdict, code: str = "") -> None:
        """See Stoppable."""
        exchange = self.exchange
        if exchange is None:
            return
        if how is Verdict.CLOSE:
            self.close_upgrade(SERVICE_RESTART, STOP_ANSWER_S)
        elif how is Verdict.REFUSE:
            exchange.fail(Refusal("draining"))
        else:
            if code and exchange.stream is not None:
                exchange.stream.cancel(code)
            exchange.ended_by("tunnel")
            self.abort(reset=how is Verdict.RESET or exchange.ends_by_close)

    def close_upgrade(self, code: int, answer_s: float = CLOSE_ANSWER_S) -> bool:
        """See Swept."""
        exchange = self.exchange
        if exchange is None or exchange.both_ended or exchange.upgrade is None:
            return False
        exchange.upgrade.close(code, answer_s)
        return True

    def end(self) -> None:
        """See Swept."""
        if not self.is_control:
            self.scope.cancel()

    # --- ends ---

    def abort(self, *, reset: bool = True) -> None:
        """Drop the connection in the middle of something; FIN will do where framing shows it."""
        if self._cut is None:
            self._cut = "RST" if reset else "FIN"
        self.scope.cancel()

    async def aclose(self) -> None:
        """Close the stream. An answer that is not over looks cut off."""
        exchange = self.exchange
        if exchange is not None and not exchange.over:
            self.abort(reset=exchange.ends_by_close)
        if self._cut is not None:
            drop(self.stream, reset=self._cut == "RST")
            await trio.aclose_forcefully(self.stream)
            return
        with trio.move_on_after(CLOSE_S, shield=True):
            with contextlib.suppress(trio.BrokenResourceError):  # the visitor was faster
                await self.stream.aclose()
