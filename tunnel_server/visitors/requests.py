"""The reading task of a visitor's connection: heads, bodies, and where a WebSocket begins.

It always reads, also while an answer is awaited, since that is how a visitor that goes away is
noticed. What it reads ahead is bounded; then it waits for the answer to end.
"""

from __future__ import annotations

import logging
import math
from datetime import UTC, datetime
from functools import partial
from typing import Final

import trio

from protocol.drivers.stream import TunnelStream
from protocol.errors import HttpError, SessionClosed, StreamStopped
from protocol.http.bodies import body_reader
from protocol.http.heads import HeadBuffer, RequestHead, parse_request
from protocol.http.limits import READ_CHUNKS_MOST_BYTES, READ_MOST_BYTES
from protocol.http.read_size import ReadSize
from protocol.names import APEX
from tunnel_server.answers.refusal import Refusal, offline
from tunnel_server.observing.strangers import by_stranger
from tunnel_server.owners.waiting import WAIT_S, Pause, RoomShare
from tunnel_server.tunnels.control import ControlEndpoint
from tunnel_server.tunnels.directory import Directory, Login
from tunnel_server.tunnels.parking import Whose
from tunnel_server.tunnels.registry import Tunnel
from tunnel_server.visitors.connection import IDLE_TIMEOUT_S, Connection, VisitorGone
from tunnel_server.visitors.exchange import Exchange, RequestState, with_few_fields
from tunnel_server.visitors.phases import Phase
from tunnel_server.visitors.routing import is_control, name_of, open_stream, wait_for_batch
from tunnel_server.visitors.same_connection import SameConnection
from tunnel_server.visitors.service import service_answer
from tunnel_server.visitors.tap import Tap, log as tap_log
from tunnel_server.visitors.visitor import Visitor, visitor_of

log = logging.getLogger(__name__)

HEAD_TIMEOUT_S: Final = 30.0  # from its first byte
BODY_TIMEOUT_S: Final = 300.0  # without a byte of a body that the visitor is to send
# It is read for the visitor's end, and may be the next requests; as much as a page asks at once.
READ_AHEAD_MAX_BYTES: Final = 8 * 1024
# Parsed, a head may take thrice its size. So one that has more than this, as few have, is parsed
# once more after it has waited, and of its fields is kept afterwards what an answer asks for.
_LARGE_HEAD_BYTES: Final = 4 * 1024

_SHARES_OF_PARKED: Final[dict[Whose, str]] = {
    "owner": "This tunnel's owner has its share",
    "visitor": "Your address has its share",
    "all": "There are as many as may be",
}


def admission(directory: Directory, name: str) -> Tunnel | Refusal | None:
    """Whether a request for this name may begin now, or wait for the tunnel's client.

    It is asked before a request waits, and once more right before it begins. Whether there is a
    stream for it is asked afterwards: that is a share.

    Returns:
        The tunnel where it may begin; None where it may wait; else why it may do neither.
    """
    tunnel = directory.registry.find(name)
    if tunnel is not None and not tunnel.carrier.away:
        return tunnel
    if directory.is_away(name):
        return None
    return missing(directory, name)


def missing(directory: Directory, name: str) -> Refusal:
    """Return the refusal of a request for a tunnel that nobody holds."""
    left_at = directory.left_at(name)
    if left_at is None:
        return Refusal("tunnel-not-found")
    return offline(datetime.fromtimestamp(left_at, UTC), datetime.now(UTC))


def _over_share(of: str, visitor: Visitor) -> Refusal:
    extra = by_stranger(visitor.address, of)
    log.info("%s: a request over its share of %s is refused", visitor.address, of, extra=extra)
    whose = "Your address has its share" if visitor.key else "All is taken"
    text = f"{whose} of what {of} serves at once, and none of it ended while this request waited"
    return Refusal("overloaded", f"{text}, for {WAIT_S:g} s at most.")


def _over_parking(whose: Whose, visitor: Visitor) -> Refusal:
    extra = by_stranger(visitor.address, whose)
    log.info(
        "%s: a request that waits for a client is refused: %s", visitor.address, whose, extra=extra
    )
    text = f"{_SHARES_OF_PARKED[whose]} of the requests that wait for a client to come back"
    return Refusal("overloaded", f"{text}, and of those this one has waited for longest.")


class RequestReader:
    """Reads one connection's requests, one after the other, and begins an exchange for each."""

    def __init__(
        self, connection: Connection, control: ControlEndpoint, same: SameConnection
    ) -> None:
        self._connection = connection
        self._same = same
        self._control = control
        self._buffer = HeadBuffer()
        self._counts = tap_log.isEnabledFor(logging.DEBUG)
        self._visitor: Visitor | None = None  # of every request, unless a proxy brings them
        self._large_head = b""  # of the request that is about to begin
        self._stream_of: tuple[RoomShare, str | None] | None = None  # taken, and not opened yet

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
            self._give_stream()
        if self._connection.phase in (Phase.EXPIRED, Phase.LATE):
            await self._give_up_waiting()
        if not self._connection.is_control:
            await self._connection.linger()

    async def _read_requests(self) -> None:
        connection = self._connection
        while True:
            try:
                raw = await self._next_head()
                if raw is None:
                    return
                head = parse_request(raw)
            except HttpError as error:
                await self._refuse(error)
                return
            begun = self._begin_counted if self._counts else self._begin
            visitor = self._whose(head)
            if len(raw) > _LARGE_HEAD_BYTES:
                self._large_head, head = raw, with_few_fields(head)
            del raw
            exchange = await begun(head, visitor)
            self._large_head = b""
            if exchange is None:
                return
            connection.hand_over(exchange)
            await self._read_body(exchange, head)
            await self._read_ahead(exchange)
            if exchange.upgrade is not None:
                await exchange.upgrade.relay_to_app(self._buffer.take_rest())
                return
            if exchange.closes:
                return

    def _whole(self, head: RequestHead) -> RequestHead:
        """The head with all of its fields."""
        return parse_request(self._large_head) if self._large_head else head

    async def _begin_counted(self, head: RequestHead, visitor: Visitor) -> Exchange | None:
        """Begin a request with a tap, whose time runs from here: also while it waits."""
        tap = Tap(trio.current_time())
        tap.asked(name_of(self._connection.edge, head) or "", self._whole(head))
        try:
            exchange = await self._begin(head, visitor)
        except BaseException as error:
            if not self._connection.is_control:
                tap.ended("visitor" if isinstance(error, VisitorGone) else "tunnel")
                tap.tell(trio.current_time())
            raise
        if exchange is not None:
            exchange.tap = tap
        return exchange

    async def _serve_session(self, login: Login, head: RequestHead, address: str) -> None:
        connection = self._connection
        connection.become_control()
        stream, behind = connection.stream, self._buffer.take_rest()
        begins = connection.deadlines.leave_crowd
        await self._control.serve(address, stream, login, head, behind, begins)

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
                connection.deadlines.read = trio.current_time() + IDLE_TIMEOUT_S
            elif connection.phase is not Phase.HEAD:
                connection.begin_head()
                connection.deadlines.read = trio.current_time() + HEAD_TIMEOUT_S
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
        """The visitor took too long: say so where a head or a body is missing, else just close."""
        connection = self._connection
        exchange = connection.exchange
        if exchange is not None and not exchange.over:
            if exchange.upgrade is None:
                exchange.fail(Refusal("request-timeout", "The body of the request stopped coming."))
            await exchange.wait_over()
        elif connection.phase is Phase.LATE:
            await self._refuse(HttpError("request-timeout", ""))

    # --- before a request begins ---

    async def _begin(self, head: RequestHead, visitor: Visitor) -> Exchange | None:
        """Begin what the request asks for, or settle its answer; None: a session was served."""
        if not await self._has_share():
            return Exchange(head, answer=_over_share("this server", visitor), last=True)
        name = name_of(self._connection.edge, head)
        if name is None:
            return Exchange(head, answer=Refusal("unknown-host"))
        if name == APEX:
            return await self._serve_apex(self._whole(head), visitor)
        found: Tunnel | Exchange | Refusal = await self._admission(name, visitor)
        if isinstance(found, Tunnel):
            found = self._open(head, found, visitor)
        return found if isinstance(found, Exchange) else Exchange(head, name=name, answer=found)

    async def _has_share(self) -> bool:
        """Whether the visitor may have one more request served here; it may wait for another."""
        place = self._connection.deadlines.place
        if place is None or not place.over_share:
            return True
        return await place.wait_for_share(self._await_turn)

    async def _serve_apex(self, head: RequestHead, visitor: Visitor) -> Exchange | None:
        """Serve what is the service's own: a session, then None, or an answer."""
        connection = self._connection
        if not is_control(head):
            return Exchange(head, answer=service_answer(connection.edge, head))
        login = self._control.check(visitor.address, head)
        if isinstance(login, Refusal):
            return Exchange(head, answer=login, last=True)
        await self._serve_session(login, head, visitor.address)
        return None

    def _whose(self, head: RequestHead) -> Visitor:
        """The visitor of a request; the connection's place is that visitor's from now on."""
        connection = self._connection
        if self._visitor is not None:
            return self._visitor
        visitor = visitor_of(connection.edge.config, connection.source, head.fields)
        if not connection.source.trusted:
            self._visitor = visitor  # no field says anything
        if connection.deadlines.place is not None:
            connection.deadlines.place.move(visitor.key)
        return visitor

    def _open(self, head: RequestHead, tunnel: Tunnel, visitor: Visitor) -> Exchange | Refusal:
        directory = self._connection.edge.directory
        try:
            exchange = open_stream(self._connection, self._whole(head), tunnel, visitor, self._same)
        except SessionClosed:
            directory.release(tunnel.carrier)  # it is just closing its connection
            exchange = missing(directory, tunnel.name)
        if isinstance(exchange, Exchange) and exchange.stream is not None and self._stream_of:
            share, key = self._stream_of
            self._stream_of = None
            exchange.stream.on_gone = partial(share.give, key)
            if self._large_head:
                exchange.keep_little_of(head)
        else:
            self._give_stream()
        return exchange

    def _take_stream(self, share: RoomShare, key: str | None) -> bool:
        """Take one of these, if there is one and none is taken; whether one is."""
        if self._stream_of is not None and self._stream_of[0] is not share:
            self._give_stream()  # its name has changed hands
        if self._stream_of is None and share.is_open(key):
            share.take(key)
            self._stream_of = share, key
        return self._stream_of is not None

    def _give_stream(self) -> None:
        if self._stream_of is not None:
            share, key = self._stream_of
            self._stream_of = None
            share.give(key)

    async def _admission(self, name: str, visitor: Visitor) -> Tunnel | Refusal:
        """Wait until a request for this name may begin, or may not.

        It is asked anew after each wait: the name may have changed hands meanwhile.
        """
        directory = self._connection.edge.directory
        has_waited = False
        while True:
            await wait_for_batch(directory, name)
            admitted = admission(directory, name)
            if isinstance(admitted, Tunnel):
                share = directory.streams.of(admitted.carrier)
                if self._take_stream(share, visitor.key):
                    if admitted.carrier.has_room:
                        return admitted
                    self._give_stream()
                    return Refusal("overloaded")
                if has_waited or not await share.take_when_open(visitor.key, self._await_turn):
                    return _over_share("this tunnel", visitor)
                self._stream_of, has_waited = (share, visitor.key), True
                continue
            self._give_stream()
            if admitted is not None:
                return admitted
            whose = await self._park(name, visitor.key)
            if whose is not None:
                return _over_parking(whose, visitor)

    async def _park(self, name: str, visitor: str | None) -> Whose | None:
        """Wait until the client is back, or will not come, and it may look again.

        Returns the one that has its share of all that wait, where this is to wait no longer.

        It goes on reading: what the visitor sends is read ahead, and a reset is noticed.
        """
        directory = self._connection.edge.directory
        parking = directory.parking
        waiter = parking.enter(name, directory.registry.owner_of(name), visitor)
        try:
            while not waiter.over:
                await self._read_meanwhile(waiter)
        finally:
            parking.leave(waiter)
        return waiter.refused_for

    async def _await_turn(self, turn: Pause) -> None:
        """Wait for a turn of its share, and go on reading.

        A visitor that ends its direction may be gone, as most that end it are. It loses its turn,
        since others are waiting who are not.
        """
        while not turn.over and not self._connection.half_closed:
            await self._read_meanwhile(turn)

    async def _read_meanwhile(self, turn: Pause) -> None:
        connection = self._connection
        held = len(self._buffer)
        if connection.half_closed or held >= READ_AHEAD_MAX_BYTES:
            await turn.wait()
            return
        data: bytes | None = None
        with turn.until_over():
            data = await connection.receive(READ_AHEAD_MAX_BYTES - held)
        if data:
            self._buffer.feed(data)
        elif data is not None:
            connection.visitor_half_closed()

    # --- bodies ---

    async def _read_body(self, exchange: Exchange, head: RequestHead) -> None:
        if exchange.stream is None or exchange.request is not RequestState.COMING:
            return
        try:
            await self._relay_body(exchange, head, exchange.stream)
        except (StreamStopped, SessionClosed):
            pass  # the answer says why
        except HttpError as error:
            exchange.fail(Refusal(error.code, str(error)))

    async def _relay_body(
        self, exchange: Exchange, head: RequestHead, stream: TunnelStream
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
            if body:
                if exchange.tap is not None:
                    exchange.tap.body_in(body)
                await stream.send_all(body)
            if reader.done:
                break
            if rest:
                await trio.lowlevel.checkpoint()  # chunks of a byte are much work
                continue
            connection.deadlines.read = trio.current_time() + BODY_TIMEOUT_S
            rest = await connection.receive(size.next_bytes)
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

    async def _read_ahead(self, exchange: Exchange) -> None:
        """Keep reading until the answer is over, so that a visitor that leaves is noticed."""
        connection = self._connection
        buffer = self._buffer
        while not exchange.decided:
            held = len(buffer)
            if held and exchange.request_ended:
                exchange.follow()
            if connection.half_closed or held >= READ_AHEAD_MAX_BYTES or not exchange.request_ended:
                await exchange.wait_decided()
                return
            data: bytes | None = None
            if not held:
                # Whatever comes next wakes us, so nobody else needs to.
                data = await connection.receive(READ_AHEAD_MAX_BYTES)
            else:
                with exchange.until_decided():
                    data = await connection.receive(READ_AHEAD_MAX_BYTES - held)
            if data:
                buffer.feed(data)
            elif data is not None:
                connection.visitor_half_closed()
