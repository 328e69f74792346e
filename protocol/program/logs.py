"""Logging of both programs: one handler, on stderr, and records that say whose they are.

    2025-11-21T10:24:03.123Z INFO tunnel_server.tunnels.control: session 4f1c9a03: bob is online

Times are UTC. A record is one line: what visitors and peers send ends up in messages, so control
characters are escaped there, and can neither start a line of their own nor move a terminal's
cursor. Only a traceback, which is ours, stands on lines of its own.
"""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from typing import Final, TextIO

from protocol import FRAMES
from protocol.program.text import printable

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
        moment = datetime.fromtimestamp(record.created, UTC)
        return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  (logging's own name)
        return printable(super().formatMessage(record))


class _StderrHandler(logging.StreamHandler[TextIO]):
    """Looks sys.stderr up for each record, so that whoever replaces it gets what follows."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)  # StreamHandler's own would set the stream once and for all

    @property
    def stream(self) -> TextIO:  # type: ignore[override]  # an attribute there; nobody sets it here
        return sys.stderr


def set_up_logging(level: int = logging.INFO) -> None:
    """Sends all records to stderr: ours from `level` on, of libraries those from WARNING on alone.

    Called again it replaces its own handler and leaves those of others (a test's) alone.
    """
    root = logging.getLogger()
    for handler in root.handlers[:]:
        if isinstance(handler, _StderrHandler):
            root.removeHandler(handler)
    handler = _StderrHandler()
    handler.setFormatter(OneLineFormatter())
    root.addHandler(handler)
    root.setLevel(max(level, logging.WARNING))
    for name in _OURS:
        logging.getLogger(name).setLevel(level)
    if level <= FRAMES:
        log.warning("every frame is logged, which slows this program down")
