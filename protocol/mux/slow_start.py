"""A session's start is over when its line is full.

To begin with there is no cap, until the rate has grown by less than a quarter in three rounds, or
four acks in a row were late while it stood still. (Late and still growing is TCP's own slow start:
what waits in the kernel for its window makes a round trip longer, and no queue of the line's.)
"""

from __future__ import annotations

from typing import Final

_GROWTH: Final = 1.25
_FLAT_ROUNDS: Final = 3
_LATE_ACKS: Final = 4
_LATE_GROWTH: Final = 1 + 1 / 16  # slow start doubles in a round, which has up to 40 acks


class SlowStart:
    """Looks for its own end.

    Attributes:
        over: whether that was seen; for good.
    """

    __slots__ = ("_flat_rounds", "_late_acks", "_late_rate", "_rate", "over")

    def __init__(self) -> None:
        self.over = False
        self._rate = 0.0  # from which it has to grow
        self._flat_rounds = 0
        self._late_acks = 0
        self._late_rate = 0.0  # when the first of the late acks came

    def __repr__(self) -> str:
        state = "over" if self.over else f"{self._flat_rounds} flat, {self._late_acks} late"
        return f"<SlowStart {state}>"

    def end_round(self, rate: float) -> None:
        """A round has ended that had more to send; `rate` is what the line has carried so far."""
        if rate >= _GROWTH * self._rate:
            self._flat_rounds, self._rate = 0, rate
        else:
            self._flat_rounds += 1
        self.over = self._flat_rounds >= _FLAT_ROUNDS

    def acknowledged(self, rate: float, *, late: bool) -> None:
        """An ack came, whose round trip was longer than the line explains, or not."""
        self._late_acks = self._late_acks + 1 if late else 0
        if self._late_acks == 1:
            self._late_rate = rate
        elif self._late_acks >= _LATE_ACKS:
            self.over = rate < _LATE_GROWTH * self._late_rate
            self._late_acks = 0
