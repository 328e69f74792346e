"""The CPU that a client's footer costs, beside plain lines, while requests are told to it.

python -m benchmarks.terminal [--rounds N] [--seconds S] [--rate N]

Each reading is a process of its own on a pseudo-terminal of 80 by 24, whose other end is read all
the time: a report that is told so many requests a second, and nothing else. Readings of the kinds
take turns, and the table has the median of each.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import termios
import time
from typing import Final, NamedTuple

import trio

from tunnel_client.observing.events import RequestEnded, TunnelReady
from tunnel_client.observing.footer import FooterNumbers, Transfer
from tunnel_client.observing.output import output_for

KINDS: Final = ("nothing", "plain", "footer")
STEP_S: Final = 0.01


class Chosen(NamedTuple):
    plain: bool
    json: bool = False
    qr: bool = False
    target: str = "http://localhost:3000"


class SomeNumbers:
    """Numbers that are others at each redraw, as a busy client's are."""

    def __init__(self) -> None:
        self._requests = 0

    def numbers(self) -> FooterNumbers:
        self._requests += 1
        video = Transfer(b"GET", b"/video.mp4", self._requests * 10**6, 10**10, 12.3e6)
        return FooterNumbers(0.041, self._requests, 2, (video, video))


async def tell(kind: str, seconds: float, rate: int) -> float:
    """Tell so many requests a second; the CPU time that it took, in seconds."""
    output = output_for(Chosen(plain=kind == "plain"), {"TERM": "xterm"})
    if output.footer is not None:
        output.footer.sight = SomeNumbers()
    async with trio.open_nursery() as nursery:
        report = output.report()
        nursery.start_soon(report.run)
        report.tell(TunnelReady("https://brisk-otter.tunnel.example.com", "brisk-otter", "x"))
        await trio.sleep(0.5)
        began, at = time.process_time(), trio.current_time()
        told = 0
        for step in range(1, round(seconds / STEP_S) + 1):
            due = 0 if kind == "nothing" else round(step * STEP_S * rate)
            for number in range(told, due):
                path = b"/src/components/%d.js?v=1" % number
                report.tell(RequestEnded(number, b"GET", path, 200, 0, 1234, 12.3, None, 2))
            told = due
            await trio.sleep_until(at + step * STEP_S)
        taken = time.process_time() - began
        nursery.cancel_scope.cancel()
    return taken


def reading(kind: str, seconds: float, rate: int) -> float:
    """The CPU time of one process, as a part of a core."""
    controlling, terminal = os.openpty()
    termios.tcsetwinsize(terminal, (24, 80))
    arguments = ("--tell", kind, "--seconds", str(seconds), "--rate", str(rate))
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.terminal", *arguments],
        stdout=terminal,
        stderr=subprocess.PIPE,
    )
    os.close(terminal)
    try:
        while os.read(controlling, 1 << 16):
            pass
    except OSError:  # so it ends on Linux
        pass
    os.close(controlling)
    _, said = process.communicate()
    if process.returncode:
        raise SystemExit(said.decode())
    return float(said) / seconds


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rate", type=int, default=5_000)
    parser.add_argument("--tell", choices=KINDS)
    asked = parser.parse_args()
    if asked.tell:
        print(trio.run(tell, asked.tell, asked.seconds, asked.rate), file=sys.stderr)
        return
    rounds = [
        [reading(kind, asked.seconds, asked.rate) for kind in KINDS] for _ in range(asked.rounds)
    ]
    print(f"| {asked.rate} requests/s | {' | '.join(KINDS)} |")
    print("| -- | " + "--: | " * len(KINDS))
    medians = (f"{100 * statistics.median(column):.1f} %" for column in zip(*rounds, strict=True))
    print(f"| of a core | {' | '.join(medians)} |")


if __name__ == "__main__":
    main()
