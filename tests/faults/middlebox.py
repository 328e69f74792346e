"""A box between client and server that passes bytes, or does what such boxes do.

It resets connections, falls silent, takes and does not give, forgets one side. It needs no root:
the client is given the box's port for the server's. What passes, passes whole and in order, and
whoever sends faster than the other side takes is held up as without the box.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from functools import partial

import trio

from tests.system.peer import READ_BYTES, abort

Dial = Callable[[], Awaitable[trio.SocketStream]]
GONE = (trio.BrokenResourceError, trio.ClosedResourceError)


class Pipe:
    """One direction of a connection.

    Args:
        rate: bytes a second that pass; infinite where it does not matter.
    """

    def __init__(self, source: trio.SocketStream, sink: trio.SocketStream, rate: float) -> None:
        self.source = source
        self.sink = sink
        self.rate = rate
        self.moved_bytes = 0
        self._left_bytes: int | None = None  # that still pass before `_at_end` is called
        self._at_end: Callable[[], None] | None = None
        self._flowing = trio.Event()
        self._flowing.set()

    def __repr__(self) -> str:
        state = "flows" if self._flowing.is_set() else "stands"
        return f"<Pipe {state}, {self.moved_bytes} bytes>"

    def stand(self) -> None:
        """Pass nothing on. What the source sends fills the buffers."""
        self._flowing = trio.Event()

    def flow(self) -> None:
        self._flowing.set()

    def after(self, count_bytes: int, at_end: Callable[[], None]) -> None:
        """Call `at_end` when so many bytes more have passed, and not one behind them."""
        self._left_bytes, self._at_end = count_bytes, at_end

    async def run(self) -> None:
        """Copy to the end, and pass the end on. Raises one of GONE when a side breaks."""
        while data := await self.source.receive_some(READ_BYTES):
            await self._flowing.wait()
            await self._pass(bytes(data))
        await self._flowing.wait()
        await self.sink.send_eof()

    async def _pass(self, data: bytes) -> None:
        left = self._left_bytes  # `after` may be called while this passes: it is for what follows
        data = data if left is None else data[:left]
        await self.sink.send_all(data)
        self.moved_bytes += len(data)
        await trio.sleep(len(data) / self.rate)
        if left is None or self._at_end is None:
            return
        self._left_bytes = left - len(data)
        if self._left_bytes == 0:
            self._at_end()
            await trio.sleep_forever()  # what ends here is cancelled by what was called


class Crossing:
    """A connection of the client, and the one to the server that goes with it."""

    def __init__(
        self, client: trio.SocketStream, server: trio.SocketStream, rate: float = math.inf
    ) -> None:
        self.client = client
        self.server = server
        self.up = Pipe(client, server, rate)
        self.down = Pipe(server, client, rate)
        self._life = trio.CancelScope()
        self._copying = trio.CancelScope()
        self.half_open = False

    def __repr__(self) -> str:
        return f"<Crossing up {self.up!r} down {self.down!r}>"

    def stand(self) -> None:
        for pipe in (self.up, self.down):
            pipe.stand()

    def flow(self) -> None:
        for pipe in (self.up, self.down):
            pipe.flow()

    def reset(self) -> None:
        """RST to both sides, or to the one that is left."""
        for stream in (self.client, self.server):
            if stream.socket.fileno() >= 0:
                abort(stream)
        self._life.cancel()

    def reset_one(self, side: trio.SocketStream) -> None:
        """RST to one side; the other is left open, and neither read nor written any more."""
        abort(side)
        side.socket.close()
        self.half_open = True
        self._copying.cancel()

    async def run(self) -> None:
        """To the end of both directions. Only Cancelled is raised."""
        try:
            with self._life:
                await self._copy()
                if self.half_open:
                    await trio.sleep_forever()
        finally:
            # No aclose: where we are cancelled, the first one would raise.
            for stream in (self.client, self.server):
                stream.socket.close()

    async def _copy(self) -> None:
        try:
            with self._copying:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self.up.run)
                    nursery.start_soon(self.down.run)
        except* GONE:
            if not self.half_open:
                self.reset()


class Middlebox:
    """Leads to one server.

    Args:
        dial: makes a connection to the server.
        rate: bytes a second that pass on each connection, each way.

    Attributes:
        port: on 127.0.0.1, once it is served.
        accepted: connections that were ever made to it.
    """

    def __init__(self, dial: Dial, rate: float = math.inf) -> None:
        self.port = 0
        self.accepted = 0
        self.crossings: set[Crossing] = set()
        self._dial = dial
        self._rate = rate
        self._silent = False
        self._news = trio.Event()

    def __repr__(self) -> str:
        return f"<Middlebox :{self.port}, {self.accepted} accepted, {self.crossings}>"

    async def serve(self, nursery: trio.Nursery) -> Middlebox:
        """Until the nursery is cancelled."""
        listen = partial(trio.serve_tcp, self._handle, 0, host="127.0.0.1")
        listeners = await nursery.start(listen)
        self.port = listeners[0].socket.getsockname()[1]
        return self

    @property
    def whole(self) -> list[Crossing]:
        """Connections that are not half open."""
        return [crossing for crossing in self.crossings if not crossing.half_open]

    @property
    def only(self) -> Crossing:
        """Of a client with one connection: that connection."""
        (crossing,) = self.crossings
        return crossing

    def reset(self) -> int:
        """RST to both sides of every connection; new ones pass. How many there were."""
        crossings = tuple(self.crossings)
        for crossing in crossings:
            crossing.reset()
        return len(crossings)

    def silence(self) -> None:
        """Nothing passes any more, not even an end, on new connections as well."""
        self._silent = True
        for crossing in self.crossings:
            crossing.stand()

    def restore(self) -> None:
        self._silent = False
        for crossing in self.crossings:
            crossing.flow()

    async def until_accepted(self, count: int) -> None:
        """Wait until so many connections were ever made."""
        while self.accepted < count:
            await self._news.wait()

    async def _handle(self, client: trio.SocketStream) -> None:
        try:
            server = await self._dial()
        except OSError:  # nobody listens there: the client sees it as it would without the box
            abort(client)
            return
        crossing = Crossing(client, server, self._rate)
        if self._silent:
            crossing.stand()
        self.crossings.add(crossing)
        self._tell()
        try:
            await crossing.run()
        finally:
            self.crossings.discard(crossing)

    def _tell(self) -> None:
        self.accepted += 1
        self._news.set()
        self._news = trio.Event()
