"""Measures how quick small things stay while eight downloads fill a slow line.

    python -m tests.faults.slow_line RTT_MS MBIT SECONDS

as root. `make line` does it for 40 ms and 10 Mbit/s. A figure and no test: it changes with what
else the machine does.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import trio
from wsproto.events import Message

from tests.faults.line import Line, connect, listen, open_line
from tests.programs import Address, Program, open_programs
from tests.system.origin import Origin
from tests.system.peer import WsEvents
from tests.system.visitor import Visitor

STREAMS = 8
SMALL_EVERY_S = 0.1
SETTLE_S = 2  # the start of a download, with a TCP of its own that first has to find its rate
ENDLESS_BYTES = 1 << 33


@dataclass
class Site:
    """A tunnel over a line, seen from the public side."""

    line: Line
    port: int
    server: Program
    client: Program

    @asynccontextmanager
    async def visit(self) -> AsyncIterator[Visitor]:
        stream = await connect(self.line.edge, self.line.edge_ip, self.port)
        try:
            yield Visitor(stream, Address(self.port, "app.localhost"))
        finally:
            await trio.aclose_forcefully(stream)


@dataclass
class Seen:
    """What the visitors saw: seconds that small things took, bytes that bulk brought."""

    gets_s: list[float] = field(default_factory=list)
    echoes_s: list[float] = field(default_factory=list)
    bulk_bytes: int = 0

    def reset(self) -> None:
        self.gets_s, self.echoes_s, self.bulk_bytes = [], [], 0


@asynccontextmanager
async def site(folder: Path, origin: Origin | None = None, **line_of: float) -> AsyncIterator[Site]:
    app = origin or Origin()
    async with open_line(**line_of) as line, trio.open_nursery() as nursery:
        listener = listen(line.home)
        app_port = listener.socket.getsockname()[1]
        await nursery.start(trio.serve_listeners, app.handle, [listener])
        async with open_programs(folder) as programs:
            server, port = await programs.server(
                "--open", bind=f"{line.edge_ip}:0", netns=line.edge
            )
            url = f"http://{line.edge_ip}:{port}"
            client = await programs.client(app_port, url, "--subdomain", "app", netns=line.home)
            await client.event("ready")
            yield Site(line, port, server, client)
        nursery.cancel_scope.cancel()


async def download(site: Site, seen: Seen) -> None:
    async with site.visit() as visitor:
        await visitor.request(f"/endless?size={ENDLESS_BYTES}")
        await visitor.answer()
        async for data in visitor.body():
            seen.bulk_bytes += len(data)


async def get_small(site: Site, seen: Seen) -> None:
    async with site.visit() as visitor:
        while True:
            before = trio.current_time()
            await visitor.fetch("/bytes?seed=1&size=1024")
            seen.gets_s.append(trio.current_time() - before)
            visitor.connection.start_next_cycle()
            await trio.sleep(SMALL_EVERY_S)


async def echo_small(site: Site, seen: Seen) -> None:
    async with site.visit() as visitor:
        messages = await visitor.upgrade("/ws")
        events = aiter(WsEvents(visitor.stream, messages))
        while True:
            before = trio.current_time()
            await visitor.stream.send_all(messages.send(Message(data=b"k" * 32)))
            await anext(events)
            seen.echoes_s.append(trio.current_time() - before)
            await trio.sleep(SMALL_EVERY_S)


def of(times_s: list[float], share: float) -> float:
    """The time that this share of them keeps to, in ms."""
    return 1000 * sorted(times_s)[min(int(len(times_s) * share), len(times_s) - 1)]


async def watch(site: Site, seen: Seen, seconds: float) -> str:
    """What was seen over this time; of the small things median and 99th percentile."""
    seen.reset()
    await trio.sleep(seconds)
    rate = seen.bulk_bytes / seconds
    gets = f"GET {of(seen.gets_s, 0.5):.0f} / {of(seen.gets_s, 0.99):.0f} ms"
    echoes = f"echo {of(seen.echoes_s, 0.5):.0f} / {of(seen.echoes_s, 0.99):.0f} ms"
    return f"{rate * 8 / 1e6:.2f} Mbit/s; {gets}; {echoes}"


async def main(rtt_ms: float, mbit: float, seconds: float) -> None:
    """Three spans of so many seconds each, a line for each."""
    seen = Seen()
    with TemporaryDirectory() as folder:
        async with site(Path(folder), rtt_ms=rtt_ms, up_mbit=mbit, down_mbit=mbit) as here:
            async with trio.open_nursery() as visitors:
                for _ in range(STREAMS):
                    visitors.start_soon(download, here, seen)
                visitors.start_soon(get_small, here, seen)
                visitors.start_soon(echo_small, here, seen)
                await trio.sleep(SETTLE_S)
                for _ in range(3):
                    print(await watch(here, seen, seconds), flush=True)
                visitors.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main, float(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]))
