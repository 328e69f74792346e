"""The receiving side of streams: each frame is held to the state table, credit and limits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from protocol.errors import RemoteProtocolError
from protocol.limits import (
    HEADS_OVERDRAFT_MAX_BYTES,
    INFORMATIONAL_HEADS_MAX,
    TRAILERS_KEPT_MAX_BYTES,
)
from protocol.mux.codec import read_code, read_trailers, read_uint
from protocol.mux.control import Heartbeat
from protocol.mux.events import Event, Opened, Readable, Stopped
from protocol.mux.head_bodies import read_head, read_open
from protocol.mux.outgoing import Outgoing
from protocol.mux.streams import (
    ENDED,
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
from protocol.mux.wire import FrameType

_OPEN: Final = int(FrameType.OPEN)


class OpenLimits(NamedTuple):
    """The streams that a client lets the server open."""

    budget: Budget
    max_streams: int
    body_credit: int
    heartbeat: Heartbeat


class Incoming:
    """The receiving side of all streams.

    Args:
        streams: the session's, by id.
        outgoing: where answers to what comes are put.
        opening: None at the server, where nobody may open streams.
        version: of the wire.

    Attributes:
        last_id: the newest stream's.
    """

    def __init__(
        self,
        streams: dict[int, Stream],
        outgoing: Outgoing,
        opening: OpenLimits | None,
        version: int,
    ) -> None:
        self.last_id = 0
        self._streams = streams
        self._outgoing = outgoing
        self._opening = opening
        self._version = version
        self._handlers: dict[int, Callable[[Stream, bytes], Event | None]] = {
            FrameType.HEAD: self._on_head,
            FrameType.DATA: self._on_data,
            FrameType.END: self._on_end,
            FrameType.RESET: self._on_reset,
            FrameType.STOP_SENDING: self._on_stop_sending,
            FrameType.CREDIT: self._on_credit,
        }

    def __repr__(self) -> str:
        return f"<Incoming {len(self._streams)} streams, the newest {self.last_id}>"

    def receive(self, kind: int, stream_id: int, body: bytes, now: float) -> Event | None:
        """Take one frame of a stream. Raises RemoteProtocolError."""
        if kind == _OPEN:
            return self._on_open(stream_id, body, now)
        handler = self._handlers.get(kind)
        if handler is None:
            raise RemoteProtocolError(f"a frame of type {kind} on a stream")
        stream = self._streams.get(stream_id)
        if stream is not None:
            return handler(stream, body)
        if stream_id > self.last_id:
            raise RemoteProtocolError(f"stream {stream_id} is not open yet")
        if kind not in (FrameType.CREDIT, FrameType.STOP_SENDING):
            raise RemoteProtocolError(f"stream {stream_id} has ended")
        return None  # it crossed our last frame

    def _on_open(self, stream_id: int, body: bytes, now: float) -> Event:
        opening = self._opening
        if opening is None or stream_id != self.last_id + 1:
            raise RemoteProtocolError(f"stream {stream_id} is opened out of turn")
        if len(self._streams) >= opening.max_streams:
            raise RemoteProtocolError("more streams than were announced")
        opened = read_open(body, self._version)
        self.last_id = stream_id
        budget = opening.budget
        size = start_window(opened, opening.heartbeat.round_trip_s, budget)
        window = ReceiveWindow(budget, opening.body_credit, now, size)
        sending = SendHalf(HalfState.HEADS, opened.credit, None)
        receiving = ReceiveHalf(first_state(opened), window, opened.body)
        if opened.kind not in UPGRADES:  # of the others more may come behind their body
            window.expect(receiving.length.limit)
        stream = Stream(stream_id, opened, sending, receiving)
        self._streams[stream_id] = stream
        if window.grow_credit(now):
            self._outgoing.queue_update(stream)
        return Opened(stream)

    def _receive_item(self, stream: Stream, item: Item) -> None:
        """Move the peer's half by one frame."""
        receiving = stream.receiving
        state = TRANSITIONS.get((receiving.state, item))
        if state is None:
            raise RemoteProtocolError(f"{item.name} in state {receiving.state.name}")
        receiving.state = state

    def _on_head(self, stream: Stream, body: bytes) -> Event | None:
        head = read_head(body, self._version)
        receiving = stream.receiving
        item = item_of(head)
        self._receive_item(stream, item)
        window = receiving.window
        window.receive(len(body), overdraw=True)
        if item is Item.INFORMATIONAL:
            receiving.informational += 1
            if receiving.informational > INFORMATIONAL_HEADS_MAX:
                raise RemoteProtocolError("too many informational heads")
        else:
            if head.status == SWITCHING_PROTOCOLS and not may_switch(stream.opened, stream.sending):
                raise RemoteProtocolError("a 101 that nobody asked for")
            receiving.length = length_after(head)
            window.expect(receiving.length.limit)
            answered(stream.sending, head)
            self._outgoing.end_unswitched(stream)
        if receiving.stopped:
            return None
        if window.received - window.granted > HEADS_OVERDRAFT_MAX_BYTES and (
            window.received - len(body) > window.consumed
        ):
            window.discard(len(body))
            receiving.reset = ("overloaded", "a large head behind others that wait")
            self._outgoing.stop(stream, "overloaded")
        else:
            receiving.put_head(head, body)
        return Readable(stream)

    def _on_data(self, stream: Stream, body: bytes) -> Event | None:
        receiving = stream.receiving
        self._receive_item(stream, Item.DATA)
        receiving.window.receive(len(body))
        if receiving.stopped or not body:
            return None
        length = receiving.length
        if length.fits(len(body)):
            length.carried += len(body)
            receiving.put_data(body)
        else:
            receiving.window.discard(len(body))
            self._break_length(stream, len(body))
            self._outgoing.stop(stream, "length-mismatch")
        return Readable(stream)

    def _on_end(self, stream: Stream, body: bytes) -> Event | None:
        receiving = stream.receiving
        self._receive_item(stream, Item.END)
        if body:
            receiving.window.receive(len(body), overdraw=True)
            receiving.window.discard(len(body))  # there is one such body, and it is bounded
            read_trailers(body)
            if len(body) <= TRAILERS_KEPT_MAX_BYTES and not receiving.stopped:
                receiving.put_trailers(body)
        if not receiving.length.complete and not receiving.stopped:
            self._break_length(stream, 0)
        if receiving.state < ENDED:
            body_ended(receiving)
            return Readable(stream)
        return self._over(stream)

    def _on_reset(self, stream: Stream, body: bytes) -> Event | None:
        receiving = stream.receiving
        said = read_code(body)
        self._receive_item(stream, Item.RESET)
        receiving.reset = receiving.reset or said
        return self._over(stream)

    def _over(self, stream: Stream) -> Event:
        """The peer has sent the last frame of its half."""
        stream.receiving.window.finish()
        if stream.finished:
            self._outgoing.forget(stream)
        return Readable(stream)

    def _on_stop_sending(self, stream: Stream, body: bytes) -> Event | None:
        code, _ = read_code(body)
        sending = stream.sending
        if sending.finished or sending.stopped is not None:
            return None
        sending.stopped = code
        self._outgoing.give_up(stream, code)
        return Stopped(stream)

    def _on_credit(self, stream: Stream, body: bytes) -> Event | None:
        stream.sending.queue.credit.raise_to(read_uint(body))
        self._outgoing.wake(stream)
        return None

    def _break_length(self, stream: Stream, more: int) -> None:
        length = stream.receiving.length
        said = f"{length.carried + more} bytes of body where {length.form} were announced"
        stream.receiving.reset = ("length-mismatch", said)
