"""Measures how much of a fast and long line one stream fills, and what small things pay for it.

    python -m tests.faults.long_line RTT_MS MBIT SECONDS

as root. `make long-line` does it for 100 ms and 100 Mbit/s. A figure and no test: it changes with
what else the machine does. So a plain connection over the same line is measured first: the line
itself is a program, which at 100 Mbit/s needs most of a processor.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import trio

from tests.faults.lines.bulk import STREAMS, download, plain, upload
from tests.faults.lines.site import Site, Taken, open_line_site
from tests.faults.lines.small import EVERY_S, Small
from tests.faults.slow_line import watch

SETTLE_S = 2  # slow start at 100 ms takes the first
REST_S = 1

Bulk = Callable[[Taken], Awaitable[None]]
Measure = tuple[str, Callable[[Site], Bulk]]


async def rate_of(bulk: Bulk, mbit: float, s: float) -> str:
    """In percent of the line: each of the first two seconds, and all that followed."""
    taken, shares = Taken(), []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bulk, taken)
        for span_s in (*[1.0] * SETTLE_S, s):
            before = taken.total()
            await trio.sleep(span_s)
            shares.append((taken.total() - before) * 8 / 1e4 / mbit / span_s)
        nursery.cancel_scope.cancel()
    *first, then = shares
    return f"{' '.join(f'{share:.0f}' for share in first)} %, then {then:.0f} %"


async def crowd(site: Site, s: float) -> str:
    """Eight downloads, and small things beside them."""
    taken, small = Taken(), Small(site, EVERY_S)
    async with trio.open_nursery() as nursery:
        for stream in range(STREAMS):
            nursery.start_soon(download, site, stream, taken)
        nursery.start_soon(small.run)
        await trio.sleep(SETTLE_S)
        seen = await watch(taken, small, s)
        nursery.cancel_scope.cancel()
    return seen


async def main(rtt_ms: float, mbit: float, seconds: float) -> None:
    """Each measure has a line and a session of its own, but the upload that comes after a download:
    TCP remembers what its queue did to our small frames (docs/flow-control.md)."""
    measures: list[list[Measure]] = [
        [("plain", lambda site: partial(plain, site.line, "down"))],
        [("upload", lambda site: partial(upload, site, 0))],
        [
            ("download", lambda site: partial(download, site, 0)),
            ("upload after it", lambda site: partial(upload, site, 0)),
        ],
    ]
    for in_turn in measures:
        async with line_site(rtt_ms, mbit) as site:
            for name, bulk in in_turn:
                print(name, await rate_of(bulk(site), mbit, seconds), flush=True)
                await trio.sleep(REST_S)
    async with line_site(rtt_ms, mbit) as site:
        print("eight downloads", await crowd(site, seconds), flush=True)


@asynccontextmanager
async def line_site(rtt_ms: float, mbit: float) -> AsyncIterator[Site]:
    with TemporaryDirectory() as folder:
        async with open_line_site(Path(folder), rtt_ms, mbit) as site:
            yield site


if __name__ == "__main__":
    trio.run(main, float(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]))
