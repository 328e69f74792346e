"""The inspector's page in a real Chromium, on a real store that a test fills."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import trio

from tests.e2e.browser import CHROMIUM_FLAGS, STEP_MS
from tests.inspector_fakes import TOKEN, got, opened_tap
from tests.memory_streams import an_open
from tests.needs import needs
from tests.origin_fakes import SWITCHED
from tunnel_client.inspector.capture.store import CaptureStore
from tunnel_client.inspector.capture.tap import CaptureTap

JSON = b"Content-Type: application/json"


class Tab:
    """A tab with the page, and what went wrong in it.

    Attributes:
        page: of playwright; `expect` is playwright's, too.
        errors: what was thrown, and what the console calls an error.
        asked: the URL of each request that left it.
    """

    def __init__(self, page: Any, expect: Any, port: int) -> None:
        self.page = page
        self.expect = expect
        self.origin = f"http://127.0.0.1:{port}"
        self.errors: list[str] = []
        self.asked: list[str] = []
        page.set_default_timeout(STEP_MS)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", lambda request: self.asked.append(request.url))
        page.on("console", self._note)

    def open(self) -> None:
        self.page.goto(f"{self.origin}/#t={TOKEN}")

    def is_ready(self) -> None:
        """Wait until the page knows what the client can do: before that most keys do nothing."""
        self.expect(self.page.locator("#replay-all")).to_be_visible(timeout=STEP_MS)

    def has(self, selector: str, text: str) -> None:
        """Wait until this is in the text there."""
        self.expect(self.page.locator(selector)).to_contain_text(text, timeout=STEP_MS)

    def is_hidden(self, selector: str) -> None:
        self.expect(self.page.locator(selector)).to_be_hidden(timeout=STEP_MS)

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def text(self, selector: str) -> str:
        text: str = self.page.locator(selector).inner_text()
        return text

    @property
    def elements(self) -> int:
        found: int = self.page.evaluate("document.querySelectorAll('*').length")
        return found

    def keep(self, name: str) -> None:
        """Make a picture, where SCREENSHOTS=FOLDER asks for it."""
        if folder := os.environ.get("SCREENSHOTS"):
            self.page.screenshot(path=Path(folder) / f"inspector-{name}.png")

    def _note(self, message: Any) -> None:
        if message.type == "error":
            self.errors.append(message.text)


async def in_tab(port: int, steps: Callable[[Tab], None], **settings: Any) -> Tab:
    """Run these steps in a new browser, in a thread; settings are those of its context."""
    return await trio.to_thread.run_sync(partial(_visit, port, steps, settings))


def _visit(port: int, steps: Callable[[Tab], None], settings: dict[str, Any]) -> Tab:
    (chromium,) = needs("chromium")
    playwright_api: Any = import_module("playwright.sync_api")
    with playwright_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_FLAGS)
        try:
            size = {"viewport": {"width": 1600, "height": 900}}
            page = browser.new_context(**(size | settings)).new_page()
            tab = Tab(page, playwright_api.expect, port)
            steps(tab)
            return tab
        finally:
            browser.close()


def many(store: CaptureStore, count: int) -> None:
    """Requests of several kinds, with every hundredth failing."""
    for at in range(count):
        status = 500 if at % 100 == 0 else (200, 200, 304, 404)[at % 4]
        got(store, b"a body", target=b"/src/module-%d?x=%d" % (at, at % 17), status=status)


def a_socket(store: CaptureStore, frames: int) -> CaptureTap:
    """A WebSocket that is open, and has had so many frames of JSON from its app."""
    tap = opened_tap(store, an_open("websocket", b"GET", None)._replace(target=b"/live"))
    tap.asked(b"GET /live HTTP/1.1\r\nHost: app\r\n\r\n")
    tap.head(SWITCHED)
    add_frames(tap, 0, frames)
    return tap


def add_frames(tap: CaptureTap, begin: int, end: int) -> None:
    """Add frames, a few hundred in each read."""
    for first in range(begin, end, 300):
        texts = (b'{"n": %d}' % at for at in range(first, min(first + 300, end)))
        tap.body_out(b"".join(bytes([0x81, len(text)]) + text for text in texts))


_VIOLATIONS = """axe.run().then((found) => found.violations.map(
    (each) => [each.id, each.nodes.map((node) => node.html.slice(0, 150))]))"""


def violations(tab: Tab, axe: str) -> Any:
    """Return what axe-core finds. The page's policy lets nobody add a script, so CDP runs it."""
    session = tab.page.context.new_cdp_session(tab.page)
    session.send("Runtime.evaluate", {"expression": axe})
    return tab.page.evaluate(_VIOLATIONS)
