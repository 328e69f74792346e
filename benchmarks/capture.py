"""What capture costs the client: GETs, echoes and downloads with it and without, in one process.

    .venv/bin/python -m benchmarks.capture [--pairs N] [--before DIR]

A visitor in memory, the real dispatcher, and an app at the other end of a socket pair share one
process, so that its processor time is what a request costs. `--before` names a checkout without
taps, which is compared with capture off, in processes of their own.
"""

from __future__ import annotations

import argparse
import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median, quantiles
from typing import Final

import trio

from protocol.drivers.latch import Latch
from protocol.drivers.tcp import TcpStream
from protocol.http.fields import Fields
from protocol.mux.messages import Head, Open
from protocol.program.process import collect_rarely
from tunnel_client.origin.dial import Dialer, OriginStream
from tunnel_client.origin.dispatch import Dispatcher
from tunnel_client.settings.target import Target

ROOT: Final = Path(__file__).resolve().parent.parent
COUNTS: Final = {"gets": 400, "echo": 800, "download": 8}  # of one block
# Blocks until the store is full: before that each new page of memory is a fault, of 2 us here.
WARM_UPS: Final = {"gets": 30, "echo": 10, "download": 6}
WARMED_BY: Final = 8  # of a block so much goes before it, uncounted
BLOCKS_ALONE: Final = 10
PAIRS_ALONE: Final = 7
DOWNLOAD_BYTES: Final = 8 * 1024 * 1024
AT_ONCE: Final = 8
LIMITS: Final = {"gets": 1.10, "echo": 1.10, "download": 1.05}
OFF_LIMIT: Final = 1.02

NAMES: Final = (
    *(b"Host", b"User-Agent", b"Accept", b"Accept-Encoding", b"Accept-Language", b"Cookie"),
    *(b"Referer", b"Sec-Fetch-Mode", b"Sec-Fetch-Site", b"Sec-Fetch-Dest", b"Cache-Control"),
    b"Pragma",
)
FIELDS: Final = tuple((name, b"some value of it, " + b"x" * 24) for name in NAMES)
KEY: Final = (b"Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZQ==")
SWITCHED: Final = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)
OK: Final = (
    b"HTTP/1.1 200 OK\r\nDate: Mon, 30 Nov 2026 16:00:00 GMT\r\nContent-Type: text/html\r\n"
    b"Cache-Control: no-cache\r\nContent-Length: %d\r\n\r\n"
)
GET_BODY: Final = b"x" * 1024
PAYLOAD: Final = b'{"type":"update","path":"/src/app"}'
FROM_VISITOR: Final = bytes([0x81, 0x80 | len(PAYLOAD)]) + b"\1\2\3\4" + PAYLOAD  # masked, in a way
FROM_APP: Final = bytes([0x81, len(PAYLOAD)]) + PAYLOAD
PIECE: Final = bytes(65536)


class Visitor:
    """A request in memory: what a dispatcher asks of a stream, and as little as that costs."""

    id = 1
    visitor_connection = None
    stopped = reset_code = None
    detached = server_stops = waits_for_visitor = False
    unsent_bytes = 0
    request_progress = answer_progress = (0, None)
    trailers: Fields = ()

    def __init__(self, opened: Open, *, ended: bool = True) -> None:
        self.opened = opened
        self.on_stopped: Callable[[], None] | None = None
        self.on_gone: Callable[[], None] | None = None
        self.received = 0
        self._piece = b""
        self._ended = ended
        self._readable = Latch()
        self._got = Latch()

    def log_by(self, logger: logging.Logger) -> logging.Logger:
        return logger

    @property
    def receive_ended(self) -> bool:
        return self._ended and not self._piece

    @property
    def is_readable(self) -> bool:
        return bool(self._piece) or self._ended

    def take_some(self) -> bytes:
        piece, self._piece = self._piece, b""
        return piece

    async def receive_some(self) -> bytes:
        while not self.is_readable:
            await self.wait_readable()
        return self.take_some()

    async def wait_readable(self) -> None:
        await self._readable.wait()

    def wake_reader(self) -> None:
        self._readable.open()

    async def send_head(self, head: Head) -> None:
        await trio.lowlevel.checkpoint()

    async def send_all(self, data: bytes) -> None:
        self.received += len(data)
        self._got.open()
        await trio.lowlevel.checkpoint()

    def send_eof(self, trailers: Fields = ()) -> None:
        self._got.open()

    def reset(self, code: str, message: str = "") -> None:
        self._got.open()

    def stop_sending(self, code: str) -> None:
        pass

    def cancel(self, code: str) -> None:
        pass

    # --- what the load does ---

    def bring(self, piece: bytes, *, end: bool = False) -> None:
        self._piece, self._ended = piece, end
        self.wake_reader()

    async def wait_received(self, size: int) -> None:
        while self.received < size:
            await self._got.wait()


class PairDialer(Dialer):
    """Connects to an app in this process."""

    def __init__(self, what: str, tasks: trio.Nursery) -> None:
        super().__init__(Target.parse("http://127.0.0.1:1"))
        self._what = what
        self._tasks = tasks

    async def open(self) -> OriginStream:
        """See Dialer."""
        await trio.lowlevel.checkpoint()
        ours, theirs = (
            trio.SocketStream(trio.socket.from_stdlib_socket(end)) for end in socket.socketpair()
        )
        self._tasks.start_soon(app, theirs, self._what)
        return TcpStream(ours)


async def app(stream: trio.SocketStream, what: str) -> None:
    """Answers whatever comes, a request for each read."""
    try:
        while request := await stream.receive_some(65536):
            if what == "gets":
                await stream.send_all(OK % len(GET_BODY) + GET_BODY)
            elif what == "download":
                await stream.send_all(OK % DOWNLOAD_BYTES)
                for _ in range(DOWNLOAD_BYTES // len(PIECE)):
                    await stream.send_all(PIECE)
            elif request.startswith(b"GET"):
                await stream.send_all(SWITCHED)
            else:
                await stream.send_all(FROM_APP)
    except trio.BrokenResourceError:
        pass


class Nobody:
    """A sink."""

    def tell(self, event: object) -> None:
        pass


def an_open(kind: str, *fields: tuple[bytes, bytes]) -> Open:
    return Open(
        *(kind, 1, b"GET", b"/src/app.js?v=1", b"1.1", (*FIELDS, *fields), None, "http"),
        *("app.example", "192.0.2.1", 0),
    )


async def get(dispatcher: Dispatcher, count: int, size: int) -> None:
    for _ in range(count):
        # As the wire brings them, fields are objects of their own each time.
        visitor = Visitor(an_open("http"))
        dispatcher.serve(visitor)
        await visitor.wait_received(size)


async def echo(dispatcher: Dispatcher, count: int) -> None:
    visitor = Visitor(an_open("websocket", KEY), ended=False)
    dispatcher.serve(visitor)
    for number in range(1, count + 1):
        visitor.bring(FROM_VISITOR)
        await visitor.wait_received(number * len(FROM_APP))
    visitor.bring(b"", end=True)


async def load(dispatcher: Dispatcher, what: str, count: int) -> None:
    """So many requests or messages, AT_ONCE of them at a time."""
    each = max(1, count // AT_ONCE)
    async with trio.open_nursery() as nursery:
        for _ in range(AT_ONCE):
            if what == "echo":
                nursery.start_soon(echo, dispatcher, each)
            else:
                size = len(GET_BODY) if what == "gets" else DOWNLOAD_BYTES
                nursery.start_soon(get, dispatcher, each, size)


async def paired(what: str, pairs: int) -> tuple[list[float], list[float]]:
    """Return the processor time without capture and with it, in microseconds, of each pair.

    Blocks of the load go by two dispatchers of one process in turn, so that both see the same
    machine. What the store's task does afterwards with the block counts as well.
    """
    collect_rarely()  # as the client does
    from tunnel_client.inspector.capture.store import CaptureStore

    store = CaptureStore(memory_bytes=32 * 1024 * 1024, now=time.perf_counter)
    off_us: list[float] = []
    on_us: list[float] = []
    async with trio.open_nursery() as tasks:
        off, on = (
            Dispatcher(
                *(PairDialer(what, tasks), Nobody(), tasks), origin_timeout_s=600, tap_for=tap_for
            )
            for tap_for in (None, store.tap_for)
        )
        for _ in range(WARM_UPS[what]):
            await load(on, what, COUNTS[what])
            await store.sort()
        await load(off, what, COUNTS[what])
        for number in range(2 * pairs):
            with_capture = number % 4 in (0, 3)  # each comes first in every other pair
            # What had its turn last is in the caches: a change of turns took 1.6 ms, of both alike.
            await load(on if with_capture else off, what, COUNTS[what] // WARMED_BY)
            await store.sort()
            began = time.process_time()
            await load(on if with_capture else off, what, COUNTS[what])
            if with_capture:
                await store.sort()
            took_us = (time.process_time() - began) / COUNTS[what] * 1e6
            (on_us if with_capture else off_us).append(took_us)
        tasks.cancel_scope.cancel()
    return off_us, on_us


async def off_alone(what: str) -> float:
    """Return the processor time without capture, in microseconds; it runs on trees without any."""
    collect_rarely()
    async with trio.open_nursery() as tasks:
        dispatcher = Dispatcher(PairDialer(what, tasks), Nobody(), tasks, origin_timeout_s=600)
        await load(dispatcher, what, COUNTS[what])
        began = time.process_time()
        for _ in range(BLOCKS_ALONE):
            await load(dispatcher, what, COUNTS[what])
        took_s = time.process_time() - began
        tasks.cancel_scope.cancel()
    return took_s / COUNTS[what] / BLOCKS_ALONE * 1e6


def alone(what: str, tree: Path) -> float:
    """One reading of a tree, by a process of its own."""
    command = [sys.executable, __file__, "--alone", what]
    environ = {**os.environ, "PYTHONPATH": str(tree), "PYTHONHASHSEED": "0"}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
    return float(done.stdout)


def row(what: str, first_us: list[float], second_us: list[float], limit: float) -> str:
    """A row of the table: both medians, and the median of the ratios with its quarters."""
    ratios = [second / first for first, second in zip(first_us, second_us, strict=True)]
    low, _, high = quantiles(ratios, n=4)
    medians = f"{median(first_us):.1f} | {median(second_us):.1f} | {median(ratios):.3f}"
    return f"| {what} | {medians} | {low:.2f} to {high:.2f} | {limit:.2f} |"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, default=40)
    parser.add_argument("--before", type=Path)
    parser.add_argument("--measures", default=",".join(COUNTS))
    parser.add_argument("--alone", choices=COUNTS, help=argparse.SUPPRESS)
    said = parser.parse_args()
    if said.alone:
        print(trio.run(off_alone, said.alone))
        return
    print("| measure | before, us | after, us | ratio | half of the pairs | limit |")
    print("| --- | ---: | ---: | ---: | --- | ---: |")
    for what in said.measures.split(","):
        off_us, on_us = trio.run(paired, what, said.pairs)
        print(row(f"{what}: capture off, on", off_us, on_us, LIMITS[what]), flush=True)
        if said.before is not None:
            readings = [(alone(what, said.before), alone(what, ROOT)) for _ in range(PAIRS_ALONE)]
            before_us, now_us = ([pair[side] for pair in readings] for side in (0, 1))
            print(row(f"{what}: without taps, off", before_us, now_us, OFF_LIMIT), flush=True)


if __name__ == "__main__":
    main()
