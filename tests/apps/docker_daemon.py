"""A stand-in for Docker's daemon: what `docker exec` and `docker attach` ask, and no containers.

Commands run as processes of this machine. As the real one (API 1.41) it answers `exec` and `attach`
with a 101 to `tcp`, and sends what the command writes in packets of eight bytes more, which say
whether it is stdout or stderr.
"""

from __future__ import annotations

import json
import re
import subprocess
from functools import partial

import trio

API: bytes = b"Api-Version: 1.41\r\nOstype: linux\r\n"
SWITCH: bytes = (
    b"HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\n"
    b"Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
)
LENGTH = re.compile(rb"(?i)\r\ncontent-length: ([0-9]+)")
STDOUT, STDERR = 1, 2


class Command:
    """A command that was asked for, and how it ended."""

    def __init__(self, argv: list[str], *, takes_stdin: bool) -> None:
        self.argv = argv
        self.takes_stdin = takes_stdin
        self.exit_code: int | None = None
        self.ended = trio.Event()


class Daemon:
    """Listens, and knows one container.

    Args:
        attached: what runs in it, for `attach`.

    Attributes:
        hosts: of all requests.
        upgrades: the heads of those that asked for one.
    """

    def __init__(self, attached: list[str]) -> None:
        self.hosts: set[bytes] = set()
        self.upgrades: list[bytes] = []
        self._attached = Command(attached, takes_stdin=True)
        self._execs: dict[str, Command] = {}

    async def serve(self, nursery: trio.Nursery) -> int:
        serve = partial(trio.serve_tcp, self._handle, 0, host="127.0.0.1")
        listeners: list[trio.SocketListener] = await nursery.start(serve)
        port: int = listeners[0].socket.getsockname()[1]
        return port

    async def _handle(self, stream: trio.SocketStream) -> None:
        held = b""
        try:
            while True:
                while b"\r\n\r\n" not in held:
                    data = await stream.receive_some()
                    if not data:
                        return
                    held += data
                head, _, held = held.partition(b"\r\n\r\n")
                length = LENGTH.search(head)
                size = int(length[1]) if length else 0
                while len(held) < size:
                    held += await stream.receive_some()
                body, held = held[:size], held[size:]
                if not await self._answer(stream, head, body, held):
                    return
        except trio.BrokenResourceError:
            return

    async def _answer(
        self, stream: trio.SocketStream, head: bytes, body: bytes, behind: bytes
    ) -> bool:
        """Whether the connection goes on as HTTP."""
        method, target, _ = head.split(b" ", 2)
        path = target.partition(b"?")[0].decode().split("/")
        self.hosts.add(head.partition(b"\r\nHost: ")[2].partition(b"\r\n")[0])
        match path[-3:]:
            case [*_, "_ping"]:
                await send(stream, b"OK" if method == b"GET" else b"", length=2)
            case [*_, "version"]:
                await send_json(stream, {"ApiVersion": "1.41", "Version": "20.10"})
            case ["containers", "x", "json"]:
                state = {"Running": True, "Status": "running"}
                config = {"Tty": False, "OpenStdin": True, "AttachStdin": True}
                said = {"Id": "x", "Name": "/x", "State": state, "Config": config}
                await send_json(stream, said)
            case ["containers", "x", "exec"]:
                asked = json.loads(body)
                name = f"e{len(self._execs)}"
                self._execs[name] = Command(asked["Cmd"], takes_stdin=asked["AttachStdin"])
                await send_json(stream, {"Id": name}, b"201 Created")
            case ["exec", name, "start"]:
                assert json.loads(body)["Detach"] is False
                await self._run(stream, head, self._execs[name], behind)
                return False
            case ["containers", "x", "attach"]:
                await self._run(stream, head, self._attached, behind)
                return False
            case ["exec", name, "json"]:
                code = self._execs[name].exit_code
                await send_json(stream, {"ID": name, "Running": code is None, "ExitCode": code})
            case ["containers", "x", "wait"]:
                await self._wait(stream)
            case _:
                await send_json(stream, {"message": "not here"}, b"404 Not Found")
        return True

    async def _wait(self, stream: trio.SocketStream) -> None:
        """The head at once, and the body when the container has ended."""
        await stream.send_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        await self._attached.ended.wait()
        said = json.dumps({"StatusCode": self._attached.exit_code}).encode()
        await stream.send_all(b"%x\r\n%b\r\n0\r\n\r\n" % (len(said), said))

    async def _run(
        self, stream: trio.SocketStream, head: bytes, command: Command, behind: bytes
    ) -> None:
        self.upgrades.append(head)
        assert b"\r\nUpgrade: tcp" in head, head
        await stream.send_all(SWITCH)
        process: trio.Process = await trio.lowlevel.open_process(
            command.argv,
            stdin=subprocess.PIPE if command.takes_stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(take_stdin, stream, process, behind)
                turns = trio.Lock()
                async with trio.open_nursery() as writing:
                    writing.start_soon(send_packets, stream, turns, STDOUT, process.stdout)
                    writing.start_soon(send_packets, stream, turns, STDERR, process.stderr)
                command.exit_code = await process.wait()
                nursery.cancel_scope.cancel()
        finally:
            process.kill()
            command.ended.set()


async def take_stdin(stream: trio.SocketStream, process: trio.Process, behind: bytes) -> None:
    """To the end of the visitor's direction, which ends the command's stdin."""
    data = behind
    if process.stdin is None:
        return
    async with process.stdin as stdin:
        while data or (data := bytes(await stream.receive_some())):
            try:
                await stdin.send_all(data)
            except trio.BrokenResourceError:
                return
            data = b""


async def send_packets(
    stream: trio.SocketStream,
    turns: trio.Lock,
    number: int,
    output: trio.abc.ReceiveStream | None,
) -> None:
    assert output is not None
    async with output:
        async for data in output:
            size = len(data).to_bytes(4, "big")
            async with turns:
                await stream.send_all(bytes([number, 0, 0, 0]) + size + data)


async def send_json(stream: trio.SocketStream, said: object, status: bytes = b"200 OK") -> None:
    await send(stream, json.dumps(said).encode(), status)


async def send(
    stream: trio.SocketStream, body: bytes, status: bytes = b"200 OK", length: int | None = None
) -> None:
    size = len(body) if length is None else length
    head = b"HTTP/1.1 %b\r\nContent-Type: application/json\r\n%bContent-Length: %d\r\n\r\n"
    await stream.send_all(head % (status, API, size) + body)
