"""In processes of their own: what would go wrong ends the process."""

from __future__ import annotations

import subprocess
import sys

import pytest

READS_ONE = """
import os, signal, trio
from protocol.program.stop_signals import stop_signals

async def main():
    with stop_signals() as signals:
        for _ in range(4):
            os.kill(os.getpid(), signal.{name})
        print(await anext(signals) == signal.{name})
        signal.raise_signal(signal.{name})
    os.kill(os.getpid(), signal.{name})

trio.run(main)
os.kill(os.getpid(), signal.{name})
print("ends by itself")
"""

JUST_BEFORE = """
import os, signal, trio
from protocol.program.stop_signals import stop_signals

listen = trio.open_signal_receiver
def first_a_signal(*numbers):
    os.kill(os.getpid(), signal.{name})
    return listen(*numbers)
trio.open_signal_receiver = first_a_signal

async def main():
    with stop_signals() as signals:
        print(await anext(signals) == signal.{name})

trio.run(main)
print("ends by itself")
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("program", [READS_ONE, JUST_BEFORE], ids=["late", "early"])
def test_no_signal_is_lost_and_one_too_many_ends_nothing(program: str, name: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", program.format(name=name)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "True\nends by itself\n", "")
