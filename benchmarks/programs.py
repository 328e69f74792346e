"""Programs that the benchmark starts, waits for and ends, each by its own process id."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sysconfig
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import trio

START_S = 10.0  # node with its packages takes one to two seconds here
END_S = 3.0  # from SIGTERM to SIGKILL
POLL_S = 0.02
MOST_WORDS = 200  # of a line that a program prints, for a message

# nginx and sshd are often outside a user's PATH. The node in .venv/bin is a Python wrapper: ending
# it would leave the real one running.
SEARCH_PATH = os.pathsep.join(
    folder
    for folder in [*os.environ.get("PATH", os.defpath).split(os.pathsep), "/usr/sbin"]
    if folder != sysconfig.get_path("scripts")
)


class BenchmarkError(Exception):
    """A program did not start, or a load gave no result. The text says which and why."""


def find(program: str) -> str | None:
    """The path of a program, or None where it is not installed."""
    return shutil.which(program, path=SEARCH_PATH)


def path_of(program: str) -> str:
    """As `find`, but raises BenchmarkError for a program that is not installed."""
    if found := find(program):
        return found
    raise BenchmarkError(f"{program} is not installed")


def free_port() -> int:
    """A TCP port of 127.0.0.1 that was free just now, for programs that cannot choose one.

    Another program may take it first; then the one it is for does not start.
    """
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def dying_with_us(argv: Sequence[str]) -> list[str]:
    """The command so started that it ends even where this process is killed with SIGKILL.

    The kernel's parent is the thread that starts it, so that has to be the main one: trio's threads
    end after 10 s without work. setpriv is part of util-linux, which every Debian has; without it
    only SIGKILL leaves something.
    """
    setpriv = find("setpriv")
    return [setpriv, "--pdeathsig", "TERM", "--", *argv] if setpriv else list(argv)


class Program:
    """A program in the background. Its output goes to two files, so it never waits for us."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], out: Path, err: Path) -> None:
        self.name = name
        self._process = process
        self._out = out
        self._err = err

    def __repr__(self) -> str:
        status = self._process.returncode
        state = "running" if status is None else f"ended with {status}"
        return f"<Program {self.name} pid={self.pid} {state}>"

    @property
    def pid(self) -> int:
        return self._process.pid

    async def line(self, has: str, within_s: float | None = None) -> str:
        """The first whole line of stdout or stderr that contains `has`.

        Raises BenchmarkError when the program ends or `within_s` (START_S) pass without one.
        """
        return await self._until(lambda: self._find_line(has), f"a line with {has!r}", within_s)

    async def json_line(self, key: str) -> dict[str, object]:
        """The first line that contains `"key"`, read as a JSON object. Raises as `line` does."""
        line = await self.line(f'"{key}"')
        found = json.loads(line)
        if not isinstance(found, dict):
            raise BenchmarkError(f"{self.name} printed {line!r}, which is no JSON object")
        return found

    async def lines_with(self, has: str, count: int, within_s: float) -> None:
        """Returns once so many lines contain `has`. Raises as `line` does."""

        def look() -> str | None:
            return "yes" if sum(has in line for line in self.lines()) >= count else None

        await self._until(look, f"{count} lines with {has!r}", within_s)

    async def listening(self, port: int) -> None:
        """Returns once the port of 127.0.0.1 takes connections. Raises as `line` does."""
        await self._until(lambda: "yes" if takes_connections(port) else None, f"port {port}")

    async def _until(
        self, look: Callable[[], str | None], wanted: str, within_s: float | None = None
    ) -> str:
        within_s = START_S if within_s is None else within_s
        with trio.move_on_after(within_s):
            while (found := look()) is None:
                if self._process.poll() is not None:
                    raise BenchmarkError(f"{self.name} ended early: {self._last_words()}")
                await trio.sleep(POLL_S)
            return found
        raise BenchmarkError(
            f"{self.name}: no {wanted} within {within_s:g} s; {self._last_words()}"
        )

    def lines(self) -> list[str]:
        """The whole lines of stdout, and then those of stderr, so far."""
        # What follows the last newline is not yet whole, and "" where all is.
        return [line for text in self._texts() for line in text.split("\n")[:-1]]

    def _find_line(self, has: str) -> str | None:
        return next((line for line in self.lines() if has in line), None)

    def _last_words(self) -> str:
        lines = [line for text in self._texts() for line in text.splitlines()]
        return last_words(lines) or "it printed nothing"

    def _texts(self) -> list[str]:
        return [path.read_text(errors="replace") for path in (self._out, self._err)]

    async def end(self) -> None:
        """SIGTERM, and SIGKILL after END_S; returns when it has ended."""
        if self._process.poll() is None:
            self._process.terminate()
        with trio.move_on_after(END_S):
            await self.wait()
            return
        self._process.kill()
        await self.wait()

    async def wait(self) -> None:
        """Returns when it has ended."""
        if self._process.poll() is not None:
            return
        process = os.pidfd_open(self.pid)
        try:
            await trio.lowlevel.wait_readable(process)
        finally:
            os.close(process)
        self._process.wait()


def takes_connections(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@asynccontextmanager
async def running(
    name: str, argv: Sequence[str], folder: Path, env: Mapping[str, str] | None = None
) -> AsyncIterator[Program]:
    """The program for as long as the block lasts; `folder` gets its output, and is its directory.

    `env` is added to the environment. Raises BenchmarkError where it cannot be started at all.
    """
    out, err = folder / f"{name}.out", folder / f"{name}.err"
    with out.open("wb") as stdout, err.open("wb") as stderr:
        try:
            # In this thread, see dying_with_us; it takes some milliseconds.
            process = subprocess.Popen(  # noqa: ASYNC220
                dying_with_us(argv),
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                cwd=folder,
                env={**os.environ, **(env or {})},
            )
        except OSError as error:
            raise BenchmarkError(f"{name} cannot be started: {error}") from error
    program = Program(name, process, out, err)
    try:
        yield program
    finally:
        with trio.move_on_after(2 * END_S, shield=True):
            await program.end()


async def output(argv: Sequence[str], limit_s: float) -> str:
    """What a command that ends by itself prints. Cancelled, or past `limit_s`, it is ended.

    Raises BenchmarkError when it fails or takes longer.
    """
    name = Path(argv[0]).name
    with trio.move_on_after(limit_s):
        done = await trio.run_process(
            list(argv), capture_stdout=True, capture_stderr=True, check=False
        )
        if done.returncode != 0:
            raise BenchmarkError(f"{name}: {failure(done)}")
        text: str = done.stdout.decode(errors="replace")
        return text
    raise BenchmarkError(f"{name} took longer than {limit_s:g} s")


def failure(done: subprocess.CompletedProcess[bytes]) -> str:
    if done.returncode < 0:
        return f"ended by {signal.Signals(-done.returncode).name}"
    lines = done.stderr.decode(errors="replace").splitlines()
    return last_words(lines) or f"exit status {done.returncode}"


def last_words(lines: Sequence[str]) -> str:
    """The last line that speaks of an error, or else the last with anything on it, cut short."""
    said = [line.strip() for line in lines if line.strip()]
    errors = [line for line in said if "error" in line.lower()]
    return (errors or said or [""])[-1][:MOST_WORDS]
