"""The client's tie to the server: claim and session, over one connection after the other.

A connection that is lost leaves the session as it is: the link connects again and resumes it. Where
the server does not have it any more, its streams end visibly, and a new session takes its place on
the same connection.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import Final

import trio

from protocol.drivers.session import Session, SessionEvent
from protocol.drivers.stream import TunnelStream
from protocol.errors import HandshakeRefused
from protocol.limits import CLOSE_TIMEOUT_S, HANDSHAKE_TIMEOUT_S
from protocol.mux.events import ClaimAnswered, GoingAway, Released
from protocol.mux.messages import Claim, Claimed, Goaway, Refused, Release, Resumed, Welcome
from protocol.options import Options
from tunnel_client.settings.config import ClientConfig
from tunnel_client.uplink.attempts import Attempts
from tunnel_client.uplink.connect import ConnectFailed, open_stream
from tunnel_client.uplink.keeper import Keeper
from tunnel_client.uplink.opening import FOR_NOW, failure_of, open_transport

log = logging.getLogger(__name__)

_CLAIM: Final = 1  # the number of our only claim
_LONGEST_DRAIN_S: Final = 3_600  # what a server may ask for
_SWEEP_EVERY_S: Final = 1.0


class Link:
    """A session with the server, from the first attempt to connect to its end.

    Args:
        config: where the server is, and what to show it.
        version: of this program.
        on_stream: is given each request.
        on_claimed: is told the name and URL.
        attempts: when to connect, and for how long to try; is told when that was of use.

    Attributes:
        leaving: set when the server goes away, or takes the name away, or the session has ended:
            look why, and make another link.
        ended: set when `run` has returned.
        reason: why, for people.
        sent_away: the server stops, and another is there or will be.
        refused: why the server does not take us for good, or not give us the name.
    """

    def __init__(
        self,
        config: ClientConfig,
        version: str,
        *,
        on_stream: Callable[[TunnelStream], None],
        on_claimed: Callable[[Claimed], None],
        attempts: Attempts,
    ) -> None:
        self.leaving = trio.Event()
        self.ended = trio.Event()
        self.reason = ""
        self.sent_away = False
        self.refused: Refused | Release | None = None
        self._config = config
        self._version = version
        self._on_claimed = on_claimed
        self._attempts = attempts
        self._keeper = Keeper(on_stream, self._on_event)
        self._claim = Claim(_CLAIM, "", b"", True, {})
        self._attached_at = math.inf
        self._opened = False
        self._claim_answered = trio.Event()
        self._goaway_answered = trio.Event()
        self._finishing = False
        self._leave_at = math.inf
        self._nursery: trio.Nursery | None = None
        self._scope = trio.CancelScope()

    def __repr__(self) -> str:
        state = "ended" if self.ended.is_set() else "leaving" if self.leaving.is_set() else "open"
        return f"<Link {state} {self.session!r}>"

    @property
    def session(self) -> Session | None:
        """The newest, once there is one."""
        return self._keeper.session

    def lived_s(self) -> float:
        """How long the newest connection has lived; 0 if there was none."""
        return max(trio.current_time() - self._attached_at, 0.0)

    def drop_connection(self, reason: str) -> None:
        """Do not believe in the connection any more, if there is one: make another.

        But for that of a server that stops: no other would have its session.
        """
        session = self.session
        if session is not None and session.attached and not session.core.control.server_stops:
            self.reason = reason
            session.drop_connection()

    async def run(self, name: str, instance: bytes, *, start: bool) -> None:
        """Connect, claim the name, and serve until the session has ended. Only Cancelled is raised.

        When cancelled, the connection is dropped without a word to the server.

        Args:
            name: empty: the server makes one up.
            instance: this process's own number.
            start: a person started the program; false for a reconnect.
        """
        # Whole seconds cross, rounded down: rather a ping too early than one too late.
        options = Options(ws_keepalive_s=math.floor(self._config.ws_keepalive_s))
        self._claim = Claim(_CLAIM, name, instance, start, options.as_map())
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._sweep)
                    await self._connect()
                    while self._is_held and await self._pause():
                        await self._connect()
                    nursery.cancel_scope.cancel()
        finally:
            if self.session is not None:
                self.session.close("the client has stopped")
            for event in (self.leaving, self.ended, self._goaway_answered):
                event.set()

    async def finish(self, drain_timeout_s: float) -> None:
        """Let what is in flight end, for at most this long, then close; returns when `run` has."""
        session = self.session
        if session is None or (session.core.is_quiet and not session.attached):
            self._scope.cancel()  # nothing is in flight
        elif not self._finishing:
            self._finishing = True
            session.goaway("shutting-down", "the client stops", math.ceil(drain_timeout_s))
            with trio.move_on_after(drain_timeout_s):
                # What crosses our goaway is served. Streams under way keep us longer than this.
                with trio.move_on_after(CLOSE_TIMEOUT_S):
                    await self._goaway_answered.wait()
                await session.wait_quiet()
            session.close("the client has stopped")
            if not self._opened:
                self._scope.cancel()  # it waits to connect, or is just connecting
        await self.ended.wait()

    async def end(self) -> None:
        """End the session now, with a Close to the server if it takes one; `run` has returned then.

        A server that does not read keeps this for CLOSE_TIMEOUT_S; cancel it, and then `run`.
        """
        if self.session is None or not self.session.attached:
            self._scope.cancel()
        else:
            self.session.close("the client was told to stop at once")
        await self.ended.wait()

    # --- a connection ---

    @property
    def _is_held(self) -> bool:
        """Whether there is a session without a connection."""
        return self.session is not None and self.session.closed_reason is None

    async def _pause(self) -> bool:
        return await self._attempts.pause(self.lived_s(), self.reason, held=True)

    async def _connect(self) -> None:
        """One connection, from its start to its end."""
        config = self._config
        self._attached_at = math.inf
        self.reason = ""
        with self._attempts.attempt():
            try:
                stream = await open_stream(config.server_url, config.proxy, config.server_ca)
            except ConnectFailed as error:
                self.reason = str(error)
                return
            try:
                await self._run_on(stream)
            finally:
                self._nursery = None
                self._opened = False
                await trio.aclose_forcefully(stream)

    async def _run_on(self, stream: trio.abc.Stream) -> None:
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                await self._run_session(nursery, stream)
                nursery.cancel_scope.cancel()
        except* Exception as group:  # noqa: BLE001  # the library's own are among them
            self._failed(group)

    def _failed(self, group: BaseExceptionGroup[Exception]) -> None:
        if self._opened and self.session is not None:
            self.session.close("this client has a fault")
            self.session.log.by(log).error("the session failed", exc_info=group)
            self.reason = "this client has a fault; its log says more"
            return
        failure = failure_of(group, str(self._config.server_url))
        if isinstance(failure, HandshakeRefused):
            self.refused = Refused(0, failure.code, failure.message)
            if self.session is not None:
                self.session.close(failure.message)
        self.reason = str(failure)

    async def _run_session(self, nursery: trio.Nursery, stream: trio.abc.Stream) -> None:
        transport, answer = await open_transport(
            nursery, stream, self._config, self._version, self._keeper.resume()
        )
        if not self._is_wanted(answer):
            await transport.aclose()  # politely, so that the server holds it no longer
            return
        if isinstance(answer, Welcome):
            session = self._keeper.begin(transport, answer)
            self._claim_answered = trio.Event()
            session.claim(self._claim)
        else:
            self._keeper.go_on(transport, answer)
            self._attempts.resumed()
        assert self.session is not None
        self._opened = True
        self._attached_at = trio.current_time()
        nursery.start_soon(self._wait_for_claim, self.session)
        said = await self.session.run()
        self.reason = self.reason or said

    def _is_wanted(self, answer: Welcome | Resumed) -> bool:
        """Whether there is still a use for the session that the server gives.

        That one which was asked for may have ended meanwhile; and when the server has it no more
        there is nothing left to finish.
        """
        if self._finishing and isinstance(answer, Welcome) and self.session is not None:
            self.session.close("the server does not have the session any more")
        return not self._finishing if isinstance(answer, Welcome) else self._is_held

    async def _sweep(self) -> None:
        while True:
            await trio.sleep(_SWEEP_EVERY_S)
            now = trio.current_time()
            self._keeper.sweep(now)
            if now >= self._leave_at and self.session is not None:
                self.session.close("the server's deadline has passed")

    # --- the session ---

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
                self._claim = self._claim._replace(name=event.answer.name, start=False)
                self._attempts.connected()
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
        """The server drains, or answers our goaway; it ends the session when it is empty.

        One that is gone at its deadline, and did not close, must not keep us: the sweep looks.
        """
        self._goaway_answered.set()
        if not self._finishing:
            self.sent_away = True
            self.reason = f"the server said: {goaway.message}"
            patience_s = min(goaway.deadline_s, _LONGEST_DRAIN_S) + 2 * CLOSE_TIMEOUT_S
            self._leave_at = trio.current_time() + patience_s
        self.leaving.set()
