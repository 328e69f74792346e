"""What a page of the inspector that is open costs the requests that pass meanwhile.

    .venv/bin/python -m benchmarks.page [--pairs N] [--seconds S] [--rate N]

Two clients of one server share one app, each on a pseudo-terminal with its footer: one without
inspector, one with it and a page that reads its live feed. Blocks of so many GETs a second go to
them in turn, so that both see the same machine, and each pair of blocks gives one ratio.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import termios
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from typing import Final

import trio
from trio_websocket import open_websocket_url

from benchmarks.peers.trio_tunnel import SCRIPTS
from benchmarks.programs import START_S, BenchmarkError, dying_with_us, free_port, running

ROOT: Final = Path(__file__).resolve().parent.parent
NAMES: Final = ("without", "with")
TRY_EVERY_S: Final = 0.1
LIMIT: Final = 1.15


class Visits:
    """GETs of one name by connections that are kept."""

    def __init__(self, port: int, name: str) -> None:
        self._port = port
        self._request = b"GET /src/app.js?v=1 HTTP/1.1\r\nHost: %b.localhost:%d\r\n\r\n" % (
            name.encode(),
            port,
        )
        self._idle: list[trio.SocketStream] = []

    async def get(self) -> float:
        """Ask once; returns how long it took, in milliseconds."""
        stream = self._idle.pop() if self._idle else await self._connect()
        began = time.perf_counter()
        await stream.send_all(self._request)
        answer = b""
        while b"\r\n\r\n" not in answer or len(answer.partition(b"\r\n\r\n")[2]) < 1024:
            data = await stream.receive_some()
            if not data or not (answer + data).startswith(b"HTTP/1.1 200"):
                raise BenchmarkError(f"the answer was {bytes(answer + data)[:200]!r}")
            answer += data
        took_ms = (time.perf_counter() - began) * 1000
        self._idle.append(stream)
        return took_ms

    async def block(self, seconds: float, rate: int) -> list[float]:
        """So many a second, whether those before have been answered or not."""
        took_ms: list[float] = []
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            for number in range(round(seconds * rate)):
                await trio.sleep_until(began + number / rate)
                nursery.start_soon(self._add, took_ms)
        return took_ms

    async def until_served(self) -> None:
        with trio.move_on_after(START_S):
            while True:
                try:
                    await self.get()
                except BenchmarkError:
                    await trio.sleep(TRY_EVERY_S)
                else:
                    return
        raise BenchmarkError("the client is not there")

    async def _add(self, took_ms: list[float]) -> None:
        took_ms.append(await self.get())

    async def _connect(self) -> trio.SocketStream:
        stream = await trio.open_tcp_stream("127.0.0.1", self._port)
        assert isinstance(stream, trio.SocketStream)
        return stream


@asynccontextmanager
async def client(name: str, app: int, server: int, folder: Path, *more: str) -> AsyncIterator[None]:
    """A client on a terminal of its own, which is read all the time."""
    controlling, terminal = os.openpty()
    termios.tcsetwinsize(terminal, (24, 80))
    command = [str(SCRIPTS / "tunnel-client"), "http", str(app), "--subdomain", name, *more]
    environ = {name: str(folder) for name in ("HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME")}
    process = subprocess.Popen(  # noqa: ASYNC220  # it takes some milliseconds, before all loads
        dying_with_us([*command, "--server", f"http://127.0.0.1:{server}"]),
        stdin=subprocess.DEVNULL,
        stdout=terminal,
        stderr=terminal,
        env={**os.environ, **environ, "TERM": "xterm"},
    )
    os.close(terminal)
    threading.Thread(target=_read_all, args=(controlling,), daemon=True).start()
    try:
        yield
    finally:
        process.terminate()
        process.wait()  # behind all loads


def _read_all(descriptor: int) -> None:
    try:
        while os.read(descriptor, 1 << 16):
            pass
    except OSError:  # so it ends on Linux
        pass


async def watch(port: int, token: str) -> None:
    """Read the live feed until it ends, as a page does."""
    async with open_websocket_url(f"ws://127.0.0.1:{port}/api/live") as page:
        await page.send_message(json.dumps({"token": token}))
        first = json.loads(await page.get_message())
        print(json.dumps({"watching": first["run"]}), flush=True)
        while True:
            json.loads(await page.get_message())


async def measure(pairs: int, seconds: float, rate: int) -> list[tuple[list[float], list[float]]]:
    """Return how long the GETs of each pair of blocks took, without and with a page."""
    found: list[tuple[list[float], list[float]]] = []
    with TemporaryDirectory() as at:
        folder = Path(at)
        env = {name: str(folder) for name in ("HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME")}
        server_argv = [str(SCRIPTS / "tunnel-server"), "--bind", "127.0.0.1:0", "--json"]
        root = {"PYTHONPATH": str(ROOT)}
        app_argv = [sys.executable, "-m", "benchmarks.attacks.app"]
        inspector = free_port()
        async with (
            running("server", server_argv, folder, env) as server,
            running("app", app_argv, folder, root) as app,
        ):
            port = int(str((await server.json_line("listening"))["url"]).rpartition(":")[2])
            here = int(str((await app.json_line("port"))["port"])), port, folder
            off, on = (Visits(port, name) for name in NAMES)
            async with (
                client(NAMES[0], *here, "--no-inspect"),
                client(NAMES[1], *here, "--inspect", f"127.0.0.1:{inspector}"),
            ):
                for visits in (off, on):
                    await visits.until_served()
                token = (folder / "trio-tunnel" / "inspector-token").read_text().strip()
                page = [sys.executable, "-m", "benchmarks.page", "--watch", str(inspector), token]
                async with running("page", page, folder, root) as watching:
                    await watching.json_line("watching")
                    for visits in (off, on):
                        await visits.block(seconds, rate)
                    for number in range(pairs):
                        order = (off, on) if number % 2 else (on, off)
                        took = {visits: await visits.block(seconds, rate) for visits in order}
                        found.append((took[off], took[on]))
    return found


def percentile(took_ms: list[float], percent: int) -> float:
    return quantiles(took_ms, n=100)[percent - 1]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rate", type=int, default=200)
    parser.add_argument("--watch", nargs=2, metavar=("PORT", "TOKEN"), help=argparse.SUPPRESS)
    said = parser.parse_args()
    if said.watch:
        trio.run(watch, int(said.watch[0]), said.watch[1])
        return
    found = trio.run(measure, said.pairs, said.seconds, said.rate)
    print("| | without, ms | with a page, ms | ratio | half of the pairs | limit |")
    print("| --- | ---: | ---: | ---: | --- | ---: |")
    for percent in (50, 90, 99):
        pairs = [tuple(percentile(each, percent) for each in pair) for pair in found]
        ratios = [on / off for off, on in pairs]
        low, _, high = quantiles(ratios, n=4)
        off_ms, on_ms = (median(column) for column in zip(*pairs, strict=True))
        limit = f"{LIMIT:.2f}" if percent == 99 else ""
        numbers = f"{off_ms:.2f} | {on_ms:.2f} | {median(ratios):.3f} | {low:.2f} to {high:.2f}"
        print(f"| p{percent} | {numbers} | {limit} |")


if __name__ == "__main__":
    main()
