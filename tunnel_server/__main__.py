"""The command `tunnel-server`, also as `python -m tunnel_server`."""

from __future__ import annotations

import sys

from tunnel_server.cli import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
