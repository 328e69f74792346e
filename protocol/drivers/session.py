"""DRIVER. One session, over one connection after the other.

While it is attached, the tasks of an `Attachment` run its core. When the connection is lost and the
session may be resumed, it is *detached*: streams stay, what they have to send waits in their
queues, and nothing is numbered. `resume` attaches it to the next connection.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import trio

from protocol.drivers.attachment import Attachment
from protocol.drivers.bonds import Bonds
from protocol.drivers.ending import Ending
from protocol.drivers.latch import Latch
from protocol.drivers.session_log import SessionLog
from protocol.drivers.stream import TunnelStream
from protocol.drivers.transport import Transport
from protocol.errors import RemoteProtocolError, SessionClosed
from protocol.limits import HEADS_A_BATCH_MAX
from protocol.mux.core import Core
from protocol.mux.events import (
    ClaimAnswered,
    ClaimAsked,
    ConnectionGone,
    Event,
    GoingAway,
    Opened,
    Readable,
    Released,
    Stopped,
)
from protocol.mux.memory import OWN_BYTES
from protocol.mux.messages import Claim, Claimed, Goaway, Open, Refused

log = logging.getLogger(__name__)

SessionEvent = ClaimAsked | ClaimAnswered | Released | GoingAway


class Session:
    """One session of a tunnel, at either end.

    Args:
        core: fresh from the handshake.
        transport: carries it first; the session closes it.
        session_id: its public id, from the welcome.
        hold_s: how long the server keeps it without a connection; 0: it ends with its first one.
        on_stream: called for each stream that the server opens (client only).
        on_event: called for what concerns claims and leaving.
        on_closed: called once, when the session has ended.

    The callbacks must neither raise nor block; the first two run in the reader.

    Attributes:
        closed_reason: why it has ended; None before.
        detached_at: since when it waits for a connection, in trio's time; None while it has one,
            and when it has ended.
        log: writes records that carry its id.
        bonds: what is kept for connections of visitors (client only).
    """

    def __init__(
        self,
        core: Core,
        transport: Transport,
        *,
        session_id: bytes = b"",
        hold_s: float = 0,
        on_stream: Callable[[TunnelStream], None] | None = None,
        on_event: Callable[[SessionEvent], None] | None = None,
        on_closed: Callable[[], None] | None = None,
    ) -> None:
        self.core = core
        self.log = SessionLog(log, session_id)
        self.hold_s = hold_s
        self.bonds = Bonds()
        self.closed_reason: str | None = None
        self.detached_at: float | None = None
        self.detached_reason = ""
        self.on_event = on_event
        self.on_closed = on_closed
        self._on_stream = on_stream
        self._heads = 0
        self._quiet: trio.Event | None = None
        self._attachment = Attachment(self, transport)

    def __repr__(self) -> str:
        state = self.closed_reason or ("attached" if self.attached else "detached")
        return f"<Session {state} {self.log.shown or '?'} {self.core!r}>"

    @property
    def attached(self) -> bool:
        """Whether it has a connection."""
        return self.closed_reason is None and self.detached_at is None

    @property
    def heard_at(self) -> float:
        """The time of the last byte of its newest connection, which may be lost."""
        return self._attachment.heard_at

    @property
    def stream_count(self) -> int:
        """Streams that still have frames to come or go."""
        return len(self.core.streams)

    # --- what the programs do ---

    def open(self, opened: Open, readable: Latch | None = None) -> TunnelStream:
        """Open a stream (server only).

        Args:
            opened: the request; its `credit` is filled in.
            readable: opened when there is something to read; a program that serves one stream
                after the other waits at one latch for all of them.

        Raises:
            SessionClosed: the session is gone, or the peer leaves and takes nothing new.
            LocalProtocolError: the peer's number of streams is reached, or the head is too long.
        """
        if self.closed_reason is not None:
            raise SessionClosed(self.closed_reason)
        if self.core.control.peer_leaving is not None:
            raise SessionClosed("the peer leaves, and takes nothing new")
        record = self.core.open(opened, trio.current_time())
        self.head_queued()
        return TunnelStream(self, record, readable)

    def claim(self, claim: Claim) -> None:
        """Ask for a name (client only); a ClaimAnswered follows. Raises LocalProtocolError."""
        self.core.control.claim(claim)
        self.flush()

    def answer_claim(self, answer: Claimed | Refused) -> None:
        """Answer the ClaimAsked that came (server only)."""
        self.core.control.answer_claim(answer)
        self.flush()

    def release(self, claim: int, code: str, message: str) -> None:
        """End a claim."""
        self.core.control.release(claim, code, message)
        self.flush()

    def gone(self, connection: int) -> None:
        """Say that a visitor's connection has ended, to which the client has bound one of its own.

        Server only, from version 2 on.
        """
        if self.closed_reason is None:
            self.core.control.gone(connection)
            self.flush()

    def number_connection(self) -> int | None:
        """Return a number for a visitor's connection; see Core."""
        return self.core.number_connection()

    def goaway(self, code: str, message: str, deadline_s: int) -> None:
        """Say that this end stops."""
        self.core.control.goaway(Goaway(code, message, deadline_s))
        self.flush()

    def flush(self) -> None:
        """Let the writer look for something to send."""
        self._attachment.output.open()

    def head_queued(self) -> None:
        """A stream has queued a head: count it, and let the writer look; see `wait_for_batch`."""
        self._heads += 1
        self._attachment.output.open()

    @property
    def away(self) -> bool:
        """Whether it waits for a connection."""
        return self.detached_at is not None

    @property
    def serves_upgrades(self) -> bool:
        """Whether the peer takes streams that ask for an upgrade to anything but WebSocket."""
        return self.core.serves_upgrades

    @property
    def streams_max(self) -> int:
        """The number of streams that the peer takes at once."""
        return self.core.max_streams

    @property
    def has_room(self) -> bool:
        """Whether one more stream may be opened now; see Core."""
        return self.core.has_room

    @property
    def batch_is_full(self) -> bool:
        """Whether so many heads are queued that the writer should send them first."""
        return self._heads >= HEADS_A_BATCH_MAX and self.attached and not self._attachment.sending

    async def wait_for_batch(self) -> None:
        """Wait, before a head is queued, until the writer has sent the heads of a full batch.

        Tasks that become ready together all run before the writer does. The other end would wait
        for the last of them and then have all at once, and this end would wait in turn.
        """
        while self.batch_is_full:
            await trio.lowlevel.checkpoint()

    async def wait_quiet(self) -> None:
        """Wait until no stream is open and the peer has all that was sent, or the session is gone.

        What was only sent may still be lost with the connection, and is retransmitted on the next.
        """
        if self.closed_reason is None:
            if self._quiet is None:
                self._quiet = trio.Event()
            self.flush()
            await self._quiet.wait()

    def close(self, reason: str) -> None:
        """End the session now: every stream gets SessionClosed. `run` returns soon after."""
        self._end(reason)
        self._attachment.end()

    def refuse(self, code: str, message: str, reason: str) -> None:
        """End it as `close` does, behind a last goaway, if that can leave in CLOSE_TIMEOUT_S.

        Args:
            code, message: of the goaway, for the peer.
            reason: for this end.
        """
        self.core.fail(code, message)
        self._end(reason)
        self._attachment.end_behind_last()

    # --- running ---

    async def run(self) -> str:
        """Run on the connection that it has, until that is lost or the session ends; returns why.

        Afterwards `closed_reason` or `detached_at` is set, or `resume` was called meanwhile. Only
        Cancelled is raised; then the connection is dropped, and the session has ended.
        """
        attachment = self._attachment
        self.log.debug("attached")
        await attachment.run()
        if attachment is not self._attachment:
            return "resumed by another connection"
        return self.closed_reason or self.detached_reason

    def drop_connection(self) -> None:
        """Let go of the connection as if it were lost."""
        self.lost(self._attachment, "this end dropped the connection", final=False)
        self._attachment.drop()

    @property
    def resumable(self) -> bool:
        """Whether another connection may have it. A server that stops gives no session back."""
        return self.hold_s > 0 and self.closed_reason is None and not self.core.control.server_stops

    def resume(self, transport: Transport, received: int, first: bytes = b"") -> None:
        """Go on over a new connection, also while there seems to be an old one; then `run`.

        All in one step. An old connection is dropped, with what its tasks hold.

        Args:
            transport: whose peer has asked for the session, or has given it back.
            received: the number of our frames that the peer has.
            first: a message that goes before anything else. The count in it is read before the
                call, with no await between.

        Raises:
            RemoteProtocolError: the peer cannot have that number; nothing has changed.
        """
        self.core.resume(received, trio.current_time())
        self.log.debug("resumed: the peer has %d of %d frames", received, self.core.sent.count)
        self._attachment.supersede()
        self._attachment = Attachment(self, transport, first)
        self.detached_at = None
        self.core.memory.own(OWN_BYTES)
        self._heads = 0
        if self.closed_reason is not None:
            self._attachment.end()  # it has ended while it was asked for: `run` tells the peer

    # --- what the attachment calls ---

    def dispatch(self, event: Event) -> None:
        """See AttachedSession."""
        if self.closed_reason is not None:
            return
        if isinstance(event, Readable):
            if event.stream.driver is not None:
                event.stream.driver.wake_reader()
        elif isinstance(event, Stopped):
            if event.stream.driver is not None:
                event.stream.driver.peer_stopped()
        elif isinstance(event, Opened):
            stream = TunnelStream(self, event.stream)
            if self._on_stream is not None:
                self._on_stream(stream)
        elif isinstance(event, ConnectionGone):
            self.bonds.gone(event.connection)
        else:
            self._tell(event)

    def _tell(self, event: SessionEvent) -> None:
        if isinstance(event, ClaimAsked) and not self.core.control.awaits_answer(event.claim):
            return  # the session was resumed before this was told
        if self.on_event is not None:
            self.on_event(event)

    def packed(self) -> None:
        """See AttachedSession."""
        self._heads = 0
        for record in self.core.take_made_room():
            if record.driver is not None:
                record.driver.wake_writer()

    @property
    def quiet_awaited(self) -> bool:
        """See AttachedSession."""
        return self._quiet is not None

    def quiet(self) -> None:
        """See AttachedSession."""
        if self._quiet is not None:
            self._quiet.set()
            self._quiet = None

    def fail(self, error: RemoteProtocolError) -> None:
        """See AttachedSession."""
        self.core.fail(error.code, str(error))
        self._end(f"the peer broke the protocol: {error}")

    def lost(self, attachment: Attachment, reason: str, *, final: bool) -> None:
        """See AttachedSession."""
        if attachment is not self._attachment or not self.attached:
            return
        leaving = self.core.control.peer_leaving
        said = f" after it had said {leaving.code}: {leaving.message}" if leaving else ""
        if final or not self.resumable:
            self._end(f"{reason}{said}")
        else:
            self.detached_reason = f"{reason}{said}"
            self.detached_at = trio.current_time()
            self.core.memory.own(0)
            self.log.debug("detached: %s", self.detached_reason)

    def _end(self, reason: str) -> None:
        """End the session once, and tell every stream."""
        if self.closed_reason is not None:
            return
        self.closed_reason = reason
        self.detached_at = None
        self.log.debug("ended: %s", reason)
        Ending(self.core.streams.values()).tell()
        self.core.memory.close()
        self.bonds.end()
        self.quiet()
        if self.on_closed is not None:
            self.on_closed()
