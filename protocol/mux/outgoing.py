"""The sending side of a session's streams: whose turn it is, and how much may be on its way.

Credit and stop-sending are *updates*: state on the stream with a place in one list, and not a
queue, so that a peer that asks for many and does not read fills nothing. They go ahead of the
streams' own queues, but never ahead of a stream's `open`.
"""

from __future__ import annotations

from typing import Final

from protocol.limits import (
    CANCELLED_COST_BYTES,
    STREAM_UNSENT_MAX_BYTES,
    TURN_BYTES,
    TURN_MIN_BYTES,
    TURNS_A_MESSAGE,
    UNACKED_BULK_MAX_BYTES,
    UNACKED_MAX_BYTES,
)
from protocol.mux.acks import SentFrames
from protocol.mux.codec import pack, pack_code
from protocol.mux.memory import OWN_BYTES, Memory
from protocol.mux.scheduler import Scheduler, Turn
from protocol.mux.sending import Parts
from protocol.mux.streams import ENDED, UPGRADE, UPGRADES, HalfState, Stream
from protocol.mux.wire import HEADER_BYTES, FrameType, frame

# A stop-sending with the longest code, in four bytes a character.
_UPDATE_ROOM_BYTES: Final = 256


class Outgoing:
    """The sending side of all streams.

    Args:
        streams: the session's, by id; one that has sent and received its last frame is taken out.
        memory: of the session, where what waits to be sent counts.

    Attributes:
        cancelled_bytes: what cancelled streams cost that the peer has not let go yet.
        whole_at: the count of frames with which the last half left that ended whole, but upgrades'.
    """

    def __init__(self, streams: dict[int, Stream], memory: Memory | None = None) -> None:
        self._memory = memory or Memory()
        self.sent = SentFrames(self._memory)
        self.cancelled_bytes = 0
        self.whole_at = 0
        self._has_end = False  # in the message that is being packed
        self._streams = streams
        self._scheduler: Scheduler[Stream] = Scheduler()
        self._updates: dict[int, Stream] = {}
        self._made_room: list[Stream] = []

    def __repr__(self) -> str:
        return f"<Outgoing {self._scheduler!r}, {len(self._updates)} updates, {self.sent!r}>"

    # --- filling ---

    def queue(self, stream: Stream, kind: FrameType, body: bytes) -> None:
        """Put a frame at the end of its stream's queue."""
        queue = stream.sending.queue
        queue.put(kind, body)
        memory = self._memory
        memory.held += len(body)
        if memory.held > memory.limit:
            memory.settle()
        if stream.turn is Turn.IDLE or stream.turn is Turn.BLOCKED:
            self.wake(stream)

    def wake(self, stream: Stream) -> None:
        """The stream may have something that can go now."""
        if stream.sending.queue.ready:
            self._scheduler.wake(stream)

    def queue_update(self, stream: Stream) -> None:
        """Advertise the stream's credit, or send the stop-sending that is due for it."""
        self._updates[stream.id] = stream

    def stop(self, stream: Stream, code: str) -> None:
        """Want no more of the peer's half; what came stays to be taken."""
        receiving = stream.receiving
        if receiving.state < ENDED and not receiving.stopped:
            receiving.stopped = True
            receiving.window.finish()
            stream.stop_due = code
            self.queue_update(stream)

    def give_up(self, stream: Stream, code: str) -> None:
        """Drop what has not left and reset our half, also when its end has not left."""
        sending = stream.sending
        if sending.finished:
            return
        before = sending.queue.unsent_bytes
        sending.queue.drop()
        if sending.state is not HalfState.RESET:
            sending.state = HalfState.RESET
            sending.queue.put(FrameType.RESET, pack_code(code))
        self._memory.add(sending.queue.unsent_bytes - before)
        self.wake(stream)
        self._note_room(stream)

    def end_unswitched(self, stream: Stream) -> None:
        """End a request for an upgrade when its body has ended and another answer than 101 came.

        That of a WebSocket is its program's to end.
        """
        sending = stream.sending
        if stream.opened.kind != UPGRADE or sending.state is not HalfState.BODY:
            return
        if sending.length.limit is not None:  # else a 101 has come
            sending.state = ENDED
            self.queue(stream, FrameType.END, b"")

    def cancel(self, stream: Stream) -> None:
        """Count a stream that our program is done with, until `forget`.

        Until then its visitor has a place, which bounds how many there are; from now on the peer
        says how long it is kept.
        """
        if not stream.cancelled and stream.id in self._streams:
            stream.cancelled = True
            self._count_cancelled(_cost_of(stream))

    def forget(self, stream: Stream) -> None:
        """No frame of the stream can come or go any more."""
        del self._streams[stream.id]
        if stream.cancelled:
            self._count_cancelled(-_cost_of(stream))
        if stream.driver is not None:
            stream.driver.gone()

    def _count_cancelled(self, size: int) -> None:
        self.cancelled_bytes += size
        self._memory.add(size)

    def queue_all_credit(self) -> None:
        """Advertise every credit anew, on a new connection: the peer may have missed the last.

        A stream whose `open` has not left advertises its credit there.
        """
        for stream in self._streams.values():
            if not stream.sending.queue.unopened:
                self.queue_update(stream)

    def take_made_room(self) -> list[Stream]:
        """Streams whose waiting writer may go on, since this was last asked."""
        made_room, self._made_room = self._made_room, []
        return made_room

    @property
    def has_updates(self) -> bool:
        """Whether a credit or a stop-sending waits to leave."""
        return bool(self._updates)

    @property
    def may_have_more(self) -> bool:
        """Whether `pack` may find something, or a writer is to be told of room."""
        return bool(self._updates or self._made_room) or self._scheduler.anyone

    # --- emptying ---

    def pack(self, parts: Parts, room: int, now: float) -> tuple[int, int]:
        """Move what may go now into a message that has `room` bytes left.

        Returns:
            The counted frames moved, and their bytes.
        """
        stops = stop_bytes = 0
        if self._updates:
            stops, stop_bytes, room = self._pack_updates(parts, room)
        line = self.sent.in_flight
        if not self._scheduler.anyone:  # as after every message of a session that is not busy
            line.idle()
            return stops, stop_bytes
        bulk_may_go = line.may_go(now)
        most = line.message_bytes if bulk_may_go else 0
        frames, size = self._pack_turns(parts, room, self.sent.kept_bytes + stop_bytes, most)
        if self._has_end:
            self._has_end = False
            self.whole_at = self.sent.count + stops + frames
        if not frames and (bulk_may_go or not self._scheduler.anyone):
            line.idle()
        return stops + frames, stop_bytes + size

    def _pack_updates(self, parts: Parts, room: int) -> tuple[int, int, int]:
        """Returns the number and bytes of counted ones, which are stop-sending, and the room."""
        stops = stop_bytes = 0
        for stream in list(self._updates.values()):
            if room < _UPDATE_ROOM_BYTES:
                break
            counted = stream.stop_due is not None
            unacked = self.sent.kept_bytes + stop_bytes + _UPDATE_ROOM_BYTES
            if counted and (stream.sending.queue.unopened or unacked > UNACKED_MAX_BYTES):
                continue
            del self._updates[stream.id]
            if stream.receiving.state >= ENDED:
                continue
            parts.append(self._update_frame(stream))
            room -= len(parts[-1])
            if counted:
                stops += 1
                stop_bytes += len(parts[-1])
        return stops, stop_bytes, room

    def _update_frame(self, stream: Stream) -> bytes:
        """The credit, or the stop-sending."""
        if stream.stop_due is None:
            return frame(FrameType.CREDIT, stream.id, pack(stream.receiving.window.granted))
        code, stream.stop_due = stream.stop_due, None
        return frame(FrameType.STOP_SENDING, stream.id, pack_code(code))

    def _pack_turns(self, parts: Parts, room: int, unacked: int, most: int) -> tuple[int, int]:
        """Turns of streams, with `most` bytes of bulk; returns the frames and bytes moved.

        Bulk makes a message as long as the line likes it. The turns of waking streams are each no
        longer than that, but there may be more of them: they would go at once in any case.
        """
        frames = size = 0
        line = self.sent.in_flight
        together = line.together_bytes
        most_kept, most_bulk = UNACKED_MAX_BYTES, UNACKED_BULK_MAX_BYTES
        memory = self._memory
        if memory.pool.is_tight and memory.is_short:
            # What a peer does not acknowledge stays what is the session's own, but for one head.
            most_kept = most_bulk = OWN_BYTES
            together = min(together, OWN_BYTES)
        waking_turn = min(line.waking_bytes, TURN_BYTES)
        while room > HEADER_BYTES and size < together:
            # Where those that wake fill the line alone, the cap is never open to the others.
            may_go = size < most or self._scheduler.owes
            bulk = may_go and unacked < most_bulk
            stream = self._scheduler.next(bulk=bulk)
            if stream is None:
                break
            queue = stream.sending.queue
            allowed = min(room, most_kept - unacked) if unacked else room
            turn = waking_turn
            if stream.turn is not Turn.WAKING:
                turn = max(line.message_bytes // TURNS_A_MESSAGE, TURN_MIN_BYTES)
                if size < most:
                    turn = min(turn, most - size)
            moved, moved_bytes = queue.take(parts, stream.id, allowed, turn)
            if not moved and queue.ready:
                break  # no room: it is the first of the next message
            frames += moved
            size += moved_bytes
            room -= moved_bytes
            unacked += moved_bytes
            self._end_turn(stream, served=moved > 0)
        memory.held -= size - frames * HEADER_BYTES  # what has left the queues: the bodies
        return frames, size

    def _end_turn(self, stream: Stream, *, served: bool) -> None:
        queue = stream.sending.queue
        if stream.sending.wants_room:
            self._note_room(stream)
        if not stream.sending.finished:
            self._scheduler.done(stream, served=served, blocked=queue.blocked)
            return
        self._scheduler.leave(stream)
        if stream.sending.state is ENDED and stream.opened.kind not in UPGRADES:
            self._has_end = True
        if stream.finished:
            self.forget(stream)

    def _note_room(self, stream: Stream) -> None:
        sending = stream.sending
        if sending.wants_room and sending.queue.unsent_bytes < STREAM_UNSENT_MAX_BYTES:
            sending.wants_room = False
            self._made_room.append(stream)


def _cost_of(stream: Stream) -> int:
    return CANCELLED_COST_BYTES + len(stream.opened.target)
