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
from protocol.errors import HandshakeRefused, LocalProtocolError
from protocol.limits import CLOSE_TIMEOUT_S, HANDSHAKE_TIMEOUT_S
from protocol.mux.events import ClaimAnswered, GoingAway, Released
from protocol.mux.messages import Claimed, Goaway, Refused, Release, Resumed, Welcome
from tunnel_client.settings.config import ClientConfig
from tunnel_client.uplink.attempts import Attempts
from tunnel_client.uplink.claims import Claims
from tunnel_client.uplink.connect import ConnectFailed, open_stream
from tunnel_client.uplink.link_states import FINISHING, TRANSITIONS, LinkEvent, LinkState
from tunnel_client.uplink.next_steps import while_trying
from tunnel_client.uplink.opening import failure_of, open_transport
from tunnel_client.uplink.resumption import ResumableSession

log = logging.getLogger(__name__)

_LONGEST_DRAIN_S: Final = 3_600  # what a server may ask for
_SWEEP_EVERY_S: Final = 1.0
# A server that neither answers nor acknowledges for so long hangs, or the line does.
_SILENT_S: Final = 1.0
# Without a connection nothing tells when the last request has ended that is worth one.
_LOOK_EVERY_S: Final = 0.1
# It has a Close all the same, for which a few turns are enough; nobody waits for its answer.
_CLOSE_LEAVES_S: Final = 0.1


class Link:
    """A session with the server, from the first attempt to connect to its end.

    Args:
        config: where the server is, and what to show it.
        version: of this program.
        on_stream: is given each request.
        claims: the names that it asks for.
        attempts: when to connect, and for how long to try; is told when that was of use.

    Attributes:
        leaving: set when the server goes away, or takes the last name away, or the session has
            ended: look why, and make another link.
        ended: set when `run` has returned.
        reason: why, for people.
        code: the same for programs.
        failure: the attempt to connect that failed last; None: it did not.
        claims: what became of the names.
    """

    def __init__(
        self,
        config: ClientConfig,
        version: str,
        *,
        on_stream: Callable[[TunnelStream], None],
        claims: Claims,
        attempts: Attempts,
    ) -> None:
        self.leaving = trio.Event()
        self.ended = trio.Event()
        self.reason = ""
        self.code = "lost"
        self.failure: ConnectFailed | None = None
        self.claims = claims
        self._config = config
        self._version = version
        self._attempts = attempts
        self._state = LinkState.CONNECTING
        self._refused: Refused | None = None
        self._kept = ResumableSession(on_stream, self._on_event)
        self._goaway_answered = trio.Event()
        self._scope = trio.CancelScope()

    def __repr__(self) -> str:
        return f"<Link {self._state.name} {self.session!r} {self.claims!r}>"

    @property
    def session(self) -> Session | None:
        """The newest, once there is one."""
        return self._kept.session

    @property
    def refused(self) -> Refused | Release | None:
        """The reason why the server does not take us for good, or gives us none of the names."""
        return self._refused or self.claims.refusal

    @property
    def round_trip_s(self) -> float | None:
        """Of the connection, as measured last; None: there is none, or it is too new."""
        session = self.session
        if session is None or not session.attached:
            return None
        trip_s = session.core.control.heartbeat.round_trip_s
        return trip_s if trip_s < math.inf else None

    def lived_s(self) -> float:
        """Return how long the newest connection has lived; 0 if there was none.

        To be sent away is no failure, however soon it comes: that counts as for ever.
        """
        return math.inf if self._state is LinkState.SENT_AWAY else self._kept.lived_s()

    def drop_connection(self, reason: str) -> None:
        """Do not believe in the connection any more, if there is one: make another.

        But for that of a server that stops: no other would have its session.
        """
        session = self.session
        if session is not None and session.attached and not session.core.control.server_stops:
            self.reason, self.code = reason, "slept"
            session.drop_connection()

    async def run(self) -> None:
        """Connect, claim names, and serve until the session has ended. Only Cancelled is raised.

        When cancelled, the connection is dropped without a word to the server.
        """
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._sweep)
                    await self._connect()
                    while self._kept.is_held and await self._pause():
                        await self._connect()
                    nursery.cancel_scope.cancel()
        finally:
            if self.session is not None:
                self.session.close("the client has stopped")
            self._happened(LinkEvent.END)
            for event in (self.leaving, self.ended, self._goaway_answered):
                event.set()

    async def finish(self, drain_timeout_s: float) -> None:
        """Let what is in flight end, for at most this long, then close; returns when `run` has."""
        session = self.session
        if session is None or not (session.attached or session.core.owes):
            self._scope.cancel()  # nothing is in flight
        elif self._state < LinkState.FINISHING:
            self._happened(LinkEvent.FINISH)
            self._attempts.stop_by(trio.current_time() + drain_timeout_s)
            session.goaway("shutting-down", "the client stops", math.ceil(drain_timeout_s))
            with trio.move_on_after(drain_timeout_s):
                await self._wait_until_done(session)
            session.close("the client has stopped")
            if self._state is LinkState.FINISHING_DETACHED:
                self._scope.cancel()  # it waits to connect, or is just connecting
            elif not self._goaway_answered.is_set():
                with trio.move_on_after(_CLOSE_LEAVES_S):
                    await self.ended.wait()
                self._scope.cancel()
        await self.ended.wait()

    async def _wait_until_done(self, session: Session) -> None:
        """Wait until all is quiet and our goaway answered, or a silent server has all it gets.

        Without a connection, until no answer is or may become whole that the server lacks: what was
        cut off is worth no new one.
        """
        core = session.core
        while session.attached or core.owes:
            acked = core.sent.acked
            with trio.move_on_after(_SILENT_S if session.attached else _LOOK_EVERY_S):
                # What crosses our goaway is served.
                await self._goaway_answered.wait()
                await session.wait_quiet()
                return
            if self._goaway_answered.is_set():
                continue
            hangs = session.attached and core.sent.acked == acked
            if core.is_quiet or (hangs and not core.streams):
                return

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

    def _happened(self, event: LinkEvent) -> None:
        try:
            self._state = TRANSITIONS[self._state, event]
        except KeyError:
            message = f"{event.name} of a link that is {self._state.name}"
            raise LocalProtocolError(message) from None

    async def _pause(self) -> bool:
        asked_s = None if self.failure is None else self.failure.retry_after_s
        return await self._attempts.pause(
            self._kept.lived_s(), self.reason, held=True, asked_s=asked_s, code=self.code
        )

    async def _connect(self) -> None:
        """One connection, from its start to its end."""
        config = self._config
        self._kept.attached_at = math.inf
        self.reason, self.code, self.failure = "", "lost", None
        with self._attempts.attempt():
            try:
                stream = await open_stream(config.server_url, config.proxy, config.server_ca)
            except ConnectFailed as error:
                self.reason, self.code, self.failure = str(error), error.code, error
                return
            try:
                await self._run_on(stream)
            finally:
                self._happened(LinkEvent.LOST)
                await trio.aclose_forcefully(stream)

    async def _run_on(self, stream: trio.abc.Stream) -> None:
        try:
            async with trio.open_nursery() as nursery:
                await self._run_session(nursery, stream)
                nursery.cancel_scope.cancel()
        except* Exception as group:  # noqa: BLE001  # the library's own are among them
            self._failed(group)

    def _failed(self, group: BaseExceptionGroup[Exception]) -> None:
        if self._kept.attached_at < math.inf and self.session is not None:
            self.session.close("this client has a fault")
            self.session.log.by(log).error("the session failed", exc_info=group)
            self.reason = "this client has a fault; its log says more"
            return
        failure = failure_of(group, str(self._config.server_url))
        if isinstance(failure, HandshakeRefused):
            self._refused = Refused(0, failure.code, failure.message)
            if self.session is not None:
                self.session.close(failure.message)
        else:
            self.failure = failure
        self.reason, self.code = str(failure), failure.code

    async def _run_session(self, nursery: trio.Nursery, stream: trio.abc.Stream) -> None:
        transport, answer = await open_transport(
            nursery, stream, self._config, self._version, self._kept.resume()
        )
        if not self._is_wanted(answer):
            await transport.aclose()  # politely, so that the server holds it no longer
            return
        if isinstance(answer, Welcome):
            self.claims.begin(self._kept.begin(transport, answer))
        else:
            self._kept.go_on(transport, answer)
            self._attempts.resumed()
        assert self.session is not None
        self._happened(LinkEvent.OPENED)
        nursery.start_soon(self._wait_for_claim, self.session)
        said = await self.session.run()
        self.reason = self.reason or said

    def _is_wanted(self, answer: Welcome | Resumed) -> bool:
        """Whether there is still a use for the session that the server gives.

        That one which was asked for may have ended meanwhile; and when the server has it no more
        there is nothing left to finish.
        """
        if isinstance(answer, Resumed):
            return self._kept.is_held
        finishing = self._state in FINISHING
        if finishing and self.session is not None:
            self.session.close("the server does not have the session any more")
        return not finishing

    async def _sweep(self) -> None:
        while True:
            await trio.sleep(_SWEEP_EVERY_S)
            self._kept.sweep(trio.current_time())

    # --- the session ---

    async def _wait_for_claim(self, session: Session) -> None:
        with trio.move_on_after(HANDSHAKE_TIMEOUT_S):
            await self.claims.wait_answered()
            return
        session.close(f"the server gave no name within {HANDSHAKE_TIMEOUT_S} s")

    def _on_event(self, event: SessionEvent) -> None:
        """Called in the session's reader."""
        if isinstance(event, ClaimAnswered):
            self._claim_answered(event.answer)
        elif isinstance(event, Released):
            self.claims.released(event.release)
            if not self.claims.is_of_use:
                self.reason, self.code = event.release.message, event.release.code
                self.leaving.set()
        elif isinstance(event, GoingAway):
            self._server_leaves(event.goaway)

    def _claim_answered(self, answer: Claimed | Refused) -> None:
        assert self.session is not None
        if isinstance(answer, Claimed):
            self._attempts.connected()
        self.claims.answered(self.session, answer)
        if not self.claims.is_of_use:
            assert isinstance(answer, Refused)
            self.reason, self.code = while_trying(answer.code, answer.message), answer.code
            self.session.close(answer.message)

    def _server_leaves(self, goaway: Goaway) -> None:
        """The server drains, or answers our goaway; it ends the session when it is empty.

        One that is gone at its deadline, and did not close, must not keep us: the sweep looks.
        """
        self._goaway_answered.set()
        self._happened(LinkEvent.GOAWAY)
        if goaway.code == "unauthorized":
            self._refused = Refused(0, goaway.code, goaway.message)
        if self._state is LinkState.SENT_AWAY:
            self.reason, self.code = f"the server said: {goaway.message}", goaway.code
            patience_s = min(goaway.deadline_s, _LONGEST_DRAIN_S) + 2 * CLOSE_TIMEOUT_S
            self._kept.leave_at = trio.current_time() + patience_s
        self.leaving.set()
