"""`--ws-keepalive`: real programs ping an idle WebSocket at both ends, and neither hears of it."""

from __future__ import annotations

import trio
from wsproto.connection import Connection
from wsproto.events import Event, Ping, Pong, TextMessage

from tests.programs import Programs
from tests.system.origin import Exchange, Origin
from tests.system.peer import WsEvents
from tests.system.visitor import SMALL_S, fetch, visit

PINGS = 3


class End:
    """An app or a visitor: answers pings, and remembers what it heard."""

    def __init__(self) -> None:
        self.pings: list[bytes] = []
        self.pongs: list[bytes] = []
        self.texts: list[str] = []
        self._news = trio.Event()
        self._stream: trio.abc.Stream | None = None
        self._frames: Connection | None = None

    async def listen(self, stream: trio.abc.Stream, frames: Connection) -> None:
        self._stream, self._frames = stream, frames
        async for event in WsEvents(stream, frames):
            if isinstance(event, Ping):
                self.pings.append(bytes(event.payload))
                await self.say(event.response())
            elif isinstance(event, Pong):
                self.pongs.append(bytes(event.payload))
            else:
                assert isinstance(event, TextMessage)
                self.texts.append(event.data)
            self._news.set()
            self._news = trio.Event()

    async def say(self, event: Event) -> None:
        assert self._stream is not None
        assert self._frames is not None
        await self._stream.send_all(self._frames.send(event))

    async def heard(self, *, pings: int = 0, pongs: int = 0, texts: int = 0) -> None:
        """Wait until there are so many of each."""
        with trio.fail_after(SMALL_S):
            while len(self.pings) < pings or len(self.pongs) < pongs or len(self.texts) < texts:
                await self._news.wait()


async def test_both_ends_of_an_idle_websocket_are_pinged_and_hear_of_no_pong(
    programs: Programs, origin: Origin
) -> None:
    app, browser = End(), End()

    async def serve(exchange: Exchange) -> None:
        await app.listen(exchange.stream, await exchange.switch())

    origin.routes["/idle"] = serve
    tunnel = await programs.tunnel(origin.port, "--ws-keepalive", "1")
    async with visit(tunnel.address) as visitor, trio.open_nursery() as nursery:
        frames = await visitor.upgrade("/idle")
        nursery.start_soon(browser.listen, visitor.stream, frames)
        await app.heard(pings=PINGS)
        await browser.heard(pings=PINGS)
        assert {len(payload) for payload in app.pings + browser.pings} == {16}
        assert len({*app.pings, *browser.pings}) == len(app.pings + browser.pings)
        assert (app.pongs, browser.pongs) == ([], [])
        # What is theirs still crosses.
        await app.say(Ping(b"the app's"))
        await browser.say(TextMessage("hello"))
        await app.heard(pings=PINGS, pongs=1, texts=1)
        assert (app.pongs, app.texts) == ([b"the app's"], ["hello"])
        nursery.cancel_scope.cancel()
    assert (await fetch(tunnel.address)).body == b"hello"
