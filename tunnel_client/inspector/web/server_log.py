"""The log of the web server: its faults go to ours, each kind once a minute.

It has the shape of hypercorn's own, which would write to stderr by handlers of its own, and whose
lines about each request nobody needs here.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from typing import Final

from h11 import LocalProtocolError

log = logging.getLogger(__name__)

SILENT_S: Final = 60.0
_KINDS_MAX: Final = 100  # the message and the exception's type make a kind, and both are code's own


_OUT_OF_TURN: Final = "a program that asked the inspector something sent more before its answer"


class ServerLog:
    """See above.

    Args:
        clock: in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._told: dict[str, float] = {}

    def __repr__(self) -> str:
        return f"<ServerLog {len(self._told)} kinds told>"

    def fault(self, level: int, message: str) -> None:
        """Log this, with the exception that is handled just now, unless its kind was logged.

        Where hypercorn may not answer as it would, since a peer sent something before its 101, one
        line says so.
        """
        error = sys.exception()
        if isinstance(_first_of(error), LocalProtocolError):
            level, message, error = logging.WARNING, _OUT_OF_TURN, None
        kind = f"{message} {type(error).__name__}"
        now = self._clock()
        if self._told.get(kind, -SILENT_S) > now - SILENT_S:
            return
        if len(self._told) >= _KINDS_MAX:
            self._told.clear()
        self._told[kind] = now
        log.log(level, "%s", message, exc_info=error)

    # --- what hypercorn calls ---

    async def access(self, *_: object) -> None:
        """A request was answered."""

    async def debug(self, message: str, *_: object) -> None:
        """Tell nobody."""

    async def info(self, message: str, *_: object) -> None:
        """Tell nobody: that it runs is told by the client."""

    async def warning(self, message: str, *_: object) -> None:
        """Log it."""
        self.fault(logging.WARNING, message)

    async def error(self, message: str, *_: object) -> None:
        """Log it."""
        self.fault(logging.ERROR, message)

    async def exception(self, message: str, *_: object) -> None:
        """Log it, with the exception."""
        self.fault(logging.ERROR, message)

    async def critical(self, message: str, *_: object) -> None:
        """Log it."""
        self.fault(logging.ERROR, message)


def _first_of(error: BaseException | None) -> BaseException | None:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
