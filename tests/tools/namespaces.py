"""Network namespaces of this machine, each with a TUN device that a program of ours answers for."""

from __future__ import annotations

import ctypes
import fcntl
import os
import struct
import subprocess

TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000
CLONE_NEWNET = 0x40000000
MTU = 1500
HOME_IP, EDGE_IP = "10.111.0.1", "10.111.0.2"
# Between the kernel and the emulator: none may be lost here, while the emulator waits for its turn.
# A second of 100 Mbit/s is 8,333 of the largest.
TX_QUEUE_PACKETS = 20_000

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


def make_side(namespace: str, own_ip: str, tcp: str) -> int:
    """Make the device of a namespace that exists; its file descriptor."""
    fd = open_tun(namespace, "wan0")
    for line in (
        f"addr add {own_ip}/24 dev wan0",
        f"link set wan0 mtu {MTU} txqueuelen {TX_QUEUE_PACKETS} up",
        "link set lo up",
    ):
        run("ip", "-n", namespace, *line.split())
    use_congestion_control(namespace, tcp)
    return fd
