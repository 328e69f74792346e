"""What the command lines of the benchmarks have in common, and how they end."""

from __future__ import annotations

import argparse
import os
import platform
import re
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import trio

from benchmarks.programs import BenchmarkError

INTERRUPTED = 130  # a shell's status for a program that SIGINT has ended


def positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)


def among(text: str, known: Sequence[str]) -> list[str]:
    """Names with commas between them, each one of `known`."""
    chosen = text.split(",")
    if unknown := [name for name in chosen if name not in known]:
        allowed = ",".join(known)
        raise argparse.ArgumentTypeError(f"{','.join(unknown)}: not among {allowed}")
    return chosen


def machine() -> str:
    """The day, the machine and the Python, for the line above a table."""
    day = datetime.now(UTC).date().isoformat()
    found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    processor = found[1] if found else platform.machine()
    return f"{day}, {os.cpu_count()} cores of {processor}, Python {platform.python_version()}"


async def until_signal(run: Callable[[], Awaitable[str]]) -> int:
    """Runs and prints what it returns. After SIGINT, SIGTERM or SIGHUP ends it. The exit status."""
    status = INTERRUPTED
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
        async with trio.open_nursery() as nursery:

            async def stop_on_signal() -> None:
                await anext(signals)
                nursery.cancel_scope.cancel()

            nursery.start_soon(stop_on_signal)
            try:
                print(await run())
                status = 0
            except BenchmarkError as error:
                print(error, file=sys.stderr)
                status = 1
            nursery.cancel_scope.cancel()
    return status
