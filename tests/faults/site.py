"""A server, a client and an app, with a fault's way in between: a middlebox, or a line."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import trio

from tests.faults.app import App
from tests.faults.ledger import Ledger
from tests.faults.line import Line, connect, listen, open_line
from tests.faults.middlebox import Middlebox
from tests.patience import PATIENCE
from tests.programs import Address, Program, Programs, open_programs
from tests.system.origin import serve
from tests.system.visitor import Visitor
from tunnel_server.admin.asking import ask_one
from tunnel_server.admin.control_socket import control_place

# A silent peer is noticed after 2 s, so that a test takes seconds. The default is 30.
TIMEOUT_S = 2
# Of the middlebox, in bytes a second: slow enough that a fault finds a download in the middle.
RATE = 8e6
# Whether something has gone is asked again and again, but not for ever: status tells no news.
POLLS, POLL_S = 100 * PATIENCE, 0.1


@dataclass
class Site:
    """A tunnel, seen from the public side.

    Attributes:
        flags: of the server, for its successors.
        where: the address that visitors connect to.
    """

    programs: Programs
    server: Program
    client: Program
    app: App
    where: str
    port: int
    flags: Sequence[str]
    line: Line | None = None
    box: Middlebox | None = None
    ledger: Ledger = field(default_factory=Ledger)

    @property
    def middlebox(self) -> Middlebox:
        assert self.box is not None
        return self.box

    async def connect(self) -> trio.SocketStream:
        if self.line is None:
            return await trio.open_tcp_stream(self.where, self.port)
        return await connect(self.line.edge, self.where, self.port)

    @asynccontextmanager
    async def visit(self, name: str = "app") -> AsyncIterator[Visitor]:
        stream = await self.connect()
        try:
            yield Visitor(stream, Address(self.port, f"{name}.localhost"))
        finally:
            await trio.aclose_forcefully(stream)

    async def status(self) -> dict[str, Any]:
        """What the server says of itself, to whoever runs it: health tells strangers nothing."""
        folder = self.programs.folder / "home" / "state" / "trio-tunnel"
        bind = f"{self.where}:{self.port}"
        facts = await ask_one({bind: control_place(folder, bind)}, {"do": "status"})
        assert facts is not None, "there is no server"
        return facts

    def check_posts(self) -> None:
        """Each POST that was answered has reached the app once, and none has twice."""
        assert all(times == 1 for times in self.app.posted.values()), self.app.posted
        answered = sum(self.ledger.answered(kind) for kind in ("post", "upload"))
        assert len(self.app.posted) >= answered

    def reconnects(self) -> int:
        """How often the client told that it lost its connection."""
        return sum(event["event"] == "reconnecting" for event in self.client.events)

    def show(self) -> None:
        """What docs/reliability.md says was measured; pytest -rP prints it."""
        print(*self.ledger.lines(), sep="\n")
        print(f"{self.ledger.checked_bytes / 1e6:.1f} MB checked, {self.ledger.echoes} echoes")
        away = [event["away_s"] for event in self.client.events if event["event"] == "resumed"]
        print(f"resumed after {away} s")

    async def until_held(self) -> None:
        """Wait until the server has noticed that the client is away."""
        await eventually(
            "a session that is held", self.status, lambda facts: facts["held_sessions"]
        )

    async def start_server(self) -> None:
        """Another one on the port of the one before, which has ended."""
        bind = f"{self.where}:{self.port}"
        netns = None if self.line is None else self.line.edge
        self.server, _ = await self.programs.server(*self.flags, bind=bind, netns=netns)

    async def start_client(self, *flags: str, home: str = "home") -> Program:
        """One more, for the name `app`; it may not be ready yet.

        Args:
            home: another one than "home" makes it another owner's.
        """
        url = f"http://{self.where}:{self.port if self.box is None else self.box.port}"
        netns = None if self.line is None else self.line.home
        return await self.programs.client(
            self.app.port, url, "--subdomain", "app", *flags, home=home, netns=netns
        )


def flags_of(hold_s: int, timeout_s: int = TIMEOUT_S) -> list[str]:
    return ["--open", "--heartbeat", f"{timeout_s // 2},{timeout_s}", "--hold", f"{hold_s}"]


@asynccontextmanager
async def open_site(
    folder: Path,
    *more: str,
    hold_s: int = 60,
    timeout_s: int = TIMEOUT_S,
    rate: float = RATE,
    target: int | None = None,
    client_flags: Sequence[str] = (),
) -> AsyncIterator[Site]:
    """On loopback, with a middlebox between client and server.

    Args:
        more: flags of the server.
        rate: bytes a second that pass the middlebox, each way.
        target: port of another app than the one in this process.
    """
    flags = [*flags_of(hold_s, timeout_s), *more]
    async with trio.open_nursery() as nursery:
        app = await serve(App(), nursery)
        assert isinstance(app, App)
        async with open_programs(folder) as programs:
            server, port = await programs.server(*flags)
            box = Middlebox(partial(trio.open_tcp_stream, "127.0.0.1", port), rate)
            await box.serve(nursery)
            client = await programs.client(
                target or app.port, box.port, "--subdomain", "app", *client_flags
            )
            await client.event("ready")
            site = Site(programs, server, client, app, "127.0.0.1", port, flags, box=box)
            yield site
            site.show()
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def open_line_site(
    folder: Path, *, hold_s: int = 60, timeout_s: int = TIMEOUT_S, **line_of: float
) -> AsyncIterator[Site]:
    """Over a line between two namespaces, the client and the app at home, the rest at the edge."""
    flags = flags_of(hold_s, timeout_s)
    async with open_line(**line_of) as line, trio.open_nursery() as nursery:
        app = App()
        listener = listen(line.home)
        app.port = listener.socket.getsockname()[1]
        await nursery.start(trio.serve_listeners, app.handle, [listener])
        async with open_programs(folder) as programs:
            server, port = await programs.server(*flags, bind=f"{line.edge_ip}:0", netns=line.edge)
            url = f"http://{line.edge_ip}:{port}"
            client = await programs.client(app.port, url, "--subdomain", "app", netns=line.home)
            await client.event("ready")
            site = Site(programs, server, client, app, line.edge_ip, port, flags, line=line)
            yield site
            site.show()
        nursery.cancel_scope.cancel()


class Baseline:
    """What both programs hold while nothing is under way, to be found again after a fault."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._server_files = site.server.open_files()
        self._client_files = site.client.open_files()

    def __repr__(self) -> str:
        return f"<Baseline server {self._server_files} files, client {self._client_files}>"

    async def check(self) -> None:
        """No stream, and no descriptor more than before, be it in programs that came after them."""
        site = self._site
        site.app.gate.set()  # what waits there has not noticed that nobody wants it any more
        await no_stream(site)
        server, client = site.server.open_files, self._files_of_client
        await until("descriptors of the server", lambda: server() <= self._server_files)
        await until("descriptors of the client", lambda: client() <= self._client_files)

    def _files_of_client(self) -> int:
        """Without idle connections to the app, which are kept for a minute whatever happens."""
        return self._site.client.open_files() - self._site.app.connections


async def no_stream(site: Site) -> None:
    """The server has none open, and nothing waits or is kept for a resume."""
    await eventually("an idle server", site.status, is_idle)


def is_idle(facts: dict[str, Any]) -> bool:
    return not any(facts[what] for what in ("streams", "held_sessions", "parked_requests"))


async def eventually(
    what: str, look: Callable[[], Awaitable[dict[str, Any]]], condition: Callable[[Any], bool]
) -> None:
    facts = await look()
    for _ in range(POLLS):
        if condition(facts):
            return
        await trio.sleep(POLL_S)
        facts = await look()
    raise AssertionError(f"{what} did not come true: {facts}")


async def until(what: str, condition: Callable[[], bool]) -> None:
    for _ in range(POLLS):
        if condition():
            return
        await trio.sleep(POLL_S)
    raise AssertionError(f"{what} did not come true")
