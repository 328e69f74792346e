"""The stdout of the client: how events get there without ever holding up a request.

stdout may be a pipe that nobody reads or a terminal that somebody stopped with Ctrl-S, so no task
that carries data writes to it. Events go into a queue with an end: when it is full, the oldest
request in it is forgotten and counted, and the next one that is told says how many were. News of
the tunnel itself (ready, reconnecting, resumed, refused, stopped) goes only when there is nothing
else.

One task, `Report.run`, takes what has come together, makes the lines and writes them in one
system call in a worker thread (`line_writer` has the reasons for a thread). After each write it
rests for a moment, so that the price of a thread is paid twenty times a second at most.

On a terminal with a footer (`screen`) that is ten times a second, and once a second where only the
footer has news, such as a countdown. Nobody reads two hundred lines a second there: of more than
REQUESTS_SHOWN at once the last are shown, and the others counted.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final

import trio

from protocol.program.line_writer import GONE, LAST_WORDS_S, write_to_stdout
from protocol.program.observing import EventQueue
from tunnel_client.observing.events import (
    ClientEvent,
    RequestEnded,
    RequestOpened,
    WebSocketOpened,
)
from tunnel_client.observing.footer import Footer, Shown
from tunnel_client.observing.lines import Lines
from tunnel_client.observing.screen import Screen

# What 10,000 requests a second bring in a tenth of a second. With the longest paths: 8 MB.
LONGEST_QUEUE = 1_000
LONGEST_PATH_BYTES = 8_192  # what most servers take at all

# A thread costs about 0.1 ms of its own, and at each hand-over of the interpreter's lock some of
# everybody else's: at a hundred times a second 13 % of a busy client. Nobody sees 50 ms.
FLUSH_EVERY_S = 0.05

REDRAW_EVERY_S = 0.1  # lines and a footer: more often is flicker
TICK_S = 1.0  # a countdown's
REQUESTS_SHOWN = 20  # in one redraw: as many as a low terminal has rows


TimedEvent = tuple[float, ClientEvent]
"""The time when it was told, in seconds since the epoch, and what."""

_REQUESTS: Final = (RequestEnded, RequestOpened, WebSocketOpened)


def _is_request(told: TimedEvent) -> bool:
    return isinstance(told[1], _REQUESTS)


class Report:
    """The client's events, told on stdout: one JSON object a line, or lines for people.

    Args:
        lines: the form.
        screen: has a footer below the lines; None: there is none.
        footer: what that says; None: nothing.
        write: takes whole lines where there is no screen; may block; OSError if they cannot be
            written.
        clock: the time, in seconds since the epoch.

    Attributes:
        closed: nobody reads stdout any more.
    """

    def __init__(
        self,
        *,
        lines: Lines,
        screen: Screen | None = None,
        footer: Footer | None = None,
        write: Callable[[bytes], None] = write_to_stdout,
        clock: Callable[[], float] = time.time,  # noqa: TID251  # that of the wall, for people
    ) -> None:
        self._lines = lines
        self._footer = footer or Footer("")
        self._screen = screen
        self._write = write
        self._clock = clock
        self._queue: EventQueue[TimedEvent] = EventQueue(LONGEST_QUEUE, _is_request)
        self._unwritten: deque[str] = deque()
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
        if isinstance(event, _REQUESTS) and len(event.path) > LONGEST_PATH_BYTES:
            event = event._replace(path=event.path[:LONGEST_PATH_BYTES])
        self._queue.put((self._clock(), event))

    async def run(self) -> None:
        """Tell what comes until nobody reads stdout any more, then return.

        Cancelled, it still tells what is queued, for a second at most. Lines are never cut, lost
        or told twice by a cancellation; a write that blocks for longer is left to its thread.
        """
        try:
            while not self.closed:
                await self._wait()
                await self._tell_all(last=False)
                await trio.sleep(FLUSH_EVERY_S if self._screen is None else REDRAW_EVERY_S)
        finally:
            with trio.move_on_after(LAST_WORDS_S, shield=True):
                await self._tell_all(last=True)

    async def _wait(self) -> None:
        """Wait until there is something to tell, or to look at."""
        if self._screen is None:
            await self._queue.wait()
        elif not self._unwritten:
            with trio.move_on_after(TICK_S):
                await self._queue.wait()

    async def _tell_all(self, *, last: bool) -> None:
        """Return when all that is queued is out, but for what the screen does not take yet.

        What it has not taken is kept, and what comes meanwhile stays in the queue, which has an
        end.
        """
        if last or self._screen is None or not self._unwritten:
            self._take()
        await self._flush(last=last)

    def _take(self) -> None:
        """Make the lines of all that is queued."""
        taken = self._queue.take()
        if self._screen is not None:
            for (at, event), _ in taken:
                self._footer.heard(at, event)
            taken, hidden = _last_requests(taken)
            if hidden:
                see = ": see the inspector" if self._footer.inspector else ""
                self._unwritten.append(f"         ({hidden:,} more{see})\n")
        lines = "".join(self._lines.text(*told, dropped) for told, dropped in taken)
        if lines:
            self._unwritten.append(lines)

    async def _flush(self, *, last: bool) -> None:
        """Return when all lines are out, also those of a write that was abandoned."""
        if self.closed:
            return
        shown = None
        if self._screen is not None and not last:
            shown = self._footer.shown(self._clock())
            if not self._unwritten and self._screen.is_current(shown):
                return
        write_out = partial(self._write_out, shown, last)
        try:
            await trio.to_thread.run_sync(write_out, abandon_on_cancel=True)
        except OSError as error:
            # A full disk, say, costs lines, but not the tunnel.
            self.closed = error.errno in GONE

    def _write_out(self, shown: Shown | None, last: bool) -> None:
        """In a worker thread. A second one waits for one that was abandoned."""
        with self._writing:
            if self._screen is None:
                while self._unwritten:
                    # UTF-8 whatever the locale; `printable` leaves no lone surrogate.
                    self._write(self._unwritten.popleft().encode())
                return
            lines = "".join(self._unwritten)
            self._unwritten.clear()
            if last:
                self._screen.leave(lines)
            elif not self._screen.show(lines, shown) and lines:
                self._unwritten.append(lines)


def _last_requests(
    taken: list[tuple[TimedEvent, int]],
) -> tuple[list[tuple[TimedEvent, int]], int]:
    """The part that is shown of all that was taken, and how many other requests there were."""
    # That one begins has no line.
    lines = RequestEnded | WebSocketOpened
    requests = [index for index, (told, _) in enumerate(taken) if isinstance(told[1], lines)]
    over = frozenset(requests[:-REQUESTS_SHOWN])
    hidden = len(over) + sum(dropped for _, dropped in taken)
    kept = [(told, 0) for index, (told, _) in enumerate(taken) if index not in over]
    return kept, hidden
