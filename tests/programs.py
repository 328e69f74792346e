"""Our two programs as child processes, for the tests that want everything real.

`open_programs` gives a `Programs`: it starts `tunnel-server` and `tunnel-client` from the scripts
folder of this environment, each with state and configuration of its own under a temporary folder,
reads the events that they print, and in the end terminates what is left. Every wait has a
deadline. It fails the test when a program told of a fault of its own (a traceback, a TypeError) or
printed anything but events on stdout.
"""

from __future__ import annotations

import json
import os
import re
import signal
import ssl
import subprocess
import sysconfig
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trio

from tests.patience import PATIENCE

# The programs of this environment, whatever else is in PATH.
SCRIPTS = Path(sysconfig.get_path("scripts"))

# The start of a Python program takes half a second here, and a busy CI machine ten times that.
EVENT_S = 20 * PATIENCE
# --drain-timeout is 8 s by default; a program that stops is given that and as much again.
STOP_S = 16 * PATIENCE
# What only a fault of ours makes a program say.
BUG = re.compile(
    r"Traceback|\b(Assertion|Attribute|Index|Key|Name|Type|Value|Runtime|UnboundLocal)Error\b|Warning:"
)
# No event is nearly as long.
LINE_BYTES_MAX = 1 << 20


@dataclass(frozen=True)
class Address:
    """Where a visitor connects, and what it calls the place."""

    port: int
    host: str  # for Host and for TLS, without a port
    tls: ssl.SSLContext | None = None
    visitor: str | None = None  # the visitor's own address; None: the system's choice

    @property
    def authority(self) -> str:
        return f"{self.host}:{self.port}"


class Program:
    """A running program: its events, what it wrote to stderr, and its end."""

    def __init__(self, name: str, process: trio.Process) -> None:
        self.name = name
        self.process = process
        self.events: list[dict[str, Any]] = []
        self.stray: list[str] = []  # lines on stdout that are no event
        self.stderr = ""
        self.ended = trio.Event()  # and all that it wrote has been read
        self._next = 0  # the first event that event() has not looked at
        self._news = trio.Event()
        self._said = trio.Event()

    def __repr__(self) -> str:
        return f"<{self.name} {self.process.pid}: {self.process.returncode}, {self.events[-3:]}>"

    async def event(self, kind: str, within_s: float = EVENT_S, **fields: object) -> dict[str, Any]:
        """The next event of this kind with these fields; those before it are passed over."""
        with trio.move_on_after(within_s):
            while True:
                while self._next < len(self.events):
                    self._next += 1
                    event = self.events[self._next - 1]
                    if event["event"] == kind and fields.items() <= event.items():
                        return event
                if self.ended.is_set():
                    break
                await self._news.wait()
        raise AssertionError(f"no {kind} {fields}: {self!r}\n{self.stderr}")

    async def says(self, text: str, within_s: float = EVENT_S) -> None:
        """Wait until this stands in what it has written to stderr."""
        with trio.move_on_after(within_s):
            while text not in self.stderr:
                await self._said.wait()
            return
        raise AssertionError(f"{text!r} was not said: {self!r}\n{self.stderr}")

    async def exit_code(self, within_s: float = STOP_S) -> int:
        with trio.move_on_after(within_s):
            await self.ended.wait()
            assert self.process.returncode is not None
            return self.process.returncode
        raise AssertionError(f"still running after {within_s:g} s: {self!r}\n{self.stderr}")

    async def stop(self, within_s: float = STOP_S) -> int:
        """Ask it to stop, as a service manager does; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return await self.exit_code(within_s)

    async def kill(self) -> None:
        self.process.kill()
        await self.process.wait()

    def resident_bytes(self) -> int:
        """What it holds in memory now."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) * 1024

    def open_files(self) -> int:
        """Sockets, pipes and files that it holds now."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    async def _read(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._read_events)
            nursery.start_soon(self._read_stderr)
        await self.process.wait()
        self.ended.set()
        self._news.set()

    async def _read_events(self) -> None:
        assert self.process.stdout is not None
        rest = b""
        async with self.process.stdout as stdout:
            async for data in stdout:
                *lines, rest = (rest + data).split(b"\n")
                assert len(rest) < LINE_BYTES_MAX
                for line in lines:
                    self._take(line.decode())
        if rest:
            self.stray.append(f"{rest!r} without a line's end")

    def _take(self, line: str) -> None:
        try:
            event = json.loads(line)
            event["event"]
        except (ValueError, TypeError, KeyError):
            self.stray.append(line)
        else:
            self.events.append(event)
            self._news.set()
            self._news = trio.Event()

    async def _read_stderr(self) -> None:
        assert self.process.stderr is not None
        async with self.process.stderr as stderr:
            async for data in stderr:
                self.stderr += data.decode(errors="backslashreplace")
                self._said.set()
                self._said = trio.Event()

    async def _end(self) -> None:
        with trio.CancelScope(shield=True):
            if self.process.returncode is None:
                self.process.terminate()
            with trio.move_on_after(STOP_S):
                await self.process.wait()
            await self.kill()


@dataclass
class Tunnel:
    """A server, a client that is ready, and where a visitor finds what they share."""

    server: Program
    client: Program
    address: Address


class Programs:
    """Starts programs, and knows them all."""

    def __init__(self, folder: Path, nursery: trio.Nursery, scripts: Path) -> None:
        self.folder = folder
        self.scripts = scripts
        self.all: list[Program] = []
        self._nursery = nursery

    async def start(
        self,
        name: str,
        *arguments: str,
        home: str = "home",
        env: Mapping[str, str] | None = None,
        netns: str | None = None,
        by: Sequence[str] = (),
        pass_fds: Sequence[int] = (),
    ) -> Program:
        """Start a program, in a network namespace if one is named.

        Those with the same `home` share state and configuration. A command in `by` is given the
        program's, and runs it; it inherits the `pass_fds`.
        """
        where = ["ip", "netns", "exec", netns] if netns else [*by]
        process: trio.Process = await trio.lowlevel.open_process(
            [*where, str(self.scripts / name), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self.folder,
            env={**isolated(self.folder / home), **(env or {})},
            pass_fds=pass_fds,
            process_group=0,  # Ctrl-C in a terminal is for whoever runs them, and he ends them
        )
        program = Program(name, process)
        self.all.append(program)
        self._nursery.start_soon(program._read)
        return program

    async def server(
        self,
        *flags: str,
        bind: str = "127.0.0.1:0",
        netns: str | None = None,
        by: Sequence[str] = (),
        pass_fds: Sequence[int] = (),
    ) -> tuple[Program, int]:
        """A server that listens, and its port."""
        arguments = ("--bind", bind, "--json", *flags)
        program = await self.start(
            "tunnel-server", *arguments, netns=netns, by=by, pass_fds=pass_fds
        )
        listening = await program.event("listening")
        return program, int(listening["bind"].rpartition(":")[2])

    async def client(
        self,
        target: int | str,
        server: int | str,
        *flags: str,
        home: str = "home",
        env: Mapping[str, str] | None = None,
        netns: str | None = None,
    ) -> Program:
        """A client that was started; it may not be ready yet. An int is a port on 127.0.0.1."""
        url = f"http://127.0.0.1:{server}" if isinstance(server, int) else server
        arguments = ("http", str(target), "--server", url, "--json", *flags)
        return await self.start("tunnel-client", *arguments, home=home, env=env, netns=netns)

    async def tunnel(self, target: int | str, *client_flags: str, name: str = "app") -> Tunnel:
        """Share the app at `target` as `name`, by a server that needs no token."""
        server, port = await self.server()
        client = await self.client(target, port, "--subdomain", name, *client_flags)
        ready = await client.event("ready")
        assert ready["url"] == f"http://{name}.localhost:{port}"
        return Tunnel(server, client, Address(port, f"{name}.localhost"))

    async def _end(self) -> None:
        async with trio.open_nursery() as nursery:
            for program in self.all:
                nursery.start_soon(program._end)

    def check(self) -> None:
        """Raise AssertionError if a program said what none should ever say."""
        for program in self.all:
            assert not BUG.search(program.stderr), f"{program!r}\n{program.stderr}"
            assert not program.stray, f"{program!r}: no events: {program.stray}"

    def show(self) -> None:
        """For the reader of a failed test: pytest shows the output of those only."""
        for program in self.all:
            print(f"--- {program!r}, stderr:\n{program.stderr}")


@asynccontextmanager
async def open_programs(
    folder: Path, scripts: Path = SCRIPTS, *, shows: bool = True
) -> AsyncIterator[Programs]:
    """Programs that end with this block, terminated or after STOP_S killed.

    Args:
        folder: holds what they write.
        scripts: where they are installed.
        shows: prints in the end what they have said, for the reader of a failed test.
    """
    async with trio.open_nursery() as nursery:
        programs = Programs(folder, nursery, scripts)
        try:
            yield programs
        finally:
            with trio.CancelScope(shield=True):  # each _end has a deadline
                await programs._end()
            if shows:
                programs.show()
    programs.check()


def isolated(home: Path) -> dict[str, str]:
    """An environment of one's own: nothing of the person who runs the tests, no proxy, no token."""
    home.mkdir(exist_ok=True)
    names = ("CONFIG", "STATE", "DATA", "CACHE")
    folders = {f"XDG_{name}_HOME": str(home / name.lower()) for name in names}
    return {"HOME": str(home), "PATH": os.environ["PATH"], "LANG": "C.UTF-8", **folders}
