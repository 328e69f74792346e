"""DRIVER. A session on one connection: the four tasks that it has while it is attached.

The reader gives messages to the core, wakes the tasks that wait for them, and never sends. The
writer is the only one to send, and is cancelled only to drop the connection. The watchdog pings and
notices a dead peer. The ack timer wakes the writer when an ack must leave by itself (a deadline
around each of the writer's waits would cost more than the wait). The programs' tasks touch the core
and wait at their own stream's latches; none of them touches the transport.

A resume takes a session from one connection to the next in one step, while tasks of the old one may
have been woken already with a message in their hands. So each of them looks after every wait
whether it was superseded, and drops what it holds: the peer retransmits it on the new connection.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from typing import Final, Protocol

import trio

from protocol.drivers.latch import Latch
from protocol.drivers.session_log import SessionLog, traced
from protocol.drivers.transport import Transport, TransportClosed
from protocol.errors import RemoteProtocolError
from protocol.limits import CLOSE_TIMEOUT_S, HEADS_A_BATCH_MAX
from protocol.mux.core import Core
from protocol.mux.events import Event

log = logging.getLogger(__name__)

# A dead peer is noticed within its timeout and this much more.
_WATCH_EVERY_S = 1.0

# A small answer is one event.
_WAKE_AT_ONCE: Final = HEADS_A_BATCH_MAX


class AttachedSession(Protocol):
    """The part of a session that an attachment uses."""

    core: Core
    log: SessionLog
    closed_reason: str | None

    def dispatch(self, event: Event) -> None:
        """Wake the task that waits for what came."""

    def packed(self) -> None:
        """The writer has packed what there was."""

    def quiet(self) -> None:
        """The writer has nothing more to send, and the peer has what was sent."""

    @property
    def quiet_awaited(self) -> bool:
        """Whether somebody waits for `quiet`."""

    def fail(self, error: RemoteProtocolError) -> None:
        """The peer broke the protocol: the session ends, and its last message says why."""

    def lost(self, attachment: Attachment, reason: str, *, final: bool) -> None:
        """The connection is of no more use; if `final`, the session is not either."""


class Attachment:
    """The tasks of one session on one connection.

    Args:
        transport: carries the session; it is closed in the end.
        first: a message that goes before anything else.

    Attributes:
        output: opened when the writer should look for something to send.
        sending_since: since when a message is being sent; infinite when none is.
    """

    def __init__(self, owner: AttachedSession, transport: Transport, first: bytes = b"") -> None:
        self.output = Latch()
        self.sending_since = math.inf
        self._owner = owner
        self._transport = traced(transport, owner.log.by(log))
        self._first = first
        self._superseded = False
        self._ending = False
        self._ack_pending = Latch()
        self._scope = trio.CancelScope()

    def __repr__(self) -> str:
        state = "superseded" if self._superseded else "current"
        return f"<Attachment {state} {self._transport!r}>"

    @property
    def heard_at(self) -> float:
        """The time at which the last byte came."""
        return self._transport.heard_at

    @property
    def sending(self) -> bool:
        """Whether a message is being sent."""
        return self.sending_since < math.inf

    def end(self) -> None:
        """The session has ended: close the connection; `run` returns soon after.

        A message that is being sent may go first. Cut off, it would leave no place for a Close
        frame, and the peer would keep the session for a connection that never comes.
        """
        self._ending = True
        if self.sending:
            self._scope.deadline = trio.current_time() + CLOSE_TIMEOUT_S
        else:
            self._scope.cancel()

    def end_behind_last(self) -> None:
        """Likewise, but the last message of the core that has failed goes first."""
        self._scope.deadline = trio.current_time() + CLOSE_TIMEOUT_S
        self.output.open()

    def drop(self) -> None:
        """Let go of the connection; `run` returns soon after."""
        self._scope.cancel()

    def supersede(self) -> None:
        """Another connection has the session now."""
        self._superseded = True
        self._scope.cancel()

    async def run(self) -> None:
        """Run until the connection is lost or the session ends. Nothing but Cancelled is raised.

        The peer gets a closing handshake only when the session has ended: by that it knows. When
        cancelled, the connection is dropped.
        """
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    for task in (self._read, self._write, self._watch, self._time_acks):
                        nursery.start_soon(task)
        finally:
            self._lost("this end was cancelled", final=True)
            with trio.CancelScope() as closing:
                if self._superseded or self._owner.closed_reason is None:
                    closing.cancel()  # by force: no Close frame says that the session has ended
                await self._transport.aclose()

    def _lost(self, reason: str, *, final: bool = False) -> None:
        if not self._superseded:
            self._owner.lost(self, reason, final=final)
        self._scope.cancel()

    # --- tasks ---

    async def _read(self) -> None:
        core = self._owner.core
        while True:
            try:
                message = await self._transport.receive()
            except TransportClosed as error:
                self._lost(str(error), final=error.final)
                return
            if self._superseded:
                return
            now = trio.current_time()
            try:
                events = core.receive(message, now)
            except RemoteProtocolError as error:
                self._owner.fail(error)
                self.output.open()
                await trio.sleep(CLOSE_TIMEOUT_S)  # the writer says why; it may be stuck
                self._scope.cancel()
                return
            if len(events) <= _WAKE_AT_ONCE:
                for event in events:
                    self._owner.dispatch(event)
            else:
                await self._dispatch(deque(events))
            if core.ack_due_at < math.inf:
                self._ack_pending.open()
            # An ack that falls due during the dispatch is the ack timer's.
            if self._owner.quiet_awaited or core.may_have_output(now):
                self.output.open()

    async def _dispatch(self, events: deque[Event]) -> None:
        """Dispatch all events, whatever happens meanwhile: the core has taken what they tell of."""
        try:
            while len(events) > _WAKE_AT_ONCE:
                for _ in range(_WAKE_AT_ONCE):
                    self._owner.dispatch(events.popleft())
                await trio.lowlevel.checkpoint()
        finally:
            while events:
                self._owner.dispatch(events.popleft())

    async def _write(self) -> None:
        core = self._owner.core
        if self._first:
            await self._send(self._first, trio.current_time())
        while not self._superseded:
            if self._ending:
                self._scope.cancel()
                return
            now = trio.current_time()
            message = core.next_message(now)
            self._owner.packed()
            if message:
                await self._send(message, now)
            elif core.failed:
                self._scope.cancel()
                return
            else:
                if core.is_quiet:
                    self._owner.quiet()
                await self._wait_for_output(core.bulk_due_at)

    async def _wait_for_output(self, due_at: float) -> None:
        if due_at == math.inf:
            await self.output.wait()
        else:
            with trio.move_on_at(due_at):
                await self.output.wait()

    async def _send(self, message: bytes, now: float) -> None:
        self.sending_since = now
        try:
            await self._transport.send(message)
        except TransportClosed as error:
            # What the peer said before it closed may still be there to be read.
            await trio.sleep(CLOSE_TIMEOUT_S)
            self._lost(str(error), final=error.final)
        self.sending_since = math.inf

    async def _time_acks(self) -> None:
        """Wake the writer when an ack must leave by itself."""
        core = self._owner.core
        while True:
            due_at = core.ack_due_at
            if trio.current_time() < due_at < math.inf:
                await trio.sleep_until(due_at)
                continue
            if due_at < math.inf:
                self.output.open()
            await self._ack_pending.wait()

    async def _watch(self) -> None:
        core = self._owner.core
        while not self._superseded:
            now = trio.current_time()
            reason = core.check(now, self._transport.heard_at)
            stuck_s = now - self.sending_since
            if reason is None and stuck_s > core.control.heartbeat.timeout_s:
                reason = f"nothing could be sent for {stuck_s:.0f} s"
            if reason is not None:
                self._lost(reason)
                return
            if core.control:
                self.output.open()
            await trio.sleep(_WATCH_EVERY_S)
