"""Congestion control: bulk on its way is bounded, so that a small frame stays quick beside it.

What a sender has handed to the kernel nobody can overtake any more. So a session keeps no more
unacknowledged than its line holds, and bulk waits in the streams' own queues, where a keystroke can
jump it. This is the rule that says how much, and how long a message should be; no I/O, no clock.
(To know a line by its largest rate and its smallest round trip is the idea of BBR: Cardwell et al.,
ACM Queue 14(5), 2016.)

Bulk may go while fewer than CAP bytes are unacknowledged, or none; CAP = rate x T, and four
messages at least, where T = 1.25 x smallest round trip + 8 ms + what the line's noise needs
(`jitter`; nothing where it is steady). The
quarter keeps the line full while acks come for whole messages. The 8 ms are what two programs need
to get their turn: on loopback, where processor time is the line, the product would else be one
message.

Where there is noise, bulk is also *paced*: it goes at 1.15 of the rate at most. Acks that come at
once would else release as much at once, which is a queue on the line and in the kernel. So it is
after a pause and after a probe, until a cap's worth was sent. After a pause TCP begins a slow start
of its own, whose bursts routers drop. What a probe has on its way is one block, whose acks come at
the line's rate for half a round trip and then not at all.

`delivery` measures the rate, `round_trip` finds the smallest round trip and looks for it again;
`slow_start` says until when there is no cap. The rate follows a cap that is too low down, and a cap
is that where round trips are longer for reasons that are not our queue. The allowance is for the
line's noise. Where *bulk goes both ways* (acks then wait behind the peer's queue), the best rate
since the last probe counts. With bulk both ways a probe sees the peer's queue, which by this very
rule is up to a quarter of the round trip and 8 ms: that much is taken off before it may raise the
minimum, and a round trip that is longer by no more than that is not late.

docs/flow-control.md has what was measured.
"""

from __future__ import annotations

import math
from typing import Final

from protocol.limits import KIB
from protocol.mux.delivery import Delivery, Sample
from protocol.mux.jitter import Jitter
from protocol.mux.round_trip import Probe, RoundTrip
from protocol.mux.slow_start import SlowStart

_GAIN: Final = 1.25
_SLACK_S: Final = 0.008
_ACK_DELAY_S: Final = 0.005  # of the peer; what it may add to a round trip
_ACKED_AT_ONCE: Final = 2  # messages

# Faster than the rate, since a rate is found to be larger only by sending more; by no more than
# that, since the surplus is a queue.
_PACE: Final = 1.15
_NOISE_FROM_S: Final = 0.001  # of what it needs; less is the grain of timers
_PACED_AT_ONCE_S: Final = 0.004  # a timer may be late by this

# A line that needs an allowance runs empty between bursts: within 2 s a round trip comes near the
# smallest. One that our own queue keeps full has no burst to learn from; at 2 Mbit/s an allowance
# made the losses that kept it up.
_EMPTY: Final = 0.3  # of the slack
_EMPTY_LIFE_S: Final = 2.0

# A cap drains in a round trip and a queue of our own; on a line that holds acks back in some more.
# Requests that come without end keep it full by themselves, and meanwhile bulk stands still.
_DRAIN_ROUNDS: Final = 4
_DRAIN_S: Final = 0.5

# A message is a sixteenth of the cap, since acks come for whole messages: with four the rate
# settled at half the line. At most 10 ms of the line, which is what a small frame waits for.
_PARTS: Final = 16
_MESSAGE_S: Final = 0.010
_MESSAGE_MIN_BYTES: Final = 2 * KIB
_MESSAGE_MAX_BYTES: Final = 64 * KIB
# While the session starts: TCP's first window holds six of the first ones, so that the first round
# trip waits for no second window. An ack is for two of them at once, which are 3 ms at 10 Mbit/s:
# with 4 KiB a line of 44 ms was taken for one of 49 until the first probe.
_MESSAGE_FIRST_BYTES: Final = 2 * KIB
_FIRST_FLIGHT_BYTES: Final = 12 * KIB
_MESSAGE_STARTING_BYTES: Final = 16 * KIB
_MESSAGES_MIN: Final = 4  # that the cap holds: one would wait for each ack


class InFlight:
    """Decides for one direction of a session. Times are seconds of any one clock.

    Attributes:
        jitter: what the line's noise needs.
        due_at: when bulk may go that had to wait for nothing but its pace; else infinite.
    """

    def __init__(self) -> None:
        self.jitter = Jitter()
        self.due_at = math.inf
        self._delivery = Delivery()
        self._start = SlowStart()
        self._trips = RoundTrip()
        self._emptied_at = 0.0  # when a round trip was last near the smallest
        self._fills_to = 0.0  # the byte up to which the line is filled again
        self._cap_bytes = math.inf
        self._message_bytes = _MESSAGE_STARTING_BYTES
        self._paced_until = 0.0  # by what was sent

    def __repr__(self) -> str:
        state = "probing" if self._trips.probe else "steady" if self._start.over else "starting"
        line = f"{self.rate:.0f} B/s, {self.round_trip_s:.4f} s, {self.jitter!r}"
        return f"<InFlight {state} {self.unacked_bytes} of {self.cap_bytes:.0f} bytes, {line}>"

    @property
    def rate(self) -> float:
        """Bytes a second that the line carries; 0 before the first ack."""
        return self._delivery.rate

    @property
    def round_trip_s(self) -> float:
        """The smallest one; infinite before the first ack."""
        return self._trips.shortest_s

    @property
    def unacked_bytes(self) -> int:
        """Bytes that were sent and not acknowledged."""
        return self._delivery.sent - self._delivery.acked

    def may_go(self, now: float) -> bool:
        """Whether bulk may go now. What wakes, and what is not counted, need not ask."""
        self.due_at = math.inf
        unacked_bytes = self.unacked_bytes
        if not unacked_bytes:
            return True
        if unacked_bytes >= self.cap_bytes:
            return False
        if self._paced_until <= now:
            return True
        self.due_at = self._paced_until
        return False

    @property
    def cap_bytes(self) -> float:
        """The unacknowledged bytes up to which bulk may go."""
        return self._cap_bytes

    @property
    def waking_bytes(self) -> int:
        """The longest turn of what wakes: a message.

        It is one of a start's short ones until an ack has come. After that an answer of a few KiB
        on a session without bulk would be three messages.
        """
        return self._message_bytes if self._knows_line else self.message_bytes

    @property
    def together_bytes(self) -> float:
        """The length from which on no turn of what wakes begins in a message.

        Before the first ack it is a message's. Eight downloads that begin at once would else be one
        that takes the line as long as its round trip.
        """
        return math.inf if self._knows_line else self.message_bytes

    @property
    def message_bytes(self) -> int:
        """The best length of a message of bulk, in bytes."""
        if self._start.over:
            return self._message_bytes
        first = self.unacked_bytes < _FIRST_FLIGHT_BYTES
        return _MESSAGE_FIRST_BYTES if first else _MESSAGE_STARTING_BYTES

    # --- what happens ---

    def idle(self) -> None:
        """There is nothing more to send now, and so nothing that waits for its pace."""
        self.due_at = math.inf
        self._delivery.idle()

    def sent(self, size: int, now: float) -> None:
        """A message leaves, of which `size` bytes will be acknowledged."""
        if not self.unacked_bytes:
            self._trips.paused(now - self._delivery.acked_at)
            self._delivery.restart(now)
            self._fill()
        self._pace(size, now)
        self._delivery.message_sent(size, now, probing=self._trips.probe is not None)

    def acknowledged(self, size: int, now: float, *, alone: bool = True) -> None:
        """The peer has so many bytes more, which are whole messages.

        Args:
            size: bytes.
            now: the time.
            alone: whether the ack came without data of the peer's, behind which it waits.
        """
        waits = self._has_no_room and self._delivery.has_more
        rate_before = self._line_rate
        sample = self._delivery.acknowledged(size, now)
        if sample is None:
            return
        self._learn(sample, now)
        self._hurry(rate_before, now)
        shortest_s = self._trips.shortest_s
        slack_s = self._enough_s - shortest_s
        if sample.round_trip_s < shortest_s + _EMPTY * slack_s:
            self._emptied_at = now
        waits = waits and now - self._emptied_at < _EMPTY_LIFE_S
        rate = self._delivery.rate
        usual = _ACKED_AT_ONCE * self._message_bytes + rate * _ACK_DELAY_S
        self.jitter.acknowledged(size, now, rate, usual, slack_s, waits=waits, alone=alone)
        if self._start.over:
            self._settle()

    # --- what follows ---

    @property
    def _knows_line(self) -> bool:
        return self._trips.shortest_s < math.inf

    @property
    def _line_rate(self) -> float:
        delivery = self._delivery
        return delivery.best_rate if self.jitter.two_ways else delivery.rate

    @property
    def _enough_s(self) -> float:
        return _GAIN * self._trips.shortest_s + _SLACK_S + self.jitter.allowance_s

    @property
    def _product(self) -> float:
        return self._line_rate * self._enough_s

    @property
    def _full_bytes(self) -> float:
        return max(_MESSAGES_MIN * self._message_bytes, self._product)

    @property
    def _probe_bytes(self) -> float:
        return self.rate * self.round_trip_s / 2

    def _settle(self) -> None:
        """Keep what each message asks for and only acks change."""
        probing = self._trips.probe is not None
        whole = self._probe_bytes if probing else self._product
        size = min(self.rate * _MESSAGE_S, whole / _PARTS)
        self._message_bytes = int(min(max(size, _MESSAGE_MIN_BYTES), _MESSAGE_MAX_BYTES))
        self._cap_bytes = whole if probing else self._full_bytes

    @property
    def _has_no_room(self) -> bool:
        """Whether bulk must wait for acks, and for nothing else that ends soon."""
        steady = self._start.over and self._trips.probe is None
        return steady and self.unacked_bytes >= self._cap_bytes

    def _is_late(self, round_trip_s: float) -> bool:
        """Whether a round trip is longer than our queue explains: the line is slower, or shared."""
        full = self._full_bytes if self._start.over else self._product
        # By the rate that the cap goes by. Divided by the newest one, a cap that is too large
        # explains the very queue that it makes, until the next probe.
        usual_s = full * (1 + 1 / _PARTS) / self._line_rate + _ACK_DELAY_S
        return round_trip_s > usual_s + self._others_queue_s

    @property
    def _others_queue_s(self) -> float:
        """By this rule the peer's bulk keeps our acks waiting so long."""
        return (_GAIN - 1) * self.round_trip_s + _SLACK_S if self.jitter.two_ways else 0.0

    def _fill(self) -> None:
        if self._start.over:
            self._fills_to = self._delivery.sent + self._product

    def _pace(self, size: int, now: float) -> None:
        if self.jitter.allowance_s > _NOISE_FROM_S or self._delivery.sent < self._fills_to:
            earliest = max(self._paced_until, now - _PACED_AT_ONCE_S)
            self._paced_until = earliest + size / (_PACE * self._line_rate)
        else:
            self._paced_until = now

    def _hurry(self, rate_before: float, now: float) -> None:
        """A pace that was set at a lower rate is shortened to the one that is known now.

        A line of 1 kB/s that has become a fast one would else be used to a twentieth for seconds.
        """
        if self._paced_until > now and self._line_rate > rate_before:
            self._paced_until = now + (self._paced_until - now) * rate_before / self._line_rate

    def _learn(self, sample: Sample, now: float) -> None:
        if sample.ends_round:
            self._trips.end_round(late=self._is_late(self._trips.of_round_s))
            if not self._start.over and not sample.limited:
                self._start.end_round(self.rate)
        self._trips.learn(sample.round_trip_s, now)
        if not self._start.over and not sample.limited:
            self._start.acknowledged(self.rate, late=self._is_late(sample.round_trip_s))
        if self._trips.probe is not None:
            self._go_on_probing(self._trips.probe, sample, now)
        elif self._start.over and self._trips.should_probe(now):
            self._trips.probe = Probe(now + _DRAIN_ROUNDS * self.round_trip_s + _DRAIN_S)

    def _go_on_probing(self, probe: Probe, sample: Sample, now: float) -> None:
        sent = self._delivery.sent
        if probe.drained is None and self.unacked_bytes <= self._probe_bytes:
            probe.drained = sent
        elif probe.drained is None and now >= probe.gives_up_at:
            self._trips.give_up_probe(now)
        elif not probe.goes_on(sample.end, sent, sample.round_trip_s):
            self._trips.end_probe(self._without_others(probe.shortest_s), now)
            self._delivery.forget_best()
            self._fill()

    def _without_others(self, round_trip_s: float) -> float:
        if not self.jitter.two_ways or round_trip_s <= self.round_trip_s:
            return round_trip_s
        return max((round_trip_s - _SLACK_S) / _GAIN, self.round_trip_s)
