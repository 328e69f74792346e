"""One public connection: its stream, its deadlines and the ways it ends.

A connection has two tasks for its whole life, one for each direction (`requests`, `answering`); a
request costs no task, nursery or timeout of its own. Deadlines are attributes that the sweep looks
at once a second: `read_deadline` for what the visitor owes us, `write_deadline` for what he should
take.

What was cut off must not look whole. Where the framing shows the cut, a FIN will do, and loses
nothing of what is on its way; where only the end of the connection ends the answer, it is reset
(under TLS it ends without a close_notify). What is whole ends with FIN, and what the visitor still
sends is then read and dropped for a while: closing with unread bytes would reset, and the answer
might be lost.
"""

from __future__ import annotations

import contextlib
import math
import socket
from typing import Final

import trio

from protocol.drivers.latch import Latch
from protocol.drivers.sockets import drop, is_readable, socket_below
from protocol.errors import TunnelError
from protocol.limits import READ_BYTES
from tunnel_server.visitors.crowd import Place
from tunnel_server.visitors.edge import Edge
from tunnel_server.visitors.exchange import Exchange

IDLE_TIMEOUT_S: Final = 75.0  # between requests, as nginx
WRITE_TIMEOUT_S: Final = 300.0  # without progress of an answer
HALF_CLOSED_S: Final = 5.0  # the same, once the visitor has ended its direction
LINGER_S: Final = 2.0  # for what a visitor still sends after our last answer
LINGER_MAX_BYTES: Final = 1024 * 1024
# While the server stops. A connection that was just used is likely to be used again, and of one
# that was just accepted the first request is on its way: closing it would lose what crosses. A
# second is a round trip on the slowest lines, and time for a page to go on.
SETTLE_S: Final = 1.0
CLOSE_S: Final = 1.0  # closing a stream waits for nothing; should it wait all the same


class VisitorGone(TunnelError):
    """The visitor's connection broke."""


class Connection:
    """A visitor's connection.

    Attributes:
        edge: the server's state.
        address: the visitor's, without a port.
        trusted: what its forwarding fields say is believed.
        secure: TLS ends here.
        stream: its bytes. Only the two tasks use it.
        exchange: the request that is served now, or was last.
        expired: the visitor owed something for too long; `reading` was cancelled for it.
        head_begun: a part of a request's head is there.
        half_closed: the visitor ended its direction.
        reading: around the reading of requests and frames; cancelled when no more are wanted.
        scope: around both tasks; cancelling it ends the connection.
        answers: where the writing task waits, for the answer of each stream in turn.
    """

    def __init__(
        self,
        edge: Edge,
        stream: trio.abc.Stream,
        *,
        address: str,
        trusted: bool = False,
        secure: bool = False,
        place: Place | None = None,
    ) -> None:
        self.edge = edge
        self.address = address
        self.trusted = trusted
        self.secure = secure
        self.stream = stream
        self.exchange: Exchange | None = None
        self._read_deadline = math.inf
        self._place = place
        self.write_deadline = math.inf
        self.expired = False
        self.half_closed = False
        self.head_begun = False
        self._is_control = False
        self.reading = trio.CancelScope()
        self.scope = trio.CancelScope()
        self.answers = Latch()
        self._begun: Exchange | None = None
        self._half_closed_s = HALF_CLOSED_S
        self._receiving = False
        self._lingering = False
        self._leaving_idle = False
        self._swept_at = trio.current_time()
        self._aborted = False
        self._reset = False

    def __repr__(self) -> str:
        kind = "control" if self.is_control else "visitor"
        return f"<Connection {kind} {self.address} {self.exchange!r}>"

    @property
    def read_deadline(self) -> float:
        """Until when the visitor has to send what he owes us; infinite when he owes nothing."""
        return self._read_deadline

    @read_deadline.setter
    def read_deadline(self, deadline: float) -> None:
        self._read_deadline = deadline
        if self._place is not None:
            if deadline < math.inf:
                self._place.owe()
            else:
                self._place.serve()

    @property
    def is_control(self) -> bool:
        """Whether it carries a session; then it stays so, and is no visitor's."""
        return self._is_control

    @is_control.setter
    def is_control(self, is_control: bool) -> None:
        self._is_control = is_control
        if is_control and self._place is not None:
            self._place.leave()

    # --- bytes ---

    async def receive(self, max_bytes: int = READ_BYTES) -> bytes:
        """What the visitor sent; b"" when it ended its direction. Cancelling loses nothing.

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
        patience_s = self._half_closed_s if self.half_closed else WRITE_TIMEOUT_S
        self.write_deadline = trio.current_time() + patience_s
        try:
            await self.stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise VisitorGone from error
        if self.half_closed:
            self.write_deadline = trio.current_time() + self._half_closed_s
        else:
            self.write_deadline = math.inf

    async def send_eof(self) -> bool:
        """End our direction; false where that is not possible, as in TLS.

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

    def visitor_half_closed(self, patience_s: float = HALF_CLOSED_S) -> None:
        """The visitor ended its direction: the answer goes on while it is taken, in patience_s."""
        self.half_closed = True
        self._half_closed_s = patience_s
        self.write_deadline = trio.current_time() + patience_s

    # --- between the two tasks ---

    def hand_over(self, exchange: Exchange) -> None:
        """The reading task has begun a request."""
        self.exchange = self._begun = exchange
        self.head_begun = False
        if exchange.stream is None:
            self.answers.open()  # else the stream does, when the answer comes

    async def next_exchange(self) -> Exchange:
        """The writing task waits for a request of which there is something to answer."""
        while True:
            exchange = self._begun
            if exchange is not None and (exchange.stream is None or exchange.stream.is_readable):
                self._begun = None
                return exchange
            await self.answers.wait()

    # --- what the sweep and the stop do ---

    @property
    def busy(self) -> bool:
        """See Swept. Here an answer has just left for SETTLE_S, and a connection is as new."""
        if self.is_control or self._leaving_idle:
            return False
        serving = self.exchange is not None and not self.exchange.over
        if serving or self.head_begun or self._lingering:
            return True
        # For ever, while the reading task has a whole head that it has not handed over yet.
        idle_since = self.read_deadline - IDLE_TIMEOUT_S
        return trio.current_time() < idle_since + SETTLE_S or is_readable(self.stream)

    def sweep(self, now: float) -> None:
        """See Swept. One that carries a session has deadlines of its own there."""
        if self.is_control:
            return
        if self._waits_for_client:
            self.read_deadline += now - self._swept_at
            self.write_deadline += now - self._swept_at
        self._swept_at = now
        if now > self.write_deadline or (not self._receiving and _was_reset(self.stream)):
            if self.exchange is not None:
                self.exchange.ended_by("visitor")
            self.abort()
        elif now > self.read_deadline:
            self.read_deadline = math.inf
            self.expired = True
            self.reading.cancel()
        elif self.exchange is not None and self.exchange.upgrade is not None:
            self.exchange.upgrade.sweep(now)

    @property
    def _waits_for_client(self) -> bool:
        """Whether the tunnel's client is away: deadlines stand still until it is back."""
        exchange = self.exchange
        return exchange is not None and exchange.stream is not None and exchange.stream.detached

    def stop_when_idle(self) -> None:
        """See Swept. It ends with FIN, and what crosses that is read and dropped: no reset."""
        if not self.busy and not self.is_control:
            self._leaving_idle = True
            self.reading.cancel()

    def close_websocket(self, code: int) -> bool:
        """See Swept."""
        exchange = self.exchange
        if exchange is None or exchange.over or exchange.upgrade is None:
            return False
        exchange.upgrade.close(code)
        return True

    def end(self) -> None:
        """See Swept."""
        if not self.is_control:
            self.scope.cancel()

    # --- ends ---

    def abort(self, *, reset: bool = True) -> None:
        """Drop the connection in the middle of something; FIN will do where framing shows it."""
        if not self._aborted:
            self._aborted = True
            self._reset = reset
        self.scope.cancel()

    async def linger(self) -> None:
        """End our direction after a last answer, and drop what still comes: 1 MiB or 2 s of it."""
        self._lingering = True
        broken = (trio.BrokenResourceError, trio.ClosedResourceError)
        with trio.move_on_after(LINGER_S), contextlib.suppress(*broken):
            await self._end_writing()
            dropped = 0
            while not self.half_closed and dropped <= LINGER_MAX_BYTES:
                data = await self.stream.receive_some(READ_BYTES)
                if not data:
                    break
                dropped += len(data)

    async def _end_writing(self) -> None:
        if isinstance(self.stream, trio.SSLStream):
            secured, self.stream = self.stream, self.stream.transport_stream
            # trio sends a close_notify and waits for the other; what comes instead is dropped.
            with contextlib.suppress(trio.BrokenResourceError):
                await secured.unwrap()
        if isinstance(self.stream, trio.abc.HalfCloseableStream):
            await self.stream.send_eof()

    async def aclose(self) -> None:
        """Close the stream. An answer that is not over looks cut off."""
        exchange = self.exchange
        if exchange is not None and not exchange.over:
            self.abort(reset=exchange.ends_by_close)
        if self._aborted:
            drop(self.stream, reset=self._reset)
            await trio.aclose_forcefully(self.stream)
            return
        with trio.move_on_after(CLOSE_S, shield=True):
            with contextlib.suppress(trio.BrokenResourceError):  # the visitor was faster
                await self.stream.aclose()


def _was_reset(stream: trio.abc.Stream) -> bool:
    """Whether the visitor reset the connection while nobody reads from it.

    That is so while an app does not take a body, and when enough was read ahead: no read fails
    then, and the kernel wakes nobody.
    """
    below = socket_below(stream)
    if below is None or below.socket.fileno() < 0:
        return False
    return below.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0
