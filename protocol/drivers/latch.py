"""DRIVER. A latch: one task waits until another lets it go on.

trio.Event may be waited for by many and is used up when it is set; making and waiting for one costs
three times as much as this. A wait here is the commonest thing that a tunnel does.
"""

from __future__ import annotations

import trio


class Latch:
    """At most one task waits; `open` lets it go on, or the next `wait` return at once."""

    __slots__ = ("_open", "_task")

    def __init__(self) -> None:
        self._task: trio.lowlevel.Task | None = None
        self._open = False

    def __repr__(self) -> str:
        state = "awaited" if self._task else "open" if self._open else "closed"
        return f"<Latch {state}>"

    def open(self) -> None:
        """Let the waiting task go on. Opening twice before it does is opening once."""
        task, self._task = self._task, None
        if task is None:
            self._open = True
        else:
            trio.lowlevel.reschedule(task)

    async def wait(self) -> None:
        """Wait until the latch is opened, and close it behind.

        No checkpoint is made when it is open already: what a caller does next is I/O. A cancelled
        wait leaves the latch as it was.

        Raises:
            trio.BusyResourceError: another task waits here.
        """
        if self._open:
            self._open = False
            return
        if self._task is not None:
            raise trio.BusyResourceError("two tasks wait at one latch")
        self._task = trio.lowlevel.current_task()
        await trio.lowlevel.wait_task_rescheduled(self._abort)
        self._open = False  # what opened it again before this task had its turn, it sees now

    def _abort(self, _: object) -> trio.lowlevel.Abort:
        self._task = None
        return trio.lowlevel.Abort.SUCCEEDED
