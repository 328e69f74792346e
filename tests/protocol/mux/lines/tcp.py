"""One direction of a TCP connection, in virtual time, as far as a sender above it can feel it.

Packets are numbered, and a number goes again when its packet was lost. What is modelled: slow start
from ten packets with HyStart (late or long trains of acks: RFC 9406 and Linux's cubic), cubic
(RFC 9438), one cut of 0.7 a round trip, loss found by three later packets (RFC 6675) or by a probe
of the tail after two round trips (RFC 8985), timeouts (RFC 6298), acks of every second packet or
after 40 ms, delivery in order, and a writer that is told of room when less than 16 KiB are unsent
(TCP_NOTSENT_LOWAT, as trio sets it). What is not: pacing, undoing a cut, the receiver's window.
"""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Final

from tests.protocol.mux.lines.timeline import Timeline
from tests.protocol.mux.lines.way import Way

SEGMENT_BYTES: Final = 1448
UNSENT_BYTES: Final = 16 * 1024
_HEADERS_BYTES: Final = 52
_ACK_BYTES: Final = 52
_FIRST_WINDOW: Final = 10.0
_ACK_DELAY_S: Final = 0.04
_RTO_MIN_S: Final = 0.2
_TAIL_MIN_S: Final = 0.01
_REORDERED: Final = 3
_CUT: Final = 0.7
_CUBIC: Final = 0.4


class Cubic:
    """The congestion window, in packets."""

    def __init__(self) -> None:
        self.window = _FIRST_WINDOW
        self.threshold = math.inf
        self.smallest_s = math.inf
        self._top = self._to_top_s = 0.0
        self._since = -1.0
        self._round_end = self._samples = 0
        self._round_at = self._train_at = 0.0
        self._round_shortest_s = math.inf

    def __repr__(self) -> str:
        state = "slow start" if self.starting else "cubic"
        return f"<Cubic {state} {self.window:.0f} of {self.threshold:.0f}>"

    @property
    def starting(self) -> bool:
        return self.window < self.threshold

    def sampled(self, took_s: float, number: int, upcoming: int, now: float) -> None:
        """HyStart: leaves slow start at the first sign of a queue."""
        self.smallest_s = min(self.smallest_s, took_s)
        if not self.starting:
            return
        if number >= self._round_end:
            self._round_end, self._samples, self._round_shortest_s = upcoming, 0, math.inf
            self._round_at = self._train_at = now
        if self.window < 16:
            return
        if now - self._train_at <= 0.002:
            self._train_at = now
            if now - self._round_at > self.smallest_s / 2:
                self.threshold = self.window
        self._samples += 1
        if self._samples <= 8:
            self._round_shortest_s = min(self._round_shortest_s, took_s)
        if self._samples >= 8:
            allowed_s = min(0.016, max(0.004, self.smallest_s / 8))
            if self._round_shortest_s > self.smallest_s + allowed_s:
                self.threshold = self.window

    def lost(self, now: float) -> None:
        """A round trip with a loss."""
        fell = self.window < self._top
        self._top = self.window * (1 + _CUT) / 2 if fell else self.window
        self.window = self.threshold = max(2.0, self.window * _CUT)
        self._to_top_s = (self._top * (1 - _CUT) / _CUBIC) ** (1 / 3)
        self._since = now

    def timed_out(self) -> None:
        self.threshold = max(2.0, self.window * _CUT)
        self.window, self._since = 2.0, -1.0

    def acked(self, packets: int, round_trip_s: float, now: float) -> None:
        """So many more were acknowledged while the window was the limit."""
        if self.starting:
            self.window += packets
            return
        if self._since < 0:
            self._since, self._to_top_s, self._top = now, 0.0, self.window
        after_s = now - self._since + round_trip_s
        target = _CUBIC * (after_s - self._to_top_s) ** 3 + self._top
        reno = self._top * _CUT + 0.53 * (now - self._since) / max(round_trip_s, 0.001)
        target = min(max(target, reno), 1.5 * self.window)
        growth = (
            (target - self.window) / self.window if target > self.window else 0.01 / self.window
        )
        self.window += growth * packets


class Tcp:
    """Carries bytes from a writer to a reader, in order.

    Args:
        there: the way of its packets.
        back: the way of its acks.
        on_room: called when less than UNSENT_BYTES are unsent again.
        on_data: called with the number of bytes that came so far.
        segment_bytes: of a packet.

    Attributes:
        unsent_bytes: written, and not on its way.
        losses: round trips with a loss, and timeouts.
    """

    def __init__(
        self,
        timeline: Timeline,
        there: Way,
        back: Way,
        on_room: Callable[[], None],
        on_data: Callable[[int], None],
        segment_bytes: int = SEGMENT_BYTES,
    ) -> None:
        self.unsent_bytes = 0
        self.losses = 0
        self.cubic = Cubic()
        self._timeline, self._there = timeline, there
        self._on_room = on_room
        self._segment_bytes = segment_bytes
        self._receiver = _Receiver(timeline, back, on_data, self._acked)
        self._next = self._order = 0
        self._sizes: dict[int, int] = {}  # of those that were not acknowledged
        self._out: OrderedDict[int, tuple[float, int]] = OrderedDict()  # on their way
        self._lost: deque[int] = deque()
        self._recover = -1  # a loss behind this number is a new one
        self._round_trip_s = self._varies_s = 0.0
        self._progress_at = 0.0
        self._timer_at = math.inf
        self._probed = False

    def __repr__(self) -> str:
        return f"<Tcp {len(self._out)} out, {self.unsent_bytes} unsent, {self.cubic!r}>"

    def write(self, size: int) -> None:
        """Take bytes of the writer's; whether there is room is its business."""
        self.unsent_bytes += size
        self._pump()

    def _pump(self) -> None:
        before = self.unsent_bytes
        while len(self._out) < self.cubic.window and (self._lost or self.unsent_bytes):
            if self._lost:
                number = self._lost.popleft()
                if number in self._sizes:
                    self._send(number)
            else:
                size = min(self._segment_bytes, self.unsent_bytes)
                self.unsent_bytes -= size
                self._sizes[self._next] = size
                self._next += 1
                self._send(self._next - 1)
        if before >= UNSENT_BYTES > self.unsent_bytes:
            self._on_room()

    def _send(self, number: int) -> None:
        if not self._out:
            self._progress_at = self._timeline.now
        self._order += 1
        self._out[number] = (self._timeline.now, self._order)
        self._out.move_to_end(number)
        size = self._sizes[number]
        self._there.send(size + _HEADERS_BYTES, self._receiver.came, number, size)
        if self._timer_at == math.inf:
            self._set_timer()

    # --- timers ---

    def _patience_s(self) -> float:
        if not self._round_trip_s:
            return 1.0
        if not self._probed:
            return max(2 * self._round_trip_s, _TAIL_MIN_S)
        return self._round_trip_s + max(_RTO_MIN_S, 4 * self._varies_s)

    def _set_timer(self) -> None:
        self._timer_at = self._progress_at + self._patience_s()
        self._timeline.at(self._timer_at, self._timed)

    def _timed(self) -> None:
        if not self._out:
            self._timer_at = math.inf
            return
        if self._timeline.now < self._progress_at + self._patience_s() - 1e-9:
            self._set_timer()
            return
        if not self._probed:
            self._probed = True
            self._send(next(reversed(self._out)))
        else:
            self._time_out()
        self._set_timer()

    def _time_out(self) -> None:
        self._lost = deque(sorted({*self._lost, *self._out}))
        self._out.clear()
        self.losses += 1
        self.cubic.timed_out()
        self._recover = self._next
        self._progress_at = self._timeline.now
        self._pump()

    # --- acks ---

    def _acked(self, numbers: list[int]) -> None:
        now, done, newest, took_s = self._timeline.now, 0, 0, 0.0
        was_full = len(self._out) >= self.cubic.window * (0.5 if self.cubic.starting else 0.9)
        for number in numbers:
            sent = self._out.pop(number, None)
            done += self._sizes.pop(number, None) is not None
            if sent is not None:
                newest = max(newest, sent[1])
                took_s = now - sent[0]
        if not done:
            return
        self._progress_at, self._probed = now, False
        if newest:
            self._learn(took_s, numbers[-1], now)
            if self._find_lost(newest):
                self.losses += 1
                self._recover = self._next
                self.cubic.lost(now)
                was_full = False
        if was_full or self.unsent_bytes or self._lost:
            self.cubic.acked(done, self._round_trip_s, now)
        self._pump()

    def _learn(self, took_s: float, number: int, now: float) -> None:
        if self._round_trip_s:
            self._varies_s += (abs(took_s - self._round_trip_s) - self._varies_s) / 4
            self._round_trip_s += (took_s - self._round_trip_s) / 8
        else:
            self._round_trip_s, self._varies_s = took_s, took_s / 2
        self.cubic.sampled(took_s, number, self._next, now)

    def _find_lost(self, newest: int) -> bool:
        """Returns whether the loss is a new one."""
        new = False
        while self._out:
            number, (_, order) = next(iter(self._out.items()))
            if order + _REORDERED >= newest:
                break
            del self._out[number]
            self._lost.append(number)
            new = new or number >= self._recover
        return new


class _Receiver:
    """Hands on what came, in order, and acknowledges."""

    def __init__(
        self,
        timeline: Timeline,
        back: Way,
        on_data: Callable[[int], None],
        acked: Callable[[list[int]], None],
    ) -> None:
        self._timeline, self._back = timeline, back
        self._on_data, self._acked = on_data, acked
        self._early: dict[int, int] = {}
        self._next = self._bytes = 0
        self._owed: list[int] = []
        self._timed = False

    def __repr__(self) -> str:
        return f"<_Receiver of {self._next}, {len(self._early)} early>"

    def came(self, number: int, size: int) -> None:
        in_order = number == self._next
        if number >= self._next:
            self._early[number] = size
        while self._next in self._early:
            self._bytes += self._early.pop(self._next)
            self._next += 1
        self._owed.append(number)
        if len(self._owed) >= 2 or not in_order or self._early:
            self._ack()
        elif not self._timed:
            self._timed = True
            self._timeline.at(self._timeline.now + _ACK_DELAY_S, self._late)
        if in_order:
            self._on_data(self._bytes)

    def _late(self) -> None:
        self._timed = False
        if self._owed:
            self._ack()

    def _ack(self) -> None:
        """An ack that is lost is made good by the next one, since acks are cumulative."""
        if self._back.send(_ACK_BYTES, self._acked, self._owed):
            self._owed = []
