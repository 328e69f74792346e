"""Acks tell a line's rate, and how long a message takes there and back.

The **rate** is what was acknowledged from a message's sending to its ack, over the longer of that
time and the time that its sending took; the largest of the last ten busy rounds. A round ends with
the ack of what was sent after the round before had ended. Samples that were sent with nothing more
to send, or in a probe, may raise the rate and never lower it. (Delivery rate estimation, as BBR has
it: draft-cheng-iccrg-delivery-rate-estimation.)
"""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

_RATE_ROUNDS: Final = 10
_SHORTEST_S: Final = 1e-6


class _Message(NamedTuple):
    """A message on its way, and what was so when it was sent."""

    end: int  # the number of its last byte
    sent_at: float
    acked: int
    acked_at: float
    acked_sent_at: float  # when the message acknowledged last had been sent
    limited: bool  # it tells nothing about how much the line carries


class Sample(NamedTuple):
    """One ack's word on the newest message that it was for."""

    end: int  # the number of the message's last byte
    round_trip_s: float
    ends_round: bool
    limited: bool


class Delivery:
    """The messages of one direction, from their sending to their ack.

    Attributes:
        rate: bytes a second that the line carries; 0 before the first ack.
        sent: the number of the last byte that was sent.
        acked: the number of the last byte that was acknowledged.
        acked_at: when that was, or since when there is something on its way.
        best_rate: the largest `rate` since `forget_best`.
    """

    __slots__ = (
        "_acked_sent_at",
        "_idle_until",
        "_messages",
        "_rates",
        "_round",
        "_round_end",
        "acked",
        "acked_at",
        "best_rate",
        "rate",
        "sent",
    )

    def __init__(self) -> None:
        self.rate = self.best_rate = 0.0
        self.sent = self.acked = 0
        self.acked_at = self._acked_sent_at = 0.0
        self._messages: deque[_Message] = deque()
        self._idle_until = -1  # behind the bytes sent up to here there was nothing more to send
        self._rates: dict[int, float] = {}  # the largest of each of the last busy rounds
        self._round = self._round_end = 0

    def __repr__(self) -> str:
        return f"<Delivery {self.acked} of {self.sent} bytes, {self.rate:.0f} B/s>"

    @property
    def has_more(self) -> bool:
        """Whether there was more to send behind what was sent last."""
        return self._idle_until < self.sent

    def idle(self) -> None:
        """There is nothing more to send now."""
        self._idle_until = self.sent

    def restart(self, now: float) -> None:
        """Nothing is on its way: the time since the last ack is a pause."""
        self.acked_at = self._acked_sent_at = now

    def forget_best(self) -> None:
        """From now on the best rate is that of these rounds."""
        self.best_rate = self.rate

    def message_sent(self, size: int, now: float, *, probing: bool) -> None:
        """A message leaves, of which `size` bytes will be acknowledged."""
        self.sent += size
        limited = probing or self.acked <= self._idle_until
        self._messages.append(
            _Message(self.sent, now, self.acked, self.acked_at, self._acked_sent_at, limited)
        )

    def acknowledged(self, size: int, now: float) -> Sample | None:
        """The peer has so many bytes more; None if they are no whole message."""
        total = self.acked + size
        newest = None
        while self._messages and self._messages[0].end <= total:
            newest = self._messages.popleft()
        if newest is None:
            return None
        self.acked, self.acked_at, self._acked_sent_at = total, now, newest.sent_at
        ends_round = newest.acked >= self._round_end
        self._learn_rate(newest, ends_round)
        if ends_round:
            self._round_end = total
        return Sample(newest.end, now - newest.sent_at, ends_round, newest.limited)

    def _learn_rate(self, newest: _Message, ends_round: bool) -> None:
        took_s = max(self.acked_at - newest.acked_at, newest.sent_at - newest.acked_sent_at)
        rate = (self.acked - newest.acked) / max(took_s, _SHORTEST_S)
        if ends_round and not newest.limited:
            self._round += 1
        if newest.limited and rate < self.rate:
            return
        self._rates[self._round] = max(rate, self._rates.get(self._round, 0.0))
        forgotten = self._rates.pop(self._round - _RATE_ROUNDS, 0.0)
        if rate >= self.rate:
            self.rate = rate
            self.best_rate = max(self.best_rate, rate)
        elif forgotten >= self.rate:
            self.rate = max(self._rates.values())
