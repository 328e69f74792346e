"""Which counted frames have arrived.

A frame is counted when it is packed into a message, from 1, by order alone: no number is sent. The
receiver states the count of all it has received; the statement is cumulative and is itself neither
counted nor acknowledged.
"""

from __future__ import annotations

import math
from collections import deque

from protocol.errors import RemoteProtocolError
from protocol.limits import ACK_AFTER_MESSAGES, ACK_DELAY_S
from protocol.mux.inflight import InFlight


class SentFrames:
    """What this end sent and the other has not acknowledged, a record for each message.

    Attributes:
        in_flight: how much that may be.
    """

    __slots__ = ("_messages", "acked", "count", "in_flight", "progress_at")

    def __init__(self) -> None:
        self._messages: deque[tuple[int, int]] = deque()
        self.in_flight = InFlight()
        self.count = 0
        self.acked = 0
        self.progress_at = -math.inf
        """When there was last nothing to wait for, or the acknowledged count rose."""

    def __repr__(self) -> str:
        return f"<SentFrames {self.acked} of {self.count}, {self.unacked_bytes} bytes to go>"

    @property
    def unacked_bytes(self) -> int:
        """Bytes of counted frames that were sent and not acknowledged."""
        return self.in_flight.unacked_bytes

    def packed(self, frames: int, size: int, now: float) -> None:
        """A message leaves with this many counted frames, of `size` bytes together."""
        if self.acked == self.count:
            self.progress_at = now
        self.count += frames
        self.in_flight.sent(size, now)
        self._messages.append((self.count, size))

    def acknowledge(self, count: int, now: float) -> None:
        """The peer has received `count` frames.

        Raises:
            RemoteProtocolError: more than were sent, or less than it said before.
        """
        if not self.acked <= count <= self.count:
            raise RemoteProtocolError(f"an ack of {count}, between {self.acked} and {self.count}")
        if count > self.acked:
            self.progress_at = now
        self.acked = count
        size = 0
        while self._messages and self._messages[0][0] <= count:
            size += self._messages.popleft()[1]
        if size:
            self.in_flight.acknowledged(size, now)

    def stalled_s(self, now: float) -> float:
        """How long frames have waited without any acknowledgement."""
        return now - self.progress_at if self.acked < self.count else 0.0


class ReceivedFrames:
    """What this end has received and when it should say so."""

    __slots__ = ("_messages", "_since", "count", "reported")

    def __init__(self) -> None:
        self.count = 0
        self.reported = 0
        self._messages = 0
        self._since = math.inf

    def __repr__(self) -> str:
        return f"<ReceivedFrames {self.count}, {self.reported} reported>"

    def received(self, frames: int, now: float) -> None:
        """A message came with this many counted frames, at least one."""
        self.count += frames
        self._messages += 1
        if self._since == math.inf:
            self._since = now

    @property
    def news(self) -> bool:
        """Whether a message that leaves anyway should carry an ack."""
        return self.count > self.reported

    @property
    def due_at(self) -> float:
        """When an ack must leave by itself: infinite without news, in the past when overdue."""
        if self._messages >= ACK_AFTER_MESSAGES:
            return -math.inf
        return self._since + ACK_DELAY_S

    def report(self) -> int:
        """The count to state now."""
        self.reported = self.count
        self._messages = 0
        self._since = math.inf
        return self.count
