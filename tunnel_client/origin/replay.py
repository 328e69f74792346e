"""One request, replayed on a connection to the local app, and its answer sent back.

A request without a body costs no task, cancel scope or timeout: its deadline is an attribute, which
the sweep looks at. When the visitor goes away the connection is reset, at once: `abort` closes the
socket under whoever waits for it.
"""

from __future__ import annotations

import math
from enum import IntEnum
from typing import Final, NamedTuple

import trio

from protocol.errors import HttpError, LocalProtocolError
from protocol.http.bodies import body_reader
from protocol.http.connection_auth import CREDENTIALS, challenges_connection, is_for_connection
from protocol.http.fields import values_of
from protocol.http.forwarding import without_tunnel_error
from protocol.http.heads import ResponseHead, end_to_end, parse_response
from protocol.http.lenient import LenientChunkedBody, parse_lenient_response
from protocol.http.limits import READ_CHUNKS_MOST_BYTES, READ_FIRST_BYTES
from protocol.http.serialise import request_head
from protocol.http.stopping import UnderWay, Verdict, answered, asked, switched
from protocol.limits import READ_BYTES
from protocol.mux.messages import Head
from protocol.mux.streams import HTTP, UPGRADE
from protocol.statuses import status_of_reset
from tunnel_client.identity.rewriting import Identity, Visited
from tunnel_client.origin.choosing import REFUSALS, IdentityChooser
from tunnel_client.origin.connection import OriginClosed, OriginConnection
from tunnel_client.origin.request import GONE, Request, SendState
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


# What a tunnel-server behind this client says, of a request that has been through too many.
_LOOP: Final = [b"loop-detected"]
LEADS_BACK: Final = "TARGET leads back to a tunnel-server"
STOPPED: Final = "cut off: this client was stopped"
# The same, by the server.
STOPPED_STUCK: Final = "cut off: this client was stopped, and its visitor had stopped reading"


class ReplayState(IntEnum):
    """The state of a replay: how far the answer is, or why it is not wanted any more."""

    ASKED = 1  # no byte of an answer has come
    ANSWERING = 2  # some have, but no final head
    ANSWERED = 3  # the final head has come
    FINISHING = 4  # the answer has ended, and its request goes on
    OVERDUE = 5  # the app said nothing for too long, and its connection was reset
    ABORTED = 6  # the visitor is gone, or the session; likewise


class ReplayEvent(IntEnum):
    """An event that changes the state of a replay."""

    BYTES = 1
    FINAL_HEAD = 2
    ANSWER_END = 3
    TIMEOUT = 4
    ABORT = 5


TRANSITIONS: Final = {
    (ReplayState.ASKED, ReplayEvent.BYTES): ReplayState.ANSWERING,
    (ReplayState.ASKED, ReplayEvent.TIMEOUT): ReplayState.OVERDUE,
    (ReplayState.ASKED, ReplayEvent.ABORT): ReplayState.ABORTED,
    (ReplayState.ANSWERING, ReplayEvent.BYTES): ReplayState.ANSWERING,
    (ReplayState.ANSWERING, ReplayEvent.FINAL_HEAD): ReplayState.ANSWERED,
    (ReplayState.ANSWERING, ReplayEvent.TIMEOUT): ReplayState.OVERDUE,
    (ReplayState.ANSWERING, ReplayEvent.ABORT): ReplayState.ABORTED,
    (ReplayState.ANSWERED, ReplayEvent.ANSWER_END): ReplayState.FINISHING,
    (ReplayState.ANSWERED, ReplayEvent.ABORT): ReplayState.ABORTED,
    # The app has stopped its request, in a way; its answer is whole.
    (ReplayState.FINISHING, ReplayEvent.TIMEOUT): ReplayState.FINISHING,
    (ReplayState.FINISHING, ReplayEvent.ABORT): ReplayState.ABORTED,
    # What had been read before the connection was reset may still be a head, or a whole answer. The
    # first reason stands.
    (ReplayState.OVERDUE, ReplayEvent.FINAL_HEAD): ReplayState.OVERDUE,
    (ReplayState.OVERDUE, ReplayEvent.ANSWER_END): ReplayState.OVERDUE,
    (ReplayState.OVERDUE, ReplayEvent.ABORT): ReplayState.OVERDUE,
    (ReplayState.ABORTED, ReplayEvent.FINAL_HEAD): ReplayState.ABORTED,
    (ReplayState.ABORTED, ReplayEvent.ANSWER_END): ReplayState.ABORTED,
    (ReplayState.ABORTED, ReplayEvent.ABORT): ReplayState.ABORTED,
}
"""The whole table. A pair that is not in it is a fault of ours: LocalProtocolError, no change."""

# Each request asks for these, and a global costs a third of an enum's member.
_ASKED: Final = ReplayState.ASKED
_ANSWERING: Final = ReplayState.ANSWERING
_FINISHING: Final = ReplayState.FINISHING
_OVERDUE: Final = ReplayState.OVERDUE
_BYTES: Final = ReplayEvent.BYTES
_FINAL_HEAD: Final = ReplayEvent.FINAL_HEAD


class ReplayConfig(NamedTuple):
    """The part that all replays of a dispatcher have in common.

    Fields:
        identity: changes the fields of request and answer.
        timeout_s: how long the app may let us wait for the next byte before its final head.
        tasks: where a long body is sent.
        ws_keepalive_s: when the app is pinged on an idle WebSocket; 0 for never.
        chooser: has the identity of each request; None: it is `identity`.
    """

    identity: Identity
    timeout_s: float
    tasks: trio.Nursery
    ws_keepalive_s: float = 0.0
    chooser: IdentityChooser | None = None


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
        over: is set when it has ended; None: nobody waits for that.
    """

    __slots__ = (
        *("_answer", "_connection", "_upgrade", "_visited"),
        *("bound", "config", "deadline", "dialling", "ends_login", "identity"),
        *("over", "state", "stream", "tap"),
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
        self._answer = UnderWay.SIZED  # once its head has come
        self._visited = Visited(b"")  # once the head is made
        self._connection: OriginConnection | None = None
        self._upgrade: OriginUpgrade | None = None
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
        return self._connection is not None and not self._connection.is_stale

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
            return self._answer if self._upgrade is None else switched(opened.kind)
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
        if verdict is Verdict.CLOSE and self._upgrade is not None:
            self._upgrade.stop()
            return
        self.tap.error = self.tap.error or STOPPED
        code = "draining" if verdict is Verdict.REFUSE else "cancelled"
        # What is cut at the deadline without a connection never gets there: the session is lost.
        if verdict is Verdict.REFUSE or not self.stream.detached:
            self.tap.error_status = status_of_reset(code)
        self.stream.cancel(code)
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
        if self._upgrade is not None:
            self._upgrade.sweep(now)

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
        fields, self._visited = self.identity.asked(opened, end_to_end(opened.fields))
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

    async def run(self, connection: OriginConnection, head: bytes) -> bool:
        """Send the request and relay the answer; whether the connection may be used again.

        Raises:
            OriginClosed: the connection broke; `state` and the tap's `status` and `error` tell
                what that means.
            HttpError: the app's answer is no HTTP, or too much for the tunnel.
            StreamStopped, SessionClosed: nobody wants it any more.
        """
        self._connection = connection
        if self.state >= _OVERDUE:  # in the instant before
            raise OriginClosed
        self.tap.asked(head)
        request = Request(self.stream, connection, self)
        await request.send(head, self.config.tasks)
        answer = await self._relay_heads(connection, request)
        if answer.upgrade:
            self._upgrade = OriginUpgrade(
                self.stream, connection, self.tap, ws_keepalive_s=self.config.ws_keepalive_s
            )
            await self._upgrade.run(connection.answers.take_rest())
            self._upgrade = None  # they would hold one another
            return False
        connection.app_closes = not answer.keep_alive
        left_over = await self._relay_body(connection, answer)
        if request.state is not SendState.SENT:
            left_over = await self._finish_request(request, connection, answer) or left_over
        if answer.status == 508 and values_of(answer.fields, b"tunnel-error") == _LOOP:
            self.tap.error = LEADS_BACK  # whatever an app says, it is told here alone
        if connection.lenient or left_over:
            return False
        return answer.keep_alive and self.state < _OVERDUE

    def fail(self, code: str, why: str) -> None:
        """Reset what is left of the answer, after what was queued of it, and of the connection."""
        stopped = self.tap.error == STOPPED  # what the visitor got of that is known
        self.tap.error = why
        if self.tap.status is None and not (stopped or {code, self.stream.reset_code} & GONE):
            self.tap.error_status = status_of_reset(code)
        self.stream.reset(code, why)
        self.stream.stop_sending(code)
        self.abort()

    def _happened(self, event: ReplayEvent) -> None:
        try:
            self.state = TRANSITIONS[self.state, event]
        except KeyError:
            message = f"{event.name} of a replay that is {self.state.name}"
            raise LocalProtocolError(message) from None

    def _drop(self, event: ReplayEvent) -> None:
        """Let go of the app."""
        self._happened(event)
        self.deadline = math.inf
        if self.dialling is not None:
            self.dialling.cancel()
        if self._connection is not None:
            self._connection.drop(reset=True)

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

    # --- the answer ---

    async def _relay_heads(self, connection: OriginConnection, request: Request) -> ResponseHead:
        """Send informational heads and the final one back; returns that."""
        opened = self.stream.opened
        asked = asked_for(opened) if opened.kind != HTTP else b""
        key = b"".join(values_of(opened.fields, b"sec-websocket-key")) if asked else b""
        while True:
            raw = await self._next_head(connection)
            self.tap.head(raw)
            try:
                answer = parse_response(raw, opened.method, asked, key)
            except HttpError as refusal:
                answer = parse_lenient_response(raw, opened.method, refusal)
                connection.lenient = True
            named = answer.upgrade
            final = answer.status >= 200 or bool(named)
            fields = without_tunnel_error(end_to_end(answer.fields))
            fields = self.identity.answered(fields, self._visited, final=final)
            if challenges_connection(answer.status, answer.fields):
                self.ends_login = self.bound and self.stream.visitor_connection is None
                self.bound = True
            # That we end a connection which may serve nobody else (see Worker) does not count: we
            # do so once the request has ended as well.
            closes = final and not named and not answer.keep_alive
            head = Head(answer.status, answer.reason, fields, answer.body, closes, self.bound)
            if named and opened.kind == UPGRADE:
                head = head._replace(upgrade=named)
                await self._until_whole(request)
            if final:
                self._begin_answer(raw, answer)
            try:
                await self.stream.send_head(head)
            except LocalProtocolError as error:  # the app is at fault, and no table of ours
                raise HttpError("head-too-large", str(error)) from error
            if final:
                self.tap.status = answer.status
                return answer
            if self.deadline < math.inf:
                self.start_timeout()
            await trio.lowlevel.checkpoint()  # a read may bring many heads

    def _begin_answer(self, raw: bytes, answer: ResponseHead) -> None:
        """The final head has come. It may tell as whom the app wants to be asked."""
        self._happened(_FINAL_HEAD)
        self.deadline = math.inf
        if isinstance(answer.body, str):
            self._answer = answered(answer.body, answer.fields)
        chooser = self.config.chooser
        if chooser is not None and (b"text/html" in raw or answer.status in REFUSALS):
            self.tap.page = chooser.saw(self.stream.opened, self.identity, answer)

    async def _until_whole(self, request: Request) -> None:
        """Before a 101 goes on. Raises OriginClosed, SessionClosed."""
        with trio.CancelScope() as self.dialling:
            if self.aborted:
                self.dialling.cancel()
            await request.wait_whole()
            return
        raise OriginClosed

    # --- the rest of the request ---

    async def _finish_request(
        self, request: Request, connection: OriginConnection, answer: ResponseHead
    ) -> bool:
        """The answer has ended before its request, which goes on to an end of its own.

        Returns whether the app has sent or ended something behind its answer.

        Raises:
            OriginClosed: the visitor is gone, or the session.
        """
        # The answer may be faster than the task that is just being told of its last write. It gets
        # two rounds: the tasks of one run in any order.
        await trio.lowlevel.checkpoint()
        await trio.lowlevel.checkpoint()
        self.stream.on_gone = self._gone
        self._happened(ReplayEvent.ANSWER_END)
        if request.is_writing:
            self.start_timeout()
        try:
            self._gone()
            if answer.body == "until-close" and request.state is SendState.UNDER_WAY:
                request.stop()  # its end was that of the connection
            more = await request.wait_over()
        finally:
            self.stream.on_gone = None
        if self.aborted and self.stream.reset_code != "no-error":  # that is a server's of version 1
            raise OriginClosed
        if request.state is not SendState.SENT:
            if connection.dropped and not self.aborted:
                self.tap.error = f"the app took no more of the request for {STALLED_S:g} s"
            if request.state is SendState.STOPPED:
                self.stream.stop_sending("no-error")
                self.abort()
            return True
        return more

    def _gone(self) -> None:
        """Nothing comes or goes by the stream any more: reset the app if the visitor has gone."""
        if self.stream.reset_code in GONE:
            self.abort()

    # --- heads and bodies ---

    async def _next_head(self, connection: OriginConnection) -> bytes:
        answers = connection.answers
        while (raw := answers.next_head()) is None:
            data = await connection.receive(READ_CHUNKS_MOST_BYTES)
            if not data:
                raise OriginClosed
            self._happened(_BYTES)
            answers.feed(data)
        return raw

    async def _relay_body(self, connection: OriginConnection, answer: ResponseHead) -> bool:
        """Send the answer's body on; whether bytes are left over behind it."""
        stream = self.stream
        data = connection.answers.take_rest()
        if answer.body is None:
            stream.send_eof()
            return bool(data)
        reader = body_reader(answer.body, LenientChunkedBody)
        max_bytes = READ_CHUNKS_MOST_BYTES if answer.body == "chunked" else READ_BYTES
        if len(data) > READ_FIRST_BYTES:  # chunks of a byte, and the head was as much work
            await trio.lowlevel.checkpoint()
        while True:
            body = reader.feed(data) if data else b""
            if body:
                self.tap.body_out(body)
                await stream.send_all(body)
            if reader.done:
                break
            data = await connection.receive(max_bytes)
            if not data:
                try:
                    reader.eof()
                except HttpError as error:
                    raise OriginClosed from error
        if reader.lenient:
            connection.lenient = True
        try:
            stream.send_eof(reader.trailers)
        except LocalProtocolError as error:
            raise HttpError("head-too-large", str(error)) from error
        return reader.rest != b""
