"""Acknowledgement of counted frames, and retransmission when a connection was lost.

A frame is counted when it is packed into a message, from 1, by order alone: no number is sent. The
receiver acknowledges the count of all it has received: an ack is cumulative, and is itself neither
counted nor acknowledged.

Messages are kept, as they were sent and by reference, until they are acknowledged. What a message
costs beside its bytes counts, too, and so does what else it carried: a peer that acknowledges
nothing, and has us send single bytes, would else have us keep a million messages.

After a resume the other end says how many frames it has, and the counted frames of the rest are
retransmitted before anything new is packed, since their numbers are their order.
"""

from __future__ import annotations

import math
from collections import deque
from typing import NamedTuple

from protocol.errors import RemoteProtocolError
from protocol.limits import ACK_AFTER_MESSAGES, ACK_DELAY_S, MESSAGE_COST_BYTES
from protocol.mux.inflight import InFlight
from protocol.mux.memory import Memory
from protocol.mux.wire import COUNTED, frame, split_message


class _Kept(NamedTuple):
    """A message with counted frames that was sent."""

    end: int  # the number of the last of them
    size: int  # their bytes
    message: bytes
    beside: int  # the bytes of what is not counted in it


class SentFrames:
    """Keeps what this end sent until the other acknowledges it.

    Args:
        memory: of the session, where what is kept counts.

    Attributes:
        in_flight: how much that may be; a new connection is a new line.
        count: frames that were packed.
        acked: frames that the peer said it has.
        unacked_bytes: of counted frames that were packed and not acknowledged.
        progress_at: when there was last nothing to wait for, or `acked` rose.
    """

    __slots__ = (
        "_beside_bytes",
        "_lost",
        "_memory",
        "_messages",
        "acked",
        "count",
        "in_flight",
        "progress_at",
        "unacked_bytes",
    )

    def __init__(self, memory: Memory | None = None) -> None:
        self._memory = memory or Memory()
        self._messages: deque[_Kept] = deque()  # sent on this connection
        self._lost: deque[_Kept] = deque()  # sent on an earlier one
        self._beside_bytes = 0  # of kept messages: what is not counted in them
        self.in_flight = InFlight()
        self.count = 0
        self.acked = 0
        self.unacked_bytes = 0
        self.progress_at = -math.inf

    def __repr__(self) -> str:
        lost = f", {len(self._lost)} messages to retransmit" if self._lost else ""
        return f"<SentFrames {self.acked} of {self.count}, {self.unacked_bytes} bytes to go{lost}>"

    def packed(self, frames: int, size: int, message: bytes, now: float) -> None:
        """A message leaves with this many counted frames, of `size` bytes together."""
        if self.acked == self.count:
            self.progress_at = now
        self.count += frames
        self.unacked_bytes += size
        self.in_flight.sent(size, now)
        beside = max(len(message) - size, 0)
        self._messages.append(_Kept(self.count, size, message, beside))
        self._beside_bytes += beside
        memory = self._memory
        memory.held += size + beside + MESSAGE_COST_BYTES
        if memory.held > memory.limit:
            memory.settle()

    def acknowledge(self, count: int, now: float, *, alone: bool = True) -> None:
        """The peer has received `count` frames; `alone`: it said so without data of its own.

        Raises:
            RemoteProtocolError: more than were sent, or less than it said before.
        """
        self._check(count, self._sent)
        if count > self.acked:
            self.progress_at = now
        self.acked = count
        size = self._forget(self._messages)
        if size:
            self.in_flight.acknowledged(size, now, alone=alone)

    def stalled_s(self, now: float) -> float:
        """Return for how long frames have waited without any acknowledgement."""
        return now - self.progress_at if self.acked < self.count else 0.0

    # --- on a new connection ---

    def resume(self, received: int, now: float) -> None:
        """The peer has `received` frames; the others are lost, and the line is a new one.

        Raises:
            RemoteProtocolError: as `acknowledge`; then nothing has changed.
        """
        self._check(received, self.count)
        self.acked = received
        self.progress_at = now
        self.in_flight = InFlight()
        self._lost.extendleft(reversed(self._messages))
        self._messages.clear()
        self._forget(self._lost)

    @property
    def must_retransmit(self) -> bool:
        """Whether lost frames wait to be sent; nothing new may be packed before."""
        return bool(self._lost)

    def retransmit(self, room: int, now: float) -> bytes:
        """Take the lost frames of one message, to be sent now; empty while the line has no room.

        Args:
            room: bytes that they may have; what was sent once fits an empty message.
            now: seconds of any one clock.
        """
        if not self.in_flight.may_go(now):
            return b""
        kept = self._lost[0]
        counted = [said for said in split_message(kept.message) if said[0] in COUNTED]
        lacking = counted[-(kept.end - self.acked) :]  # a message may have been received in part
        frames = b"".join([frame(*said) for said in lacking])
        if len(frames) > room:
            return b""
        self._lost.popleft()
        # What is not counted is said anew on each connection, and need not be kept.
        sent = kept._replace(message=frames, beside=max(len(frames) - kept.size, 0))
        self._messages.append(sent)
        self._beside_bytes += sent.beside - kept.beside
        self._memory.add(sent.beside - kept.beside)
        self.in_flight.sent(kept.size, now)
        return frames

    @property
    def kept_bytes(self) -> int:
        """The memory that is kept for a resume."""
        messages = len(self._messages) + len(self._lost)
        return self.unacked_bytes + self._beside_bytes + MESSAGE_COST_BYTES * messages

    @property
    def _sent(self) -> int:
        """The number of the last frame that was sent on this connection."""
        if not self._lost:
            return self.count
        return self._messages[-1].end if self._messages else self.acked

    def _check(self, count: int, sent: int) -> None:
        if not self.acked <= count <= sent:
            raise RemoteProtocolError(f"an ack of {count}, between {self.acked} and {sent}")

    def _forget(self, messages: deque[_Kept]) -> int:
        """Let go of what has been received whole; returns its bytes."""
        size = beside = count = 0
        while messages and messages[0].end <= self.acked:
            kept = messages.popleft()
            count += 1
            size += kept.size
            beside += kept.beside
        self._beside_bytes -= beside
        self.unacked_bytes -= size
        self._memory.held -= size + beside + MESSAGE_COST_BYTES * count
        return size


class ReceivedFrames:
    """Counts what this end has received, and says when to acknowledge it.

    Attributes:
        count: frames that came.
        acked: frames that the last ack was for.
    """

    __slots__ = ("_messages", "_since", "acked", "count")

    def __init__(self) -> None:
        self.count = 0
        self.acked = 0
        self._messages = 0
        self._since = math.inf

    def __repr__(self) -> str:
        return f"<ReceivedFrames {self.count}, {self.acked} acknowledged>"

    def received(self, frames: int, now: float) -> None:
        """A message came with this many counted frames, at least one."""
        self.count += frames
        self._messages += 1
        if self._since == math.inf:
            self._since = now

    @property
    def ack_pending(self) -> bool:
        """Whether a message that leaves anyway should carry an ack."""
        return self.count > self.acked

    @property
    def due_at(self) -> float:
        """The time at which an ack must leave by itself; infinite if none is pending."""
        if self._messages >= ACK_AFTER_MESSAGES:
            return -math.inf
        return self._since + ACK_DELAY_S

    def take_ack(self) -> int:
        """Return the count that an ack says now."""
        self.acked = self.count
        self._messages = 0
        self._since = math.inf
        return self.count
