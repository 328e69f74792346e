"""The command `tunnel-client`, also as `python -m tunnel_client`.

Nothing is loaded with this module: a Ctrl-C in the first half second would be a traceback.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line (without the program's name; None: that of the process).

    Returns the exit code: 0 stopped by you, 1 could not start, 2 bad usage or config,
    3 refused by the server, 4 gave up (--give-up-after).
    """
    try:
        from tunnel_client.cli import config_from, say_where_to

        config = config_from(sys.argv[1:] if argv is None else argv)
        if isinstance(config, int):
            return config
        say_where_to(config)
        # Not before: `--version` and `--help` need no trio.
        from tunnel_client.app import run

        return run(config)
    except KeyboardInterrupt:  # before `run` listens for signals, or after
        return 0  # as EXIT_STOPPED
    finally:
        if argv is None:  # the process ends
            from protocol.program.process import end_quietly

            end_quietly()


if __name__ == "__main__":
    sys.exit(main())
