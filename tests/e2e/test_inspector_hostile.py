"""Pages that the developer visits, and the inspector on the same machine that they must not reach.

Each has the token, which no page has: Host, Origin and Sec-Fetch-Site keep it out by themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.e2e.browser import CHROMIUM_FLAGS, STEP_MS
from tests.inspector_fakes import TOKEN, RunningInspector, an_inspector, got, opened_tap
from tests.needs import needs

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(120),
    pytest.mark.needs("chromium", "playwright"),
]

SECRET = b"what nobody else may read"

# All that a page can try, and what it could read by it.
ATTACK = """async ([url, token]) => {
    const found = []
    const tries = [
        ['/api/exchanges', {mode: 'no-cors', credentials: 'include'}],
        ['/api/exchanges', {credentials: 'include'}],
        ['/api/exchanges', {headers: {authorization: `Bearer ${token}`}}],
        ['/api/exchanges/1/answer/body?as=text', {headers: {authorization: `Bearer ${token}`}}],
        ['/api/exchanges', {method: 'DELETE', headers: {authorization: `Bearer ${token}`}}],
        ['/api/exchanges/2/cancel', {method: 'POST', mode: 'no-cors', body: '{}'}],
        ['/api/exchanges/2/cancel', {method: 'POST', headers: {authorization: `Bearer ${token}`}}],
        ['/', {mode: 'cors'}],
    ]
    for (const [path, options] of tries) {
        try { found.push(await (await fetch(url + path, options)).text()) } catch {}
    }
    await new Promise((resolve) => {
        const socket = new WebSocket(url.replace('http', 'ws') + '/api/live')
        socket.onopen = () => socket.send(JSON.stringify({token}))
        socket.onmessage = (message) => { found.push(message.data); resolve() }
        socket.onclose = socket.onerror = () => resolve()
    })
    for (const name of ['img', 'script', 'iframe']) {
        await new Promise((resolve) => {
            const element = document.createElement(name)
            element.onload = element.onerror = resolve
            element.src = url + '/api/exchanges/1/answer/body'
            document.body.append(element)
        })
    }
    const form = document.createElement('form')
    const frame = document.createElement('iframe')
    frame.name = 'form'
    document.body.append(frame)
    Object.assign(form, {method: 'post', action: url + '/api/exchanges/2/cancel', target: 'form'})
    document.body.append(form)
    await new Promise((resolve) => {
        frame.onload = resolve
        document.addEventListener('securitypolicyviolation', resolve)
        form.submit()
    })
    return found.join('\\n')
}"""


class SeenApp:
    """The shared app: a page on a port of its own, and all that it was sent."""

    def __init__(self) -> None:
        self.seen = b""
        self.port = 0

    async def serve(self, nursery: trio.Nursery) -> None:
        serve = partial(trio.serve_tcp, self._handle, 0, host="127.0.0.1")
        [listener] = await nursery.start(serve)
        self.port = listener.socket.getsockname()[1]

    async def _handle(self, stream: trio.SocketStream) -> None:
        self.seen += await stream.receive_some()
        page = b"<!doctype html><title>app</title><p>hello"
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n" % len(page)
        await stream.send_all(head + b"Connection: close\r\n\r\n" + page)


@contextmanager
def a_browser() -> Iterator[Any]:
    (chromium,) = needs("chromium")
    playwright_api: Any = import_module("playwright.sync_api")
    rules = "MAP evil.example 127.0.0.1, MAP rebound.example 127.0.0.1"
    flags = [*CHROMIUM_FLAGS, f"--host-resolver-rules={rules}"]
    with playwright_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=flags)
        try:
            yield browser
        finally:
            browser.close()


async def attacked(steps: Callable[[Any, RunningInspector, SeenApp], str]) -> None:
    """Run these steps in a browser; nothing was read, nothing has changed, and no secret left."""
    app = SeenApp()
    async with an_inspector() as running, trio.open_nursery() as nursery:
        await app.serve(nursery)
        got(running.store, SECRET)
        opened_tap(running.store)
        await running.until_sorted()

        def visit() -> str:
            with a_browser() as browser:
                page = browser.new_page()
                page.set_default_timeout(STEP_MS)
                page.goto(f"http://127.0.0.1:{running.port}/#t={TOKEN}")
                return steps(page, running, app)

        found = await trio.to_thread.run_sync(visit)
        assert SECRET.decode() not in found
        assert '"rows"' not in found
        assert "Inspector</title>" not in found
        assert running.program.cancelled == []
        assert len((await running.get("/api/exchanges"))["exchanges"]) == 2
        assert TOKEN.encode() not in app.seen
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "evil.example"])
async def test_a_page_of_another_origin_gets_nothing(host: str) -> None:
    def steps(page: Any, running: RunningInspector, app: SeenApp) -> str:
        page.goto(f"http://{host}:{app.port}/")
        found = page.evaluate(ATTACK, [f"http://127.0.0.1:{running.port}", TOKEN])
        assert b"GET / HTTP/1.1" in app.seen
        return str(found)

    await attacked(steps)


async def test_a_name_that_points_here_gets_nothing() -> None:
    def steps(page: Any, running: RunningInspector, app: SeenApp) -> str:
        origin = f"http://rebound.example:{running.port}"
        html = "<!doctype html><title>rebound</title><p>hello"
        answer = {"status": 200, "content_type": "text/html", "body": html}
        page.route(f"{origin}/evil", lambda route: route.fulfill(**answer))
        page.goto(f"{origin}/evil")
        return str(page.evaluate(ATTACK, [origin, TOKEN]))

    await attacked(steps)


async def test_the_attack_itself_works_where_nothing_forbids_it() -> None:
    """Or the others would prove nothing: from the inspector's own origin all of it is had."""
    async with an_inspector() as running:
        got(running.store, SECRET)
        tap = opened_tap(running.store)
        await running.until_sorted()
        origin = f"http://127.0.0.1:{running.port}"

        def visit() -> str:
            with a_browser() as browser:
                page = browser.new_page()
                page.goto(origin)
                return str(page.evaluate(ATTACK, [origin, TOKEN]))

        found = await trio.to_thread.run_sync(visit)
        assert SECRET.decode() in found
        assert '"rows"' in found
        assert "Inspector</title>" in found
        assert running.program.cancelled == [tap.stream]


EVIL = b"""<!doctype html><title>x</title><script>window.top.document.title='owned'
fetch('URL/script')</script><img src=URL/img><link rel=stylesheet href=URL/css>
<meta http-equiv=refresh content='0;url=URL/refresh'><style>body{background:url(URL/bg)}</style>
<form action=URL/form method=post><input name=a></form><script>document.forms[0].submit()</script>
<iframe src=URL/frame></iframe><object data=URL/object></object><p>text"""
SVG = b"""<svg xmlns="http://www.w3.org/2000/svg"><script>fetch('URL/script')</script>
<image href="URL/img"/><foreignObject><iframe xmlns="http://www.w3.org/1999/xhtml" src="URL/f"/>
</foreignObject></svg>"""
XML = b"""<?xml version="1.0"?><?xml-stylesheet type="text/xsl" href="URL/xsl"?><a>b</a>"""


@pytest.mark.parametrize(
    ("media_type", "body"),
    [
        ("text/html", EVIL),
        ("image/svg+xml", SVG),
        ("text/xml", XML),
        ("application/xhtml+xml", SVG),
    ],
)
async def test_a_captured_page_loads_and_runs_nothing(media_type: str, body: bytes) -> None:
    app = SeenApp()
    async with an_inspector() as running, trio.open_nursery() as nursery:
        await app.serve(nursery)
        hostile = body.replace(b"URL", b"http://127.0.0.1:%d" % app.port)
        got(running.store, hostile, b"Content-Type: " + media_type.encode())
        await running.until_sorted()
        answer = await running.ask("POST", "/api/exchanges/1/page", {"part": "answer"})
        origin = f"http://127.0.0.1:{running.port}"

        def visit() -> str:
            with a_browser() as browser:
                page = browser.new_page()
                page.goto(origin)
                page.evaluate(_SHOW, answer.json["url"])
                title = str(page.title())
                page.goto(origin + answer.json["url"])  # opened by itself, too
                page.wait_for_load_state("networkidle")
                return title

        assert await trio.to_thread.run_sync(visit) == "Inspector"
        assert app.seen == b""
        nursery.cancel_scope.cancel()


LINKS = b"""<p><a href="javascript:window.top.document.title='owned'">script</a></p>
<p><a href="data:text/html,<script>fetch('URL/data')</script>">data</a></p>
<p><a href="URL/link">link</a></p><p><a href="URL/top" target=_top>top</a></p>
<p><a href="URL/blank" target=_blank>blank</a></p>
<p><a href="URL/ping" ping="URL/pinged">ping</a>"""


async def test_a_link_of_a_captured_page_that_is_clicked_leads_nowhere() -> None:
    app = SeenApp()
    async with an_inspector() as running, trio.open_nursery() as nursery:
        await app.serve(nursery)
        there = f"http://127.0.0.1:{app.port}"
        got(running.store, LINKS.replace(b"URL", there.encode()), b"Content-Type: text/html")
        await running.until_sorted()
        origin = f"http://127.0.0.1:{running.port}"

        def visit(url: str) -> tuple[str, int]:
            with a_browser() as browser:
                page = browser.new_page()
                page.set_default_timeout(STEP_MS)
                page.goto(origin)
                for name in ("script", "data", "link", "top", "blank", "ping"):
                    page.evaluate(_SHOW, url)
                    frame = page.locator("iframe").last
                    frame.content_frame.get_by_text(name, exact=True).click()
                    page.wait_for_load_state("networkidle")
                title, pages = str(page.title()), len(page.context.pages)
                page.goto(f"{there}/end")  # the app hears what does leave, after all before it
                return title, pages

        asked = await running.ask("POST", "/api/exchanges/1/page", {"part": "answer"})
        assert await trio.to_thread.run_sync(visit, asked.json["url"]) == ("Inspector", 1)
        lines = [line for line in app.seen.split(b"\r\n") if line.endswith(b" HTTP/1.1")]
        assert [line for line in lines if b"favicon" not in line] == [b"GET /end HTTP/1.1"]
        nursery.cancel_scope.cancel()


PDF = b"""%PDF-1.4
1 0 obj<</Type/Catalog/Pages 2 0 R/OpenAction<</S/URI/URI(URL/pdf)>>>>endobj
2 0 obj<</Type/Pages/Kids[]/Count 0>>endobj
trailer<</Root 1 0 R>>
%%EOF"""


@pytest.mark.parametrize("media_type", ["application/pdf", "application/x-unknown", "text/pdf"])
async def test_a_captured_pdf_is_downloaded_and_not_shown(media_type: str) -> None:
    app = SeenApp()
    async with an_inspector() as running, trio.open_nursery() as nursery:
        await app.serve(nursery)
        pdf = PDF.replace(b"URL", b"http://127.0.0.1:%d" % app.port)
        got(running.store, pdf, b"Content-Type: " + media_type.encode())
        await running.until_sorted()
        asked = await running.ask("POST", "/api/exchanges/1/page", {"part": "answer"})
        found = await running.ask("GET", asked.json["url"], token=None)
        assert found.fields["content-type"] == "application/octet-stream"
        assert found.fields["content-disposition"] == 'attachment; filename="answer-1.bin"'
        origin = f"http://127.0.0.1:{running.port}"

        def visit() -> tuple[bytes, str]:
            with a_browser() as browser:
                page = browser.new_page()
                page.set_default_timeout(STEP_MS)
                page.goto(origin)
                with page.expect_download() as download:
                    page.evaluate("(url) => { location.href = url }", asked.json["url"])
                return Path(download.value.path()).read_bytes(), download.value.suggested_filename

        assert await trio.to_thread.run_sync(visit) == (pdf, "answer-1.bin")
        assert app.seen == b""
        nursery.cancel_scope.cancel()


_SHOW = """(url) => new Promise((resolve) => {
    const frame = document.createElement('iframe')
    frame.setAttribute('sandbox', '')
    frame.onload = resolve
    frame.src = url
    document.body.append(frame)
})"""
