"""Logging of both programs: one handler, on stderr, and records that say whose they are.

    2025-11-21T10:24:03.123Z INFO tunnel_server.tunnels.claims: session 4f1c9a03: bob is online

Times are UTC. On a terminal, where the programs' lines for people stand beside it, it is
`10:24:03 session 4f1c9a03: bob is online`, in local time, so that all look alike.

A record is one line: what visitors and peers send ends up in messages, so control characters are
escaped there, and can neither start a line of their own nor move a terminal's cursor. Only a
traceback, which is ours, stands on lines of its own.

While a program serves, its records leave by a thread (`line_writer`): a log that nobody reads must
not stop it. Before and after that they are written at once.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from typing import Final

from protocol import FRAMES
from protocol.program.line_writer import LineWriter, write_to_stderr
from protocol.program.text import printable, utc_time

log = logging.getLogger(__name__)

# Ours at INFO, libraries only when something is wrong: wsproto and its like log each connection.
_OURS: Final = ("protocol", "tunnel_server", "tunnel_client")
logging.addLevelName(FRAMES, "FRAMES")

_FORMAT: Final = "%(asctime)s %(levelname)s %(name)s: %(ids)s%(message)s"

# The numbers of LOG_LEVELS, the words of --log-level.
LEVELS: Final = {
    "error": logging.ERROR,
    "warning": logging.WARNING,
    "info": logging.INFO,
    "debug": logging.DEBUG,
    "frames": FRAMES,
}


class OneLineFormatter(logging.Formatter):
    """The format above; `ids` is filled in by a session's log and empty for other records."""

    def __init__(self) -> None:
        super().__init__(_FORMAT, defaults={"ids": ""})

    def formatTime(  # noqa: N802  (logging's own name)
        self, record: logging.LogRecord, datefmt: str | None = None
    ) -> str:
        return utc_time(record.created)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  (logging's own name)
        return printable(super().formatMessage(record))


class TerminalFormatter(OneLineFormatter):
    """Lines for a person who looks on, like those on stdout: `12:03:04 warning: ...`.

    Local time, no module; the level where it is more than news.
    """

    def __init__(self) -> None:
        logging.Formatter.__init__(
            self, "%(asctime)s %(level)s%(ids)s%(message)s", defaults={"ids": ""}
        )

    def formatTime(  # noqa: N802  (logging's own name)
        self, record: logging.LogRecord, datefmt: str | None = None
    ) -> str:
        record.level = f"{record.levelname.lower()}: " if record.levelno != logging.INFO else ""
        return time.strftime("%H:%M:%S", time.localtime(record.created))


class _StderrHandler(logging.Handler):
    """Writes a line for each record.

    Args:
        write: what the writer writes with.

    Attributes:
        writer: takes the lines while it runs.
    """

    def __init__(self, write: Callable[[bytes], None]) -> None:
        super().__init__()
        self.setFormatter(TerminalFormatter() if _is_terminal() else OneLineFormatter())
        self.writer = LineWriter(write, self._said_of_dropped)

    def emit(self, record: logging.LogRecord) -> None:
        """Hand the line to the writer, or write it at once where that does not run."""
        try:
            line = f"{self.format(record)}\n"
            if not self.writer.put(line.encode("utf-8", "backslashreplace")):
                sys.stderr.write(line)  # looked up each time: a test replaces it
                sys.stderr.flush()
        except Exception:  # noqa: BLE001  # as logging has it: a record must not break the program
            self.handleError(record)

    def _said_of_dropped(self, count: int) -> bytes:
        text = "%d lines of this log were dropped: its reader is too slow"
        record = log.makeRecord(log.name, logging.WARNING, "", 0, text, (count,), None)
        return f"{self.format(record)}\n".encode()


def _is_terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()


def set_up_logging(
    level: int = logging.INFO,
    only: logging.Filter | None = None,
    write: Callable[[bytes], None] = write_to_stderr,
) -> LineWriter:
    """Sends all records to stderr: ours from `level` on, of libraries those from WARNING on alone.

    Called again it replaces its own handler and leaves those of others (a test's) alone.

    Args:
        level: the lowest that is told, of ours.
        only: what else a record must pass.
        write: takes whole lines, in the writer's thread, as `line_writer.LineWriter` has it.

    Returns: the writer of the log, for `line_writer.writing`.
    """
    root = logging.getLogger()
    for handler in root.handlers[:]:
        if isinstance(handler, _StderrHandler):
            root.removeHandler(handler)
    handler = _StderrHandler(write)
    if only is not None:
        handler.addFilter(only)
    root.addHandler(handler)
    root.setLevel(max(level, logging.WARNING))
    for name in _OURS:
        logging.getLogger(name).setLevel(level)
    if level <= FRAMES:
        log.warning("every frame is logged, which slows this program down")
    return handler.writer
