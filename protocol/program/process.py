"""What both programs are as processes: their exit codes, and the version that is installed."""

from __future__ import annotations

from typing import Final

PROGRAM: Final = "tunnel-server"

EXIT_STOPPED: Final = 0  # by the user
EXIT_FAILED: Final = 1  # could not start
EXIT_BAD_USAGE: Final = 2  # a flag or a file that is not allowed


def version() -> str:
    """The version that is installed."""
    from importlib import metadata  # it loads the parsers of e-mail, 10 ms

    return metadata.version("trio-tunnel")
