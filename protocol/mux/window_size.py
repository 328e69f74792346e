"""The size of a receive window: as large as the line needs to be full, and no larger.

It doubles when the credit was the limit, and not the reader. Two things show that:

* **It ran dry.** A sender cuts its last frame to its credit. So if what came ends exactly at a
  credit that was said, the sender stood still there. If the reader had taken all of it by then, and
  what came next took longer to come than the line needs for it, the reader stood still, too. Each
  of these alone says nothing: the sender of a slow reader is always out of credit, and so is that
  of a long queue. This asks no round trip, so it finds a line that has become longer, or jumps.
* **It was quick.** Half a window was taken within 1.5 round trips. This grows a window before it
  runs dry, while a download finds its rate. Credit is said when half of it has been taken, so one
  round trip is the least that keeps a line full; the rest is for a round trip that was measured
  while the line was idle.

It halves when for half a second three eighths of it always waited for the reader: it is more than
the line needs. (A reader that is slow leaves half of it between two credits, less what is on its
way.) Twice what is read in a round trip stays.

Frames and windows are powers of two more often than not. A frame would end at a credit by chance,
and every window would grow. So each credit is short of the window by `salt` bytes, up to 1 KiB, in
no order. The first one of an answer needs none: its head is counted, too, and makes all that
follows uneven. That of a request's body is less than the window, and is no sign of anything: each
sender of a long one stands still there, for a round trip.
"""

from __future__ import annotations

import math
from typing import Final

from protocol.limits import START_WINDOW_BYTES, STREAM_WINDOW_MAX_BYTES

_QUICK: Final = 1.5
_LOOK_EVERY_S: Final = 0.5
_UNUSED: Final = 3 / 8
# What two busy programs need to get their turn is no pause of the sender's.
_PAUSE_S: Final = 0.008
# Both prime: the remainders of whole KiB, and of whole frames, are all different.
_SALT_BYTES: Final = 1021
_SALT_STEP: Final = 617
_NONE: Final = -1  # bytes; nothing that came ends there


class WindowSize:
    """Decides for the window of one half of a stream. Times are seconds of any one clock.

    Args:
        size: the window to begin with, in bytes.
        granted: the credit that was said first; what is less than `size` shows nothing.
        now: the time.

    Attributes:
        size: what may be promised at a time, in bytes.
        salt: bytes that the next credit should be short of it.
    """

    __slots__ = (
        "_before",
        "_dry",
        "_dry_at",
        "_granted",
        "_least_waiting",
        "_looked_at",
        "_said_at",
        "_taken",
        "salt",
        "size",
    )

    def __init__(self, size: int, granted: int, now: float) -> None:
        self.size = size
        self.salt = 0
        # The newest credit, and the one before.
        self._granted = self._before = granted if granted >= size else _NONE
        self._said_at = now
        self._dry = False
        self._dry_at = math.inf  # since when the reader waits for what comes behind a credit
        self._looked_at = now
        self._taken = 0  # at the last look
        self._least_waiting = 0  # bytes, since the last look

    def __repr__(self) -> str:
        return f"<WindowSize {self.size}{' dry' if self._dry else ''}>"

    def taken(
        self, size: int, received: int, consumed: int, now: float, round_trip_s: float
    ) -> None:
        """The reader took something.

        Args:
            size: bytes.
            received: bytes that have come since the half began.
            consumed: bytes of them that the reader has taken.
            now: the time.
            round_trip_s: of the session; infinite while none is known.
        """
        waiting = received - consumed
        if self._dry_at < math.inf:
            self._end_pause(size, consumed, now)
        if waiting <= 0 and (received == self._before or received == self._granted):
            self._dry_at = now
        if waiting < self._least_waiting:
            self._least_waiting = waiting
        if now - self._looked_at >= _LOOK_EVERY_S:
            self._look(consumed, now, round_trip_s)
            self._least_waiting = waiting

    def may_grow(self, now: float, round_trip_s: float) -> None:
        """A credit is about to be said, because half of a whole window has been taken."""
        if self._dry or now - self._said_at < _QUICK * round_trip_s < math.inf:
            self.size = min(2 * self.size, STREAM_WINDOW_MAX_BYTES)

    def said(self, granted: int, now: float) -> None:
        """A new credit was said."""
        self._before, self._granted = self._granted, granted
        self._said_at = now
        self._dry = False
        self.salt = (self.salt + _SALT_STEP) % _SALT_BYTES

    def _end_pause(self, size: int, consumed: int, now: float) -> None:
        rate = (consumed - self._taken) / max(now - self._looked_at, 1e-6)
        self._dry = self._dry or now - self._dry_at > size / max(rate, 1.0) + _PAUSE_S
        self._dry_at = math.inf

    def _look(self, consumed: int, now: float, round_trip_s: float) -> None:
        if self._least_waiting >= _UNUSED * self.size and self.size > START_WINDOW_BYTES:
            needed = START_WINDOW_BYTES
            if round_trip_s < math.inf:
                rate = (consumed - self._taken) / (now - self._looked_at)
                needed = max(needed, int(2 * rate * round_trip_s))
            self.size = min(self.size, max(self.size // 2, needed))
        self._looked_at, self._taken = now, consumed
