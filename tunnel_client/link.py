"""One connection to the server: handshake, claim, and the session to its end."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import Final

import trio

from protocol.errors import HandshakeRefused
from protocol.limits import CLOSE_TIMEOUT_S, HANDSHAKE_TIMEOUT_S
from protocol.mux.control import Heartbeat
from protocol.mux.core import Core
from protocol.mux.events import ClaimAnswered, GoingAway, Released
from protocol.mux.messages import Claim, Claimed, Goaway, Refused, Release
from protocol.mux.session import Session, SessionEvent
from protocol.mux.stream import TunnelStream
from protocol.options import Options
from tunnel_client.config import ClientConfig
from tunnel_client.connect import open_stream
from tunnel_client.errors import ConnectFailed
from tunnel_client.opening import FOR_NOW, failure_of, open_transport

log = logging.getLogger(__name__)

_CLAIM: Final = 1  # the number of our only claim
_LONGEST_DRAIN_S: Final = 3_600  # what a server may ask for


class Link:
    """A connection to the server, from its start to its end.

    Args:
        config: where the server is, and what to show it.
        version: of this program.
        on_stream: is given each request.
        on_claimed: is told the name and URL.

    Attributes:
        session: once there is one.
        leaving: set when the server goes away, or takes the name away, or the connection has ended:
            look why, and connect anew.
        ended: set when `run` has returned.
        reason: why, for people.
        refused: why the server does not take us for good, or not give us the name.
    """

    def __init__(
        self,
        config: ClientConfig,
        version: str,
        on_stream: Callable[[TunnelStream], None],
        on_claimed: Callable[[Claimed], None],
    ) -> None:
        self.session: Session | None = None
        self.leaving = trio.Event()
        self.ended = trio.Event()
        self.reason = ""
        self.refused: Refused | Release | None = None
        self._config = config
        self._version = version
        self._on_stream = on_stream
        self._on_claimed = on_claimed
        self._started_at = math.inf
        self._claim_answered = trio.Event()
        self._goaway_answered = trio.Event()
        self._finishing = False
        self._nursery: trio.Nursery | None = None
        self._scope = trio.CancelScope()

    def __repr__(self) -> str:
        state = "ended" if self.ended.is_set() else "leaving" if self.leaving.is_set() else "open"
        return f"<Link {state} {self.session!r}>"

    def lived_s(self) -> float:
        """How long the session has lived; 0 if there was none."""
        return max(trio.current_time() - self._started_at, 0.0)

    async def run(self, name: str, instance: bytes, *, start: bool) -> None:
        """Connect, claim the name, and serve to the end. Only Cancelled is raised.

        When cancelled, the connection is dropped without a word to the server.

        Args:
            name: empty: the server makes one up.
            instance: this process's own number.
            start: a person started the program; false for a reconnect.
        """
        config = self._config
        # Whole seconds cross, rounded down: rather a ping too early than one too late.
        options = Options(ws_keepalive_s=math.floor(config.ws_keepalive_s))
        claim = Claim(_CLAIM, name, instance, start, options.as_map())
        try:
            with self._scope:
                stream = await open_stream(config.server_url, config.proxy, config.server_ca)
                try:
                    await self._run_on(stream, claim)
                finally:
                    await trio.aclose_forcefully(stream)
        except ConnectFailed as error:
            self.reason = str(error)
        finally:
            for event in (self.leaving, self.ended, self._goaway_answered):
                event.set()

    async def finish(self, drain_timeout_s: float) -> None:
        """Let what is in flight end, for at most this long, then close; returns when `run` has."""
        session = self.session
        if session is None:
            self._scope.cancel()  # nothing was promised yet
        elif not self._finishing:
            self._finishing = True
            session.goaway("shutting-down", "the client stops", math.ceil(drain_timeout_s))
            with trio.move_on_after(drain_timeout_s):
                # What crosses our goaway is served. Streams under way keep us longer than this.
                with trio.move_on_after(CLOSE_TIMEOUT_S):
                    await self._goaway_answered.wait()
                await session.wait_quiet()
            session.close("the client has stopped")
        await self.ended.wait()

    # --- the session ---

    async def _run_on(self, stream: trio.abc.Stream, claim: Claim) -> None:
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                self.reason = await self._run_session(nursery, stream, claim)
                nursery.cancel_scope.cancel()
        except* Exception as group:  # noqa: BLE001  # the library's own are among them
            self._failed(group)

    def _failed(self, group: BaseExceptionGroup[Exception]) -> None:
        if self.session is not None:
            self.session.close("this client has a fault")
            log.error("the session failed", exc_info=group)
            self.reason = "this client has a fault; its log says more"
            return
        failure = failure_of(group, str(self._config.server_url))
        if isinstance(failure, HandshakeRefused):
            self.refused = Refused(0, failure.code, failure.message)
        self.reason = str(failure)

    async def _run_session(
        self, nursery: trio.Nursery, stream: trio.abc.Stream, claim: Claim
    ) -> str:
        transport, welcome = await open_transport(nursery, stream, self._config, self._version)
        heartbeat = Heartbeat(welcome.ping_interval_s, welcome.timeout_s)
        core = Core(is_server=False, heartbeat=heartbeat, now=trio.current_time())
        self.session = Session(core, transport, on_stream=self._on_stream, on_event=self._on_event)
        self.session.claim(claim)
        self._started_at = trio.current_time()
        nursery.start_soon(self._wait_for_claim, self.session)
        said = await self.session.run()
        return self.reason or said

    async def _wait_for_claim(self, session: Session) -> None:
        with trio.move_on_after(HANDSHAKE_TIMEOUT_S):
            await self._claim_answered.wait()
            return
        session.close(f"the server gave no name within {HANDSHAKE_TIMEOUT_S} s")

    def _on_event(self, event: SessionEvent) -> None:
        """Called in the session's reader."""
        if isinstance(event, ClaimAnswered):
            self._claim_answered.set()
            if isinstance(event.answer, Claimed):
                self._on_claimed(event.answer)
            else:
                self._not_claimed(event.answer)
        elif isinstance(event, Released):
            self.refused = event.release
            self.reason = event.release.message
            self.leaving.set()
        elif isinstance(event, GoingAway):
            self._server_leaves(event.goaway)

    def _not_claimed(self, answer: Refused) -> None:
        assert self.session is not None
        if answer.code not in FOR_NOW:
            self.refused = answer
        self.reason = answer.message
        self.session.close(answer.message)

    def _server_leaves(self, goaway: Goaway) -> None:
        """The server drains, or answers our goaway; it ends the session when it is empty."""
        assert self._nursery is not None
        self._goaway_answered.set()
        if not self._finishing:
            self.reason = f"the server said: {goaway.message}"
            self._nursery.start_soon(self._end_after, goaway.deadline_s)
        self.leaving.set()

    async def _end_after(self, deadline_s: int) -> None:
        """A server that is gone at its deadline, and did not close, must not keep us."""
        await trio.sleep(min(deadline_s, _LONGEST_DRAIN_S) + 2 * CLOSE_TIMEOUT_S)
        assert self.session is not None
        self.session.close("the server's deadline has passed")
