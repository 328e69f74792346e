"""Mixed traffic through a dispatcher with capture, in a process of its own, and its memory.

usage: python traffic.py BUDGET_MIB DOWNLOADED_MB

It prints what it took at its start and at the most, and exits 1 if that is too much.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import trio

from protocol.http.fields import Fields
from protocol.mux.messages import Head
from protocol.program.process import collect_rarely
from tests.memory_streams import MemoryStream, an_open
from tests.origin_fakes import KEY, SWITCHED, Told
from tunnel_client.inspector.capture.store import CaptureStore
from tunnel_client.origin.dial import Dialer
from tunnel_client.origin.dispatch import Dispatcher
from tunnel_client.settings.target import Target

MIB = 1024 * 1024
BESIDE_MIB = 25  # for what is not kept: what passes just now, and what malloc holds back
PIECE = bytes(65536)
GETS, FRAMES, BYTES = 50_000, 100_000, 200_000
FRAME = bytes([0x81, 35]) + b'{"type":"update","path":"/src/app"}'


class Thrown(MemoryStream):
    """A visitor that keeps nothing."""

    async def send_head(self, head: Head) -> None:
        await trio.lowlevel.checkpoint()

    async def send_all(self, data: bytes) -> None:
        await trio.lowlevel.checkpoint()

    def send_eof(self, trailers: Fields = ()) -> None:
        pass


class Untold(Told):
    def tell(self, event: object) -> None:
        pass


async def app(stream: trio.SocketStream) -> None:
    """Answers by the request's target: so many bytes, in pieces or one by one; or a WebSocket."""
    try:
        while request := bytes(await stream.receive_some(65536)):
            if b"Upgrade" in request:
                await stream.send_all(SWITCHED)
                for _ in range(FRAMES // 100):
                    await stream.send_all(FRAME * 100)
                return
            size = int(request.partition(b"X-Size: ")[2].partition(b"\r\n")[0])
            length = b"Content-Length: %d" % size
            await stream.send_all(b"HTTP/1.1 200 OK\r\n%b\r\n\r\n" % length)
            step = 1 if size == BYTES else len(PIECE)
            for at in range(0, size, step):
                await stream.send_all(PIECE[: min(step, size - at)])
    except trio.BrokenResourceError:
        pass
    finally:
        await stream.aclose()


async def served(dispatcher: Dispatcher, kind: str, *fields: tuple[bytes, bytes]) -> None:
    stream = Thrown(an_open(kind, b"GET", None, *fields), ended=kind == "http")
    dispatcher.serve(stream)
    if kind != "http":
        stream.bring(end=True)
    await dispatcher.wait_quiet()


def memory_mib(name: str) -> float:
    """VmRSS or VmHWM; the most by getrusage would be that of the process that started this one."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(name))


async def main(budget_mib: int, downloaded_mb: int) -> int:
    """The exit code."""
    collect_rarely()
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    target = Target.parse(f"127.0.0.1:{listener.socket.getsockname()[1]}")
    store = CaptureStore(memory_bytes=budget_mib * MIB, now=time.perf_counter)
    async with trio.open_nursery() as tasks:
        tasks.start_soon(trio.serve_listeners, app, [listener])
        tasks.start_soon(store.run)
        dispatcher = Dispatcher(
            Dialer(target), Untold(), tasks, origin_timeout_s=600, tap_for=store.tap_for
        )
        await served(dispatcher, "http", (b"X-Size", b"10"))
        before = memory_mib("VmRSS")
        await served(dispatcher, "http", (b"X-Size", b"%d" % BYTES))
        for number in range(GETS):
            await served(dispatcher, "http", (b"X-Size", b"100"))
            if number % (GETS // 10) == 0:
                size = downloaded_mb * 100_000
                await served(dispatcher, "http", (b"X-Size", b"%d" % size))
                await served(dispatcher, "websocket", (b"Sec-WebSocket-Key", KEY))
        tasks.cancel_scope.cancel()
    allowed = before + budget_mib + BESIDE_MIB
    most = memory_mib("VmHWM")
    print(f"{downloaded_mb} MB with a budget of {budget_mib} MiB: {before:.1f} MiB at the start,")
    print(f"{most:.1f} at the most, {allowed:.1f} allowed; {store.counts}")
    return 0 if most < allowed else 1


if __name__ == "__main__":
    sys.exit(trio.run(main, int(sys.argv[1]), int(sys.argv[2])))
