"""DRIVER. One stream, as the two programs use it.

One task may read and one may write at a time. A method that finds what it needs does not make a
checkpoint: each loop over a stream also awaits a socket, and that is where the others get their
turn.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

import trio

from protocol.drivers.bonds import Bonds, VisitorConnection
from protocol.drivers.latch import Latch
from protocol.drivers.session_log import SessionLog
from protocol.errors import SessionClosed, StreamReset, StreamStopped
from protocol.http.fields import Fields
from protocol.mux.core import Core
from protocol.mux.messages import Head, Open
from protocol.mux.streams import HELD, HalfState, ReceiveHalf, SendHalf, Stream


class StreamSession(Protocol):
    """The part of a session that a stream uses."""

    core: Core
    bonds: Bonds
    closed_reason: str | None
    detached_at: float | None
    log: SessionLog

    def flush(self) -> None:
        """Let the writer look for something to send."""

    def head_queued(self) -> None:
        """A stream has queued a head: let the writer look for it."""

    async def wait_for_batch(self) -> None:
        """Wait until the writer has sent the heads of a full batch."""


class TunnelStream:
    """One request and its answer.

    Attributes:
        opened: the request, as the server sent it.
        on_stopped: called, in the session's reader, when the peer wants no more of the half that
            we write, or when the session is lost. It must not raise or block.
        on_gone: called once, in the session's reader or writer, when no frame can come or go any
            more: both halves have ended and their ends have crossed, or the session is lost.
            Likewise.
    """

    __slots__ = ("_owner", "_readable", "_record", "_writable", "on_gone", "on_stopped", "opened")

    def __init__(self, owner: StreamSession, record: Stream, readable: Latch | None = None) -> None:
        self._owner = owner
        self._record = record
        self._readable = readable or Latch()
        self._writable = Latch()
        self.opened: Open = record.opened
        self.on_stopped: Callable[[], None] | None = None
        self.on_gone: Callable[[], None] | None = None
        record.driver = self

    def __repr__(self) -> str:
        return f"<TunnelStream {self._record!r}>"

    @property
    def id(self) -> int:
        return self._record.id

    @property
    def visitor_connection(self) -> VisitorConnection | None:
        """The visitor's connection that the request came by; None: not known (client only)."""
        number = self.opened.connection
        return None if number is None else VisitorConnection(self._owner.bonds, number)

    @property
    def trailers(self) -> Fields:
        """The trailers of the peer's half, once it has ended."""
        return self._record.receiving.trailers

    @property
    def receive_ended(self) -> bool:
        """Whether the peer ended its half and all of it was taken.

        Behind a request for an upgrade, which has ended, more comes after a 101.
        """
        receiving = self._record.receiving
        whole = receiving.reset is None and not receiving.cut
        return receiving.state >= HELD and whole and receiving.drained

    @property
    def peer_has_ended(self) -> bool:
        """Whether the peer's half has ended, also if something of it was not taken."""
        return self._record.receiving.state >= HELD

    @property
    def reset_code(self) -> str | None:
        """The code with which the peer's half has ended badly; what came before may be there."""
        reset = self._record.receiving.reset
        return None if reset is None else reset[0]

    @property
    def is_readable(self) -> bool:
        """Whether there is something to read, or will never be."""
        receiving = self._record.receiving
        over = receiving.state >= HELD or receiving.stopped or receiving.cut
        return not receiving.drained or over or self._owner.closed_reason is not None

    @property
    def memory_is_short(self) -> bool:
        """Whether its program should hold little that is for this stream."""
        memory = self._owner.core.memory
        return memory.pool.is_tight and memory.is_short

    @property
    def unsent_bytes(self) -> int:
        """Bytes of our half that have not left: for lack of credit, or of a turn."""
        return self._record.sending.queue.unsent_bytes

    @property
    def waits_for_visitor(self) -> bool:
        """Whether our half waits for its visitor alone, and the server says when that has stopped.

        No credit is left, and the server ends what such a visitor holds up (client only).
        """
        return self._owner.core.ends_stuck and self._record.sending.queue.blocked

    @property
    def request_progress(self) -> tuple[int, int | None]:
        """The bytes of the request's body that have passed, and its length; None: it has none."""
        request = self._record.sending if self._owner.core.is_server else self._record.receiving
        return _progress(request)

    @property
    def answer_progress(self) -> tuple[int, int | None]:
        """Likewise of the answer's body; before its head it has no length."""
        answer = self._record.receiving if self._owner.core.is_server else self._record.sending
        return _progress(answer)

    @property
    def detached(self) -> bool:
        """Whether the session has no connection now: nothing comes, and no deadline runs."""
        return self._owner.detached_at is not None

    @property
    def lost(self) -> bool:
        """Whether the session is gone."""
        return self._owner.closed_reason is not None

    @property
    def server_stops(self) -> bool:
        """Whether the server has said that it stops; until then it serves what is under way."""
        return self._owner.core.control.server_stops

    @property
    def stopped(self) -> str | None:
        """The code with which the peer stopped our half."""
        return self._record.sending.stopped

    @property
    def session(self) -> StreamSession:
        """The session that carries it."""
        return self._owner

    def log_by(self, logger: logging.Logger) -> SessionLog:
        """Return the log of the stream's session for a module's records."""
        return self._owner.log.by(logger)

    def let_go_of_fields(self) -> None:
        """Keep the request's fields no longer: it has been sent, or waits in its own bytes."""
        self.opened = self._record.opened = self.opened._replace(fields=())

    # --- reading ---

    async def receive_head(self) -> Head:
        """Return the next head of the answer: informational ones, then the final one.

        Cancelling loses nothing.

        Raises:
            StreamReset: the answer ended badly; the code says why.
            SessionClosed: the session is gone.
        """
        while True:
            head = self._owner.core.take_head(self._record, trio.current_time())
            if head is not None:
                self._advertise_credit()
                return head
            self._raise_if_over()
            await self._readable.wait()

    async def receive_some(self) -> bytes:
        """Return what came of the body, up to 64 KiB, or b"" at its end. Cancelling loses nothing.

        Raises:
            StreamReset: the half ended badly; what came before was returned first.
            SessionClosed: the session is gone.
        """
        while True:
            data = self.take_some()
            if data or self.receive_ended:
                return data
            self._raise_if_over()
            await self._readable.wait()

    async def wait_readable(self) -> None:
        """Wait until `take_some` may find something, or `wake_reader` is called.

        A task that has other things to do as well uses it. It may return for nothing, and raises as
        `receive_some`. Cancelling loses nothing.
        """
        self._raise_if_over()
        await self._readable.wait()

    def take_some(self) -> bytes:
        """Return what came of the body, up to 64 KiB; b"" if nothing is there now."""
        data = self._owner.core.take_data(self._record, trio.current_time())
        if data:
            self._advertise_credit()
        return data

    def _advertise_credit(self) -> None:
        """Let the writer look if what was taken has made a credit due."""
        if self._owner.core.has_updates:
            self._owner.flush()

    # --- writing ---

    async def send_head(self, head: Head) -> None:
        """Queue a head, once less than 64 KiB are unsent. Raises as `send_all`."""
        await self._owner.wait_for_batch()
        await self._wait_for_room()
        self._owner.core.send_head(self._record, head)
        self._owner.head_queued()

    async def send_all(self, data: bytes) -> None:
        """Queue data; wait while 64 KiB of this stream are unsent.

        A cancelled call has queued a part of the data: cancel the stream.

        Raises:
            StreamStopped: the peer wants no more, or this end gave the half up.
            SessionClosed: the session is gone.
        """
        core = self._owner.core
        at = 0
        while at < len(data):
            room = await self._wait_for_room()
            piece = data if room >= len(data) and not at else data[at : at + room]
            core.send_data(self._record, piece)
            self._owner.flush()
            at += len(piece)

    def send_eof(self, trailers: Fields = ()) -> None:
        """Queue the end of our half; nothing when it was stopped or reset, or the session is gone.

        Raises:
            LocalProtocolError: it has ended already, may not end yet, or is short of its length.
        """
        reset = self._record.sending.state is HalfState.RESET
        if not reset and self._owner.closed_reason is None:
            self._owner.core.send_end(self._record, trailers)
            self._owner.flush()

    def reset(self, code: str, message: str = "") -> None:
        """End our half badly, after what was queued; nothing when it has ended."""
        self._owner.core.reset(self._record, code, message)
        self._owner.flush()

    def stop_sending(self, code: str) -> None:
        """Ask for no more of the peer's half; what came and was not taken is dropped.

        A task that waits for more of it gets StreamReset.
        """
        self._owner.core.stop_sending(self._record, code)
        self._readable.open()
        self._owner.flush()

    def cancel(self, code: str) -> None:
        """Give up both halves: what was not sent and what was not taken is dropped.

        Tasks that wait at the stream get StreamStopped and StreamReset. Nothing when both halves
        have ended and were taken. A program that is done with a stream before that must call this:
        what the session lends the stream is given back here.
        """
        self._owner.core.cancel(self._record, code)
        self.let_go_of_fields()  # the peer decides how long the rest of it is kept
        self._readable.open()
        self._writable.open()
        self._owner.flush()

    # --- what the session calls ---

    def wake_reader(self) -> None:
        """Let the waiting reader look again; programs may call it too."""
        self._readable.open()

    def wake_writer(self) -> None:
        self._writable.open()

    def peer_stopped(self) -> None:
        """The peer wants no more, or the session is gone."""
        self._writable.open()
        if self.on_stopped is not None:
            self.on_stopped()

    def gone(self) -> None:
        """No frame of it can come or go any more."""
        on_gone, self.on_gone = self.on_gone, None
        if on_gone is not None:
            on_gone()

    def _raise_if_over(self) -> None:
        receiving = self._record.receiving
        if receiving.cut:
            raise StreamReset("cancelled")
        if receiving.reset is not None:
            raise StreamReset(*receiving.reset)
        if self._owner.closed_reason is not None:
            raise SessionClosed(self._owner.closed_reason)

    async def _wait_for_room(self) -> int:
        sending = self._record.sending
        while True:
            if sending.state is HalfState.RESET:
                raise StreamStopped(sending.stopped or "cancelled")
            if self._owner.closed_reason is not None:
                raise SessionClosed(self._owner.closed_reason)
            room = self._owner.core.room(self._record)
            if room > 0:
                return room
            sending.wants_room = True
            await self._writable.wait()


def _progress(half: SendHalf | ReceiveHalf) -> tuple[int, int | None]:
    form = half.length.form
    return half.length.carried, form if isinstance(form, int) else None
