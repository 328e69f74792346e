"""The stdout of the client: how events get there without ever holding up a request.

stdout may be a pipe that nobody reads or a terminal that somebody stopped with Ctrl-S, so no task
that carries data writes to it. Events go into a queue with an end: when it is full, the oldest
request in it is forgotten and counted, and the next one that is told says how many were. News of
the tunnel itself (ready, reconnecting, resumed, refused, stopped) goes only when there is nothing
else.

One task, `Report.run`, takes what has come together, makes the lines and writes them in one
system call in a worker thread (`line_writer` has the reasons for a thread). After each write it
rests for a moment, so that the price of a thread is paid twenty times a second at most.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

import trio

from protocol.program.line_writer import GONE, LAST_WORDS_S, write_to_stdout
from protocol.program.observing import EventQueue
from tunnel_client.observing.events import ClientEvent, RequestEnded, RequestOpened
from tunnel_client.observing.lines import JsonLines, Lines, PlainLines

# What 10,000 requests a second bring in a tenth of a second. With the longest paths: 8 MB.
LONGEST_QUEUE = 1_000
LONGEST_PATH_BYTES = 8_192  # what most servers take at all

# A thread costs about 0.1 ms of its own, and at each hand-over of the interpreter's lock some of
# everybody else's: at a hundred times a second 13 % of a busy client. Nobody sees 50 ms.
FLUSH_EVERY_S = 0.05


TimedEvent = tuple[float, ClientEvent]
"""The time when it was told, in seconds since the epoch, and what."""


def _is_request(told: TimedEvent) -> bool:
    return isinstance(told[1], RequestEnded | RequestOpened)


class Report:
    """The client's events, told on stdout: one JSON object a line, or lines for people.

    Args:
        json: which of the two forms.
        target: where the public URL leads to.
        write: takes whole lines; may block; OSError if they cannot be written.
        clock: the time, in seconds since the epoch.

    Attributes:
        closed: nobody reads stdout any more.
    """

    def __init__(
        self,
        *,
        json: bool,
        target: str,
        write: Callable[[bytes], None] = write_to_stdout,
        clock: Callable[[], float] = time.time,  # noqa: TID251  # that of the wall, for people
    ) -> None:
        self._lines: Lines = JsonLines() if json else PlainLines(target)
        self._write = write
        self._clock = clock
        self._queue: EventQueue[TimedEvent] = EventQueue(LONGEST_QUEUE, _is_request)
        self._unwritten: deque[bytes] = deque()
        self._writing = threading.Lock()
        self.closed = False

    def __repr__(self) -> str:
        state = "closed" if self.closed else f"queued={len(self._queue)} dropped={self.dropped}"
        return f"<Report {state}>"

    @property
    def dropped(self) -> int:
        """Requests that were never told, since the last that was."""
        return self._queue.forgotten

    def tell(self, event: ClientEvent) -> None:
        """See Sink; may be called before `run` is, and after it ended."""
        if self.closed:
            return
        if isinstance(event, RequestEnded | RequestOpened) and len(event.path) > LONGEST_PATH_BYTES:
            event = event._replace(path=event.path[:LONGEST_PATH_BYTES])
        self._queue.put((self._clock(), event))

    async def run(self) -> None:
        """Tell what comes until nobody reads stdout any more, then return.

        Cancelled, it still tells what is queued, for a second at most. Lines are never cut, lost
        or told twice by a cancellation; a write that blocks for longer is left to its thread.
        """
        try:
            while not self.closed:
                await self._queue.wait()
                self._take()
                await self._flush()
                await trio.sleep(FLUSH_EVERY_S)
        finally:
            with trio.move_on_after(LAST_WORDS_S, shield=True):
                self._take()
                await self._flush()

    def _take(self) -> None:
        """Make the lines of all that is queued."""
        taken = self._queue.take()
        lines = "".join(self._lines.text(*told, dropped) for told, dropped in taken)
        if lines:
            # UTF-8 whatever the locale; a lone surrogate cannot be left after `printable`.
            self._unwritten.append(lines.encode())

    async def _flush(self) -> None:
        """Return when all lines are out, also those of a write that was abandoned."""
        if self.closed:
            return
        try:
            await trio.to_thread.run_sync(self._write_out, abandon_on_cancel=True)
        except OSError as error:
            # A full disk, say, costs lines, but not the tunnel.
            self.closed = error.errno in GONE

    def _write_out(self) -> None:
        """In a worker thread. A second one waits for one that was abandoned."""
        with self._writing:
            while self._unwritten:
                self._write(self._unwritten.popleft())
