"""An app that goes away and comes back, in a real browser: the page works again by itself.

The browser runs in a thread, since playwright's interface that waits is the one that reads well;
what it needs of the programs it asks for through trio. Nothing here is reloaded by hand.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import trio

from tests.e2e.browser import Visit, foreign_tunnel, in_chromium
from tests.e2e.dev_servers import START_S, edit, free_port, install, show
from tests.needs import needs
from tests.programs import Program, Programs, Tunnel, open_programs

WAIT_S = 0.5  # --origin-wait: the app is away for longer
FORM = b"<h1>first</h1><form method=post><input name=a><button>Send</button></form>"

pytestmark = [pytest.mark.timeout(300), pytest.mark.needs("chromium", "playwright")]


class DevServer:
    """One that can be killed and started again, at the same port.

    Args:
        app: its project.
        command: of node; the port is added.
        ready: what it prints once it serves.
        nursery: reads what else it prints.
    """

    def __init__(
        self, app: Path, command: tuple[str, ...], ready: bytes, nursery: trio.Nursery
    ) -> None:
        self.app = app
        self.port = free_port()
        self._command = (*command, "--port", str(self.port))
        self._ready = re.compile(re.escape(ready))
        self._nursery = nursery
        self._process: trio.Process | None = None

    async def start(self) -> None:
        (node,) = needs("node")
        self._process = await trio.lowlevel.open_process(
            [node, *self._command],
            cwd=self.app,
            env={**os.environ, "NO_COLOR": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        with trio.fail_after(START_S):
            await self._nursery.start(show, self._process.stdout, self._ready)

    async def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            await self._process.wait()

    def edit(self, text: str) -> None:
        edit(self.app, "src/greeting.js", f"export const greeting = '{text}'\n")


@asynccontextmanager
async def a_dev_server(
    app: Path, command: tuple[str, ...], ready: bytes
) -> AsyncIterator[DevServer]:
    async with trio.open_nursery() as nursery:
        dev_server = DevServer(app, command, ready, nursery)
        try:
            await dev_server.start()
            yield dev_server
        finally:
            with trio.CancelScope(shield=True):
                await dev_server.kill()
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def a_vite(folder: Path, lockfile: str = "vite-app") -> AsyncIterator[DevServer]:
    await install(folder / "app", "vite-app", lockfile)
    command = ("node_modules/vite/bin/vite.js", "--strictPort")
    async with a_dev_server(folder / "app", command, b"Local:") as vite:
        yield vite


class SmallApp:
    """One page with a form; it can be stopped and started again, at the same port.

    Attributes:
        asked: the method of each request, in order; but for the icon that a browser asks for, and
            what the client asks by itself.
        to_head: what it answers to HEAD, a start line and fields.
    """

    def __init__(self, nursery: trio.Nursery) -> None:
        self.port = free_port()
        self.asked: list[bytes] = []
        self.to_head = b"HTTP/1.1 200 OK\r\n"
        self._nursery = nursery
        self._scope = trio.CancelScope()

    async def start(self) -> None:
        self._scope = trio.CancelScope()
        await self._nursery.start(self._run)

    async def stop(self) -> None:
        self._scope.cancel()
        await trio.lowlevel.checkpoint()

    async def _run(self, *, task_status: trio.TaskStatus[object]) -> None:
        serve = partial(trio.serve_tcp, self._handle, self.port, host="127.0.0.1")
        with self._scope:
            await serve(task_status=task_status)

    async def _handle(self, stream: trio.SocketStream) -> None:
        async with stream:
            head = b""
            while b"\r\n\r\n" not in head:
                data = await stream.receive_some()
                if not data:
                    return
                head += data
            method = head.partition(b" ")[0]
            if b"/favicon.ico" not in head and b"User-Agent: trio-tunnel/" not in head:
                self.asked.append(method)
            start = self.to_head if method == b"HEAD" else b"HTTP/1.1 200 OK\r\n"
            await stream.send_all(
                start
                + b"Content-Type: text/html\r\nConnection: close\r\n\r\n"
                + (b"" if method == b"HEAD" else FORM)
            )


def refused_again(client: Program, port: int, times: int) -> None:
    """Wait until so many more requests have waited in vain."""
    error = f"nothing listens on http://localhost:{port} (waited {WAIT_S:g} s)"
    for _ in range(times):
        trio.from_thread.run(partial(client.event, "request", error=error))


async def a_tunnel_that_waits(programs: Programs, port: int) -> Tunnel:
    return await foreign_tunnel(programs, port, "--origin-wait", str(WAIT_S))


# --- dev servers ---------------------------------------------------------------------------------


@pytest.mark.needs("node", "npm")
@pytest.mark.parametrize("lockfile", ["vite-app", "vite-5"])
async def test_a_page_of_vite_finds_back_to_a_server_that_was_away_for_long(
    tmp_path: Path, lockfile: str
) -> None:
    """Its client polls, and loads the page again; never onto an error."""
    async with a_vite(tmp_path, lockfile) as vite, open_programs(tmp_path) as programs:
        tunnel = await a_tunnel_that_waits(programs, vite.port)

        def steps(visit: Visit) -> None:
            visit.open()
            visit.sees("h1", "first")
            trio.from_thread.run(vite.kill)
            refused_again(tunnel.client, vite.port, 3)  # the polls
            vite.edit("second")
            trio.from_thread.run(vite.start)
            visit.sees("h1", "second")
            visit.mark()
            vite.edit("third")
            visit.sees("h1", "third")
            assert visit.is_marked
            assert visit.loaded == [200, 200]

        await in_chromium(tunnel, steps)


@pytest.mark.needs("node", "npm")
async def test_a_page_of_webpack_finds_back_to_a_server_that_was_away_for_long(
    tmp_path: Path,
) -> None:
    """Its client opens its WebSocket again, and loads the page if the build is another one."""
    app = tmp_path / "app"
    await install(app, "webpack-6")
    command = ("node_modules/webpack/bin/webpack.js", "serve", "--host", "127.0.0.1")
    async with (
        a_dev_server(app, command, b"compiled successfully") as webpack,
        open_programs(tmp_path) as programs,
    ):
        tunnel = await a_tunnel_that_waits(programs, webpack.port)

        def steps(visit: Visit) -> None:
            visit.open()
            visit.sees("h1", "first")
            trio.from_thread.run(webpack.kill)
            refused_again(tunnel.client, webpack.port, 2)
            webpack.edit("second")
            trio.from_thread.run(webpack.start)
            visit.sees("h1", "second")
            visit.mark()
            webpack.edit("third")
            visit.sees("h1", "third")
            assert visit.is_marked
            assert visit.loaded == [200, 200]

        await in_chromium(tunnel, steps)


@pytest.mark.needs("node", "npm")
async def test_a_page_that_was_opened_while_the_app_was_away_loads_itself_when_it_is_back(
    tmp_path: Path,
) -> None:
    async with a_vite(tmp_path) as vite, open_programs(tmp_path) as programs:
        tunnel = await a_tunnel_that_waits(programs, vite.port)
        path = "/some/path?a=b#here"
        await vite.kill()

        def steps(visit: Visit) -> None:
            visit.open(path)
            assert visit.page.is_visible("text=The app cannot be reached")
            assert visit.page.is_visible("text=This page loads again by itself")
            refused_again(tunnel.client, vite.port, 3)
            trio.from_thread.run(vite.start)
            visit.sees("h1", "first")
            assert visit.page.url == visit.origin + path
            assert visit.loaded == [502, 200]

        await in_chromium(tunnel, steps)


# --- the page that waits -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "to_head",
    [
        b"HTTP/1.1 405 Method Not Allowed\r\nAllow: GET\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\n",
        b"HTTP/1.1 500 Internal Server Error\r\n",
    ],
)
async def test_the_page_loads_itself_whatever_the_app_answers_to_its_question(
    tmp_path: Path, nursery: trio.Nursery, to_head: bytes
) -> None:
    app = SmallApp(nursery)
    app.to_head = to_head
    async with open_programs(tmp_path) as programs:
        tunnel = await a_tunnel_that_waits(programs, app.port)

        def steps(visit: Visit) -> None:
            visit.open()
            refused_again(tunnel.client, app.port, 2)
            trio.from_thread.run(app.start)
            visit.sees("h1", "first")
            assert visit.loaded == [502, 200]

        await in_chromium(tunnel, steps)
    assert app.asked == [b"HEAD", b"GET"]
    await app.stop()


async def test_the_page_waits_on_while_a_proxy_before_the_app_says_that_it_is_away(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    app = SmallApp(nursery)
    app.to_head = b"HTTP/1.1 503 Service Unavailable\r\n"
    async with open_programs(tmp_path) as programs:
        tunnel = await a_tunnel_that_waits(programs, app.port)

        def steps(visit: Visit) -> None:
            visit.open()
            trio.from_thread.run(app.start)
            trio.from_thread.run(partial(tunnel.client.event, "request", status=503))
            app.to_head = b"HTTP/1.1 200 OK\r\n"
            visit.sees("h1", "first")
            assert visit.loaded == [502, 200]

        await in_chromium(tunnel, steps)
    await app.stop()


async def test_what_was_posted_while_the_app_was_away_is_not_posted_by_the_page(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    app = SmallApp(nursery)
    await app.start()
    async with open_programs(tmp_path) as programs:
        tunnel = await a_tunnel_that_waits(programs, app.port)

        def steps(visit: Visit) -> None:
            visit.open()
            app.asked.clear()  # the page, and the client's own look
            trio.from_thread.run(app.stop)
            visit.page.click("text=Send")
            assert "has not reached the app" in visit.page.text_content("main")
            assert visit.page.evaluate("document.scripts.length") == 0  # so nothing asks by itself
            trio.from_thread.run(app.start)
            visit.page.click("text=Open this address again")
            visit.sees("h1", "first")
            assert app.asked == [b"GET"]

        await in_chromium(tunnel, steps)
    await app.stop()


async def test_the_page_of_a_tunnel_that_was_offline_loads_itself_when_it_is_back(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    app = SmallApp(nursery)
    await app.start()
    async with open_programs(tmp_path) as programs:
        tunnel = await foreign_tunnel(programs, app.port)
        await tunnel.client.stop()

        def steps(visit: Visit) -> None:
            visit.open()
            assert "offline" in visit.page.text_content("h1")
            again = partial(programs.client, app.port, tunnel.address.port, "--subdomain", "app")
            trio.from_thread.run(again)
            visit.sees("h1", "first")
            assert visit.loaded == [503, 200]

        await in_chromium(tunnel, steps)
    await app.stop()
