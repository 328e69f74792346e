"""The reading task of a visitor's connection: heads, bodies, and where an upgrade begins.

It always reads, also while a request waits or an answer is awaited (`read_ahead`), since that is
how a visitor that goes away is noticed. What becomes of a head is the matter of `beginning`.
"""

from __future__ import annotations

import logging
import math
from typing import Final

import trio

from protocol.drivers.stream import TunnelStream
from protocol.errors import HttpError, SessionClosed, StreamStopped
from protocol.http.bodies import body_reader
from protocol.http.heads import HeadBuffer, RequestHead, parse_request
from protocol.http.limits import (
    READ_CHUNKS_MOST_BYTES,
    READ_FIRST_BYTES,
    READ_MOST_BYTES,
)
from protocol.http.read_size import ReadSize
from tunnel_server.answers.refusal import Refusal
from tunnel_server.tunnels.control import ControlEndpoint
from tunnel_server.visitors.beginning import Beginning
from tunnel_server.visitors.connection import Connection
from tunnel_server.visitors.exchange import Exchange
from tunnel_server.visitors.exchange_states import RequestState
from tunnel_server.visitors.lingering import linger
from tunnel_server.visitors.phases import Phase
from tunnel_server.visitors.read_ahead import READ_AHEAD_MAX_BYTES, ReadAhead
from tunnel_server.visitors.same_connection import SameConnection
from tunnel_server.visitors.tap import Tap, log as tap_log

BODY_TIMEOUT_S: Final = 300.0  # without a byte of a body that the visitor is to send
# Parsed, a head may take thrice its size. So one that has more than this, as few have, is parsed
# once more after it has waited, and of its fields is kept afterwards what an answer asks for.
_PARSED_TIMES: Final = 3
_LARGE_HEAD_BYTES: Final = 4 * 1024
# The form of an error, whether a 100 is wanted, and the key that a 101 must answer.
_KEPT_FIELDS: Final = frozenset((b"accept", b"expect", b"sec-websocket-key"))


class RequestReader:
    """Reads one connection's requests, one after the other, and begins an exchange for each.

    Args:
        connection: the visitor's.
        control: serves the sessions.
        same: knows which requests came by this connection.
    """

    __slots__ = ("_ahead", "_beginning", "_buffer", "_connection", "_counts")

    def __init__(
        self, connection: Connection, control: ControlEndpoint, same: SameConnection
    ) -> None:
        self._connection = connection
        self._buffer = HeadBuffer()
        self._ahead = ReadAhead(connection, self._buffer)
        self._beginning = Beginning(connection, control, self._ahead, same)
        self._counts = tap_log.isEnabledFor(logging.DEBUG)

    def __repr__(self) -> str:
        return f"<RequestReader {self._buffer!r} of {self._connection!r}>"

    async def run(self) -> None:
        """Read until the connection has served its last request, and linger.

        Raises:
            VisitorGone: the connection broke.
        """
        try:
            with self._connection.reading:
                await self._read_requests()
        finally:
            self._beginning.end()
        if self._connection.phase in (Phase.EXPIRED, Phase.LATE):
            await self._give_up_waiting()
        if not self._connection.is_control:
            await linger(self._connection)

    async def _read_requests(self) -> None:
        connection, beginning = self._connection, self._beginning
        while True:
            try:
                raw = await self._next_head()
                if raw is None:
                    return
                head = parse_request(raw)
            except HttpError as error:
                await self._refuse(error)
                return
            head_bytes = len(raw)
            begun = beginning.begin_counted if self._counts else beginning.begin
            visitor = beginning.whose(head)
            if head_bytes > _LARGE_HEAD_BYTES:
                head = with_few_fields(head)
            else:
                raw = b""  # the head has all of it
            exchange = await begun(head, raw, visitor)
            del raw
            if exchange is None:
                return
            connection.hand_over(exchange)
            await self._read_body(exchange, head, head_bytes)
            await self._ahead.until_decided(exchange)
            if exchange.upgrade is not None:
                await exchange.upgrade.relay_to_app(self._buffer.take_rest())
                return
            if exchange.closes:
                return

    # --- heads ---

    async def _next_head(self) -> bytes | None:
        """The next head; None when the visitor is done."""
        connection = self._connection
        buffer = self._buffer
        raw = buffer.next_head()
        while raw is None:
            if connection.half_closed:
                return None
            if not buffer.started:
                connection.rest(trio.current_time())
            elif connection.phase is not Phase.HEAD:
                connection.begin_head(trio.current_time())
            data = await connection.receive(READ_AHEAD_MAX_BYTES)  # what is behind the head is held
            if not data:
                return None
            buffer.feed(data)
            raw = buffer.next_head()
        connection.deadlines.read = math.inf
        return raw

    async def _refuse(self, error: HttpError) -> None:
        """Answer what is no request, and close."""
        exchange = Exchange(None, answer=Refusal(error.code, str(error)))
        if self._counts:
            exchange.tap = Tap(trio.current_time())
        self._connection.hand_over(exchange)
        self._connection.deadlines.read = math.inf
        self._connection.deadlines.owe()  # it has had no share, and ends
        await exchange.wait_over()

    async def _give_up_waiting(self) -> None:
        """The visitor took too long: say so where a head or a body is missing, else just close.

        Nothing is said behind an answer: it would be taken for the next one.
        """
        connection = self._connection
        exchange = connection.exchange
        if exchange is not None and not exchange.both_ended:
            if exchange.upgrade is None:
                exchange.fail(Refusal("request-timeout", "The body of the request stopped coming."))
            await exchange.wait_over()
        elif connection.phase is Phase.LATE:
            await self._refuse(HttpError("request-timeout", ""))

    # --- bodies ---

    async def _read_body(self, exchange: Exchange, head: RequestHead, head_bytes: int) -> None:
        if exchange.stream is None or exchange.request is not RequestState.COMING:
            return
        try:
            behind = most_behind(head_bytes, is_chunked=head.body == "chunked")
            await self._relay_body(exchange, head, exchange.stream, behind)
        except (StreamStopped, SessionClosed):
            exchange.give_up_request()  # the answer says why
        except HttpError as error:
            exchange.fail(Refusal(error.code, str(error)))
        if exchange.over and exchange.tap is not None:  # it has ended before its request
            exchange.tap.tell(trio.current_time(), exchange.stream)

    async def _relay_body(
        self, exchange: Exchange, head: RequestHead, stream: TunnelStream, behind: int
    ) -> None:
        connection = self._connection
        chunked = head.body == "chunked"
        size = ReadSize(READ_CHUNKS_MOST_BYTES if chunked else READ_MOST_BYTES)
        reader = body_reader(head.body)
        rest = self._buffer.take_rest()
        while True:
            data, rest = rest[: size.next_bytes], rest[size.next_bytes :]
            body = reader.feed(data)
            size.learn(len(data), reader.pieces)
            del data  # the body may have to wait, and is a copy
            if body:
                if exchange.tap is not None:
                    exchange.tap.body_in(body)
                await stream.send_all(body)
            if reader.done:
                break
            if rest:
                await trio.lowlevel.checkpoint()  # chunks of a byte are much work
                continue
            connection.deadlines.moved_at = now = trio.current_time()
            connection.deadlines.read = now + BODY_TIMEOUT_S
            most = READ_FIRST_BYTES if stream.memory_is_short else size.next_bytes
            rest = await connection.receive(min(most, reader.left + behind))
            connection.deadlines.read = math.inf
            if not rest:
                exchange.break_off(
                    Refusal("bad-request", "The request ended in the middle of its body.")
                )
                stream.reset("truncated", "the visitor ended the request in the middle")
                connection.visitor_half_closed()
                return
        stream.send_eof(reader.trailers)
        exchange.end_request()
        if reader.rest or rest:
            self._buffer.feed(reader.rest + rest)


def with_few_fields(head: RequestHead) -> RequestHead:
    """A head of whose fields nothing is left but what answers ask for."""
    kept = tuple([field for field in head.fields if field[0].lower() in _KEPT_FIELDS])
    return head._replace(fields=kept)


def most_behind(head_bytes: int, *, is_chunked: bool) -> int:
    """Return how many bytes behind a body, or its chunk under way, one read may bring.

    They are held until the answer, as what follows a head is. Nobody knows where chunks end, and
    to read 8 KiB of them at a time costs twice the processor's time; so it is more of those, and
    less where the head takes the memory.
    """
    if not is_chunked:
        return READ_AHEAD_MAX_BYTES
    return max(READ_AHEAD_MAX_BYTES, READ_CHUNKS_MOST_BYTES - _PARSED_TIMES * head_bytes)
