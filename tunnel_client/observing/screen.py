"""The terminal that lines and a footer share; any thread may write.

Whoever writes lines takes the footer away and draws it again below them, in one write. So all that
goes to the terminal passes here while there is a footer: the report's lines and the log's. A lock
makes them one after the other; a terminal that was stopped by Ctrl-S holds up those threads, and
nobody else.

While somebody drags the window's edge, the terminal wraps what stands there anew for each width, at
its own pace: where the footer begins cannot be known then. So nothing is written before the width
has stood still for a while, and then what stands there is counted in the columns of now.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Final

from protocol.program.line_writer import STDOUT, write_to_stdout
from tunnel_client.observing.footer import Shown
from tunnel_client.observing.footer_layout import lay_out
from tunnel_client.observing.painter import FooterLine, repaint

# A drag brings a new width several times a second; terminals have wrapped all anew in less.
SETTLED_AFTER_S: Final = 0.3
# How often the width is looked at meanwhile, by a thread that has lines.
LOOK_EVERY_S: Final = 0.05

_FALLBACK: Final = os.terminal_size((80, 24))


class Screen:
    """A terminal with a footer.

    Args:
        write: takes bytes for the terminal; may block; OSError if they cannot be written.
        size: of the terminal now; OSError: it has none.
        is_ours: whether the footer may be drawn: not while another program has the terminal.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        write: Callable[[bytes], None] = write_to_stdout,
        size: Callable[[], os.terminal_size] = lambda: os.get_terminal_size(STDOUT),
        is_ours: Callable[[], bool] = lambda: in_foreground(STDOUT),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._write = write
        self._size = size
        self._is_ours = is_ours
        self._clock = clock
        self._lock = threading.Lock()
        self._left = threading.Event()  # there is no footer any more
        self._shown: Shown | None = None
        self._stands: tuple[FooterLine, ...] = ()
        self._columns = 0  # as seen last
        self._changed_at: float | None = None  # when another width was seen
        self._forgotten = False

    def __repr__(self) -> str:
        state = "left" if self._left.is_set() else f"footer of {len(self._stands)} lines"
        return f"<Screen {state}, {self._columns} columns>"

    def is_current(self, shown: Shown | None) -> bool:
        """Whether a `show` of that, without lines, would change nothing. Never blocks."""
        is_settled = self._changed_at is None and self._size_now().columns == self._columns
        return is_settled and shown == self._shown and not self._forgotten

    def show(self, lines: str, shown: Shown | None) -> bool:
        """Write whole lines, and the footer below them; False: not now, the width has changed.

        Raises:
            OSError: it cannot be written.
        """
        with self._lock:
            if not self._has_settled():
                return False
            self._draw(lines, shown)
            return True

    def leave(self, lines: str) -> None:
        """Take the footer away and write the last lines of all; any others are written as they are.

        Raises:
            OSError: they cannot be written.
        """
        self._left.set()  # first: a line of the log that waits for the width goes on
        with self._lock:
            self._draw(lines, None)

    def log(self, lines: bytes) -> None:
        """Write whole lines above the footer; where there is none, as they are.

        Raises:
            OSError: they cannot be written.
        """
        while not self._try_log(lines):
            self._left.wait(LOOK_EVERY_S)

    def forget(self) -> None:
        """Another program has written below what stands there: draw the footer anew, below that.

        For a handler of SIGCONT: it takes no lock.
        """
        self._forgotten = True

    def _try_log(self, lines: bytes) -> bool:
        with self._lock:
            if self._left.is_set() or not (self._stands or self._shown):
                self._write(lines)
            elif not self._has_settled():
                return False
            else:
                self._draw(lines.decode(), self._shown)
            return True

    def _draw(self, lines: str, shown: Shown | None) -> None:
        if self._forgotten:
            self._forgotten = False
            self._stands = ()
        columns, rows = self._size_now()
        footer = () if shown is None or not self._is_ours() else lay_out(shown, columns, rows)
        painted = repaint(lines, footer, columns, self._stands)
        # Before the write: what a failed one has left there is not known.
        self._stands, self._shown = footer, shown
        if painted:
            self._write(painted)

    def _has_settled(self) -> bool:
        columns, now = self._size_now().columns, self._clock()
        if columns != self._columns:
            is_first = not self._columns
            self._columns = columns
            self._changed_at = None if is_first else now
        if self._changed_at is not None and now - self._changed_at >= SETTLED_AFTER_S:
            self._changed_at = None
        return self._changed_at is None

    def _size_now(self) -> os.terminal_size:
        try:
            size = self._size()
        except OSError:
            return _FALLBACK
        return size if size.columns and size.lines else _FALLBACK  # one that was never told


def in_foreground(descriptor: int) -> bool:
    """Whether this process may draw on a terminal; True where that has no foreground."""
    try:
        return os.tcgetpgrp(descriptor) == os.getpgrp()
    except (OSError, AttributeError):  # another session's terminal; Windows
        return True
