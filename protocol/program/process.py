"""What the program is called, which version it is, and what its exit codes mean."""

from __future__ import annotations

from importlib import metadata
from typing import Final

PROGRAM: Final = "tunnel-server"

EXIT_STOPPED: Final = 0  # by the user
EXIT_FAILED: Final = 1  # could not start
EXIT_BAD_USAGE: Final = 2  # a flag or a file that is not allowed


def version() -> str:
    """The version that is installed."""
    return metadata.version("trio-tunnel")
