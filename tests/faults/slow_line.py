"""Measures how quick small things stay while eight downloads fill a slow line.

    python -m tests.faults.slow_line RTT_MS MBIT SECONDS

as root. `make line` does it for 40 ms and 10 Mbit/s. A figure and no test: it changes with what
else the machine does.
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import trio

from tests.faults.lines.bulk import STREAMS, download
from tests.faults.lines.site import Taken, open_line_site
from tests.faults.lines.small import ANSWERED_S, EVERY_S, Small, of

SETTLE_S = 2  # the start of a download, with a TCP of its own that first has to find its rate


async def watch(taken: Taken, small: Small, seconds: float) -> str:
    """What was seen over this time; of the small things median and 99th percentile."""
    before = taken.total()
    start = trio.current_time()
    await trio.sleep(seconds)
    rate = (taken.total() - before) / seconds
    until = start + seconds
    await small.answered(until, ANSWERED_S)
    seen = [f"{rate * 8 / 1e6:.2f} Mbit/s"]
    for name, times in (("GET", small.gets), ("echo", small.echoes)):
        took_s = times.between(start, until, trio.current_time())
        seen.append(f"{name} {of(took_s, 0.5):.0f} / {of(took_s, 0.99):.0f} ms")
    return "; ".join(seen)


async def main(rtt_ms: float, mbit: float, seconds: float) -> None:
    """Three spans of so many seconds each, a line for each."""
    with TemporaryDirectory() as folder:
        async with open_line_site(Path(folder), rtt_ms, mbit) as site:
            taken, small = Taken(), Small(site, EVERY_S)
            async with trio.open_nursery() as visitors:
                for stream in range(STREAMS):
                    visitors.start_soon(download, site, stream, taken)
                visitors.start_soon(small.run)
                await trio.sleep(SETTLE_S)
                for _ in range(3):
                    print(await watch(taken, small, seconds), flush=True)
                visitors.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main, float(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]))
