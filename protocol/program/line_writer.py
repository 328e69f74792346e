"""Lines for a descriptor that may stand still: a thread of their own writes them.

A pipe that nobody reads, or a terminal that somebody stopped with Ctrl-S, holds up each program
that writes to it. So no task writes: it puts a line into a queue with an end. What finds the queue
full is dropped and counted, and a line says how many there were, where they would have been.

A thread and not a non-blocking write: O_NONBLOCK belongs to the open file, so it would change the
terminal for the shell and everybody else on it; and poll says that there is room, not that there is
enough. The thread writes to the descriptor and not to Python's file, whose buffer has a lock that a
blocked thread would hold at exit.
"""

from __future__ import annotations

import errno
import os
import select
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from typing import Final

# What an attack of a thousand refusals a second brings in ten seconds; and with the longest of
# lines no more memory than a session has.
LINES_MAX: Final = 10_000
BYTES_MAX: Final = 4 * 1024 * 1024

# A hand-over of the interpreter's lock costs everybody some time, so the thread rests after a write
# and is woken twenty times a second at most, however many lines there are. Nobody sees 50 ms.
REST_S: Final = 0.05

# For the last lines, when the program ends and the reader does not move.
LAST_WORDS_S: Final = 1.0

STDOUT: Final = 1
STDERR: Final = 2

# Nobody can read any more: a pipe without a reader, a terminal that hung up, no descriptor at all.
GONE: Final = frozenset({errno.EPIPE, errno.EIO, errno.EBADF})


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of it, waiting as long as it takes. OSError as os.write has it."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BlockingIOError:  # whoever shares the pipe made it non-blocking
            select.select([], [descriptor], [])


def write_to_stdout(data: bytes) -> None:
    """As write_all; nowhere, if the process was started without one."""
    if sys.__stdout__ is not None:  # else the descriptor may be a socket by now
        write_all(STDOUT, data)


def write_to_stderr(data: bytes) -> None:
    """As write_all; nowhere, if the process was started without one."""
    if sys.__stderr__ is not None:
        write_all(STDERR, data)


class _State(Enum):
    NEW = "new"
    RUNNING = "running"
    STOPPING = "stopping"
    ENDED = "ended"  # all is out
    LOST = "lost"  # nobody reads, or the reader stood still at the end


class LineWriter:
    """A queue of lines and the thread that empties it. Any thread may put lines.

    Args:
        write: takes whole lines; may block; OSError if they cannot be written.
        said_of_dropped: the line that says how many were dropped, with the end of a line.
    """

    def __init__(
        self, write: Callable[[bytes], None], said_of_dropped: Callable[[int], bytes]
    ) -> None:
        self._write = write
        self._said_of_dropped = said_of_dropped
        self._changed = threading.Condition()
        self._stopped = threading.Event()
        self._lines: deque[bytes] = deque()
        self._writing: deque[bytes] = deque()  # what the thread has taken
        self._kept_bytes = 0  # of both
        self._dropped = 0  # since a line said so
        self._state = _State.NEW
        self._thread = threading.Thread(target=self._run, name="lines", daemon=True)

    def __repr__(self) -> str:
        kept = len(self._lines) + len(self._writing)
        return f"<LineWriter {self._state.value} {kept} lines, {self._dropped} dropped>"

    def start(self) -> None:
        """Begin to write. Once."""
        self._state = _State.RUNNING
        self._thread.start()

    def put(self, line: bytes) -> bool:
        """Take a line, with its end; never waits.

        Returns:
            False before the start and after an orderly end: the caller may write it by itself.
        """
        with self._changed:
            if self._state in (_State.NEW, _State.ENDED):
                return False
            kept = len(self._lines) + len(self._writing)
            if kept >= LINES_MAX or self._kept_bytes + len(line) > BYTES_MAX:
                self._dropped += 1
                self._changed.notify()
            elif self._state is not _State.LOST:
                self._tell_of_dropped()
                self._keep(line)
            return True

    def stop(self, deadline: float) -> None:
        """Wait until all is written.

        Args:
            deadline: by time.monotonic; a thread that is stuck then is left alone.
        """
        with self._changed:
            if self._state is _State.RUNNING:
                self._state = _State.STOPPING
            self._changed.notify()
        self._stopped.set()
        self._thread.join(max(0.0, deadline - time.monotonic()))
        with self._changed:
            if self._state is _State.STOPPING:
                self._state = _State.LOST if self._thread.is_alive() else _State.ENDED

    def _keep(self, line: bytes) -> None:
        self._lines.append(line)
        self._kept_bytes += len(line)
        self._changed.notify()

    def _tell_of_dropped(self) -> None:
        """Say it behind the lines that are kept, which is where the others would stand."""
        if self._dropped:
            dropped, self._dropped = self._dropped, 0
            self._keep(self._said_of_dropped(dropped))

    # --- the thread ---

    def _run(self) -> None:
        while self._take():
            try:
                self._write(b"".join(self._writing))
            except OSError as error:
                self._failed(error)
            self._stopped.wait(REST_S)

    def _take(self) -> bool:
        """Wait for lines and take all there are; False when there will be none."""
        with self._changed:
            self._kept_bytes -= sum(map(len, self._writing))
            self._writing = deque()
            while not (self._lines or self._dropped) and self._state is _State.RUNNING:
                self._changed.wait()
            if not self._lines:
                self._tell_of_dropped()
            self._lines, self._writing = deque(), self._lines
            return bool(self._writing)

    def _failed(self, error: OSError) -> None:
        """Without a reader this is over; a full disk, say, costs these lines."""
        with self._changed:
            if error.errno in GONE or self._state is _State.STOPPING:
                self._lines.clear()
                self._dropped = 0
                self._state = _State.LOST
            else:
                self._dropped += len(self._writing)


@contextmanager
def writing(*writers: LineWriter) -> Iterator[None]:
    """Let their threads run for this block; at its end they have LAST_WORDS_S together."""
    for writer in writers:
        writer.start()
    try:
        yield
    finally:
        deadline = time.monotonic() + LAST_WORDS_S
        for writer in writers:
            writer.stop(deadline)
