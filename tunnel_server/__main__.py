"""The command `tunnel-server`, also as `python -m tunnel_server`.

Nothing is loaded with this module: a Ctrl-C in the first half second would be a traceback.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line (without the program's name; None: that of the process).

    Returns the exit code: 0 stopped by the user, 1 could not start, 2 bad usage or config.
    """
    try:
        from tunnel_server import cli

        return cli.main(argv)
    except KeyboardInterrupt:
        return 0  # as EXIT_STOPPED


if __name__ == "__main__":
    sys.exit(main())
