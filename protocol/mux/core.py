"""One session without I/O: messages in, events out, messages to send.

Both ends run this class; only the server opens streams. The time is an argument everywhere, in
seconds of any one clock. Whatever a peer sends, `receive` raises RemoteProtocolError or nothing.

The program's calls never block and never fail for lack of credit: what cannot go now waits in its
stream's queue, and the driver holds the program back when that is full (`room`). A program that is
done with a stream before the stream has ended says so with `cancel`: only then is everything that
was lent for it given back.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from protocol import VERSION
from protocol.errors import LocalProtocolError
from protocol.http.fields import Fields
from protocol.limits import (
    FIRST_CREDIT_BYTES,
    INFORMATIONAL_HEADS_MAX,
    MESSAGE_MAX_BYTES,
    READ_BYTES,
    STREAM_UNSENT_MAX_BYTES,
    STREAM_UNSENT_MIN_BYTES,
    STREAMS_MAX,
)
from protocol.mux.acks import ReceivedFrames
from protocol.mux.codec import pack, pack_code, pack_trailers, read_uint
from protocol.mux.control import Control, Heartbeat
from protocol.mux.events import Event, Readable
from protocol.mux.head_bodies import pack_head, pack_open
from protocol.mux.incoming import Incoming, OpenLimits
from protocol.mux.memory import OWN_BYTES, Lender, Memory
from protocol.mux.messages import Goaway, Head, Open
from protocol.mux.outgoing import Outgoing
from protocol.mux.sending import Parts
from protocol.mux.streams import (
    ENDED,
    ENDS_STUCK,
    SERVES_UPGRADES,
    SWITCHING_PROTOCOLS,
    TRANSITIONS,
    UPGRADES,
    HalfState,
    Item,
    ReceiveHalf,
    SendHalf,
    Stream,
    answered,
    body_ended,
    first_state,
    item_of,
    length_after,
    may_switch,
    start_window,
)
from protocol.mux.windows import Budget, ReceiveWindow
from protocol.mux.wire import COUNTED, HEADER_BYTES, FrameType, frame, split_message

_ACK: Final = int(FrameType.ACK)
_CREDIT: Final = Open._fields.index("credit")
# An ack of the largest count: what every message keeps free for it.
_ACK_ROOM_BYTES: Final = HEADER_BYTES + 9


class Core:
    """The streams and the state of one session.

    Args:
        is_server: which end this is.
        max_streams: the most streams at once, as the client's hello said.
        body_credit: the first credit of each request's body, as the client's hello said.
        heartbeat: with the interval and the timeout of the server's welcome.
        now: the time.
        lender: of the memory that it may hold; None: no other session needs it.
        version: of the wire, which the WebSocket's handshake has settled for the whole session.
        features: of the peer's hello or welcome.

    Raises:
        LocalProtocolError: a client that gives more first credit than is set aside for it.
    """

    def __init__(
        self,
        *,
        is_server: bool,
        heartbeat: Heartbeat,
        max_streams: int = STREAMS_MAX,
        body_credit: int = FIRST_CREDIT_BYTES,
        now: float = 0.0,
        lender: Lender | None = None,
        version: int = VERSION,
        features: Collection[str] = (),
    ) -> None:
        if not is_server and body_credit > FIRST_CREDIT_BYTES:
            raise LocalProtocolError(f"a first credit of {body_credit} for every request")
        self.is_server = is_server
        self.version = version
        self.serves_upgrades = version > 1 and SERVES_UPGRADES in features
        self.ends_stuck = ENDS_STUCK in features
        self.max_streams = max_streams
        self.body_credit = body_credit
        self.control = Control(heartbeat, is_server=is_server, version=version)
        self.streams: dict[int, Stream] = {}
        self.received = ReceivedFrames()
        self.memory = Memory(lender)
        self.budget = Budget(self.memory)
        self.failed = False
        self._connections = 0
        self._started_at = now
        self._outgoing = Outgoing(self.streams, self.memory)
        self._incoming = Incoming(
            self.streams,
            self._outgoing,
            None if is_server else OpenLimits(self.budget, max_streams, body_credit, heartbeat),
            version,
        )
        self.sent = self._outgoing.sent

    def __repr__(self) -> str:
        side = "server" if self.is_server else "client"
        state = "failed" if self.failed else repr(self.control)
        return f"<Core {side}, {len(self.streams)} streams, {self._outgoing!r}, {state}>"

    # --- what the program does -------------------------------------------------------------------

    def number_connection(self) -> int | None:
        """Return a number for a visitor's connection, new in this session; None in version 1."""
        if self.version == 1:
            return None
        self._connections += 1
        return self._connections

    @property
    def has_room(self) -> bool:
        """Whether the peer takes one more stream now, and what it has not let go is bearable.

        Streams that were cancelled cost memory until the peer has ended them. Where that is short
        they may take what is the session's own, and no more.
        """
        if len(self.streams) >= self.max_streams:
            return False
        return self._outgoing.cancelled_bytes <= OWN_BYTES or not self.memory.is_short

    def open(self, opened: Open, now: float) -> Stream:
        """Open a stream; its `credit` is filled in here.

        Raises:
            LocalProtocolError: by a client, beyond the peer's number, after its goaway, or with a
                head over the limits.
        """
        leaving = self.control.peer_leaving is not None or self.failed
        if not self.is_server or leaving or len(self.streams) >= self.max_streams:
            raise LocalProtocolError("no stream may be opened now")
        round_trip_s = self.control.heartbeat.round_trip_s
        size = start_window(opened, round_trip_s, self.budget)
        window = ReceiveWindow(self.budget, 0, now, size)
        window.grow_credit(now)
        opened = Open._make((*opened[:_CREDIT], window.granted, *opened[_CREDIT + 1 :]))
        try:
            body = pack_open(opened, self.version)
        except LocalProtocolError:
            window.close()
            raise
        self._incoming.last_id += 1
        sending = SendHalf(first_state(opened), self.body_credit, opened.body)
        receiving = ReceiveHalf(HalfState.HEADS, window, None)
        stream = Stream(self._incoming.last_id, opened, sending, receiving)
        self.streams[stream.id] = stream
        self._outgoing.queue(stream, FrameType.OPEN, body)
        return stream

    def send_head(self, stream: Stream, head: Head) -> None:
        """Queue an informational head or the final one.

        Raises:
            LocalProtocolError: it may not be sent now, is over a limit, is one informational head
                too many, or a 101 that nobody asked for, or is still asking for.
        """
        sending = stream.sending
        item = item_of(head)
        state = _next_state(stream, item)
        if item is Item.INFORMATIONAL:
            if sending.informational >= INFORMATIONAL_HEADS_MAX:
                raise LocalProtocolError("too many informational heads")
            sending.informational += 1
        elif head.status == SWITCHING_PROTOCOLS and not may_switch(stream.opened, stream.receiving):
            raise LocalProtocolError("a 101 that nobody asked for")
        body = pack_head(head, self.version)
        sending.state = state
        if item is Item.FINAL:
            sending.length = length_after(head)
            answered(stream.receiving, head)
        self._outgoing.queue(stream, FrameType.HEAD, body)

    def send_data(self, stream: Stream, data: bytes) -> None:
        """Queue data, of any length. Raises LocalProtocolError, also beyond the body's length."""
        _next_state(stream, Item.DATA)
        length = stream.sending.length
        if not length.fits(len(data)):
            raise LocalProtocolError(f"{len(data)} bytes more than {length!r} of {stream!r}")
        length.carried += len(data)
        if data:
            self._outgoing.queue(stream, FrameType.DATA, data)

    def send_end(self, stream: Stream, trailers: Fields = ()) -> None:
        """Queue the end, also that of a body alone.

        Raises:
            LocalProtocolError: it may not end now, or the body is short of its length.
        """
        state = _next_state(stream, Item.END)
        if not stream.sending.length.complete:
            raise LocalProtocolError(f"{stream.sending.length!r} at the end of {stream!r}")
        body = pack_trailers(trailers)
        stream.sending.state = state
        self._outgoing.queue(stream, FrameType.END, body)
        if state < ENDED:
            body_ended(stream.sending)
            self._outgoing.end_unswitched(stream)

    def reset(self, stream: Stream, code: str, message: str = "") -> None:
        """End our half badly, after what was queued; nothing when it has ended."""
        if stream.sending.state < ENDED:
            stream.sending.state = HalfState.RESET
            self._outgoing.queue(stream, FrameType.RESET, pack_code(code, message))

    def stop_sending(self, stream: Stream, code: str) -> None:
        """Drop what came of the peer's half and ask for no more of it."""
        stream.receiving.drop()
        self._outgoing.stop(stream, code)

    def cancel(self, stream: Stream, code: str) -> None:
        """Give up both halves: drop our queue, reset, stop-sending."""
        self._outgoing.give_up(stream, code)
        self.stop_sending(stream, code)
        self._outgoing.cancel(stream)

    def take_head(self, stream: Stream, now: float) -> Head | None:
        """Return the next head that came, if one did.

        The program is done with it when it asks for more of the stream: until then nothing is
        promised in its place.
        """
        receiving = stream.receiving
        if receiving.leaving_bytes:
            self._consumed(stream, 0, now)
        return receiving.take_head(self.version)

    def take_data(self, stream: Stream, now: float) -> bytes:
        """Return up to 64 KiB of the data that came, less where memory is short; empty for none."""
        memory = self.memory
        most = FIRST_CREDIT_BYTES if memory.pool.is_tight and memory.is_short else READ_BYTES
        receiving = stream.receiving
        data = receiving.take_data(most)
        if data or receiving.leaving_bytes:
            self._consumed(stream, len(data), now)
        return data

    def room(self, stream: Stream) -> int:
        """Return how many bytes may be queued before the stream's writer should wait."""
        unsent_bytes = stream.sending.queue.unsent_bytes
        memory = self.memory
        if memory.pool.is_tight and memory.is_short:
            return STREAM_UNSENT_MIN_BYTES - unsent_bytes
        return STREAM_UNSENT_MAX_BYTES - unsent_bytes

    def take_made_room(self) -> list[Stream]:
        """Return the streams that have room again, and whose writers wait for it, once each."""
        return self._outgoing.take_made_room()

    def fail(self, code: str, message: str) -> None:
        """The session ends: the next message says why, and is the last."""
        if not self.failed:
            self.failed = True
            self.control.only(Goaway(code, message, 0))

    # --- what comes ------------------------------------------------------------------------------

    def receive(self, message: bytes, now: float) -> list[Event]:
        """Take one message of the peer; nothing happens once the session has failed.

        Returns:
            What happened, in order. A stream of which several frames came, one right behind the
            other, is readable once.

        Raises:
            RemoteProtocolError: the peer broke the protocol; the session must end (`fail`).
        """
        events: list[Event] = []
        if self.failed:
            return events
        counted = 0
        readable: Stream | None = None  # as the last event says
        for kind, stream_id, body in split_message(message):
            if kind in COUNTED:
                counted += 1
            if stream_id:
                event = self._incoming.receive(kind, stream_id, body, now)
            elif kind == _ACK:
                self.sent.acknowledge(read_uint(body), now, alone=not counted)
                continue
            else:
                event = self.control.receive(kind, body, now)
            if event is None:
                continue
            stream = event.stream if type(event) is Readable else None
            if stream is None or stream is not readable:
                events.append(event)
            readable = stream
        if counted:
            self.received.received(counted, now)
        return events

    def _consumed(self, stream: Stream, size: int, now: float) -> None:
        """The program took so many bytes, and the head before them has left."""
        receiving = stream.receiving
        size += receiving.leaving_bytes
        receiving.leaving_bytes = 0
        round_trip_s = self.control.heartbeat.round_trip_s
        if receiving.window.consume(size, now, round_trip_s):
            self._outgoing.queue_update(stream)

    # --- what goes -------------------------------------------------------------------------------

    @property
    def has_updates(self) -> bool:
        """Whether a credit is to be advertised, or a stop-sending sent."""
        return self._outgoing.has_updates

    def may_have_output(self, now: float) -> bool:
        """Whether `next_message` is worth asking; it may still turn out to be empty."""
        due = self.received.due_at <= now or self.sent.must_retransmit
        return due or self.failed or bool(self.control) or self._outgoing.may_have_more

    @property
    def is_quiet(self) -> bool:
        """Whether no stream is open, and the peer has all that was sent."""
        return not self.streams and self.sent.acked == self.sent.count

    @property
    def owes(self) -> bool:
        """Whether something is under way, or an answer has ended whole and the peer lacks its end.

        What was reset, and the end of an upgrade, are worth no wait for another connection.
        """
        return self.sent.acked < self._outgoing.whole_at or any(map(_owed, self.streams.values()))

    @property
    def bulk_due_at(self) -> float:
        """The time at which bulk may go that waits for nothing but its pace; else infinite."""
        return self.sent.in_flight.due_at

    @property
    def ack_due_at(self) -> float:
        """The time at which `next_message` must be asked, if nothing else happens before."""
        return self.received.due_at

    def next_message(self, now: float) -> bytes:
        """Return the next message, of at most MESSAGE_MAX_BYTES; empty when there is none.

        The session's own frames go first, then credit and stop-sending, then streams in turn; after
        a resume, lost frames first: a credit may need an `open` among them. An ack rides along, and
        makes a message of its own only when it is due.
        """
        parts: Parts = []
        room = MESSAGE_MAX_BYTES - _ACK_ROOM_BYTES
        room -= self.control.take(parts, room)
        frames = size = 0
        if not self.failed:
            if self.sent.must_retransmit:
                lost = self.sent.retransmit(room, now)
                if lost:
                    parts.append(lost)
            else:
                frames, size = self._outgoing.pack(parts, room, now)
            if self.received.ack_pending and (parts or self.received.due_at <= now):
                parts.append(frame(FrameType.ACK, 0, pack(self.received.take_ack())))
        message = b"".join(parts)
        if frames:
            self.sent.packed(frames, size, message, now)
        return message

    def resume(self, received: int, now: float) -> None:
        """Go on over a new connection, whose peer has `received` of our counted frames.

        What it lacks is retransmitted; claims that were not answered, releases, a goaway and every
        credit are sent anew; acks and pings that waited are dropped. The peer was told the count of
        `received` here, and nothing may come by the old connection any more.

        Raises:
            RemoteProtocolError: the peer cannot have so many, or had more; nothing has changed.
        """
        self.sent.resume(received, now)
        self.received.take_ack()
        self.control.resume()
        self._outgoing.queue_all_credit()
        self._started_at = now

    def check(self, now: float, heard_at: float) -> str | None:
        """Heartbeat: queue a ping when one is due.

        Args:
            now: the time.
            heard_at: when the last byte came.

        Returns:
            Why the session is dead, or None.
        """
        heartbeat = self.control.heartbeat
        silent_s = now - max(heard_at, self._started_at)
        if silent_s > heartbeat.timeout_s:
            return f"nothing was heard for {silent_s:.0f} s"
        stalled_s = self.sent.stalled_s(now)
        if stalled_s > heartbeat.timeout_s:
            return f"nothing was acknowledged for {stalled_s:.0f} s"
        self.control.ping(now)
        return None


def _owed(stream: Stream) -> bool:
    state = stream.sending.state
    if state < ENDED:
        return True
    is_whole = state is ENDED and stream.opened.kind not in UPGRADES
    return is_whole and not stream.sending.finished


def _next_state(stream: Stream, item: Item) -> HalfState:
    """Return the next state of our half. Raises LocalProtocolError if the table has none."""
    state = TRANSITIONS.get((stream.sending.state, item))
    if state is None:
        raise LocalProtocolError(f"{item.name} in state {stream.sending.state.name} of {stream!r}")
    return state
