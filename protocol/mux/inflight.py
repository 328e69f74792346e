"""Congestion control: bulk on its way is bounded, so that a small frame stays quick beside it.

What a sender has handed to the kernel nobody can overtake any more. So a session keeps no more
unacknowledged than its line holds, and bulk waits in the streams' own queues, where a keystroke can
jump it. This is the rule that says how much, and how long a message should be; no I/O, no clock.
(To know a line by its largest rate and its smallest round trip is the idea of BBR: Cardwell et al.,
ACM Queue 14(5), 2016.)

Bulk may go while fewer than CAP bytes are unacknowledged, or none; CAP = rate x T, where T = 1.25 x
smallest round trip + 8 ms + what the line's noise needs (`jitter`; nothing where it is steady). The
quarter keeps the line full while acks come for whole messages. The 8 ms are what two programs need
to get their turn: on loopback, where processor time is the line, the product would else be one
message.

Where there is noise, bulk is also *paced*: it goes at 1.15 of the rate at most. Acks that come at
once would else release as much at once, which is a queue on the line and in the kernel.

The **rate** is what was acknowledged from a message's sending to its ack, over the longer of that
time and the time that its sending took; the largest of the last ten busy rounds. Samples that were
sent with nothing more to send, or in a probe, may raise it and never lower it.

The **smallest round trip** is not aged: a minimum that drifts up raises the cap, so the queue, so
the next minimum. Instead it is looked for again (a *probe*) when it has not been reached for 10 s
of sending, or when three rounds were *late*, longer than the cap can explain. For a probe the cap
drops to half the product, and when no more than that is unacknowledged, two round trips show the
line without our own queue. Afterwards the cap opens by what is acknowledged, as in a slow start: at
once it would send a burst that routers drop.

To begin with there is no cap, until the rate has grown by less than a quarter in three rounds, or
four acks in a row were late while it stood still. (Late and still growing is TCP's own slow start:
what waits in the kernel for its window makes a round trip longer, and no queue of the line's.)

docs/flow-control.md has what was measured.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Final, NamedTuple

from protocol.limits import KIB
from protocol.mux.jitter import Jitter

_GAIN: Final = 1.25
_SLACK_S: Final = 0.008
_ACK_DELAY_S: Final = 0.005  # of the peer; what it may add to a round trip
_ACKED_AT_ONCE: Final = 2  # messages

_PACE: Final = 1.15
_PACE_FROM_S: Final = 0.001  # of what noise needs; less is none
_PACED_AT_ONCE_S: Final = 0.004  # a timer may be late by this

# A message is a sixteenth of the cap, since acks come for whole messages: with four the rate
# settled at half the line. At most 10 ms of the line, which is what a small frame waits for.
_PARTS: Final = 16
_MESSAGE_S: Final = 0.010
_MESSAGE_MIN_BYTES: Final = 2 * KIB
_MESSAGE_MAX_BYTES: Final = 64 * KIB
_MESSAGE_FIRST_BYTES: Final = 16 * KIB  # while nothing is known
_MESSAGES_MIN: Final = 4  # that the cap holds: one would wait for each ack

_RATE_ROUNDS: Final = 10
_GROWTH: Final = 1.25
_FLAT_ROUNDS: Final = 3
_LATE_ACKS: Final = 4
_LATE_GROWTH: Final = 1 + 1 / 16  # slow start doubles in a round, which has up to 40 acks
_LATE_ROUNDS: Final = 3
_ROUND_TRIP_LIFE_S: Final = 10.0
_PROBE_PAUSE_S: Final = 1.0
_SHORTEST_S: Final = 1e-6


class _Message(NamedTuple):
    """A message on its way, and what was so when it was sent."""

    end: int  # the number of its last byte
    sent_at: float
    acked: int
    acked_at: float
    acked_sent_at: float  # when the message acknowledged last had been sent
    limited: bool  # it tells nothing about how much the line carries


class InFlight:
    """Decides for one direction of a session. Times are seconds of any one clock.

    Attributes:
        rate: bytes a second that the line carries; 0 before the first ack.
        round_trip_s: the smallest one; infinite before the first ack.
        jitter: what the line's noise needs.
        due_at: when bulk may go that had to wait for nothing but its pace; else infinite.
    """

    def __init__(self) -> None:
        self.rate = 0.0
        self.round_trip_s = math.inf
        self._sent = self._acked = 0
        self._acked_at = self._acked_sent_at = 0.0
        self._messages: deque[_Message] = deque()
        self._idle_until = -1  # behind the bytes sent up to here there was nothing more to send
        self._rates: dict[int, float] = {}  # the largest of each of the last busy rounds
        self._round = self._round_end = 0
        self._round_shortest_s = math.inf
        self._reached_at = 0.0  # when the smallest round trip was seen
        self._starting = True
        self._start_rate = 0.0
        self._flat_rounds = self._late_rounds = self._late_acks = 0
        self._late_rate = 0.0  # when the first of the late acks came
        self._probe: _Probe | None = None
        self._probed_at = -math.inf
        self._opening = math.inf  # what the cap may be, after a probe
        self.jitter = Jitter()
        self._paced_until = 0.0  # by what was sent
        self.due_at = math.inf

    def __repr__(self) -> str:
        state = "starting" if self._starting else "probing" if self._probe else "steady"
        line = f"{self.rate:.0f} B/s, {self.round_trip_s:.4f} s"
        return f"<InFlight {state} {self.unacked_bytes} of {self.cap_bytes:.0f} bytes, {line}>"

    @property
    def unacked_bytes(self) -> int:
        """Bytes that were sent and not acknowledged."""
        return self._sent - self._acked

    def may_go(self, now: float) -> bool:
        """Whether bulk may go now. What wakes, and what is not counted, need not ask."""
        self.due_at = math.inf
        if self._sent == self._acked:
            return True
        if self.unacked_bytes >= self.cap_bytes:
            return False
        if self._paced_until <= now:
            return True
        self.due_at = self._paced_until
        return False

    @property
    def cap_bytes(self) -> float:
        """The unacknowledged bytes up to which bulk may go."""
        if self._probe is not None:
            return self._probe_bytes
        return math.inf if self._starting else min(self._opening, self._full_bytes)

    @property
    def message_bytes(self) -> int:
        """The best length of a message, in bytes."""
        if self._starting:
            return _MESSAGE_FIRST_BYTES
        whole = self._probe_bytes if self._probe is not None else self._product
        size = min(self.rate * _MESSAGE_S, whole / _PARTS)
        return int(min(max(size, _MESSAGE_MIN_BYTES), _MESSAGE_MAX_BYTES))

    # --- what happens ---

    def idle(self) -> None:
        """There is nothing more to send now."""
        self._idle_until = self._sent

    def sent(self, size: int, now: float) -> None:
        """A message leaves, of which `size` bytes will be acknowledged."""
        if self._sent == self._acked:
            self._reached_at += now - self._acked_at  # a pause ages nothing
            self._acked_at = self._acked_sent_at = now
            self.jitter.restart(now)
        self._sent += size
        self._pace(size, now)
        limited = self._probe is not None or self._acked <= self._idle_until
        self._messages.append(
            _Message(self._sent, now, self._acked, self._acked_at, self._acked_sent_at, limited)
        )

    def acknowledged(self, size: int, now: float, *, alone: bool = True) -> None:
        """The peer has so many bytes more, which are whole messages.

        Args:
            size: bytes.
            now: the time.
            alone: whether the ack came without data of the peer's, behind which it waits.
        """
        total = self._acked + size
        newest = None
        while self._messages and self._messages[0].end <= total:
            newest = self._messages.popleft()
        if newest is None:
            return
        waits = self._has_no_room and self._idle_until < self._sent
        self._opening += size
        self._acked, self._acked_at, self._acked_sent_at = total, now, newest.sent_at
        ends_round = newest.acked >= self._round_end
        self._learn_rate(newest, ends_round)
        if ends_round:
            self._end_round(newest.limited)
        self._learn_round_trip(newest, now)
        usual = _ACKED_AT_ONCE * self.message_bytes + self.rate * _ACK_DELAY_S
        slack_s = self._enough_s - self.round_trip_s
        self.jitter.acknowledged(size, now, self.rate, usual, slack_s, waits=waits, alone=alone)

    # --- what follows ---

    @property
    def _enough_s(self) -> float:
        return _GAIN * self.round_trip_s + _SLACK_S + self.jitter.allowance_s

    @property
    def _product(self) -> float:
        return self.rate * self._enough_s

    @property
    def _has_no_room(self) -> bool:
        """Whether bulk must wait for acks, and for nothing else that ends soon."""
        steady = self._probe is None and not self._starting
        return steady and self.unacked_bytes >= self.cap_bytes

    def _pace(self, size: int, now: float) -> None:
        if self._starting or self.jitter.allowance_s <= _PACE_FROM_S:
            self._paced_until = now
        else:
            earliest = max(self._paced_until, now - _PACED_AT_ONCE_S)
            self._paced_until = earliest + size / (_PACE * self.rate)

    @property
    def _full_bytes(self) -> float:
        return max(_MESSAGES_MIN * self.message_bytes, self._product)

    @property
    def _probe_bytes(self) -> float:
        return self.rate * self.round_trip_s / 2

    def _is_late(self, round_trip_s: float) -> bool:
        """Whether a round trip is longer than our queue explains: the line is slower, or shared."""
        full = self._product if self._starting else self._full_bytes
        return round_trip_s > full * (1 + 1 / _PARTS) / self.rate + _ACK_DELAY_S

    def _learn_rate(self, newest: _Message, ends_round: bool) -> None:
        took_s = max(self._acked_at - newest.acked_at, newest.sent_at - newest.acked_sent_at)
        rate = (self._acked - newest.acked) / max(took_s, _SHORTEST_S)
        if ends_round and not newest.limited:
            self._round += 1
        if not newest.limited or rate >= self.rate:
            self._rates[self._round] = max(rate, self._rates.get(self._round, 0.0))
            self._rates.pop(self._round - _RATE_ROUNDS, None)
            self.rate = max(self._rates.values())

    def _end_round(self, limited: bool) -> None:
        self._round_end = self._acked
        self._late_rounds = self._late_rounds + 1 if self._is_late(self._round_shortest_s) else 0
        self._round_shortest_s = math.inf
        if self._starting and not limited:
            if self.rate >= _GROWTH * self._start_rate:
                self._flat_rounds, self._start_rate = 0, self.rate
            else:
                self._flat_rounds += 1
            self._starting = self._flat_rounds < _FLAT_ROUNDS

    def _learn_round_trip(self, newest: _Message, now: float) -> None:
        round_trip_s = now - newest.sent_at
        self._round_shortest_s = min(self._round_shortest_s, round_trip_s)
        if round_trip_s <= self.round_trip_s:
            self.round_trip_s, self._reached_at = round_trip_s, now
        if self._starting:
            self._look_for_queue(late=self._is_late(round_trip_s))
        if self._probe is not None:
            self._go_on_probing(self._probe, newest, round_trip_s, now)
        elif not self._starting and self._should_probe(now):
            self._probe = _Probe()

    def _look_for_queue(self, *, late: bool) -> None:
        self._late_acks = self._late_acks + 1 if late else 0
        if self._late_acks == 1:
            self._late_rate = self.rate
        elif self._late_acks >= _LATE_ACKS:
            self._starting = self.rate >= _LATE_GROWTH * self._late_rate
            self._late_acks = 0

    def _should_probe(self, now: float) -> bool:
        late = self._late_rounds >= _LATE_ROUNDS and now - self._probed_at > _PROBE_PAUSE_S
        return late or now - self._reached_at > _ROUND_TRIP_LIFE_S

    def _go_on_probing(
        self, probe: _Probe, newest: _Message, round_trip_s: float, now: float
    ) -> None:
        if probe.drained is None:
            if self.unacked_bytes <= self._probe_bytes:
                probe.drained = self._sent
        elif newest.end > probe.drained:
            probe.shortest_s = min(probe.shortest_s, round_trip_s)
            if probe.end is None:
                probe.end = self._sent
            if newest.end >= probe.end:
                self._end_probe(probe, now)

    def _end_probe(self, probe: _Probe, now: float) -> None:
        self._probe = None
        self._probed_at = self._reached_at = now
        self.round_trip_s = probe.shortest_s
        self._opening = self.unacked_bytes
        self._late_rounds = 0


class _Probe:
    """A look for the smallest round trip.

    Attributes:
        drained: what is sent behind this byte finds none of our queue; None: it is still there.
        end: the first ack of such a message came when this much was sent; then one round more.
        shortest_s: what was seen.
    """

    __slots__ = ("drained", "end", "shortest_s")

    def __init__(self) -> None:
        self.drained: int | None = None
        self.end: int | None = None
        self.shortest_s = math.inf

    def __repr__(self) -> str:
        return f"<_Probe drained={self.drained} end={self.end} {self.shortest_s:.4f} s>"
