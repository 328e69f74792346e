"""Both programs as processes: exit codes, the installed version, collecting garbage."""

from __future__ import annotations

import gc
from typing import Final

EXIT_STOPPED: Final = 0  # by the user
EXIT_FAILED: Final = 1  # could not start
EXIT_BAD_USAGE: Final = 2  # a flag, a variable or a file that is not allowed
EXIT_REFUSED: Final = 3  # by the server, for good
EXIT_GAVE_UP: Final = 4  # no connection for as long as --give-up-after says


def version() -> str:
    """The version that is installed."""
    from importlib import metadata  # it loads the parsers of e-mail, 10 ms

    return metadata.version("trio-tunnel")


def collect_rarely() -> None:
    """Collect circular garbage less often, once all is imported.

    What is imported lives for ever; and a tunnel makes garbage, but hardly any in circles. The
    usual 700 objects between collections cost 3 % of a request.
    """
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
