"""The client on a terminal: on a pty that is looked at by pyte, and in tmux."""

from __future__ import annotations

import os
import subprocess
import termios
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from tests.patience import PATIENCE
from tests.programs import EVENT_S, SCRIPTS, STOP_S, isolated
from tests.terminals import Terminal

CLIENT = str(SCRIPTS / "tunnel-client")
LOOK_EVERY_S = 0.05


def client_command(target: int, server: int, *flags: str) -> list[str]:
    url = f"http://127.0.0.1:{server}"
    return [CLIENT, "http", str(target), "--server", url, "--subdomain", "app", *flags]


class OnPty:
    """A client whose stdout and stderr are a terminal of so many columns and rows."""

    def __init__(self, process: trio.Process, columns: int, rows: int) -> None:
        self.process = process
        self.terminal = Terminal(columns, rows)
        self.raw = b""
        self.ended = trio.Event()
        self._news = trio.Event()

    async def read(self, reader: trio.lowlevel.FdStream) -> None:
        try:
            async for data in reader:
                self.raw += data
                self.terminal.show(bytes(data))
                self._news.set()
                self._news = trio.Event()
        except trio.BrokenResourceError:  # so it ends on Linux
            pass
        self.ended.set()

    @property
    def screen(self) -> list[str]:
        """The rows that can be seen."""
        return [row.rstrip() for row in self.terminal.screen.display]

    async def until(self, holds: Callable[[OnPty], bool]) -> None:
        """Wait until this holds of it. AssertionError: it never does."""
        with trio.move_on_after(EVENT_S):
            while not holds(self):
                await self._news.wait()
            return
        raise AssertionError("\n".join(self.terminal.lines))

    async def shows(self, text: str) -> None:
        """Wait until this can be seen, wherever a row ends."""
        await self.until(lambda shown: text in "".join(shown.screen))

    async def stop(self) -> int:
        self.process.terminate()
        with trio.fail_after(STOP_S):
            await self.ended.wait()
            return await self.process.wait()


@asynccontextmanager
async def on_pty(
    folder: Path, command: Sequence[str], columns: int, rows: int, env: Mapping[str, str]
) -> AsyncIterator[OnPty]:
    controlling, terminal = os.openpty()
    termios.tcsetwinsize(terminal, (rows, columns))
    process: trio.Process = await trio.lowlevel.open_process(
        command,
        stdin=subprocess.DEVNULL,
        stdout=terminal,
        stderr=terminal,
        env={**isolated(folder / "terminal"), "TERM": "xterm", **env},
        process_group=0,
    )
    os.close(terminal)
    async with trio.lowlevel.FdStream(controlling) as reader, trio.open_nursery() as nursery:
        program = OnPty(process, columns, rows)
        nursery.start_soon(program.read, reader)
        try:
            yield program
        finally:
            process.kill()
            with trio.CancelScope(shield=True):
                await process.wait()


class Tmux:
    """A shell in a tmux of its own."""

    def __init__(self, folder: Path, columns: int, rows: int) -> None:
        self._socket = str(folder / "tmux")
        size = ("-x", str(columns), "-y", str(rows))
        env = {**isolated(folder / "terminal"), "PS1": "$ ", "TERM": "xterm"}
        shell = ("bash", "--norc", "--noprofile")
        self._run("-f", "/dev/null", "new-session", "-d", *size, *shell, env=env)

    def _run(self, *arguments: str, env: Mapping[str, str] | None = None) -> str:
        done = subprocess.run(
            ["tmux", "-S", self._socket, *arguments],
            env=None if env is None else dict(env),
            capture_output=True,
            text=True,
            check=True,
            timeout=10 * PATIENCE,
        )
        return done.stdout

    def type(self, text: str) -> None:
        self._run("send-keys", "-l", text)

    def press(self, key: str) -> None:
        self._run("send-keys", key)

    def resize(self, columns: int, rows: int) -> None:
        self._run("resize-window", "-x", str(columns), "-y", str(rows))

    @property
    def screen(self) -> list[str]:
        """The rows that can be seen, without empty ones at the end."""
        return self._run("capture-pane", "-p").rstrip().split("\n")

    @property
    def lines(self) -> list[str]:
        """All lines, the scrollback's too, with what was wrapped joined."""
        return self._run("capture-pane", "-p", "-J", "-S", "-").rstrip().split("\n")

    async def until(self, holds: Callable[[list[str]], bool]) -> list[str]:
        """Wait until this holds of the screen; what it is then."""
        with trio.move_on_after(EVENT_S):
            while not holds(screen := self.screen):  # noqa: ASYNC110  # tmux tells of nothing
                await trio.sleep(LOOK_EVERY_S)
            return screen
        raise AssertionError("\n".join(self.lines))

    def end(self) -> None:
        self._run("kill-server")
