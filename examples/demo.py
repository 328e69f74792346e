"""What `make demo [TARGET=3000]` runs: a tunnel-server, an app and a tunnel-client, until Ctrl-C.

    python examples/demo.py            shares demo_app.py, which stands beside this file
    python examples/demo.py TARGET     shares an app of your own

Each is a process of its own, as it would be in three terminals, and talks to this one through the
JSON lines of `--json`. They are in sessions of their own, so that a Ctrl-C reaches this process
alone, and it ends them in order: first the client, which lets go of its name, last the server. A
second one is passed on, and ends at once what they wait for; a third one kills what still runs.
"""

from __future__ import annotations

import errno
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import trio

SERVER_PORT = 8080
APP_PORT = 3000
PORTS_TRIED = 100

OWN_ADDRESSES = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))

STOP_TIMEOUT_S = 10.0  # the client and the server let requests finish for 8 s
KILLED_S = 1.0  # what was killed is gone at once

Say = Callable[[str], None]
Event = dict[str, Any]
Command = tuple[str, ...]


class Programs(NamedTuple):
    """The commands to run, without their arguments."""

    server: Command
    app: Command
    client: Command


PROGRAMS = Programs(
    server=(sys.executable, "-m", "tunnel_server"),
    app=(sys.executable, str(Path(__file__).with_name("demo_app.py"))),
    client=(sys.executable, "-m", "tunnel_client"),
)


class DemoError(Exception):
    """The demo cannot go on, for the reason that the text says."""


class Child:
    """A program that runs, and what it prints."""

    def __init__(self, name: str, process: trio.Process) -> None:
        self.name = name
        self._process = process
        self._printed = bytearray()

    async def next_line(self) -> str:
        """DemoError when the program has ended."""
        assert self._process.stdout is not None
        while b"\n" not in self._printed:
            data = await self._process.stdout.receive_some()
            if not data:
                code = await self._process.wait()
                raise DemoError(f"{self.name} has ended, with exit code {code}")
            self._printed += data
        line, _, self._printed = self._printed.partition(b"\n")
        return line.decode("utf-8", "replace")

    async def next_event(self) -> Event:
        """DemoError when the program has ended."""
        event: Event = json.loads(await self.next_line())
        return event

    async def watch(self) -> NoReturn:
        """Pass over what it prints, until it ends: DemoError."""
        while True:
            await self.next_line()

    def stop(self) -> None:
        """Ask it to end, once more if it was asked; nothing when it has."""
        self._process.terminate()

    def kill(self) -> None:
        self._process.kill()

    async def end(self, heard: Callable[[str], None]) -> None:
        """Stop it, and kill it if that takes too long; what it says meanwhile is heard."""
        self.stop()
        with trio.move_on_after(STOP_TIMEOUT_S, shield=True), suppress(DemoError):
            while True:
                heard(await self.next_line())
        self.kill()
        with trio.move_on_after(KILLED_S, shield=True):
            await self._process.wait()
        if self._process.stdout is not None:
            await trio.aclose_forcefully(self._process.stdout)


class Children:
    """The programs that run, and what each signal means to them."""

    def __init__(self) -> None:
        self._running: list[Child] = []

    @asynccontextmanager
    async def running(
        self, name: str, *command: str, heard: Callable[[str], None] = lambda line: None
    ) -> AsyncIterator[Child]:
        """A program for the length of the block; what it says as it stops is heard."""
        process = await trio.lowlevel.open_process(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, start_new_session=True
        )
        child = Child(name, process)
        self._running.append(child)
        try:
            yield child
        finally:
            await child.end(heard)
            self._running.remove(child)

    async def obey(self, signals: AsyncIterator[int], sharing: trio.CancelScope) -> None:
        """The first signal ends the sharing, the second is passed on, and others kill."""
        number = 0
        async for _ in signals:
            number += 1
            sharing.cancel()
            for child in self._running:
                if number == 2:
                    child.stop()
                elif number > 2:
                    child.kill()


def say_at_once(line: str) -> None:
    print(line, flush=True)


async def share(children: Children, target: str | None, programs: Programs, say: Say) -> None:
    """Start everything, then tell of each request until cancelled. DemoError if something ends."""
    async with AsyncExitStack() as stack, trio.open_nursery() as nursery:

        async def start(name: str, *command: str) -> Child:
            return await stack.enter_async_context(children.running(name, *command))

        port = free_port(SERVER_PORT)
        bind = f"127.0.0.1:{port}"
        if port != SERVER_PORT:
            say(f"port {SERVER_PORT} is taken: tunnel-server listens on {port}")
        server = await start("tunnel-server", *programs.server, "--bind", bind, "--json")
        while (await server.next_event())["event"] != "listening":
            pass
        nursery.start_soon(server.watch)
        if target is None:
            app = await start("the demo app", *programs.app, str(APP_PORT))
            say(line := await app.next_line())
            target = line.split()[3]  # demo app on URL
            nursery.start_soon(app.watch)
        arguments = ("http", target, "--server", f"http://{bind}", "--json")
        leads_to = target

        def tell(line: str) -> None:
            for said in lines_of(json.loads(line), leads_to):
                say(said)

        running = children.running("tunnel-client", *programs.client, *arguments, heard=tell)
        client = await stack.enter_async_context(running)
        while True:
            tell(await client.next_line())


def lines_of(event: Event, target: str) -> list[str]:
    """An event of the client, for people."""
    match event["event"]:
        case "ready":
            return [
                "",
                f"  Public URL   {event['url']}",
                f"  leads to     {target}",
                "",
                "  Open it in a browser. Ctrl-C ends everything. Requests:",
                "",
            ]
        case "request":
            said = f"{event['method']} {event['path']} {event['status'] or 'failed'}"
            said += f", {event['bytes_out']} bytes, {event['ms']:.0f} ms"
            said += f": {event['error']}" if event["error"] else ""
            # No escape sequence of a visitor's reaches the terminal.
            return [time.strftime("%H:%M:%S ") + said.encode("unicode_escape").decode()]
        case "reconnecting":
            return [f"{event['reason']}; trying again in {event['wait_s']:.1f} s"]
        case "resumed":
            return [f"resumed after {event['away_s']:.1f} s; nothing was lost"]
        case "stopping":
            requests = f"{event['under_way']} request{'s' * (event['under_way'] > 1)}"
            said = f"stopping: up to {event['wait_s']:g} s for {requests}, the oldest is"
            said += f" {event['method']} {event['path']}".encode("unicode_escape").decode()
            return [f"{said}. Ctrl-C again ends it now"]
        case "stopped":
            return [event["reason"]]
        case "refused":
            return [f"refused by the server ({event['code']}): {event['message']}"]
        case _:
            return []


def free_port(first: int) -> int:
    """The first port from there on that is free on this machine's own addresses.

    On both: a browser that asks for `localhost` may try either first.
    """
    for port in range(first, first + PORTS_TRIED):
        if all(is_free(*address, port) for address in OWN_ADDRESSES):
            return port
    raise DemoError(f"port {first} and the next {PORTS_TRIED} are taken")


def is_free(family: socket.AddressFamily, address: str, port: int) -> bool:
    try:
        with socket.create_server((address, port), family=family):
            return True
    except OSError as error:
        return error.errno != errno.EADDRINUSE  # a machine without IPv6 has nothing there


async def run(target: str | None, programs: Programs = PROGRAMS, say: Say = say_at_once) -> int:
    """Share until SIGINT, SIGTERM or SIGHUP; the exit code."""
    reason = ""
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
        try:
            async with trio.open_nursery() as nursery:
                sharing, children = trio.CancelScope(), Children()
                nursery.start_soon(children.obey, signals, sharing)
                with sharing:
                    await share(children, target, programs, say)
                nursery.cancel_scope.cancel()
        except* DemoError as errors:
            reason = str(first(errors))
    if reason:
        print(f"demo: {reason}", file=sys.stderr)
    return 1 if reason else 0


def first(errors: BaseExceptionGroup[DemoError]) -> BaseException:
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def main(argv: Sequence[str]) -> int:
    if len(argv) > 1 or any(argument.startswith("-") for argument in argv):
        print("usage: python examples/demo.py [TARGET]", file=sys.stderr)
        return 2
    try:
        return trio.run(run, argv[0] if argv else None)
    except KeyboardInterrupt:  # before it listens for signals, or after
        return 0
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # no traceback of Python's own end


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
