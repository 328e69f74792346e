"""Both programs on a line: client and app at home, server and visitors at the edge."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import trio

from tests.faults.line import Line, connect, listen, open_line
from tests.programs import SCRIPTS, Address, Program, open_programs
from tests.system.origin import BLOCK_BYTES, Exchange, Origin, blocks
from tests.system.peer import READ_BYTES
from tests.system.visitor import Visitor

# As long as a line of 1 Gbit/s needs more than a minute for.
ENDLESS_BYTES = 1 << 33
ENDLESS = ("Content-Length", str(ENDLESS_BYTES))
BLOCK = blocks(1, BLOCK_BYTES)[0][:READ_BYTES]


class Taken(Counter[int]):
    """Bytes that have crossed the line and been read, by the number of their stream."""


class CountingOrigin(Origin):
    """Has bulk to send, and counts what it is sent, for each stream apart.

    Without h11 once the head is over: what reads and writes must not need the processor that the
    programs between need.
    """

    def __init__(self) -> None:
        super().__init__()
        self.taken = Taken()
        self.routes |= {"/send": self.send, "/count": self.count}

    async def send(self, exchange: Exchange) -> None:
        await exchange.head([ENDLESS])
        while True:
            await exchange.stream.send_all(BLOCK)

    async def count(self, exchange: Exchange) -> None:
        taken = self.taken  # what is still on its way when another measure begins is none of its
        await read_into(taken, exchange.number("stream"), exchange.stream)
        raise trio.BrokenResourceError("the visitor is gone")


async def read_into(taken: Taken, number: int, stream: trio.abc.ReceiveStream) -> None:
    """Count until the end. What came together with the head is not."""
    while data := await stream.receive_some(READ_BYTES):
        taken[number] += len(data)


@dataclass
class Site:
    """A tunnel over a line, seen from the public side."""

    line: Line
    port: int
    server: Program
    client: Program
    app: CountingOrigin

    @asynccontextmanager
    async def visit(self) -> AsyncIterator[Visitor]:
        stream = await connect(self.line.edge, self.line.edge_ip, self.port)
        try:
            yield Visitor(stream, Address(self.port, "app.localhost"))
        finally:
            await trio.aclose_forcefully(stream)


@asynccontextmanager
async def open_site(line: Line, folder: Path, scripts: Path = SCRIPTS) -> AsyncIterator[Site]:
    """A tunnel on a line that is there; several may share it.

    Args:
        folder: of this tunnel alone.
        scripts: the folder of the programs that it is made of.
    """
    app = CountingOrigin()
    async with trio.open_nursery() as nursery:
        listener = listen(line.home)
        app.port = listener.socket.getsockname()[1]
        await nursery.start(trio.serve_listeners, app.handle, [listener])
        async with open_programs(folder, scripts, shows=False) as programs:
            server, port = await programs.server(
                "--open", bind=f"{line.edge_ip}:0", netns=line.edge
            )
            url = f"http://{line.edge_ip}:{port}"
            client = await programs.client(app.port, url, "--subdomain", "app", netns=line.home)
            await client.event("ready")
            async with trio.open_nursery() as watching:
                for program in (server, client):
                    watching.start_soon(_must_run, program)
                yield Site(line, port, server, client, app)
                watching.cancel_scope.cancel()
        nursery.cancel_scope.cancel()


async def _must_run(program: Program) -> None:
    """Without this a measure would wait for one that has died, and see nothing."""
    await program.ended.wait()
    raise AssertionError(f"it has ended: {program!r}")


@asynccontextmanager
async def open_line_site(folder: Path, rtt_ms: float, mbit: float) -> AsyncIterator[Site]:
    """A tunnel, and a line of its own that is the same both ways."""
    async with open_line("--realtime", rtt_ms=rtt_ms, up_mbit=mbit, down_mbit=mbit) as line:
        async with open_site(line, folder) as site:
            yield site
