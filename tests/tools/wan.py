#!/usr/bin/env python3
"""An emulated wide-area link between two network namespaces on this machine.

    wan.py --rtt 40 --up 10 --down 50 [--loss 0.001] [--queue-ms 100] [--tcp cubic] -- COMMAND ...

Makes two namespaces, `PREFIX-home` (the developer's side) and `PREFIX-edge` (the public
side), joined by one link, and runs COMMAND with WAN_HOME and WAN_EDGE set to their names,
WAN_HOME_IP and WAN_EDGE_IP to their addresses.  Start programs on either side with
`ip netns exec "$WAN_HOME" ...`.  Everything is removed when COMMAND ends.

Packets cross in user space between two TUN devices, each direction with its own rate,
delay, drop-tail queue and random loss, so the kernel's own TCP runs over it unchanged.
SIGUSR1 cuts the link (every packet is lost), SIGUSR2 restores it.

Needs root, /dev/net/tun and iproute2.  Good to about 100 Mbit/s.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import fcntl
import heapq
import os
import random
import select
import signal
import struct
import subprocess
import sys
import threading
import time

TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000
CLONE_NEWNET = 0x40000000
MTU = 1500
HOME_IP, EDGE_IP = "10.111.0.1", "10.111.0.2"

_libc = ctypes.CDLL(None, use_errno=True)


def run(*argv: str) -> None:
    subprocess.run(argv, check=True)


def open_tun(namespace: str, device: str) -> int:
    """A TUN device that lives in `namespace`; its file descriptor works from anywhere."""
    here = os.open("/proc/self/ns/net", os.O_RDONLY)
    there = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    try:
        if _libc.setns(there, CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"setns {namespace}")
        fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH", device.encode(), IFF_TUN | IFF_NO_PI))
        return fd
    finally:
        _libc.setns(here, CLONE_NEWNET)
        os.close(here)
        os.close(there)


def use_congestion_control(namespace: str, name: str) -> None:
    """A namespace may use only what the machine allows, so allow `name` there first."""
    allowed = "/proc/sys/net/ipv4/tcp_allowed_congestion_control"
    with open(allowed) as file:
        names = file.read().split()
    if name not in names:
        with open(allowed, "w") as file:
            file.write(" ".join([*names, name]))
    run(
        "ip", "netns", "exec", namespace, "sysctl", "-qw", f"net.ipv4.tcp_congestion_control={name}"
    )


class Direction:
    """One way across the link: a rate, a one-way delay, a bounded queue and loss."""

    def __init__(
        self, out: int, bits_per_second: float, delay: float, queue_seconds: float, loss: float
    ) -> None:
        self.out = out
        self.bytes_per_second = bits_per_second / 8
        self.delay = delay
        self.queue_seconds = queue_seconds
        self.loss = loss
        self.random = random.Random()
        self.free_at = 0.0  # when the link has sent everything queued so far
        self.sent = self.dropped = 0

    def accept(self, packet: bytes, now: float) -> float | None:
        """When `packet` arrives at the far end, or None where it is lost."""
        start = max(now, self.free_at)
        if start - now > self.queue_seconds or self.random.random() < self.loss:
            self.dropped += 1
            return None
        self.free_at = start + len(packet) / self.bytes_per_second
        self.sent += 1
        return self.free_at + self.delay


class Link:
    def __init__(self, routes: dict[int, Direction]) -> None:
        self.routes = routes
        self.cut = False
        self.stopping = False
        self.flying: list[tuple[float, int, int, bytes]] = []
        self.serial = 0

    def carry(self) -> None:
        poll = select.poll()
        for fd in self.routes:
            poll.register(fd, select.POLLIN)
        while not self.stopping:
            now = time.monotonic()
            wait = max(0.0, (self.flying[0][0] - now) * 1000) if self.flying else 100.0
            for fd, _ in poll.poll(min(wait, 100.0)):
                self.take_off(fd)
            self.land(time.monotonic())

    def take_off(self, fd: int) -> None:
        direction = self.routes[fd]
        for _ in range(64):
            try:
                packet = os.read(fd, MTU + 64)
            except BlockingIOError:
                return
            arrival = None if self.cut else direction.accept(packet, time.monotonic())
            if arrival is not None:
                self.serial += 1
                heapq.heappush(self.flying, (arrival, self.serial, direction.out, packet))

    def land(self, now: float) -> None:
        while self.flying and self.flying[0][0] <= now:
            _, _, out, packet = heapq.heappop(self.flying)
            if not self.cut:
                # The far device's queue may be full: then it is lost, as on a real link.
                with contextlib.suppress(OSError):
                    os.write(out, packet)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument(
        "--rtt", type=float, default=40, metavar="MS", help="round-trip time (default 40)"
    )
    parser.add_argument(
        "--up", type=float, default=10, metavar="MBIT", help="home to edge (default 10)"
    )
    parser.add_argument(
        "--down", type=float, default=50, metavar="MBIT", help="edge to home (default 50)"
    )
    parser.add_argument(
        "--loss", type=float, default=0.0, metavar="P", help="chance that a packet is lost"
    )
    parser.add_argument(
        "--queue-ms", type=float, default=100, metavar="MS", help="queue before drops (default 100)"
    )
    parser.add_argument(
        "--tcp",
        default="cubic",
        metavar="NAME",
        help="congestion control at both ends (default cubic)",
    )
    parser.add_argument("--prefix", default=f"wan{os.getpid()}")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    args = parser.parse_args()
    command = args.command[1:] if args.command[:1] == ["--"] else args.command
    if not command:
        parser.error("no command")

    home, edge = f"{args.prefix}-home", f"{args.prefix}-edge"
    made: list[str] = []
    try:
        fds = {}
        for namespace, own in ((home, HOME_IP), (edge, EDGE_IP)):
            run("ip", "netns", "add", namespace)
            made.append(namespace)
            fds[namespace] = open_tun(namespace, "wan0")
            for line in (
                f"addr add {own}/24 dev wan0",
                f"link set wan0 mtu {MTU} up",
                "link set lo up",
            ):
                run("ip", "-n", namespace, *line.split())
            use_congestion_control(namespace, args.tcp)
        delay, queue = args.rtt / 2000, args.queue_ms / 1000
        link = Link(
            {
                fds[home]: Direction(fds[edge], args.up * 1e6, delay, queue, args.loss),
                fds[edge]: Direction(fds[home], args.down * 1e6, delay, queue, args.loss),
            }
        )
        signal.signal(signal.SIGUSR1, lambda *_: setattr(link, "cut", True))
        signal.signal(signal.SIGUSR2, lambda *_: setattr(link, "cut", False))
        carrier = threading.Thread(target=link.carry, daemon=True)
        carrier.start()
        environment = dict(
            os.environ,
            WAN_HOME=home,
            WAN_EDGE=edge,
            WAN_HOME_IP=HOME_IP,
            WAN_EDGE_IP=EDGE_IP,
            WAN_PID=str(os.getpid()),
        )
        code = subprocess.run(command, env=environment).returncode
        link.stopping = True
        carrier.join(1)
        return code
    finally:
        for namespace in made:
            subprocess.run(["ip", "netns", "del", namespace])


if __name__ == "__main__":
    sys.exit(main())
