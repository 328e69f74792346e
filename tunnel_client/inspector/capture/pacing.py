"""DRIVER. The pace of a task that works on what others have left: short turns, half its time off.

Nobody waits for it, and everybody else waits while it works.
"""

from __future__ import annotations

import time
from typing import Final

import trio

TURN_S: Final = (
    0.001  # a GET through the tunnel takes as long, so it is late by its own time at most
)
WORK_S: Final = 0.020  # so much in many turns, and then a pause that is as long


class WorkPace:
    """Counts the work of one task.

    It is the processor's time or more: on a busy machine turns are shorter.
    """

    __slots__ = ("_began", "_worked_s")

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._worked_s = 0.0

    def __repr__(self) -> str:
        return f"<WorkPace {self._worked_s * 1000:.1f} ms since its pause>"

    @property
    def is_due(self) -> bool:
        """Whether this turn should end. Asked after each small piece of work."""
        return time.perf_counter() - self._began >= TURN_S

    async def rest(self) -> None:
        """Let others have their turn. Cancellation: at once, and nothing is lost."""
        self._worked_s += time.perf_counter() - self._began
        if self._worked_s >= WORK_S:
            await trio.sleep(self._worked_s)
            self._worked_s = 0.0
        else:
            await trio.lowlevel.checkpoint()
        self._began = time.perf_counter()
