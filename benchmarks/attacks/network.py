"""Two networks of this process's own, with a cable between: the server's, and everybody else's.

Loopback is never counted, and a benchmark must not meddle with the machine's own interfaces. So as
root this process moves into a network namespace of its own, with thousands of addresses, and starts
the server in another. They have no names: they are gone with the last program in them, however
that ends.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Sequence

from benchmarks.programs import path_of

CLONE_NEWNET = 0x40000000
SERVER_IP, OUR_IP = "10.77.0.1", "10.77.0.2"
CABLE = 18  # bits of the network that both are in
# Every one of them is ours, and is bound to at will. The server has a route to them, since it may
# have no more than 1,024 neighbours.
VISITORS = "10.77.64.0/18"

_libc = ctypes.CDLL(None, use_errno=True)


class Network:
    """Where the server runs.

    Args:
        server_ip: what it listens on.
        our_ip: what it sees of us where we choose no address.
        namespace: a path; None: it is ours.
    """

    def __init__(self, server_ip: str, our_ip: str, namespace: str | None = None) -> None:
        self.server_ip = server_ip
        self.our_ip = our_ip
        self.namespace = namespace

    def __repr__(self) -> str:
        return f"<Network of {self.server_ip}, {self.namespace or 'ours'}>"

    def of_server(self, argv: Sequence[str]) -> list[str]:
        """The command so that it runs where the server is."""
        if self.namespace is None:
            return list(argv)
        return [path_of("nsenter"), f"--net={self.namespace}", *argv]


LOOPBACK = Network("127.0.0.1", "127.0.0.1")


def can_have_addresses() -> bool:
    """Whether this process may make networks."""
    return os.geteuid() == 0


def made_networks() -> Network:
    """Move this process into a network of its own; the server's is another.

    Call it in the main thread, before there are others. Raises OSError where it may not.
    """
    _unshare()
    fd = os.open("/proc/self/ns/net", os.O_RDONLY)
    server = f"/proc/{os.getpid()}/fd/{fd}"
    _unshare()
    for line in (
        f"link add visitors type veth peer name server netns {server}",
        "link set lo up",
        f"addr add {OUR_IP}/{CABLE} dev visitors",
        "link set visitors up",
        f"route add local {VISITORS} dev lo",
    ):
        _run("ip", *line.split())
    network = Network(SERVER_IP, OUR_IP, server)
    for line in (
        "link set lo up",
        f"addr add {SERVER_IP}/{CABLE} dev server",
        "link set server up",
        f"route add {VISITORS} via {OUR_IP}",
    ):
        _run(*network.of_server(["ip", *line.split()]))
    return network


def _unshare() -> None:
    if _libc.unshare(CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "unshare")


def _run(*argv: str) -> None:
    subprocess.run(argv, check=True)
