"""What `make demo [TARGET=3000] [LAN=1]` runs: a tunnel-server, an app and a client, until Ctrl-C.

    python examples/demo.py            shares demo_app.py, which stands beside this file
    python examples/demo.py TARGET     shares an app of your own
    python examples/demo.py --lan      for phones and other machines of the same network

On this machine alone the public URL is under `localhost`, and whoever opens it elsewhere comes to
their own machine. With --lan the server listens on this machine's address in its network, with a
token of its own, and names come from nip.io, which resolves 192-168-1-5.nip.io to 192.168.1.5.

Each is a process of its own, as it would be in three terminals, and talks to this one through the
JSON lines of `--json`. They are in sessions of their own, so that a Ctrl-C reaches this process
alone, and it ends them in order: first the client, which lets go of its name, last the server. A
second one is passed on, and ends at once what they wait for; a third one kills what still runs.

On a terminal it draws what the client would draw there, of what that tells; and what any of them
logs goes through a terminal of the demo's own, so that it stands above the footer.
"""

from __future__ import annotations

try:
    import os
    import signal

    if __name__ == "__main__":
        # Nothing runs yet. A KeyboardInterrupt is lost where what is loaded here swallows it.
        signal.signal(signal.SIGINT, lambda *_: os._exit(0))
    import errno
    import json
    import socket
    import subprocess
    import sys
    import tempfile
    from collections.abc import AsyncIterator, Callable, Sequence
    from contextlib import AsyncExitStack, asynccontextmanager, suppress
    from datetime import UTC, datetime
    from ipaddress import ip_address
    from pathlib import Path
    from typing import Any, NamedTuple, NoReturn
    from urllib.parse import urlsplit

    import trio

    from protocol.errors import ConfigError
    from protocol.program.folders import user_state_folder
    from protocol.program.line_writer import write_to_stderr
    from tunnel_client.inspector.web.token import inspector_token
    from tunnel_client.observing.events import ClientEvent, RequestEnded, RequestOpened, event_of
    from tunnel_client.observing.footer import FooterNumbers
    from tunnel_client.observing.lines import PlainLines
    from tunnel_client.observing.output import output_for
    from tunnel_client.settings.target import Target
except KeyboardInterrupt:  # they take a tenth of a second, which is before `main`
    raise SystemExit(0) from None

LAN = "--lan"

SERVER_PORT = 8080
APP_PORT = 3000
INSPECTOR_PORT = 4040
PORTS_TRIED = 100

OWN_ADDRESSES = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))

# Nobody is there (RFC 5737): a socket that is connected to it sends nothing, and knows its way.
ELSEWHERE = ("192.0.2.1", 9)
NIP_IO = "nip.io"
NOT_OURS = (
    f"{NIP_IO}, which resolves these names, belongs to somebody else: it learns which are asked"
    " for, and could lead elsewhere. Whoever is in your network can open the address, without TLS."
)

# The server's log beside the client's lines: a newcomer reads what is wrong, and not who comes and
# goes, which the client tells. In a network the server warns of what NOT_OURS says already.
LOGS_WARNINGS = ("--log-level", "warning")
LOGS_ERRORS = ("--log-level", "error")

STOPS = (signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else []))
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


class Place(NamedTuple):
    """Where the server listens, and who may connect.

    Attributes:
        address: of this machine.
        server_flags, client_flags: what both need there, beside --bind and --server.
        note: to be said first; "": nothing.
    """

    address: str = "127.0.0.1"
    server_flags: Command = LOGS_WARNINGS
    client_flags: Command = ()
    note: str = ""


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

    async def stopped(self, heard: Callable[[str], None]) -> None:
        """Stop it, and wait until it has ended; what it says meanwhile is heard."""
        self.stop()
        with suppress(DemoError):
            while True:
                heard(await self.next_line())

    async def killed(self) -> None:
        """Kill it, if it has not ended, and let go of what it says."""
        self.kill()
        await self._process.wait()
        if self._process.stdout is not None:
            await trio.aclose_forcefully(self._process.stdout)


class Children:
    """The programs that run, and what each signal means to them.

    Args:
        log: the descriptor that they log to; None: their stderr is this program's.
    """

    def __init__(self, log: int | None = None) -> None:
        self._log = log
        self._running: list[Child] = []

    @asynccontextmanager
    async def running(
        self, name: str, *command: str, heard: Callable[[str], None] = lambda line: None
    ) -> AsyncIterator[Child]:
        """A program for the length of the block; what it says as it stops is heard."""
        process = await trio.lowlevel.open_process(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._log,
            start_new_session=True,
        )
        child = Child(name, process)
        self._running.append(child)
        try:
            yield child
        finally:
            with trio.move_on_after(STOP_TIMEOUT_S, shield=True):
                await child.stopped(heard)
            with trio.move_on_after(KILLED_S, shield=True):
                await child.killed()
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


class Shared(NamedTuple):
    """The part of the client's settings that says how it is told of."""

    target: str
    json: bool = False
    plain: bool = False
    qr: bool = False


class ToldNumbers:
    """The numbers of a client that are known by what it tells."""

    def __init__(self) -> None:
        self._requests = self._open = 0

    def heard(self, event: ClientEvent) -> None:
        if isinstance(event, RequestOpened):
            self._requests += 1
            self._open += 1
        elif isinstance(event, RequestEnded) and not event.replay:
            self._open = event.open_streams

    def numbers(self) -> FooterNumbers:
        return FooterNumbers(None, self._requests, self._open)


class Telling:
    """Tells what the client tells: on a terminal as that would, else line by line.

    Args:
        say: takes a line where there is no footer.
        tasks: where the report and the log's reader run; it outlives the programs.

    Attributes:
        log: the descriptor that the programs log to; None: their own.
    """

    def __init__(self, say: Say, tasks: trio.Nursery) -> None:
        self.say = say
        self.log: int | None = None
        self._tasks = tasks
        self._reader: trio.lowlevel.FdStream | None = None
        self._write_log: Callable[[bytes], None] = write_to_stderr  # until there is a footer
        self._drained = trio.Event()
        draws = say is say_at_once and output_for(Shared(""), os.environ).shares_log
        if draws and hasattr(os, "openpty"):
            reader, self.log = os.openpty()
            self._reader = trio.lowlevel.FdStream(reader)

    async def __aenter__(self) -> None:
        if self._reader is not None:
            self._tasks.start_soon(self._pass_on, self._reader)

    async def __aexit__(self, *error: object) -> None:
        """The programs have ended: all that they logged is told."""
        if self.log is not None:
            os.close(self.log)
            with trio.move_on_after(KILLED_S, shield=True):  # one that goes on keeps it open
                await self._drained.wait()

    @property
    def draws(self) -> bool:
        """Whether it does so on a terminal."""
        return self.log is not None

    def of(self, target: str, inspector: str | None) -> Callable[[str], None]:
        """What takes the client's lines of JSON; `inspector` is the link of that."""
        output = output_for(Shared(target), os.environ, inspector)
        if self.log is None or output.footer is None:
            return self._by_line(target)
        self._write_log = output.write_log
        report, told = output.report(), ToldNumbers()
        output.footer.sight = told
        self._tasks.start_soon(report.run)

        def tell(line: str) -> None:
            event = event_of(json.loads(line))
            if event is not None:
                told.heard(event)
                report.tell(event)

        return tell

    def _by_line(self, target: str) -> Callable[[str], None]:
        lines = PlainLines(target)

        def tell(line: str) -> None:
            event = event_of(json.loads(line))
            if event is not None:
                now = datetime.now(UTC).timestamp()
                for said in lines.text(now, event, 0).splitlines():
                    self.say(said)

        return tell

    async def _pass_on(self, reader: trio.lowlevel.FdStream) -> None:
        """Write what the programs log, whole lines at a time, until the last of them has ended."""
        rest = b""
        async with reader:
            with suppress(trio.BrokenResourceError):  # so a terminal ends that nobody writes to
                async for data in reader:
                    lines, end, rest = (rest + data).replace(b"\r\n", b"\n").rpartition(b"\n")
                    if end:
                        await trio.to_thread.run_sync(self._write_log, lines + end)
            if rest:
                await trio.to_thread.run_sync(self._write_log, rest + b"\n")
        self._drained.set()


async def share(
    children: Children, target: str | None, programs: Programs, telling: Telling, place: Place
) -> None:
    """Start everything, then tell of each request until cancelled. DemoError if something ends."""
    say = telling.say
    async with AsyncExitStack() as stack, trio.open_nursery() as nursery:

        async def start(name: str, *command: str) -> Child:
            return await stack.enter_async_context(children.running(name, *command))

        port = free_port(SERVER_PORT, place.address)
        bind = f"{place.address}:{port}"
        if place.note:
            say(place.note)
        if port != SERVER_PORT:
            say(f"port {SERVER_PORT} is taken: tunnel-server listens on {port}")
        flags = ("--bind", bind, "--json", *place.server_flags)
        server = await start("tunnel-server", *programs.server, *flags)
        while (await server.next_event())["event"] != "listening":
            pass
        nursery.start_soon(server.watch)
        if target is None:
            app = await start("the demo app", *programs.app, str(APP_PORT))
            say(line := await app.next_line())
            target = line.split()[3]  # demo app on URL
            nursery.start_soon(app.watch)
        arguments = ["http", target, "--server", f"http://{bind}", "--json", *place.client_flags]
        link = inspector_link() if telling.draws else None
        if link is not None:
            arguments.append(f"--inspect={urlsplit(link).netloc}")
        tell = telling.of(shown(target), link)
        running = children.running("tunnel-client", *programs.client, *arguments, heard=tell)
        client = await stack.enter_async_context(running)
        while True:
            tell(await client.next_line())


def inspector_link() -> str | None:
    """The link of an inspector for the client, as one on a terminal has; None: there is no home."""
    folder = user_state_folder()
    if folder is None:
        return None
    token = inspector_token(folder)
    return f"http://127.0.0.1:{free_port(INSPECTOR_PORT)}/#t={token.text}"


def shown(target: str) -> str:
    """The app's URL, as the client writes it. DemoError: it is none that can be shared."""
    try:
        return str(Target.parse(target))
    except ConfigError as error:
        raise DemoError(str(error)) from None


def lan_address() -> str:
    """This machine's address in the network that its default route leads to. DemoError: none."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
            asked.connect(ELSEWHERE)
            address: str = asked.getsockname()[0]
    except OSError as error:
        raise DemoError(f"this machine is in no network: {error.strerror}") from None
    if ip_address(address).is_loopback:
        raise DemoError("this machine is in no network: it knows itself alone")
    return address


def in_lan(address: str, folder: Path, server: Command) -> Place:
    """A server for the network, and a token of its own. DemoError: none can be made.

    Args:
        address: of this machine.
        folder: empty, and this user's alone; in the end somebody deletes it.
        server: the command.
    """
    state = ("--state-dir", str(folder))
    made = subprocess.run(
        [*server, "token", "create", "demo", "--init", *state],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        raise DemoError(f"no token could be made: {made.stderr.strip()}")
    token_file = folder / "demo.token"
    token_file.touch(mode=0o600)
    token_file.write_text(made.stdout)
    domain = f"{address.replace('.', '-')}.{NIP_IO}"
    # The client is on the same machine: nothing of the token is seen by the network.
    return Place(
        address,
        ("--domain", domain, *LOGS_ERRORS, *state),
        ("--token-file", str(token_file), "--insecure-server"),
        NOT_OURS,
    )


def free_port(first: int, address: str = "127.0.0.1") -> int:
    """The first port from there on that is free on an address of this machine.

    On its own it is free on both: a browser that asks for `localhost` may try either first.
    """
    is_local = ip_address(address).is_loopback
    looked_at = OWN_ADDRESSES if is_local else ((socket.AF_INET, address),)
    for port in range(first, first + PORTS_TRIED):
        if all(is_free(*each, port) for each in looked_at):
            return port
    raise DemoError(f"port {first} and the next {PORTS_TRIED} are taken")


def is_free(family: socket.AddressFamily, address: str, port: int) -> bool:
    try:
        with socket.create_server((address, port), family=family):
            return True
    except OSError as error:
        return error.errno != errno.EADDRINUSE  # a machine without IPv6 has nothing there


async def run(
    target: str | None,
    programs: Programs = PROGRAMS,
    say: Say = say_at_once,
    place: Place = Place(),  # noqa: B008  # it never changes
) -> int:
    """Share until SIGINT, SIGTERM or SIGHUP; the exit code."""
    reason = ""
    with trio.open_signal_receiver(*STOPS) as signals:
        try:
            async with trio.open_nursery() as nursery:
                telling = Telling(say, nursery)
                sharing, children = trio.CancelScope(), Children(telling.log)
                nursery.start_soon(children.obey, signals, sharing)
                async with telling:
                    with sharing:
                        await share(children, target, programs, telling, place)
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
    words = [argument for argument in argv if argument != LAN]
    if len(words) > 1 or len(argv) - len(words) > 1 or any(word.startswith("-") for word in words):
        print(f"usage: python examples/demo.py [{LAN}] [TARGET]", file=sys.stderr)
        return 2
    target = words[0] if words else None
    try:
        return demonstrate(target) if LAN not in argv else demonstrate_in_lan(target)
    except KeyboardInterrupt:  # before it listens for signals, or after
        return 0
    finally:
        for number in STOPS:
            signal.signal(number, signal.SIG_IGN)  # no traceback of Python's own end


def demonstrate(target: str | None, place: Place = Place()) -> int:  # noqa: B008  # never changes
    return trio.run(run, target, PROGRAMS, say_at_once, place)


def demonstrate_in_lan(target: str | None) -> int:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # so that the folder is deleted
    with tempfile.TemporaryDirectory() as folder:
        try:
            place = in_lan(lan_address(), Path(folder), PROGRAMS.server)
        except DemoError as error:
            print(f"demo: {error}", file=sys.stderr)
            return 1
        return demonstrate(target, place)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
