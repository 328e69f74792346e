"""A slow, long or broken line between the developer's side and the public side.

Two network namespaces, `home` and `edge`, joined by tests/tools/wan.py. Programs are started in one
of them; a test stays where it is and makes sockets that belong to one, since that is settled when a
socket is made.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import trio

from tests.needs import needs
from tests.patience import PATIENCE
from tests.tools.namespaces import CLONE_NEWNET, EDGE_IP, HOME_IP

ROOT = Path(__file__).resolve().parents[2]
START_S = 20 * PATIENCE
CONTROL_S = 5 * PATIENCE


@dataclass(frozen=True)
class Line:
    """Where each side is; the line can be cut and restored."""

    home: str  # the namespace of the client and the app
    edge: str  # of the server and the visitors
    home_ip: str
    edge_ip: str
    pid: int
    control: trio.SocketStream

    def cut(self) -> None:
        """Every packet is lost from now on: no FIN, no RST."""
        os.kill(self.pid, signal.SIGUSR1)

    def restore(self) -> None:
        os.kill(self.pid, signal.SIGUSR2)

    async def begin(self, seed: int) -> None:
        """Plan and weather begin anew, and the counts."""
        await self._ask(f"begin {seed}")

    async def counts(self) -> dict[str, dict[str, int]]:
        """Packets sent, dropped and lost since the last beginning, by direction."""
        return await self._ask("counts")

    async def _ask(self, order: str) -> dict[str, dict[str, int]]:
        with trio.fail_after(CONTROL_S):
            await self.control.send_all(f"{order}\n".encode())
            counts: dict[str, dict[str, int]] = json.loads(await _line_of(self.control))
        return counts


@asynccontextmanager
async def open_line(
    *more: str, rtt_ms: float = 40, up_mbit: float = 10, down_mbit: float = 10
) -> AsyncIterator[Line]:
    """A line that lasts as long as the block. Up is from home to edge.

    Args:
        more: flags of tests/tools/wan.py: jitter, loss, a plan.
    """
    needs_a_line()
    rates = ["--rtt", f"{rtt_ms:g}", "--up", f"{up_mbit:g}", "--down", f"{down_mbit:g}"]
    said = 'echo "$WAN_HOME $WAN_EDGE $WAN_PID"; exec cat'  # cat ends when its stdin does
    own, others = socket.socketpair()
    with others:
        control = ["--control", f"{others.fileno()}"]
        process: trio.Process = await trio.lowlevel.open_process(
            [
                sys.executable,
                "-m",
                "tests.tools.wan",
                *rates,
                *more,
                *control,
                "--",
                "sh",
                "-c",
                said,
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            pass_fds=[others.fileno()],
            process_group=0,  # Ctrl-C is for whoever opened the line, and closes it
        )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        with trio.fail_after(START_S):
            home, edge, pid = (await _line_of(process.stdout)).split()
        own.setblocking(False)
        async with trio.SocketStream(trio.socket.from_stdlib_socket(own)) as stream:
            yield Line(home, edge, HOME_IP, EDGE_IP, int(pid), stream)
    finally:
        own.close()
        with trio.CancelScope(shield=True), trio.move_on_after(START_S):
            await process.stdin.aclose()
            await process.wait()
        process.kill()


async def _line_of(stdout: trio.abc.ReceiveStream) -> str:
    said = b""
    while not said.endswith(b"\n"):
        data = await stdout.receive_some()
        assert data, "wan.py ended"
        said += data
    return said.decode()


def needs_a_line() -> None:
    """Skips the test where no line can be made, or fails it under REQUIRE_ALL=1."""
    needs("ip")
    if os.geteuid() != 0 or not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        needs("root and /dev/net/tun")


@contextmanager
def inside(namespace: str) -> Iterator[None]:
    """Sockets made in this block belong to the namespace. Nothing may be awaited in it."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/self/ns/net", "rb") as here, open(f"/run/netns/{namespace}", "rb") as there:
        assert libc.setns(there.fileno(), CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
        try:
            yield
        finally:
            assert libc.setns(here.fileno(), CLONE_NEWNET) == 0


def listen(namespace: str, ip: str = "127.0.0.1") -> trio.SocketListener:
    """On a port of this address in the namespace."""
    with inside(namespace):
        listener = socket.create_server((ip, 0))
    listener.setblocking(False)
    return trio.SocketListener(trio.socket.from_stdlib_socket(listener))


async def connect(namespace: str, ip: str, port: int) -> trio.SocketStream:
    with inside(namespace):
        made = socket.socket()
    made.setblocking(False)
    connecting = trio.socket.from_stdlib_socket(made)
    await connecting.connect((ip, port))
    return trio.SocketStream(connecting)
