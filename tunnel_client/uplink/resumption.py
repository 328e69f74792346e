"""The session of a link, and what is needed to have it back after its connection was lost."""

from __future__ import annotations

import math
from collections.abc import Callable

import trio

from protocol.drivers.session import Session, SessionEvent
from protocol.drivers.stream import TunnelStream
from protocol.drivers.transport import WebSocketTransport
from protocol.errors import RemoteProtocolError
from protocol.mux.control import Heartbeat
from protocol.mux.core import Core
from protocol.mux.messages import Resume, Resumed, Welcome
from tunnel_client.uplink.opening import Wanted


class ResumableSession:
    """One session at a time, and the ticket with which it is resumed.

    Args:
        on_stream, on_event: of each session.

    Attributes:
        session: the newest, once there is one; it may have ended.
        attached_at: since when the newest connection carries it; infinite while one is being made.
        leave_at: when a server that goes away must have ended it.
    """

    def __init__(
        self,
        on_stream: Callable[[TunnelStream], None],
        on_event: Callable[[SessionEvent], None],
    ) -> None:
        self.session: Session | None = None
        self.attached_at = math.inf
        self.leave_at = math.inf
        self._on_stream = on_stream
        self._on_event = on_event
        self._welcome: Welcome | None = None
        self._attempt = 0

    def __repr__(self) -> str:
        return f"<ResumableSession attempt {self._attempt} {self.session!r}>"

    def resume(self) -> Wanted | None:
        """Return the request for the session; None without one that a server may give back.

        Nothing may come by an older connection any more: the count in it would be wrong.
        """
        if self.session is None or self._welcome is None or not self.session.resumable:
            return None
        self._attempt += 1
        core, welcome = self.session.core, self._welcome
        asked = Resume(welcome.session, welcome.secret, self._attempt, core.received.count)
        return Wanted(asked, core.version)

    def begin(self, transport: WebSocketTransport, welcome: Welcome) -> Session:
        """A new session; one that is still kept ends, since the server has it no more."""
        if self.session is not None:
            self.session.close("the server does not have the session any more")
        heartbeat = Heartbeat(welcome.ping_interval_s, welcome.timeout_s)
        session = Session(
            Core(
                is_server=False,
                heartbeat=heartbeat,
                now=trio.current_time(),
                version=transport.version,
                features=welcome.features,
            ),
            transport,
            session_id=welcome.session,
            hold_s=welcome.hold_s,
            on_stream=self._on_stream,
            on_event=self._on_event,
        )
        self.session, self._welcome, self._attempt = session, welcome, 0
        self.attached_at = trio.current_time()
        return session

    def go_on(self, transport: WebSocketTransport, resumed: Resumed) -> None:
        """The session goes on over this connection.

        Raises:
            RemoteProtocolError: the server cannot have received that much; the session has ended.
        """
        session = self.session
        assert session is not None
        try:
            session.resume(transport, resumed.received)
        except RemoteProtocolError as error:
            session.close(f"the server broke the protocol: {error}")
            raise
        self.attached_at = trio.current_time()

    @property
    def is_held(self) -> bool:
        """Whether there is a session that has not ended."""
        return self.session is not None and self.session.closed_reason is None

    def lived_s(self) -> float:
        """Return how long the newest connection has lived; 0 if there was none."""
        return max(trio.current_time() - self.attached_at, 0.0)

    def sweep(self, now: float) -> None:
        """Once a second: end a session that the server cannot have any more.

        It has missed us for at most its timeout, and held the session for as long as it said.
        """
        session, welcome = self.session, self._welcome
        if session is not None and now >= self.leave_at:
            session.close("the server's deadline has passed")
        if session is None or welcome is None or session.detached_at is None:
            return
        patience_s = welcome.timeout_s + welcome.hold_s
        if now - session.heard_at > patience_s:
            session.close(f"not resumed within {patience_s} s")
