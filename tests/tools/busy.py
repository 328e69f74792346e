"""Runs a command beside four endless loops: python -m tests.tools.busy pytest tests/system

What fails there and nowhere else waits for the wrong thing: for a time instead of an event, or for
what happened to be first so far. Its exit code is the command's. The loops end with it, whatever
happens to it, and by themselves when this program is killed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

# Twice as many as the processors of a small CI machine: each program gets a third of its time.
LOOPS: Final = 4
PATIENCE: Final = "3"
LOOP: Final = """
import os, sys
while os.getppid() == int(sys.argv[1]):
    for _ in range(1_000_000):
        pass
"""


@contextmanager
def load() -> Iterator[None]:
    """Keep the machine busy for the length of the block."""
    loops: list[subprocess.Popen[bytes]] = []
    command = [sys.executable, "-c", LOOP, str(os.getpid())]
    try:
        for _ in range(LOOPS):
            loops.append(subprocess.Popen(command, stderr=subprocess.DEVNULL))  # noqa: PERF401  # ends those that were started
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def run(command: list[str]) -> int:
    """Run it, and hand SIGTERM on; a Ctrl-C in a terminal is for the command, which gets it too."""
    suite = subprocess.Popen(command, env={**os.environ, "TEST_PATIENCE": PATIENCE})
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, frame: suite.terminate())
    return suite.wait()


if __name__ == "__main__":
    with load():
        code = run(sys.argv[1:])
    sys.exit(code if code >= 0 else 128 - code)
