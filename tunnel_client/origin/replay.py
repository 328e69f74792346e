"""One request that is replayed to the local app: how far it is, and what ends it.

`relay` does the work. A request without a body costs no task, cancel scope or timeout: its deadline
is an attribute, which the sweep looks at. When the visitor goes away the connection is reset, at
once: `abort` closes the socket under whoever waits for it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, NamedTuple

import trio

from protocol.errors import LocalProtocolError
from protocol.http.connection_auth import CREDENTIALS, is_for_connection
from protocol.http.heads import end_to_end
from protocol.http.serialise import request_head
from protocol.http.stopping import UnderWay, Verdict, asked, switched
from protocol.mux.streams import HTTP
from protocol.statuses import status_of_reset
from tunnel_client.identity.rewriting import Identity, Visited
from tunnel_client.origin.choosing import IdentityChooser
from tunnel_client.origin.connection import OriginConnection
from tunnel_client.origin.replay_states import TRANSITIONS, ReplayEvent, ReplayState
from tunnel_client.origin.request import GONE
from tunnel_client.origin.tap import PlainTap
from tunnel_client.origin.upgrade import OriginUpgrade, asked_for
from tunnel_client.origin.visitor_stream import VisitorStream

# RFC 9110 9.2.2: what may be sent again, when the connection was closed before an answer.
IDEMPOTENT: Final = frozenset({b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"})

# So long an app may have answered and take nothing more of its request: as long as the server gives
# a visitor to send something of it.
STALLED_S: Final = 300.0

# What is looked at of a request, in lower case.
_LOOKED_AT: Final = CREDENTIALS | {b"te"}

STOPPED: Final = "cut off: this client was stopped"
# The same, by the server.
STOPPED_STUCK: Final = "cut off: this client was stopped, and its visitor had stopped reading"
REFUSED: Final = "this client was stopped"  # its visitor has a whole answer, which is no cut
CANCELLED: Final = "cut off by the user"
BY_STOP: Final = frozenset({STOPPED, REFUSED, CANCELLED})

# Each request asks for these, and a global costs a third of an enum's member.
_ASKED: Final = ReplayState.ASKED
_ANSWERING: Final = ReplayState.ANSWERING
_FINISHING: Final = ReplayState.FINISHING
_OVERDUE: Final = ReplayState.OVERDUE


class ReplayConfig(NamedTuple):
    """The part that all replays of a dispatcher have in common.

    Fields:
        identity: changes the fields of request and answer.
        timeout_s: how long the app may let us wait for the next byte before its final head.
        tasks: where a long body is sent.
        ws_keepalive_s: when the app is pinged on an idle WebSocket; 0 for never.
        chooser: has the identity of each request; None: it is `identity`.
        on_socket: is told when the app has taken a WebSocket.
    """

    identity: Identity
    timeout_s: float
    tasks: trio.Nursery
    ws_keepalive_s: float = 0.0
    chooser: IdentityChooser | None = None
    on_socket: Callable[[VisitorStream], None] | None = None


class Replay:
    """A stream's request and the app's answer.

    Args:
        stream: the request. Its `on_stopped` is this replay's from now on.
        config: see there.
        tap: sees it pass, and keeps its numbers.

    Attributes:
        state: changed by `TRANSITIONS` alone.
        deadline: when the app's next byte is overdue; infinite while the app is waiting itself.
        dialling: the making of a connection, or another wait for which it is no use to read.
        bound: its connection is for this visitor's connection alone, since one of both ends has
            begun to authenticate it.
        ends_login: both have, and the next step finds another connection: whose this one is, is not
            known.
        identity: changes the fields of this request and its answer; what it began with.
        visited: the origin that the visitor came by, once the head is made.
        connection: the one that it goes by, once there is one.
        answer: the kind of its answer for a stop, once the head has come.
        upgrade: what comes behind a 101, as long as that lasts.
        over: is set when it has ended; None: nobody waits for that.
    """

    __slots__ = (
        *("answer", "bound", "config", "connection", "deadline", "dialling", "ends_login"),
        *("identity", "over", "state", "stream", "tap", "upgrade", "visited"),
    )

    def __init__(self, stream: VisitorStream, config: ReplayConfig, tap: PlainTap) -> None:
        self.stream = stream
        self.config = config
        self.tap = tap
        self.state: ReplayState = _ASKED
        self.deadline = math.inf
        self.dialling: trio.CancelScope | None = None
        self.bound = False
        self.ends_login = False
        self.over: trio.Event | None = None
        self.identity = config.identity
        self.answer = UnderWay.SIZED
        self.visited = Visited(b"")
        self.connection: OriginConnection | None = None
        self.upgrade: OriginUpgrade | None = None
        stream.on_stopped = self.abort

    def __repr__(self) -> str:
        return f"<Replay {self.state.name} {self.stream!r} {self.tap!r}>"

    @property
    def aborted(self) -> bool:
        """Whether its connection was reset, or none is wanted any more."""
        return self.state >= _OVERDUE

    @property
    def is_silent(self) -> bool:
        """Whether no byte of an answer has come, and one is wanted."""
        return self.state is _ASKED

    @property
    def is_answered(self) -> bool:
        """Whether one has."""
        return _ASKED < self.state < _OVERDUE

    @property
    def is_open(self) -> bool:
        """Whether its connection is, and nothing has come on it that was not read yet."""
        return self.connection is not None and not self.connection.is_stale

    @property
    def has_body(self) -> bool:
        """Whether the request has one, or may."""
        return self.stream.opened.body not in (None, 0)

    @property
    def is_repeatable(self) -> bool:
        """Whether the request may be sent again, as long as no answer came."""
        return not self.has_body and self.stream.opened.method in IDEMPOTENT

    @property
    def under_way(self) -> UnderWay | None:
        """The kind that it is of, for a stop; None: it is being ended."""
        opened = self.stream.opened
        if self.state is ReplayState.ANSWERED:
            return self.answer if self.upgrade is None else switched(opened.kind)
        if self.state <= _ANSWERING:
            return asked(opened.method, has_body=self.has_body)
        return UnderWay.ORDER if self.state is _FINISHING else None

    @property
    def moved(self) -> tuple[object, ...]:
        """A value that is another one whenever something of it has moved."""
        tap = self.tap
        return tap.bytes_in, tap.bytes_out, tap.status, self.stream.unsent_bytes

    def stop(self, verdict: Verdict) -> None:
        """End it as a stop does; what has left of its answer is visibly not the whole.

        Called by the task of the stop; `Verdict.WAIT` is no end.
        """
        if verdict is Verdict.CLOSE and self.upgrade is not None:
            self.upgrade.stop()
            return
        self.tap.error = self.tap.error or (REFUSED if verdict is Verdict.REFUSE else STOPPED)
        code = "draining" if verdict is Verdict.REFUSE else "cancelled"
        # Without a connection it never gets there: no stop waits for one on its account.
        if not self.stream.detached:
            self.tap.error_status = status_of_reset(code)
        self.stream.cancel(code)
        if not self.aborted:
            self.abort()

    def cancel(self) -> None:
        """End it as if its visitor had gone; that sees that it has not the whole answer."""
        if self.upgrade is not None:
            self.upgrade.cancel(CANCELLED)
            return
        self.tap.error = self.tap.error or CANCELLED
        if not self.stream.detached:
            self.tap.error_status = status_of_reset("cancelled")
        self.stream.cancel("cancelled")
        if not self.aborted:
            self.abort()

    def abort(self) -> None:
        """Reset the connection, or stop to make one; whoever waits for it gets an error.

        Called in the session's reader when the visitor is gone, or the session.
        """
        self._drop(ReplayEvent.ABORT)

    def sweep(self, now: float) -> None:
        """Abort it if the app is overdue; behind a 101, see whether something is due."""
        if now > self.deadline:
            self._drop(ReplayEvent.TIMEOUT)
        if self.upgrade is not None:
            self.upgrade.sweep(now)

    def head(self, *, closes: bool = False) -> bytes:
        """The request's head as the app gets it.

        Args:
            closes: it says that the connection closes, unless it is an upgrade, or a step of a
                log-in that needs this connection, or has a body: the app would say so too, and
                then curl and Node send no more of that behind an early answer.

        Raises:
            HttpError: `bad-request`: the other end sent what is no HTTP.
        """
        opened = self.stream.opened
        if self.config.chooser is not None:
            self.identity = self.config.chooser.identity_of(opened)
        fields, self.visited = self.identity.asked(opened, end_to_end(opened.fields))
        te_trailers = False
        for name, value in [field for field in opened.fields if field[0].lower() in _LOOKED_AT]:
            if name.lower() == b"te":
                te_trailers = True
            elif is_for_connection(value):
                self.bound = True
        upgrade = asked_for(opened) if opened.kind != HTTP else b""
        return request_head(
            opened.method,
            opened.target,
            fields,
            body=opened.body,
            te_trailers=te_trailers,
            upgrade=upgrade,
            close=closes and not (upgrade or self.bound or self.has_body),
        )

    def fail(self, code: str, why: str) -> None:
        """Reset what is left of the answer, after what was queued of it, and of the connection."""
        stopped = self.tap.error in BY_STOP  # what the visitor got of that is known
        self.tap.error = why
        if self.tap.status is None and not (stopped or {code, self.stream.reset_code} & GONE):
            self.tap.error_status = status_of_reset(code)
        self.stream.reset(code, why)
        self.stream.stop_sending(code)
        self.abort()

    def happened(self, event: ReplayEvent) -> None:
        """Move on. LocalProtocolError for a pair that is not in the table."""
        try:
            self.state = TRANSITIONS[self.state, event]
        except KeyError:
            message = f"{event.name} of a replay that is {self.state.name}"
            raise LocalProtocolError(message) from None

    def _drop(self, event: ReplayEvent) -> None:
        """Let go of the app."""
        self.happened(event)
        self.deadline = math.inf
        if self.dialling is not None:
            self.dialling.cancel()
        if self.connection is not None:
            self.connection.drop(reset=True)

    # --- what the request tells ---

    def start_timeout(self) -> None:
        """See RequestProgress."""
        if self.state <= _ANSWERING:
            self.deadline = trio.current_time() + self.config.timeout_s
        elif self.state is _FINISHING:
            self.deadline = trio.current_time() + STALLED_S

    def stop_timeout(self) -> None:
        """See RequestProgress."""
        self.deadline = math.inf

    def cut_off(self, why: str) -> None:
        """See RequestProgress."""
        self.tap.error = f"the request was cut off: {why}"
        self.start_timeout()
