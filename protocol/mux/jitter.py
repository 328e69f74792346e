"""A line's noise: what it holds back and then gives at once, and the room that this needs.

On radio a line holds everything for a while, and so does TCP's order after a loss. While nothing is
acknowledged, a sender with a cap stands still; if it is short, the line behind it runs empty. Then
all that was held comes at once: as many bytes as were missing in the silence. A queue of our own
never does that, since what leaves it leaves at the line's rate. So only what a line of that rate
cannot do is evidence here. (Percentiles and spreads of round trips take our own queue for noise;
docs/flow-control.md has the rules that were tried.)

A leaky bucket is filled by each ack and drains 1.1 of the rate. On a steady line it holds what one
ack brings. When it has run empty, the highest that it stood, less what is usual, is a *burst*; over
the rate it is the length of the silence. A burst that began while bulk waited for room, and that is
longer than 0.4 of the slack (what the cap holds beyond the smallest round trip), raises the
allowance by 1.5 of the difference, and at most by the slack. The allowance falls by 80 ms in a
second, whatever it is. So it stays where bursts make up for that fall, which is where silences take
a twentieth of the time; and what happens once in a while, as a loss that our own queue has caused,
is soon forgotten. (Falls in proportion feed on themselves: an overflow then allows the next. So do
raises without a bound: on 2 Mbit/s one lost packet is a silence of a fifth of a second.) While bulk
does not wait for room, the kernel's window is the limit. That must be free to grow, so the
allowance falls half as fast. So it does where the line has not run empty for 2 s (`inflight`): of
that nothing is learnt, since our own queue may be what comes in bursts.

Where bulk goes both ways, acks wait behind the peer's data, and come in bursts that our two queues
have made. So nothing is learnt while most acks ride on data: on a steady line downloads and uploads
else raise each other's caps. The limit is a high one: with bulk both ways on a line that jumps,
half of the acks come alone, and without an allowance bulk would collapse.

The drain is faster than the rate: at 1.0 the bucket never runs empty, since the rate's estimate is
below the truth by a hair, and one burst of the start would stay in it for good.
"""

from __future__ import annotations

from typing import Final

# Chosen together, on the virtual lines of docs/flow-control.md. With 0.6 to spare the share is 0.86
# instead of 0.92 where jitter is 10 ms; with raises of half the slack at most, 0.84.
_DRAIN: Final = 1.1
_SPARE: Final = 0.4
_GAIN: Final = 1.5
_FALL: Final = 0.08  # seconds in a second
_FALL_FREE: Final = 0.04  # while bulk does not wait
# The share of acks that rode on data, over the last so many: beside the peer's bulk from 0.45, on a
# steady line 0.7 and more; beside echoes up to 0.2, and 0.45 where there are a hundred a second.
_TWO_WAYS: Final = 0.3
_DEAF: Final = 0.6
_RIDDEN_ACKS: Final = 32
# No line of the tables needs more, and no echo waits longer for it. With 0.1 and 0.06 what is small
# waits no less with jitter of 30 ms, and in a bad weather bulk collapses (docs/flow-control.md).
_ALLOWANCE_MAX_S: Final = 0.3


class Jitter:
    """Learns from the acks of one direction. Times are seconds of any one clock.

    Attributes:
        allowance_s: what the cap should hold beyond what a steady line needs.
    """

    __slots__ = ("_at", "_level", "_peak", "_ridden", "_waited", "allowance_s")

    def __init__(self) -> None:
        self.allowance_s = 0.0
        self._at = 0.0
        self._level = self._peak = 0.0  # bytes
        self._waited = False  # bulk, when this burst began
        self._ridden = 0.0

    def __repr__(self) -> str:
        waited = ", waited" if self._waited else ""
        burst = f"{self._peak:.0f} of {self._level:.0f} bytes{waited}"
        return f"<Jitter {self.allowance_s:.4f} s, {burst}, {self._ridden:.2f} ridden>"

    @property
    def two_ways(self) -> bool:
        """Whether acks wait behind data of the peer's."""
        return self._ridden > _TWO_WAYS

    def acknowledged(
        self,
        size: int,
        now: float,
        rate: float,
        usual: float,
        slack_s: float,
        *,
        waits: bool,
        alone: bool,
    ) -> None:
        """An ack came.

        Args:
            size: the bytes that it is for.
            now: the time.
            rate: of the line, in bytes a second; more than 0.
            usual: the most that one ack of a steady line brings, in bytes.
            slack_s: what the cap holds now beyond the smallest round trip, in time.
            waits: whether bulk waited for room, on a line that has run empty lately.
            alone: whether it came without data of the peer's.
        """
        self._ridden += (1 - alone - self._ridden) / _RIDDEN_ACKS
        passed_s = now - self._at
        self._at = now
        hears = self._ridden <= _DEAF
        fall = _FALL if waits or not hears else _FALL_FREE
        self.allowance_s = max(self.allowance_s - fall * passed_s, 0.0)
        drained = _DRAIN * rate * passed_s
        if drained < self._level:
            self._level -= drained
        else:
            if self._waited:
                self._end_burst(self._peak / rate, slack_s)
            self._level = self._peak = 0.0
            self._waited = waits and hears
        self._level += size
        self._peak = max(self._peak, self._level - usual)

    def _end_burst(self, burst_s: float, slack_s: float) -> None:
        lacked_s = burst_s - _SPARE * slack_s
        if lacked_s > 0:
            raised_s = min(_GAIN * lacked_s, slack_s)
            self.allowance_s = min(self.allowance_s + raised_s, _ALLOWANCE_MAX_S)
