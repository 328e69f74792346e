"""The demo as it is, with its real programs: one Ctrl-C after the other."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from tests.programs import BUG, EVENT_S, STOP_S, Address, isolated
from tests.system.origin import Origin
from tests.system.test_client_life import begin_upload
from tests.system.visitor import visit

DEMO = Path(__file__).resolve().parents[2] / "examples" / "demo.py"


AGAIN_S = 0.2


def command_line(pid: int) -> bytes:
    """The words that a process was started with; none if it is not there any more."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except FileNotFoundError:
        return b""


class Demo:
    """A demo that runs, and what it prints."""

    def __init__(self, process: trio.Process) -> None:
        self.process = process
        self.said = ""
        self._news = trio.Event()

    async def read(self) -> None:
        assert self.process.stdout is not None
        async for data in self.process.stdout:
            self.said += data.decode()
            self._news.set()
            self._news = trio.Event()

    async def says(self, pattern: str) -> re.Match[str]:
        with trio.fail_after(EVENT_S):
            while not (found := re.search(pattern, self.said)):
                await self._news.wait()
            return found

    def interrupt(self) -> None:
        self.process.send_signal(signal.SIGINT)

    async def interrupt_to_its_end(self) -> None:
        """Three times are enough, but signals that come together are one."""
        while self.process.returncode is None:
            self.interrupt()
            with trio.move_on_after(AGAIN_S):
                await self.process.wait()

    async def exit_code(self) -> int:
        with trio.fail_after(STOP_S):
            return await self.process.wait()

    def running(self, program: str) -> list[int]:
        """The process ids of its children of this name."""
        tasks = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        children = [int(each) for task in tasks for each in task.read_text().split()]
        return [each for each in children if program.encode() in command_line(each)]


@asynccontextmanager
async def a_demo(folder: Path, target: int) -> AsyncIterator[tuple[Demo, Address]]:
    process = await trio.lowlevel.open_process(
        [sys.executable, str(DEMO), str(target)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=isolated(folder / "home") | {"PYTHONUNBUFFERED": "1"},
        process_group=0,
    )
    demo = Demo(process)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(demo.read)
        try:
            url = await demo.says(r"Public URL +http://([a-z0-9-]+\.localhost):(\d+)")
            yield demo, Address(int(url[2]), url[1])
        finally:
            with trio.move_on_after(STOP_S, shield=True):
                await demo.interrupt_to_its_end()
            nursery.cancel_scope.cancel()
    assert not BUG.search(demo.said), demo.said


async def test_a_second_ctrl_c_ends_what_the_first_one_waits_for(
    tmp_path: Path, origin: Origin
) -> None:
    async with a_demo(tmp_path, origin.port) as (demo, address), visit(address) as visitor:
        await begin_upload(visitor, origin)
        demo.interrupt()
        await demo.says(r"stopping: up to 8 s for 1 request; the oldest is POST /begun")
        demo.interrupt()
        assert await demo.exit_code() == 0
        await demo.says(r"stopped by the user, 1 request cut off\n")


SWALLOWS = """
import runpy, signal, sys
from unittest import mock
def load(*_):
    try:
        signal.raise_signal(signal.SIGINT)
    except KeyboardInterrupt:
        pass  # as __del__ does, and the callback of a weak reference
sys.meta_path.insert(0, mock.Mock(spec=["find_spec"], find_spec=load))
runpy.run_path({demo!r}, run_name="__main__")
"""


def test_a_ctrl_c_while_it_loads_ends_it_though_an_import_swallows_it(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SWALLOWS.format(demo=str(DEMO)), "no such target"],
        capture_output=True,
        env=isolated(tmp_path / "home"),
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_make_starts_it_deaf_to_ctrl_c_until_its_first_line() -> None:
    """Python's own start has a traceback for it."""
    rule = (DEMO.parents[1] / "Makefile").read_text().partition("\ndemo: ")[2]
    assert rule.splitlines()[1].startswith("\t@trap '' INT; ")


@pytest.mark.parametrize("program", ["tunnel_client", "tunnel_server"])
async def test_three_end_it_also_where_a_program_hangs(
    tmp_path: Path, origin: Origin, program: str
) -> None:
    async with a_demo(tmp_path, origin.port) as (demo, _):
        (hangs,) = demo.running(program)
        os.kill(hangs, signal.SIGSTOP)
        with trio.fail_after(STOP_S):
            await demo.interrupt_to_its_end()
        assert demo.process.returncode == 0
        assert not command_line(hangs)
