"""Measures how much of a fast and long line one stream fills, and what small things pay for it.

    python -m tests.faults.long_line RTT_MS MBIT SECONDS

as root. `make long-line` does it for 100 ms and 100 Mbit/s. A figure and no test: it changes with
what else the machine does. So a plain connection over the same line is measured first: the line
itself is a program, which at 100 Mbit/s needs most of a processor.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import trio

from tests.faults.line import connect, listen
from tests.faults.slow_line import STREAMS, Seen, Site, download, get_small, of, site
from tests.system.origin import BLOCK_BYTES, Exchange, Origin, blocks
from tests.system.peer import READ_BYTES

SETTLE_S = 2  # slow start at 100 ms takes the first
BLOCK = blocks(1, BLOCK_BYTES)[0][:READ_BYTES]


class CountingOrigin(Origin):
    """Counts what it is sent."""

    def __init__(self, seen: Seen) -> None:
        super().__init__()
        self.seen = seen
        self.routes["/count"] = self.count

    async def count(self, exchange: Exchange) -> None:
        async for data in exchange.body():
            self.seen.bulk_bytes += len(data)


async def upload(site: Site, seen: Seen) -> None:
    async with site.visit() as visitor:
        await visitor.request("/count", "POST", [("Transfer-Encoding", "chunked")])
        while True:
            await visitor.send(BLOCK)


async def plain(site: Site, seen: Seen) -> None:
    """No tunnel: one connection from home to edge."""
    listener = listen(site.line.edge, site.line.edge_ip)
    port: int = listener.socket.getsockname()[1]

    async def send() -> None:
        stream = await connect(site.line.home, site.line.edge_ip, port)
        async with stream:
            while True:
                await stream.send_all(BLOCK)

    async with listener, trio.open_nursery() as nursery:
        nursery.start_soon(send)
        async with await listener.accept() as stream:
            async for data in stream:
                seen.bulk_bytes += len(data)


async def rate_of(
    site: Site, seen: Seen, bulk: Callable[[Site, Seen], Awaitable[None]], mbit: float, s: float
) -> str:
    """In percent of the line: each of the first two seconds, and all that followed."""
    shares = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bulk, site, seen)
        for span_s in (*[1.0] * SETTLE_S, s):
            before = seen.bulk_bytes
            await trio.sleep(span_s)
            shares.append((seen.bulk_bytes - before) * 8 / 1e4 / mbit / span_s)
        nursery.cancel_scope.cancel()
    *first, then = shares
    return f"{' '.join(f'{share:.0f}' for share in first)} %, then {then:.0f} %"


async def crowd(site: Site, seen: Seen, mbit: float, s: float) -> str:
    """Eight downloads, and a small GET beside them."""
    async with trio.open_nursery() as nursery:
        for _ in range(STREAMS):
            nursery.start_soon(download, site, seen)
        nursery.start_soon(get_small, site, seen)
        await trio.sleep(SETTLE_S)
        seen.reset()
        await trio.sleep(s)
        nursery.cancel_scope.cancel()
    gets = f"GET {of(seen.gets_s, 0.5):.0f} / {of(seen.gets_s, 0.99):.0f} ms"
    return f"{seen.bulk_bytes * 8 / 1e4 / mbit / s:.0f} %; {gets}"


async def main(rtt_ms: float, mbit: float, seconds: float) -> None:
    """A line for each measure."""
    seen = Seen()
    origin = CountingOrigin(seen)
    with TemporaryDirectory() as folder:
        line_of = {"rtt_ms": rtt_ms, "up_mbit": mbit, "down_mbit": mbit}
        async with site(Path(folder), origin, **line_of) as here:
            for bulk in (plain, download, upload):
                print(bulk.__name__, await rate_of(here, seen, bulk, mbit, seconds), flush=True)
                await trio.sleep(1)
            print("eight downloads", await crowd(here, seen, mbit, seconds), flush=True)


if __name__ == "__main__":
    trio.run(main, float(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]))
