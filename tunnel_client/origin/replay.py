"""One request, replayed on a connection to the local app, and its answer sent back.

A request without a body costs no task, cancel scope or timeout: its deadline is an attribute, which
the sweep looks at. When the visitor goes away the connection is reset, at once: `abort` closes the
socket under whoever waits for it.
"""

from __future__ import annotations

import math
from typing import Final

import trio

from protocol.errors import HttpError
from protocol.http.bodies import body_reader
from protocol.http.fields import values_of
from protocol.http.forwarding import without_tunnel_error
from protocol.http.heads import ResponseHead, end_to_end, parse_response
from protocol.http.serialise import request_head
from protocol.mux.messages import Head
from tunnel_client.identity.rewriting import Identity, Visited
from tunnel_client.origin.connection import OriginClosed, OriginConnection
from tunnel_client.origin.request import Request
from tunnel_client.origin.upgrade import OriginWebSocket
from tunnel_client.origin.visitor_stream import VisitorStream

# RFC 9110 9.2.2: what may be sent again, when the connection was closed before an answer.
IDEMPOTENT: Final = frozenset({b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"})


class Replay:
    """A stream's request and the app's answer.

    Args:
        stream: the request. Its `on_stopped` is this replay's from now on.
        identity: changes the fields of both.
        timeout_s: how long the app may owe us the next byte before its final head.
        ws_keepalive_s: when the app is pinged on an idle WebSocket; 0 for never.
        tasks: where a long body is sent.

    Attributes:
        status: of the final head that was sent back; None if there was none.
        bytes_in: of the request's body, taken from the stream.
        bytes_out: of the answer's body, given to the stream.
        error: why it failed, for people.
        began_at: in trio's time.
        deadline: when the app's next byte is overdue.
        aborted: the visitor, or the session, is gone; or the app is overdue.
        overdue: the app is.
        cut: what was wrong with the end of the request.
        answer_begun: a byte of an answer came.
    """

    __slots__ = (
        *("_answered", "_connection", "_identity", "_tasks", "_upgrade", "_visited"),
        "_ws_keepalive_s",
        *("aborted", "answer_begun", "began_at", "bytes_in", "bytes_out", "cut", "deadline"),
        *("dialling", "error", "overdue", "status", "stream", "timeout_s"),
    )

    def __init__(
        self,
        stream: VisitorStream,
        identity: Identity,
        *,
        timeout_s: float,
        tasks: trio.Nursery,
        ws_keepalive_s: float = 0.0,
    ) -> None:
        self.stream = stream
        self._identity = identity
        self._visited = Visited(b"")  # once the head is made
        self.status: int | None = None
        self.bytes_in = 0
        self.bytes_out = 0
        self.error: str | None = None
        self.began_at = trio.current_time()
        self.deadline = math.inf
        self.aborted = False
        self.overdue = False
        self.cut: str | None = None
        self.answer_begun = False
        self.dialling: trio.CancelScope | None = None
        self.timeout_s = timeout_s
        self._tasks = tasks
        self._connection: OriginConnection | None = None
        self._answered = False  # the final head has come
        self._ws_keepalive_s = ws_keepalive_s
        self._upgrade: OriginWebSocket | None = None
        stream.on_stopped = self.abort

    def __repr__(self) -> str:
        return f"<Replay {self.status} {self.error} {self.stream!r}>"

    @property
    def is_repeatable(self) -> bool:
        """Whether the request may be sent again, as long as no answer came."""
        opened = self.stream.opened
        return opened.body in (None, 0) and opened.method in IDEMPOTENT

    def abort(self) -> None:
        """Reset the connection, or stop to make one; whoever waits for it gets an error.

        Called in the session's reader when the visitor is gone, or the session.
        """
        self.aborted = True
        if self.dialling is not None:
            self.dialling.cancel()
        if self._connection is not None:
            self._connection.drop(reset=True)

    def sweep(self, now: float) -> None:
        """Abort it if the app is overdue; of a WebSocket, ping the app if it is time to."""
        if now > self.deadline:
            self.overdue = True
            self.abort()
        if self._upgrade is not None:
            self._upgrade.sweep(now)

    def head(self) -> bytes:
        """The request's head as the app gets it.

        Raises:
            HttpError: `bad-request`: the other end sent what is no HTTP.
        """
        opened = self.stream.opened
        fields, self._visited = self._identity.asked(opened, end_to_end(opened.fields))
        return request_head(
            opened.method,
            opened.target,
            fields,
            body=opened.body,
            te_trailers=bool(values_of(opened.fields, b"te")),
            upgrade=opened.kind == "websocket",
        )

    async def run(self, connection: OriginConnection, head: bytes) -> bool:
        """Send the request and relay the answer; whether the connection may be used again.

        Raises:
            OriginClosed: the connection broke; `aborted`, `answer_begun` and `status` tell
                what that means.
            HttpError: the app's answer is no HTTP.
            LocalProtocolError: it is too much for the tunnel.
            StreamStopped, SessionClosed: nobody wants it any more.
        """
        self._connection = connection
        if self.aborted:  # in the instant before
            raise OriginClosed
        request = Request(self.stream, connection, self)
        await request.send(head, self._tasks)
        answer = await self._relay_heads(connection)
        if answer.upgrade:
            self._upgrade = OriginWebSocket(
                self.stream, connection, self, ws_keepalive_s=self._ws_keepalive_s
            )
            await self._upgrade.run(connection.answers.take_rest())
            self._upgrade = None  # they would hold one another
            return False
        left_over = await self._relay_body(connection, answer)
        if not await request.was_sent_whole():
            # The answer is whole and the request is not: what is left of it is not wanted.
            self.stream.stop_sending("no-error")
            self.abort()
        return answer.keep_alive and not left_over and not self.aborted

    def fail(self, code: str, why: str) -> None:
        """Reset what is left of the answer, after what was queued of it, and of the connection."""
        self.error = why
        self.stream.reset(code, why)
        self.stream.stop_sending(code)
        self.abort()

    # --- what the request tells ---

    def app_owes(self) -> None:
        """See RequestProgress."""
        if not self._answered:
            self.deadline = trio.current_time() + self.timeout_s

    def visitor_owes(self) -> None:
        """See RequestProgress."""
        self.deadline = math.inf

    def cut_off(self, why: str) -> None:
        """See RequestProgress."""
        self.cut = self.error = f"the request was cut off: {why}"
        self.app_owes()

    # --- the answer ---

    async def _relay_heads(self, connection: OriginConnection) -> ResponseHead:
        """Send informational heads and the final one back; returns that."""
        opened = self.stream.opened
        upgrade = opened.kind == "websocket"
        key = b"".join(values_of(opened.fields, b"sec-websocket-key")) if upgrade else b""
        while True:
            raw = await self._next_head(connection)
            answer = parse_response(raw, opened.method, upgrade, key)
            final = answer.status >= 200 or answer.upgrade
            fields = without_tunnel_error(end_to_end(answer.fields))
            fields = self._identity.answered(fields, self._visited, final=final)
            head = Head(answer.status, answer.reason, fields, answer.body)
            if not final:
                await self.stream.send_head(head)
                if self.deadline < math.inf:
                    self.app_owes()
                continue
            self._answered = True
            self.deadline = math.inf
            await self.stream.send_head(head)
            self.status = answer.status
            return answer

    async def _next_head(self, connection: OriginConnection) -> bytes:
        answers = connection.answers
        while (raw := answers.next_head()) is None:
            data = await connection.receive()
            if not data:
                raise OriginClosed
            self.answer_begun = True
            answers.feed(data)
        return raw

    async def _relay_body(self, connection: OriginConnection, answer: ResponseHead) -> bool:
        """Send the answer's body on; whether bytes are left over behind it."""
        stream = self.stream
        data = connection.answers.take_rest()
        if answer.body is None:
            stream.send_eof()
            return bool(data)
        reader = body_reader(answer.body)
        while True:
            body = reader.feed(data) if data else b""
            if body:
                self.bytes_out += len(body)
                await stream.send_all(body)
            if reader.done:
                break
            data = await connection.receive()
            if not data:
                try:
                    reader.eof()
                except HttpError as error:
                    raise OriginClosed from error
        stream.send_eof(reader.trailers)
        return bool(reader.rest)
