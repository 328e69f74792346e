"""The command `tunnel-client`, also as `python -m tunnel_client`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress

from protocol.program.line_writer import write_to_stdout
from protocol.program.process import EXIT_STOPPED, end_quietly
from tunnel_client.cli import config_from


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line (without the program's name; None: that of the process).

    Returns the exit code: 0 stopped by the user, 1 could not start, 2 bad usage or config,
    3 refused by the server, 4 gave up (--give-up-after).
    """
    try:
        config = config_from(sys.argv[1:] if argv is None else argv)
        if isinstance(config, int):
            return config
        # At once: what is loaded now, and the way to the server, take a while.
        if not config.json:
            with suppress(OSError):  # a full disk, say: see Report
                write_to_stdout(f"connecting to {config.server_url} ...\n".encode())
        # Not at the top: `--version` and `--help` need no trio.
        from tunnel_client.app import run

        return run(config)
    except KeyboardInterrupt:  # before `run` listens for signals, or after
        return EXIT_STOPPED
    finally:
        if argv is None:  # the process ends
            end_quietly()


if __name__ == "__main__":
    sys.exit(main())
