"""DRIVER. Runs one core on one transport.

Four tasks: the reader gives messages to the core and wakes who waits for what came; it never sends.
The writer is the only one to send, and is cancelled only to drop the connection. The watchdog pings
and notices a dead peer. The ack timer wakes the writer when an ack must leave by itself (a deadline
around each of the writer's waits would cost more than the wait). The programs' tasks touch the core
and wait at their own stream's gates; none of them touches the transport.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import Final

import trio

from protocol.errors import RemoteProtocolError, SessionClosed
from protocol.limits import BEGUN_MAX, CLOSE_TIMEOUT_S
from protocol.mux.core import Core
from protocol.mux.events import (
    ClaimAnswered,
    ClaimAsked,
    Event,
    GoingAway,
    Opened,
    Readable,
    Released,
    Stopped,
)
from protocol.mux.gate import Gate
from protocol.mux.messages import Claim, Claimed, Goaway, Open, Refused
from protocol.mux.stream import TunnelStream
from protocol.mux.transport import Transport, TransportClosed

log = logging.getLogger(__name__)

# A dead peer is noticed within its timeout and this much more.
_WATCH_EVERY_S = 1.0

# A small answer is three events: its head, its body and its end.
_WAKE_AT_ONCE: Final = 3 * BEGUN_MAX

SessionEvent = ClaimAsked | ClaimAnswered | Released | GoingAway


class Session:
    """One session of a tunnel, at either end.

    Args:
        core: fresh from the handshake.
        transport: carries it; the session closes it.
        on_stream: called for each stream that the server opens (client only).
        on_event: called for what concerns claims and leaving.

    The callbacks run in the reader: they must neither raise nor block.
    """

    def __init__(
        self,
        core: Core,
        transport: Transport,
        *,
        on_stream: Callable[[TunnelStream], None] | None = None,
        on_event: Callable[[SessionEvent], None] | None = None,
    ) -> None:
        self.core = core
        self.closed_reason: str | None = None
        self._transport = transport
        self._on_stream = on_stream
        self.on_event = on_event
        self._output = Gate()
        self._begun = 0
        self._ack_news = Gate()
        self._sending_since = math.inf
        self._quiet: trio.Event | None = None
        self._scope = trio.CancelScope()

    def __repr__(self) -> str:
        return f"<Session {self.closed_reason or 'open'} {self.core!r}>"

    @property
    def stream_count(self) -> int:
        """Streams that still have frames to come or go."""
        return len(self.core.streams)

    # --- what the programs do ---

    def open(self, opened: Open, readable: Gate | None = None) -> TunnelStream:
        """Open a stream (server only).

        Args:
            opened: the request; its `credit` is filled in.
            readable: opened when there is something to read; a program that serves one stream
                after the other waits at one gate for all of them.

        Raises:
            SessionClosed: the session is gone.
            LocalProtocolError: the peer's number of streams is reached, or the head is too long.
        """
        if self.closed_reason is not None:
            raise SessionClosed(self.closed_reason)
        record = self.core.open(opened, trio.current_time())
        self.begun()
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

    def goaway(self, code: str, message: str, deadline_s: int) -> None:
        """Say that this end stops."""
        self.core.control.goaway(Goaway(code, message, deadline_s))
        self.flush()

    def flush(self) -> None:
        """Let the writer look for something to send."""
        self._output.open()

    def begun(self) -> None:
        """Like `flush`, when a stream has begun something; see `pace`."""
        self._begun += 1
        self._output.open()

    @property
    def is_crowded(self) -> bool:
        """Whether so many streams have begun something that the writer should send it first."""
        idle = self._sending_since == math.inf and self.closed_reason is None
        return self._begun >= BEGUN_MAX and idle

    async def pace(self) -> None:
        """Before a stream begins something: let the writer send what the others have begun.

        Tasks that become ready together all run before the writer does. The other end would wait
        for the last of them and then have all at once, and this end would wait in turn.
        """
        while self.is_crowded:
            await trio.lowlevel.checkpoint()

    async def wait_quiet(self) -> None:
        """Wait until no stream is open and everything has been sent, or the session is gone."""
        if self.closed_reason is None:
            if self._quiet is None:
                self._quiet = trio.Event()
            self.flush()
            await self._quiet.wait()

    def close(self, reason: str) -> None:
        """End the session now: every stream gets SessionClosed. `run` returns soon after."""
        self._end(reason)
        self._scope.cancel()

    # --- running ---

    async def run(self) -> str:
        """Run until the session ends; returns why. Nothing but Cancelled is raised.

        When cancelled, the transport is dropped without a closing handshake.
        """
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._read)
                    nursery.start_soon(self._write)
                    nursery.start_soon(self._watch)
                    nursery.start_soon(self._time_acks)
        finally:
            self._end("this end was cancelled")
            await self._transport.aclose()
        assert self.closed_reason is not None
        return self.closed_reason

    async def _read(self) -> None:
        while True:
            try:
                message = await self._transport.receive()
            except TransportClosed as error:
                leaving = self.core.control.peer_leaving
                said = f" after it had said {leaving.code}: {leaving.message}" if leaving else ""
                self.close(f"{error}{said}")
                return
            try:
                events = self.core.receive(message, trio.current_time())
            except RemoteProtocolError as error:
                log.warning("the peer broke the protocol: %s", error)
                self.core.fail(error.code, str(error))
                self._end(f"the peer broke the protocol: {error}")
                self.flush()
                await trio.sleep(CLOSE_TIMEOUT_S)  # the writer says why; it may be stuck
                self._scope.cancel()
                return
            for number, event in enumerate(events):
                if number % _WAKE_AT_ONCE == _WAKE_AT_ONCE - 1:
                    await trio.lowlevel.checkpoint()
                if self.closed_reason is None:
                    self._dispatch(event)
            if self.core.ack_due_at < math.inf:
                self._ack_news.open()
            if self._quiet is not None or self.core.may_have_output(trio.current_time()):
                self.flush()

    def _dispatch(self, event: Event) -> None:
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
        elif self.on_event is not None:
            self.on_event(event)

    async def _write(self) -> None:
        core = self.core
        while True:
            message = core.next_message(trio.current_time())
            self._begun = 0
            for record in core.take_made_room():
                if record.driver is not None:
                    record.driver.wake_writer()
            if message:
                await self._send(message)
            elif core.failed:
                self._scope.cancel()
                return
            else:
                if not core.streams:
                    self._tell_quiet()
                await self._output.wait()

    async def _send(self, message: bytes) -> None:
        self._sending_since = trio.current_time()
        try:
            await self._transport.send(message)
        except TransportClosed as error:
            # What the peer said before it closed may still be there to be read.
            await trio.sleep(CLOSE_TIMEOUT_S)
            self.close(str(error))
        self._sending_since = math.inf

    async def _time_acks(self) -> None:
        """Wake the writer when an ack must leave by itself."""
        while True:
            due_at = self.core.ack_due_at
            if trio.current_time() < due_at < math.inf:
                await trio.sleep_until(due_at)
                continue
            if due_at < math.inf:
                self.flush()
            await self._ack_news.wait()

    async def _watch(self) -> None:
        while True:
            now = trio.current_time()
            reason = self.core.check(now, self._transport.heard_at)
            stuck_s = now - self._sending_since
            if reason is None and stuck_s > self.core.control.heartbeat.timeout_s:
                reason = f"nothing could be sent for {stuck_s:.0f} s"
            if reason is not None:
                self.close(reason)
                return
            if self.core.control:
                self.flush()
            await trio.sleep(_WATCH_EVERY_S)

    def _tell_quiet(self) -> None:
        if self._quiet is not None:
            self._quiet.set()
            self._quiet = None

    def _end(self, reason: str) -> None:
        """Tell every stream, once."""
        if self.closed_reason is not None:
            return
        self.closed_reason = reason
        for record in list(self.core.streams.values()):
            if record.driver is not None:
                record.driver.wake_reader()
                record.driver.peer_stopped()
        self._tell_quiet()
