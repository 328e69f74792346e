"""The writing task of a visitor's connection: answers, in the order of the requests.

What is ready of an answer leaves in one write: usually the head, the body and the end. A broken
answer stays visibly broken.
"""

from __future__ import annotations

from typing import Final

import trio

from protocol.drivers.stream import TunnelStream
from protocol.errors import HttpError, SessionClosed, StreamReset
from protocol.http.fields import Fields, values_of
from protocol.http.serialise import Framing, chunk, last_chunk
from protocol.http.stopping import answered
from protocol.limits import FIRST_CREDIT_BYTES
from protocol.mux.messages import Head
from protocol.mux.streams import SWITCHING_PROTOCOLS
from protocol.statuses import UNKNOWN
from tunnel_server.answers.answer import Answer, Landing, answer_to
from tunnel_server.answers.negotiation import accept_of, is_ping
from tunnel_server.answers.refusal import Refusal
from tunnel_server.answers.texts import ERRORS, Side
from tunnel_server.visitors.answer_heads import (
    crosses,
    framing_of,
    raw_final_head,
    raw_interim_head,
)
from tunnel_server.visitors.connection import Connection
from tunnel_server.visitors.exchange import Exchange
from tunnel_server.visitors.exchange_states import COMING, AnswerEvent
from tunnel_server.visitors.same_connection import SameConnection
from tunnel_server.visitors.tap import EndedBy
from tunnel_server.visitors.upgrade import VisitorUpgrade

_CLOSE: Final = (b"Connection", b"close")
_KEEP_ALIVE: Final = (b"Connection", b"keep-alive")

# What a client says of itself by a code that says something else of the service.
_CASES: Final = {"draining": "client-stops"}

# Each answer asks for these, and a global costs a third of an enum's member.
_KEEP: Final = AnswerEvent.KEEP
_UNSAID: Final = AnswerEvent.UNSAID
_UNSAID_CUT: Final = AnswerEvent.UNSAID_CUT


class AnswerWriter:
    """Writes one connection's answers."""

    def __init__(self, connection: Connection, same: SameConnection) -> None:
        self._connection = connection
        self._same = same
        self._raw_head = b""  # of an app's answer; here until it leaves, and nowhere else

    def __repr__(self) -> str:
        return f"<AnswerWriter of {self._connection!r}>"

    async def run(self) -> None:
        """Write until an answer closes the connection.

        Raises:
            VisitorGone: the connection broke.
        """
        connection = self._connection
        exchange: Exchange | None = None
        while True:
            exchange = await connection.next_exchange(exchange)
            if exchange.stream is not None:
                await self._relay(exchange, exchange.stream)
            elif exchange.answer is not None:
                await self._send_own(exchange, exchange.answer)
            if exchange.request is COMING and exchange.under_way:
                if await self._leave_under_way(exchange):
                    return
                continue
            now = trio.current_time()
            if exchange.tap is not None:
                exchange.tap.tell(now, exchange.stream)
            if exchange.upgrade is not None:
                exchange.finish()
                return
            if exchange.closes:
                exchange.finish()
                connection.reading.cancel()
                return
            connection.rest(now)
            exchange.finish()

    async def _leave_under_way(self, exchange: Exchange) -> bool:
        """Leave a request that goes on behind its answer to the reading task.

        Returns whether nothing more is to be written. Raises VisitorGone.
        """
        connection = self._connection
        closes = exchange.closes

        def stopped() -> None:
            if exchange.under_way:
                connection.reading.cancel()

        if exchange.stream is not None:
            exchange.stream.on_stopped = stopped
        exchange.finish()
        if closes and exchange.version == b"1.0":
            await connection.send_eof()  # which ends the answer
        return closes

    # --- answers of our own ---

    async def _send_error(self, exchange: Exchange, refusal: Refusal) -> None:
        """Send an error instead of the app's answer, of which nothing has left."""
        if exchange.failure is not None:
            refusal = exchange.failure
        if refusal.code not in ERRORS:
            refusal = Refusal(UNKNOWN, f"The tunnel's client said: {refusal.code}.")
        exchange.ended_by(_blamed(exchange, refusal))
        await self._send_own(exchange, refusal)

    async def _send_own(self, exchange: Exchange, found: Refusal | Landing | Answer) -> None:
        """Send an answer of ours."""
        accept = accept_of(exchange.head)
        answer = answer_to(found, accept, name=exchange.name, method=exchange.method)
        # Without a byte: the one thing that such a page takes for a failure.
        silent = is_ping(accept) and bool(values_of(answer.fields, b"tunnel-error"))
        draining = self._connection.edge.directory.draining
        exchange.begin_answer(exchange.beginning(own=True, draining=draining, silent=silent))
        if exchange.tap is not None:
            exchange.tap.ended("tunnel")
            exchange.tap.head(answer.status)
        if silent:
            return
        body = answer.body if exchange.method != b"HEAD" else b""
        await self._connection.send(_own_head(exchange, answer) + body)
        if exchange.tap is not None:
            exchange.tap.body_out(body)

    # --- answers of an app ---

    async def _relay(self, exchange: Exchange, stream: TunnelStream) -> None:
        head: Head | None = None
        framing: Framing | None = None
        refusal: Refusal | None = None
        lasts = False
        try:
            head = await self._final_head(exchange, stream)
            if head.bound:
                self._same.bind()
            framing = framing_of(exchange, stream, head)
            if isinstance(head.body, str):
                exchange.answers = answered(head.body, head.fields)
            beginning = exchange.beginning(
                own=False,
                draining=self._connection.edge.directory.draining,
                cut=framing is None or framing == "until-close",
                app_closes=head.closes,
            )
            unsaid = beginning is _UNSAID or beginning is _UNSAID_CUT
            close = None if unsaid else beginning is not _KEEP
            config = self._connection.edge.config
            self._raw_head = raw_final_head(exchange, head, config, close=close)
            lasts = head.closes is not None  # a client of version 1 ends the request with it
        except StreamReset as error:
            # The client's words are for its own terminal: the target, its path, or what a service
            # inside has said, are no visitor's.
            refusal = Refusal(error.code, case=_CASES.get(error.code, ""))
        except SessionClosed:
            refusal = Refusal("tunnel-lost")
        except HttpError:
            refusal = Refusal("origin-protocol-error")
        else:
            exchange.begin_answer(beginning)
            if exchange.tap is not None:
                exchange.tap.head(head.status)
        head = None  # 130 KiB in the largest, and the answer may take for ever
        if refusal is None:
            await self._relay_after_head(exchange, stream, framing)
        else:
            await self._send_error(exchange, refusal)
        if not (exchange.upgrade or (exchange.request_ended and stream.receive_ended)):
            self._end_early(exchange, stream, lasts=lasts)

    def _end_early(self, exchange: Exchange, stream: TunnelStream, *, lasts: bool) -> None:
        """The answer has ended, and its request has not: give up what nobody takes.

        Args:
            exchange, stream: the request's.
            lasts: the client goes on with it; it stops where its app has given no answer.
        """
        if lasts and stream.receive_ended and exchange.request_goes_on:
            return
        if not exchange.request_ended:
            exchange.give_up_request()
        stream.cancel("no-error")

    async def _relay_after_head(
        self, exchange: Exchange, stream: TunnelStream, framing: Framing | None
    ) -> None:
        try:
            if framing is None:
                await self._connection.send(self._take_raw_head())
                upgrade = VisitorUpgrade(self._connection, exchange, stream)
                exchange.switch(upgrade)
                await upgrade.relay_to_visitor()
            else:
                await self._relay_body(exchange, stream, framing)
        except (StreamReset, SessionClosed, HttpError) as error:
            exchange.ended_by("tunnel" if isinstance(error, SessionClosed) else "app")
            self._connection.abort(reset=exchange.ends_by_close)
            await trio.sleep_forever()

    async def _final_head(self, exchange: Exchange, stream: TunnelStream) -> Head:
        """Relay informational heads, and return the final one."""
        while (head := await stream.receive_head()).status < 200:
            if head.status == SWITCHING_PROTOCOLS:
                break
            if crosses(exchange, head.status, trusted=self._connection.source.trusted):
                self._raw_head = raw_interim_head(exchange, head, self._connection.edge.config)
            del head  # the visitor may not read, and the next head may never come
            if self._raw_head:
                await self._connection.send(self._take_raw_head())
        if exchange.asks_websocket and head.status != SWITCHING_PROTOCOLS:
            stream.send_eof()  # it has no end until now
        return head

    def _take_raw_head(self) -> bytes:
        raw, self._raw_head = self._raw_head, b""
        return raw

    async def _relay_body(self, exchange: Exchange, stream: TunnelStream, framing: Framing) -> None:
        """Relay the head and what follows; of neither is anything kept once it has left."""
        tap = exchange.tap
        chunked = framing == "chunked"
        if len(self._raw_head) > FIRST_CREDIT_BYTES:  # more than may wait behind it
            await self._connection.send(self._take_raw_head())
        data = stream.take_some()
        while True:
            ended = stream.receive_ended
            end = last_chunk(stream.trailers) if ended and chunked else b""
            piece = self._raw_head + (chunk(data) if chunked else data) + end
            self._raw_head = b""
            if tap is None:  # which counts it when it has left
                data = b""
            if piece:
                await self._connection.send(piece)
            if tap is not None:
                tap.body_out(data)
            if ended:
                exchange.ended_by("app")
                return
            piece = data = b""
            data = await stream.receive_some()


def _own_head(exchange: Exchange, answer: Answer) -> bytes:
    """Return the head of an answer of ours as it leaves; its fields are known to be right."""
    fields = answer.fields
    if exchange.closes:
        fields = _with_connection(fields, _CLOSE)
    elif exchange.version == b"1.0":
        fields = _with_connection(fields, _KEEP_ALIVE)
    lines = b"".join([b"%b: %b\r\n" % field for field in fields])
    return b"HTTP/1.1 %d %b\r\n%b\r\n" % (answer.status, answer.reason, lines)


def _with_connection(fields: Fields, option: tuple[bytes, bytes]) -> Fields:
    """The fields with one more connection option; 426 has `Upgrade` there already."""
    kept = [field for field in fields if field[0].lower() != b"connection"]
    listed = [field[1] for field in fields if field[0].lower() == b"connection"]
    return (*kept, (option[0], b", ".join([*listed, option[1]])))


def _blamed(exchange: Exchange, refusal: Refusal) -> EndedBy:
    """Return whose side ended an exchange that an error of ours answers."""
    if exchange.failure is not None and refusal.code != "draining":
        return "visitor"
    return "app" if ERRORS[refusal.code].side is Side.APP else "tunnel"
