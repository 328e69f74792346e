"""What capture costs the client: GETs, echoes and downloads with it and without, in one process.

    .venv/bin/python -m benchmarks.capture [--pairs N] [--before DIR]

A visitor in memory, the real dispatcher, and an app at the other end of a socket pair share one
process, so that its processor time is what a request costs. Each reading is a process of its own,
with capture and without it in turn. `--before` names a checkout without taps, which is compared
with capture off. A ratio is that of a pair; the table has their median.
"""

from __future__ import annotations

import argparse
import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Final

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
COUNTS: Final = {"gets": 8000, "echo": 16_000, "download": 80}
# Until the store is full: before that each new page of memory is a fault, which costs 2 us here.
WARM_UPS: Final = {"gets": 10_000, "echo": 4000, "download": 40}
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


async def once(what: str, *, on: bool) -> float:
    """Return the processor time of one request, message or download, in seconds."""
    collect_rarely()  # as the client does
    async with trio.open_nursery() as tasks:
        ways: dict[str, Any] = {}
        if on:
            from tunnel_client.inspector.capture.store import CaptureStore

            store = CaptureStore(memory_bytes=32 * 1024 * 1024, now=time.perf_counter)
            tasks.start_soon(store.run)
            ways["tap_for"] = store.tap_for
        dialer = PairDialer(what, tasks)
        dispatcher = Dispatcher(dialer, Nobody(), tasks, origin_timeout_s=600, **ways)
        await load(dispatcher, what, WARM_UPS[what])
        began = time.process_time()
        await load(dispatcher, what, COUNTS[what])
        if on:
            await trio.sleep(0.25)  # what waits is sorted, and counts
        took_s = time.process_time() - began
        tasks.cancel_scope.cancel()
    return took_s / COUNTS[what]


def reading(what: str, mode: str, tree: Path = ROOT) -> float:
    """One reading by a process of its own, in microseconds."""
    command = [sys.executable, __file__, "--once", what, "--mode", mode]
    environ = {**os.environ, "PYTHONPATH": str(tree), "PYTHONHASHSEED": "0"}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
    return float(done.stdout)


def compared(what: str, pairs: int, first: Callable[[], float], second: Callable[[], float]) -> str:
    """A row of the table: both medians, and the median and the range of the ratios."""
    ratios, firsts, seconds = [], [], []
    for number in range(pairs):
        if number % 2:
            seconds.append(second())
            firsts.append(first())
        else:
            firsts.append(first())
            seconds.append(second())
        ratios.append(seconds[-1] / firsts[-1])
        print(
            f"{what}: {firsts[-1]:.1f} us, {seconds[-1]:.1f} us, {ratios[-1]:.3f}", file=sys.stderr
        )
    medians = f"{median(firsts):.1f} | {median(seconds):.1f} | {median(ratios):.3f}"
    return f"| {what} | {medians} | {min(ratios):.2f} to {max(ratios):.2f} |"


def rows(what: str, pairs: int, before: Path | None) -> Iterator[str]:
    """Yield the rows of one measure."""
    off, on = partial(reading, what, "off"), partial(reading, what, "on")
    yield compared(f"{what}, capture off and on (limit {LIMITS[what]})", pairs, off, on)
    if before is not None:
        old = partial(reading, what, "off", before)
        yield compared(f"{what}, without taps and off (limit {OFF_LIMIT})", pairs, old, off)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--before", type=Path)
    parser.add_argument("--measures", default=",".join(COUNTS))
    parser.add_argument("--once", choices=COUNTS, help=argparse.SUPPRESS)
    parser.add_argument("--mode", choices=["on", "off"], help=argparse.SUPPRESS)
    said = parser.parse_args()
    if said.once:
        print(trio.run(lambda: once(said.once, on=said.mode == "on")) * 1e6)
        return
    print("| measure | before, us | after, us | ratio | of the pairs |")
    print("| --- | ---: | ---: | ---: | --- |")
    for what in said.measures.split(","):
        for row in rows(what, said.pairs, said.before):
            print(row, flush=True)


if __name__ == "__main__":
    main()
