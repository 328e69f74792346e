"""`--ws-keepalive`: real programs ping an idle WebSocket at both ends, and neither hears of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from wsproto.connection import Connection
from wsproto.events import Event, Ping, Pong, TextMessage

from tests.needs import needs
from tests.programs import Programs
from tests.system.origin import Exchange, Origin
from tests.system.peer import WsEvents
from tests.system.visitor import SMALL_S, Visitor, fetch, visit

PINGS = 3

# Two proxies in one nginx: one before the server, one before the app. A ping of ours comes every
# second, or every other where the sweep has just looked; more than PROXY_S pass while so many come.
PROXY_S = 5
PINGS_BY_PROXY = 7
NGINX = """
daemon on; master_process off; pid nginx.pid;
events {{ }}
http {{
    access_log off;
    client_body_temp_path temp; proxy_temp_path temp;
    fastcgi_temp_path temp; uwsgi_temp_path temp; scgi_temp_path temp;
    map $http_upgrade $connection_field {{ default upgrade; "" close; }}
    proxy_http_version 1.1; proxy_read_timeout {idle_s}s; proxy_send_timeout {idle_s}s;
    proxy_set_header Host $http_host;
    proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_field;
    server {{ listen unix:front.sock; location / {{ proxy_pass http://127.0.0.1:{server}; }} }}
    server {{ listen unix:back.sock; location / {{ proxy_pass http://127.0.0.1:{app}; }} }}
}}
"""


class End:
    """An app or a visitor: answers pings, and remembers what it heard."""

    def __init__(self) -> None:
        self.pings: list[bytes] = []
        self.pongs: list[bytes] = []
        self.texts: list[str] = []
        self._news = trio.Event()
        self._stream: trio.abc.Stream | None = None
        self._frames: Connection | None = None
        self._sending = trio.StrictFIFOLock()  # a pong and a word of the test may meet

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
        async with self._sending:
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


@asynccontextmanager
async def nginx(folder: Path, *, server: int, app: int) -> AsyncIterator[None]:
    """A proxy at front.sock and one at back.sock of the folder, each of which cuts what is idle."""
    [program] = needs("nginx")
    config = NGINX.format(idle_s=PROXY_S, server=server, app=app)
    (folder / "nginx.conf").write_text(config.replace("unix:", f"unix:{folder}/"))
    command = [program, "-p", f"{folder}/", "-e", "stderr", "-c", f"{folder}/nginx.conf"]
    await trio.run_process(command)  # it returns when the daemon listens
    try:
        yield
    finally:
        with trio.move_on_after(SMALL_S, shield=True):
            await trio.run_process([*command, "-s", "stop"])


@pytest.mark.needs("nginx")
@pytest.mark.parametrize("flags", [(), ("--ws-keepalive", "1")])
async def test_proxies_that_cut_what_is_idle_leave_it_alone(
    programs: Programs, origin: Origin, tmp_path: Path, flags: tuple[str, ...]
) -> None:
    app, browser = End(), End()

    async def serve(exchange: Exchange) -> None:
        await app.listen(exchange.stream, await exchange.switch())

    origin.routes["/idle"] = serve
    tunnel = await programs.tunnel(f"unix:{tmp_path}/back.sock", *flags)
    async with nginx(tmp_path, server=tunnel.address.port, app=origin.port):
        visitor = Visitor(await trio.open_unix_socket(tmp_path / "front.sock"), tunnel.address)
        async with visitor.stream, trio.open_nursery() as nursery:
            frames = await visitor.upgrade("/idle")
            if not flags:
                with trio.fail_after(SMALL_S):
                    await browser.listen(visitor.stream, frames)  # to its end
                return
            nursery.start_soon(browser.listen, visitor.stream, frames)
            await app.heard(pings=PINGS_BY_PROXY)
            await browser.heard(pings=PINGS_BY_PROXY)
            await browser.say(TextMessage("hello"))
            await app.heard(texts=1)
            nursery.cancel_scope.cancel()
