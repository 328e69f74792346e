"""An unmodified Vite project behind the tunnel, in a real browser: hot module replacement works.

vite-app/ has no configuration at all. It is installed from its lockfile into a copy, and served by
`vite` as it stands; Chromium opens it at its public address and must see each edit without a
reload. (Vite's client, when its WebSocket fails, quietly tries the dev server's own port on
localhost, which is here the same machine. So the test also looks at where the WebSocket went.)
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import trio

from tests.needs import needs
from tests.programs import open_programs

TEMPLATE = Path(__file__).parent / "vite-app"
INSTALL_S, START_S = 120, 60
STEP_MS = 30_000  # one thing to be seen in the browser
# A root's browser has no sandbox; the others keep it from looking for the world outside.
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


async def install(app: Path) -> None:
    shutil.copytree(TEMPLATE, app, ignore=shutil.ignore_patterns("node_modules"))
    (npm,) = needs("npm")
    with trio.fail_after(INSTALL_S):
        await trio.run_process([npm, "ci", "--no-audit", "--no-fund"], cwd=app)


@asynccontextmanager
async def dev_server(app: Path) -> AsyncIterator[int]:
    """`vite` with nothing said to it; the port that it chose."""
    (node,) = needs("node")
    process: trio.Process = await trio.lowlevel.open_process(
        [node, "node_modules/vite/bin/vite.js"],
        cwd=app,
        env={**os.environ, "NO_COLOR": "1"},
        stdin=subprocess.PIPE,  # it ends when its stdin does
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        with trio.fail_after(START_S):
            port = await printed_port(process.stdout)
        yield port
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()


async def printed_port(stdout: trio.abc.ReceiveStream) -> int:
    said = b""
    while not (found := re.search(rb"Local: +http://localhost:(\d+)/", said)):
        data = await stdout.receive_some()
        assert data, said
        said += data
    return int(found[1])


def watch_edits(playwright: Any, url: str, app: Path) -> list[str]:
    """Edit two files and see each change arrive in the same page; the URLs of its WebSockets."""
    (chromium,) = needs("chromium")
    browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_FLAGS)
    try:
        page = browser.new_page()
        page.set_default_timeout(STEP_MS)
        sockets: list[str] = []
        page.on("websocket", lambda socket: sockets.append(socket.url))
        page.goto(url)
        sees(page, "first", "rgb(1, 2, 3)")
        page.evaluate("window.sameAsBefore = true")
        (app / "src" / "greeting.js").write_text("export const greeting = 'second'\n")
        sees(page, "second", "rgb(1, 2, 3)")
        (app / "src" / "style.css").write_text("h1 {\n  color: rgb(4, 5, 6);\n}\n")
        sees(page, "second", "rgb(4, 5, 6)")
        assert page.evaluate("window.sameAsBefore") is True
        return sockets
    finally:
        browser.close()


def sees(page: Any, text: str, colour: str) -> None:
    page.wait_for_function(
        """([text, colour]) => {
            const heading = document.querySelector('h1')
            return heading.textContent === text && getComputedStyle(heading).color === colour
        }""",
        arg=[text, colour],
    )


def in_chromium(url: str, app: Path) -> list[str]:
    # Of the extra e2e: without it this file is still read, by mypy and by pytest.
    playwright_api: Any = import_module("playwright.sync_api")
    with playwright_api.sync_playwright() as playwright:
        return watch_edits(playwright, url, app)


@pytest.mark.timeout(300)
@pytest.mark.needs("chromium", "node", "npm", "playwright")
async def test_edits_of_a_vite_app_reach_the_page_without_a_reload(tmp_path: Path) -> None:
    app = tmp_path / "app"
    await install(app)
    async with dev_server(app) as port, open_programs(tmp_path) as programs:
        tunnel = await programs.tunnel(port, name="vite")
        url = f"http://{tunnel.address.authority}/"
        sockets = await trio.to_thread.run_sync(in_chromium, url, app)
    assert {urlsplit(socket).netloc for socket in sockets} == {tunnel.address.authority}
