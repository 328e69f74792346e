"""The longest turn of trio's loop: what one task does between two checkpoints, in thread time.

While it lasts nobody else is served. Thread time is that of the processor, so a busy machine does
not make a turn longer; the collector of cycles is off, since its work is nobody's turn.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import trio

LONGEST_S = 0.020


class Turns(trio.abc.Instrument):
    """Measures every task's turns but those of one, which plays the visitors and clients.

    Attributes:
        count: of turns.
        longest_s: of them.
        of: the task that took it.
    """

    def __init__(self, but: trio.lowlevel.Task) -> None:
        self.count = 0
        self.longest_s = 0.0
        self.of = ""
        self._but = but
        self._began = 0.0

    def __repr__(self) -> str:
        return f"<Turns {self.count}, the longest {self.longest_s * 1000:.1f} ms of {self.of}>"

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self._began = time.thread_time()

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        if task is self._but:
            return
        took_s = time.thread_time() - self._began
        self.count += 1
        if took_s > self.longest_s:
            self.longest_s, self.of = took_s, task.name


@contextmanager
def measured_turns() -> Iterator[Turns]:
    """Measure the turns of other tasks than this one in this block."""
    turns = Turns(trio.lowlevel.current_task())
    gc.collect()
    gc.disable()
    trio.lowlevel.add_instrument(turns)
    try:
        yield turns
    finally:
        trio.lowlevel.remove_instrument(turns)
        gc.enable()
    assert turns.count > 1, "nothing was measured"


@contextmanager
def short_turns() -> Iterator[Turns]:
    """Fail if one of them takes LONGEST_S or more."""
    with measured_turns() as turns:
        yield turns
    assert turns.longest_s < LONGEST_S, repr(turns)


async def are_short(measure: Callable[[], Awaitable[Turns]]) -> None:
    """Fail if the least of three measures of the same is LONGEST_S or more.

    A virtual machine whose host takes the processor away counts that, too: it makes a turn longer,
    and never shorter. So one measure below the limit is enough.
    """
    measured = []
    for _ in range(3):
        measured.append(await measure())
        if measured[-1].longest_s < LONGEST_S:
            return
    raise AssertionError(repr(measured))
