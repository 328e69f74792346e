from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from tests.tools.busy import LOOPS

ROOT = Path(__file__).parents[2]
BUSY = [sys.executable, "-m", "tests.tools.busy", sys.executable, "-c"]

pytestmark = pytest.mark.slow

# What the command says of itself: its patience, and the pids of what its parent started before it.
TELL = """
import os
from pathlib import Path
parent = os.getppid()
children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
loops = [pid for pid in children if int(pid) != os.getpid()]
print(os.environ["TEST_PATIENCE"], *loops, flush=True)
"""


def runs(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


async def loops_of(process: trio.Process) -> list[int]:
    assert process.stdout is not None
    said = b""
    while not said.endswith(b"\n"):
        data = await process.stdout.receive_some()
        assert data, "it has said nothing"
        said += data
    patience, *pids = said.split()
    assert patience == b"3"
    assert len(pids) == LOOPS == 4
    return [int(pid) for pid in pids]


async def start() -> trio.Process:
    """A command that runs until its stdin ends, beside the loops."""
    return await trio.lowlevel.open_process(
        [*BUSY, TELL + "os.read(0, 1)\nraise SystemExit(7)"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


async def end_of_input(process: trio.Process) -> None:
    assert process.stdin is not None
    await process.stdin.aclose()


async def test_the_loops_run_beside_the_command_and_end_with_it() -> None:
    process = await start()
    pids = await loops_of(process)
    assert all(runs(pid) for pid in pids)
    await end_of_input(process)
    assert await process.wait() == 7
    assert not any(runs(pid) for pid in pids)


async def test_sigterm_ends_the_command_and_the_loops() -> None:
    process = await start()
    pids = await loops_of(process)
    process.terminate()
    assert await process.wait() == 128 + signal.SIGTERM
    assert not any(runs(pid) for pid in pids)
    await end_of_input(process)


async def test_the_loops_end_by_themselves_when_it_is_killed() -> None:
    process = await start()
    pids = await loops_of(process)
    descriptors = [os.pidfd_open(pid) for pid in pids]
    process.kill()
    await process.wait()
    for descriptor in descriptors:
        await trio.lowlevel.wait_readable(descriptor)  # which it is once the loop has ended
        os.close(descriptor)
    await end_of_input(process)  # and the command that it left behind ends
