"""What the client tells on stdout, and how it does so without ever holding up a request.

stdout may be a pipe that nobody reads or a terminal that somebody stopped with Ctrl-S, so no task
that carries data writes to it. Events go into a queue with an end: when it is full, the oldest
request in it is forgotten and counted, and the next one that is told says how many were. News of
the tunnel itself (ready, reconnecting, resumed, refused, stopped) goes only when there is nothing
else.

One task, `Report.run`, takes what has come together, makes the lines and writes them in one
system call in a worker thread. A thread and not a non-blocking write: O_NONBLOCK belongs to the
open file, so it would change the terminal for the shell and everybody else on it; and poll says
that there is room, not that there is enough. After each write the task rests for a moment, so that
the price of a thread is paid twenty times a second at most, however many requests there are.
"""

from __future__ import annotations

import errno
import os
import select
import sys
import threading
import time
from collections import deque
from collections.abc import Callable

import trio

from tunnel_client.observing.lines import Event, JsonLines, Lines, PlainLines

# What 10,000 requests a second bring in a tenth of a second. With the longest paths: 8 MB.
LONGEST_QUEUE = 1_000
LONGEST_PATH_BYTES = 8_192  # what most servers take at all

# A thread costs about 0.1 ms of its own, and at each hand-over of the interpreter's lock some of
# everybody else's: at a hundred times a second 13 % of a busy client. Nobody sees 50 ms.
PACE_S = 0.05

# For the last lines, when the program ends and stdout does not move.
LAST_WORDS_S = 1.0

# Nobody can read any more: a pipe without a reader, a terminal that hung up, no stdout at all.
_GONE = {errno.EPIPE, errno.EIO, errno.EBADF}

STDOUT = 1  # and not sys.stdout: its buffer has a lock that a blocked thread would hold at exit


def local_time() -> str:
    """The time of day here, as HH:MM:SS."""
    return time.strftime("%H:%M:%S")


def write_stdout(data: bytes) -> None:
    """Write all of it, waiting as long as it takes. OSError as os.write has it."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(STDOUT, view) :]
        except BlockingIOError:  # whoever shares the pipe made it non-blocking
            select.select([], [STDOUT], [])


class Report:
    """The client's events, told on stdout: one JSON object a line, or lines for people.

    The methods named like the events never wait, never raise and cost microseconds; they may
    be called before `run` is, and after it ended.

    Args:
        json: which of the two forms.
        target: where the public URL leads to.
        write: takes whole lines; may block; OSError if they cannot be written.
        clock: the time of day as HH:MM:SS.

    Attributes:
        closed: nobody reads stdout any more.
        dropped: requests that were never told, since the last that was.
    """

    def __init__(
        self,
        *,
        json: bool,
        target: str,
        write: Callable[[bytes], None] = write_stdout,
        clock: Callable[[], str] = local_time,
    ) -> None:
        self._lines: Lines = JsonLines() if json else PlainLines(target)
        self._write = write
        self._clock = clock
        self._queue: deque[Event] = deque()
        self._unwritten: deque[bytes] = deque()
        self._writing = threading.Lock()
        self._wake = trio.Event()
        self.closed = False
        self.dropped = 0

    def __repr__(self) -> str:
        state = "closed" if self.closed else f"queued={len(self._queue)} dropped={self.dropped}"
        return f"<Report {state}>"

    def ready(self, url: str, name: str, server: str) -> None:
        """The tunnel serves: its public URL, its name, the server's own URL."""
        self._put(Event("ready", self._clock(), (url, name, server)))

    def request(
        self,
        stream_id: int,
        method: bytes,
        path: bytes,
        status: int | None,
        bytes_in: int,
        bytes_out: int,
        ms: float,
        error: str | None,
        open_streams: int,
    ) -> None:
        """A request is over.

        Args:
            path: the request's target as it came; the first 8 KiB are told.
            status: of the answer that the visitor got; None if there was none.
            bytes_in: of the request's body, or from the visitor after a 101.
            bytes_out: of the answer's body, or to the visitor after a 101.
            ms: from the open to the end, in milliseconds.
            error: why it failed, for people; None if it did not.
            open_streams: how many others are under way.
        """
        fields = (stream_id, method, path[:LONGEST_PATH_BYTES], status, bytes_in, bytes_out)
        self._put(Event("request", self._clock(), (*fields, round(ms, 1), error, open_streams)))

    def reconnecting(
        self, attempt: int, wait_s: float, reason: str, give_up_in_s: float | None = None
    ) -> None:
        """There is no connection, for this reason; the next attempt comes in `wait_s` seconds.

        Args:
            give_up_in_s: when the program ends if no attempt gets through; None: it goes on.
        """
        left_s = None if give_up_in_s is None else round(give_up_in_s, 3)
        fields = (attempt, round(wait_s, 3), reason, left_s)
        self._put(Event("reconnecting", self._clock(), fields))

    def resumed(self, away_s: float) -> None:
        """The session goes on over a new connection, after so many seconds without one."""
        self._put(Event("resumed", self._clock(), (round(away_s, 3),)))

    def origin_down(self, why: str, wait_s: float) -> None:
        """Nothing listens at the app's address; requests wait for it, so long each."""
        self._put(Event("origin_down", self._clock(), (why, wait_s)))

    def origin_up(self) -> None:
        """The app takes connections again."""
        self._put(Event("origin_up", self._clock(), ()))

    def refused(self, code: str, message: str) -> None:
        """The server said no, for good."""
        self._put(Event("refused", self._clock(), (code, message)))

    def stopped(self, reason: str) -> None:
        """The program ends."""
        self._put(Event("stopped", self._clock(), (reason,)))

    async def run(self) -> None:
        """Tell what comes until nobody reads stdout any more, then return.

        Cancelled, it still tells what is queued, for a second at most. Lines are never cut, lost
        or told twice by a cancellation; a write that blocks for longer is left to its thread.
        """
        try:
            while not self.closed:
                await self._wake.wait()
                self._take()
                await self._flush()
                await trio.sleep(PACE_S)
        finally:
            with trio.move_on_after(LAST_WORDS_S, shield=True):
                self._take()
                await self._flush()

    def _put(self, event: Event) -> None:
        if self.closed:
            return
        if len(self._queue) >= LONGEST_QUEUE:
            self._forget_one()
        self._queue.append(event)
        self._wake.set()

    def _forget_one(self) -> None:
        for index, event in enumerate(self._queue):
            if event.kind == "request":
                del self._queue[index]
                self.dropped += 1
                return
        self._queue.popleft()

    def _take(self) -> None:
        """Make the lines of all that is queued."""
        self._wake = trio.Event()
        lines = []
        while self._queue:
            event = self._queue.popleft()
            dropped = self.dropped if event.kind == "request" else 0
            self.dropped -= dropped
            lines.append(self._lines.text(event, dropped))
        if lines:
            # UTF-8 whatever the locale; a lone surrogate cannot be left after `printable`.
            self._unwritten.append("".join(lines).encode())

    async def _flush(self) -> None:
        """Return when all lines are out, also those of a write that was abandoned."""
        if self.closed:
            return
        try:
            await trio.to_thread.run_sync(self._write_out, abandon_on_cancel=True)
        except OSError as error:
            # A full disk, say, costs lines, but not the tunnel.
            self.closed = error.errno in _GONE

    def _write_out(self) -> None:
        """In a worker thread. A second one waits for one that was abandoned."""
        with self._writing:
            while self._unwritten:
                self._write(self._unwritten.popleft())


def open_report(*, json: bool, target: str) -> Report:
    """A report on the process's own stdout; one that tells nothing if it was started without."""
    if sys.__stdout__ is None:  # descriptor 1 may be a socket by now
        return Report(json=json, target=target, write=lambda data: None)
    return Report(json=json, target=target)
