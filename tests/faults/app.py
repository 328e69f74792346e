"""The app that the faults meet: the one of tests/system, which also counts what reached it.

As a program, `python -m tests.faults.app PORT` prints its port and can be stopped and killed. Its
gate opens when its stdin ends.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import trio
from wsproto.connection import ConnectionState
from wsproto.events import CloseConnection

from tests.system.origin import CHUNKED, Exchange, Origin
from tests.system.peer import WsEvents

STREAM = [("Content-Type", "text/event-stream"), *CHUNKED]


class App(Origin):
    """Has `/count` and `/post` besides.

    Attributes:
        posted: how often each POST reached it whole, by the number that its visitor gave it.
        connections: open ones.
        closes: the codes of the Closes that WebSockets got; None where none came.
    """

    def __init__(self) -> None:
        super().__init__()
        self.posted: Counter[str] = Counter()
        self.connections = 0
        self.closes: list[int | None] = []
        self.routes["/count"] = self.count
        self.routes["/post"] = self.post

    def __repr__(self) -> str:
        return f"<App {self.connections} connections, {self.posted.total()} posted>"

    async def handle(self, stream: trio.abc.Stream) -> None:
        self.connections += 1
        try:
            await super().handle(stream)
        finally:
            self.connections -= 1

    async def count(self, exchange: Exchange) -> None:
        """Server-sent events, `events` of them, one each `every_ms`.

        With `gated` the last of them comes once the gate is open.
        """
        await exchange.head(STREAM)
        count = exchange.number("events")
        for number in range(count):
            if number == count - 1 and "gated" in exchange.query:
                await self.gate.wait()
            await exchange.send(b"id: %d\ndata: %d\n\n" % (number, number))
            await trio.sleep(exchange.number("every_ms") / 1000)
        await exchange.end()

    async def post(self, exchange: Exchange) -> None:
        """The digest of the body; counts that `id` has come."""
        self.posted[exchange.query["id"]] += 1
        await self.sink(exchange)

    async def websocket(self, exchange: Exchange) -> None:
        """Each piece back, as it came, until a Close has; keeps the code of that."""
        messages = await exchange.switch()
        code: int | None = None
        try:
            async for event in WsEvents(exchange.stream, messages):
                if isinstance(event, CloseConnection):
                    code = event.code
                    await exchange.stream.send_all(messages.send(event.response()))
                    return
                if messages.state is ConnectionState.OPEN:
                    await exchange.stream.send_all(messages.send(event))
        finally:
            self.closes.append(code)


@asynccontextmanager
async def app_program(port: int = 0) -> AsyncIterator[tuple[trio.Process, int]]:
    """The app as a program of its own, and its port; killed at the end of the block."""
    process: trio.Process = await trio.lowlevel.open_process(
        [sys.executable, "-m", "tests.faults.app", str(port)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        async with process.stdout as stdout:
            yield process, int(await stdout.receive_some())
    finally:
        with trio.CancelScope(shield=True):
            process.kill()
            await process.wait()


async def main(port: int) -> None:
    async with trio.open_nursery() as nursery:
        app = App()
        listen = partial(trio.serve_tcp, app.handle, port, host="127.0.0.1")
        listeners = await nursery.start(listen)
        print(listeners[0].socket.getsockname()[1], flush=True)
        async with trio.lowlevel.FdStream(os.dup(sys.stdin.fileno())) as stdin:
            await stdin.receive_some()
        app.gate.set()


if __name__ == "__main__":
    trio.run(main, int(sys.argv[1]))
