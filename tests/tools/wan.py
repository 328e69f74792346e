#!/usr/bin/env python3
"""An emulated wide-area link between two network namespaces on this machine.

    python -m tests.tools.wan --rtt 40 --up 10 --down 50 [--loss 0.001] [--queue-ms 100]
        [--jitter 0] [--jitter-every 20] [--stall] [--seed 1] [--plan FILE] [--tcp cubic]
        -- COMMAND ...

Makes two namespaces, `PREFIX-home` (the developer's side) and `PREFIX-edge` (the public
side), joined by one link, and runs COMMAND with WAN_HOME and WAN_EDGE set to their names,
WAN_HOME_IP and WAN_EDGE_IP to their addresses.  Start programs on either side with
`ip netns exec "$WAN_HOME" ...`.  Everything is removed when COMMAND ends.

Packets cross in user space between two TUN devices, each direction with its own rate,
delay, drop-tail queue and weather (tests/tools/link.py), so the kernel's own TCP runs over
it unchanged.  SIGUSR1 cuts the link (every packet is lost), SIGUSR2 restores it, SIGHUP
begins plan and weather anew.

Needs root, /dev/net/tun and iproute2.  Good to about 100 Mbit/s.
"""

from __future__ import annotations

import argparse
import contextlib
import heapq
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path

from tests.tools.link import Direction, Plan, PlanError, Stretch, Weather, read_plan
from tests.tools.namespaces import EDGE_IP, HOME_IP, MTU, make_side, run

CONTROL_BYTES = 4096


class Link:
    """Reads packets from each device, and writes them to the other when they arrive.

    Args:
        routes: a device, the one that its packets go to, and the way between.
        seed: of the weather, to begin with.
        realtime: goes before all other programs when a packet is due.
        control: a socket; each line `begin SEED` or `counts` is answered by what was counted
            since the last beginning, in one line of JSON. None: there is none.
    """

    def __init__(
        self,
        routes: dict[int, tuple[int, Direction]],
        seed: str,
        realtime: bool,
        control: int | None,
    ) -> None:
        self.routes = routes
        self.realtime = realtime
        self.seed = seed
        self.control = control
        self.cut = False
        self.begins = False  # asked for by a signal
        self.stopping = False
        self.flying: list[tuple[float, int, int, bytes]] = []
        self.serial = 0

    def __repr__(self) -> str:
        return f"<Link {len(self.flying)} packets{', cut' if self.cut else ''}, {self.routes}>"

    def carry(self) -> None:
        if self.realtime:  # of this thread alone, which the command does not inherit
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        poll = select.poll()
        for fd in (*self.routes, *([] if self.control is None else [self.control])):
            poll.register(fd, select.POLLIN)
        while not self.stopping:
            now = time.monotonic()
            wait = max(0.0, (self.flying[0][0] - now) * 1000) if self.flying else 100.0
            for fd, _ in poll.poll(min(wait, 100.0)):
                if fd in self.routes:
                    self.take_off(fd)
                elif not self.obey(fd):
                    poll.unregister(fd)
            self.land(time.monotonic())
            if self.begins:
                self.begin()

    def take_off(self, fd: int) -> None:
        out, direction = self.routes[fd]
        for _ in range(64):
            try:
                packet = os.read(fd, MTU + 64)
            except BlockingIOError:
                return
            arrival = None if self.cut else direction.accept(len(packet), time.monotonic())
            if arrival is not None:
                self.serial += 1
                heapq.heappush(self.flying, (arrival, self.serial, out, packet))

    def land(self, now: float) -> None:
        while self.flying and self.flying[0][0] <= now:
            _, _, out, packet = heapq.heappop(self.flying)
            if not self.cut:
                # The far device's queue may be full: then it is lost, as on a real link.
                with contextlib.suppress(OSError):
                    os.write(out, packet)

    def begin(self) -> None:
        self.begins = False
        now = time.monotonic()
        for name, (_, direction) in zip("ud", self.routes.values(), strict=True):
            direction.begin(f"{self.seed}{name}", now)

    def obey(self, fd: int) -> bool:
        """Do what the control says; False once nobody is there any more."""
        said = os.read(fd, CONTROL_BYTES).decode()
        for line in said.splitlines():
            up, down = (asdict(direction.counts) for _, direction in self.routes.values())
            order, _, seed = line.partition(" ")
            if order == "begin":
                self.seed = seed
                self.begin()
            os.write(fd, json.dumps({"up": up, "down": down}).encode() + b"\n")
        return bool(said)


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])

    def number(flag: str, default: float, metavar: str, meaning: str) -> None:
        said = f"{meaning} (default {default:g})"
        parser.add_argument(flag, type=float, default=default, metavar=metavar, help=said)

    number("--rtt", 40, "MS", "round-trip time")
    number("--up", 10, "MBIT", "home to edge")
    number("--down", 50, "MBIT", "edge to home")
    number("--loss", 0, "P", "chance that a packet is lost")
    number("--queue-ms", 100, "MS", "queue before drops")
    number(
        "--jitter",
        0,
        "MS",
        "added to each way's delay, exponential with this mean; since packets stay in order and"
        " held ones leave at most at four times the rate, what they see is about 1.6 times this"
        " in the mean",
    )
    number("--jitter-every", 20, "MS", "how long one draw of the jitter holds")
    parser.add_argument(
        "--stall",
        action="store_true",
        help="sending itself stands still for a draw of the jitter, at the start of each interval,"
        " so that rate is lost and the queue grows",
    )
    parser.add_argument("--seed", default="1", help="of loss and jitter: the same weather")
    parser.add_argument(
        "--plan",
        metavar="FILE",
        help="what the line is in turn, instead of --rtt, --up and --down: lines of SECONDS RTT_MS"
        " MBIT, for both directions, again and again",
    )
    parser.add_argument(
        "--tcp",
        default="cubic",
        metavar="NAME",
        help="congestion control at both ends (default cubic)",
    )
    parser.add_argument(
        "--realtime",
        action="store_true",
        help="goes before all other programs when a packet is due, as a line does",
    )
    parser.add_argument("--control", type=int, metavar="FD", help="an inherited socket; see Link")
    parser.add_argument("--prefix", default=f"wan{os.getpid()}")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    return parser


def directions(args: argparse.Namespace, now: float) -> list[Direction]:
    """Both ways, that from home first. Raises PlanError or OSError for a plan that is none."""
    weather = Weather(args.loss, args.jitter / 1000, args.jitter_every / 1000, args.stall)
    if args.plan is not None:
        plan = read_plan(Path(args.plan).read_text())
        plans = [plan, plan]
    else:
        plans = [
            Plan([Stretch(1.0, args.rtt / 1000, mbit * 1e6 / 8)]) for mbit in (args.up, args.down)
        ]
    return [
        Direction(plan, args.queue_ms / 1000, weather, f"{args.seed}{name}", now)
        for name, plan in zip("ud", plans, strict=True)
    ]


def beside(link: Link, home: str, edge: str, command: list[str]) -> int:
    """Run the command while the link carries; its exit code."""
    signal.signal(signal.SIGUSR1, lambda *_: setattr(link, "cut", True))
    signal.signal(signal.SIGUSR2, lambda *_: setattr(link, "cut", False))
    signal.signal(signal.SIGHUP, lambda *_: setattr(link, "begins", True))
    carrier = threading.Thread(target=link.carry, daemon=True)
    carrier.start()
    names = {"WAN_HOME": home, "WAN_EDGE": edge, "WAN_HOME_IP": HOME_IP, "WAN_EDGE_IP": EDGE_IP}
    environment = {**os.environ, **names, "WAN_PID": str(os.getpid())}
    code = subprocess.run(command, env=environment).returncode
    link.stopping = True
    carrier.join(1)
    return code


def main() -> int:
    args = parser().parse_args()
    command = args.command[1:] if args.command[:1] == ["--"] else args.command
    if not command:
        parser().error("no command")
    if not args.jitter_every > 0:
        parser().error("--jitter-every is more than 0 ms")
    try:
        up, down = directions(args, time.monotonic())
    except (PlanError, OSError, UnicodeDecodeError) as error:
        parser().error(f"--plan {args.plan}: {error}")

    home, edge = f"{args.prefix}-home", f"{args.prefix}-edge"
    made: list[str] = []
    try:
        fds = []
        for namespace, own_ip in ((home, HOME_IP), (edge, EDGE_IP)):
            run("ip", "netns", "add", namespace)
            made.append(namespace)
            fds.append(make_side(namespace, own_ip, args.tcp))
        routes = {fds[0]: (fds[1], up), fds[1]: (fds[0], down)}
        return beside(Link(routes, args.seed, args.realtime, args.control), home, edge, command)
    finally:
        for namespace in made:
            subprocess.run(["ip", "netns", "del", namespace])


if __name__ == "__main__":
    sys.exit(main())
