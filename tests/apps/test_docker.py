"""Docker's own CLI, through the tunnel to a stand-in for its daemon, as without the tunnel.

The CLI looks names up by itself, and knows no `*.localhost`. So it is sent to a port of ours by
address, from where its requests go on with the tunnel's Host; ends pass there as they come.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest
import trio

from protocol.drivers.sockets import drop
from tests.apps.docker_daemon import Daemon
from tests.patience import PATIENCE
from tests.programs import Address, Programs, isolated

DOCKER_S = 30 * PATIENCE
SWITCHED = b" 101 "
ATTACHED = ["sh", "-c", "read line; echo got $line; cat; echo bye >&2; exit 3"]

pytestmark = [pytest.mark.needs("docker"), pytest.mark.timeout(300)]


class Ran(NamedTuple):
    """What a command wrote, and its exit code."""

    stdout: bytes
    stderr: bytes
    exit_code: int


class Front:
    """A port that leads to an address, whose Host each request has behind it."""

    def __init__(self, address: Address) -> None:
        self._address = address

    async def serve(self, nursery: trio.Nursery) -> int:
        serve = partial(trio.serve_tcp, self._handle, 0, host="127.0.0.1")
        listeners: list[trio.SocketListener] = await nursery.start(serve)
        port: int = listeners[0].socket.getsockname()[1]
        self._asked = b"\r\nHost: 127.0.0.1:%d\r\n" % port
        return port

    async def _handle(self, stream: trio.SocketStream) -> None:
        behind = await trio.open_tcp_stream("127.0.0.1", self._address.port)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(relay, stream, behind, self._renamed)
                nursery.start_soon(relay, behind, stream, bytes)
        finally:
            await trio.aclose_forcefully(behind)

    def _renamed(self, data: bytes) -> bytes:
        """The CLI writes each head in one piece."""
        host = b"\r\nHost: %b\r\n" % self._address.authority.encode()
        return data.replace(self._asked, host, 1)


async def relay(
    source: trio.SocketStream, sink: trio.SocketStream, change: Callable[[bytes], bytes]
) -> None:
    try:
        while data := await source.receive_some():
            await sink.send_all(change(data))
        await sink.send_eof()
    except trio.BrokenResourceError:
        for stream in (source, sink):
            drop(stream, reset=True)
    except trio.ClosedResourceError:
        return


@pytest.fixture
async def daemon(nursery: trio.Nursery) -> Daemon:
    return Daemon(ATTACHED)


class Docker:
    """The CLI, and two ports by which it finds the daemon."""

    def __init__(self, folder: Path, ports: dict[str, int]) -> None:
        self._env = isolated(folder / "docker")
        self.ports = ports

    async def run(self, way: str, *arguments: str, stdin: bytes | None = None) -> Ran:
        env = {**self._env, "DOCKER_HOST": f"tcp://127.0.0.1:{self.ports[way]}"}
        with trio.fail_after(DOCKER_S):
            done = await trio.run_process(
                ["docker", *arguments],
                stdin=b"" if stdin is None else stdin,
                capture_stdout=True,
                capture_stderr=True,
                check=False,
                env=env,
            )
        return Ran(done.stdout, done.stderr, done.returncode)


@pytest.fixture
async def docker(
    tmp_path: Path, nursery: trio.Nursery, programs: Programs, daemon: Daemon
) -> Docker:
    port = await daemon.serve(nursery)
    tunnel = await programs.tunnel(port)
    front = await Front(tunnel.address).serve(nursery)
    return Docker(tmp_path, {"direct": port, "tunnel": front})


WAYS = pytest.mark.parametrize("way", ["direct", "tunnel"])


@WAYS
async def test_stdin_goes_in_and_its_end_and_stdout_comes_out(
    docker: Docker, daemon: Daemon, way: str
) -> None:
    sent = random.Random(7).randbytes(3_000_000)
    ran = await docker.run(way, "exec", "-i", "x", "cat", stdin=sent)
    assert ran == Ran(sent, b"", 0)
    [head] = daemon.upgrades
    assert head.startswith(b"POST /v1.")
    assert b"\r\nContent-Length: 29" in head


@WAYS
async def test_what_follows_the_end_of_stdin_comes_out(docker: Docker, way: str) -> None:
    ran = await docker.run(way, "exec", "-i", "x", "sh", "-c", "wc -c; echo no >&2", stdin=b"12345")
    assert (ran.stdout.strip(), ran.stderr, ran.exit_code) == (b"5", b"no\n", 0)


@WAYS
async def test_without_stdin_the_exit_code_is_the_commands(docker: Docker, way: str) -> None:
    ran = await docker.run(way, "exec", "x", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert ran == Ran(b"out\n", b"err\n", 7)


@WAYS
async def test_attach(docker: Docker, way: str) -> None:
    ran = await docker.run(way, "attach", "--sig-proxy=false", "x", stdin=b"a line\nmore\n")
    assert ran == Ran(b"got a line\nmore\n", b"bye\n", 3)
