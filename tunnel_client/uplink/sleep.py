"""Notices that the machine slept: a connection from before is most likely dead, and nobody says so.

Two clocks are compared, the monotonic one and that of the day. In suspend Linux stops
CLOCK_MONOTONIC and macOS mach_absolute_time, which are Python's `time.monotonic` there (and trio's
clock), while the time of day is right again after waking: the difference is how long was slept. On
Windows `time.monotonic` goes on in suspend. There is no difference then, but the look that was due
comes late, and that counts as well.

CLOCK_BOOTTIME is not used. It would show a sleep on Linux whatever happens to the time of day, but
the other systems do not have it, and it misses a virtual machine that its host had paused: there
every clock but the corrected time of day has stood still. In exchange somebody who sets the clock
forwards looks like a sleep. That costs one reconnect, which resumes and loses nothing. A clock that
is set backwards is nothing.

A look is also late when the process was stopped (SIGSTOP, a frozen container, a debugger). The
socket may be as good as before, but nobody knows what the network, the NAT and the server have
given up in the meantime, and to find out takes the ping that goes unanswered. So it is treated like
a sleep; only the limit is higher, since a busy machine is late too.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

import trio

from protocol.program.text import duration

log = logging.getLogger(__name__)

# Noticed within half of the second in which the client has to be connecting again.
LOOK_EVERY_S: Final = 0.5

# The clock that runs through a suspend may count whole seconds, when it begins and when it ends;
# NTP slews by 0.1 s a second at most. TCP survives a shorter sleep: it sends again after 1, 2, 4 s.
SLEPT_MIN_S: Final = 3.0

# A machine that swaps or compiles keeps a program waiting for a second or two. At twice the
# heartbeat's 15 s the other end gives the connection up.
LATE_MIN_S: Final = 10.0

Clocks = Callable[[], tuple[float, float]]


def system_clocks() -> tuple[float, float]:
    """The monotonic clock and the time of day, in seconds."""
    return time.monotonic(), time.time()  # noqa: TID251  # trio's clock stops in suspend


class SleepDetector:
    """Says how long the machine slept, from pairs of times that are given to it.

    Args:
        monotonic_s: now, by a clock that is never set.
        wall_s: now, by the time of day.
    """

    def __init__(self, monotonic_s: float, wall_s: float) -> None:
        self._monotonic_s = monotonic_s
        self._wall_s = wall_s

    def __repr__(self) -> str:
        return f"<SleepDetector last look at {self._monotonic_s:.1f} s>"

    def look(self, monotonic_s: float, wall_s: float) -> float:
        """The seconds slept since the last look, which was due `LOOK_EVERY_S` ago; 0.0 for none."""
        ran_s = monotonic_s - self._monotonic_s
        slept_s = wall_s - self._wall_s - ran_s
        late_s = ran_s - LOOK_EVERY_S
        self._monotonic_s, self._wall_s = monotonic_s, wall_s
        if slept_s >= SLEPT_MIN_S or late_s >= LATE_MIN_S:
            return max(slept_s, 0.0) + max(late_s, 0.0)
        return 0.0


async def watch_for_sleep(woke: Callable[[float], None], clocks: Clocks = system_clocks) -> None:
    """Call `woke` with the seconds slept, each time that the machine has; until cancelled.

    Args:
        woke: must neither raise nor block.
        clocks: see `system_clocks`.
    """
    detector = SleepDetector(*clocks())
    while True:
        await trio.sleep(LOOK_EVERY_S)
        slept_s = detector.look(*clocks())
        if slept_s:
            log.info("this machine slept for %s", duration(slept_s))
            woke(slept_s)
