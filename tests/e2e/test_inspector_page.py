"""The inspector's page, as somebody sees it who looks for a request."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import trio

from tests.e2e.dev_servers import install
from tests.e2e.inspector_pages import JSON, Tab, a_socket, in_tab, many, violations
from tests.inspector_fakes import MIB, TOKEN, an_inspector, got

pytestmark = [pytest.mark.needs("chromium", "playwright"), pytest.mark.timeout(120)]

SECRET = b"sk-abcdefgh12345678"


async def test_a_request_is_seen_and_looked_into() -> None:
    async with an_inspector() as running:
        body = b'{"user": {"name": "Ada", "api_key": "%s"}, "big": 12345678901234567890}' % SECRET
        posted = b'{"order": 7, "items": ["tea", "cups"]}'
        got(running.store, body, JSON, target=b"/users/1?token=" + SECRET)
        got(running.store, posted=posted, method=b"POST", target=b"/orders", status=201)
        got(running.store, b"Internal error", target=b"/broken", status=500)
        await running.until_sorted()

        def steps(tab: Tab) -> None:
            tab.open()
            tab.has("#count", "3 requests")
            tab.page.locator("#grid .pad [role=row]").first.click()
            tab.has("#title", "/users/1?token=••••")
            tab.has(".half[aria-label=Answer] .tree", "12345678901234567890")
            tab.has(".half[aria-label=Answer] .masked", "••••")
            assert SECRET.decode() not in tab.page.content()
            tab.keep("details")
            tab.page.locator(".half[aria-label=Answer] .form button.show").click()
            tab.has(".half[aria-label=Answer] .tree", SECRET.decode())
            tab.page.get_by_role("button", name="Hex").click()
            tab.has(".hex", "00000000  7b 22 75 73")

        tab = await in_tab(running.port, steps)
        assert not tab.errors
        assert not [url for url in tab.asked if TOKEN in url.partition("#")[0]]


async def test_the_token_leaves_the_address_and_survives_a_reload() -> None:
    async with an_inspector() as running:
        got(running.store)

        def steps(tab: Tab) -> None:
            tab.open()
            tab.has("#count", "1 request")
            assert tab.page.url == f"{tab.origin}/"
            tab.page.reload()
            tab.has("#count", "1 request")
            assert tab.page.context.cookies() == []

        assert not (await in_tab(running.port, steps)).errors


async def test_without_the_token_it_says_where_the_link_is() -> None:
    async with an_inspector() as running:

        def steps(tab: Tab) -> None:
            tab.page.goto(tab.origin)
            tab.has("#locked", "Open the link from the terminal")
            tab.is_hidden("#grid")

        assert not (await in_tab(running.port, steps)).errors


_FILTER_MS = """() => new Promise((done) => {
    const text = document.getElementById("text");
    const began = performance.now();
    text.value = "module-9990?";
    text.dispatchEvent(new Event("input", { bubbles: true }));
    requestAnimationFrame(() => requestAnimationFrame(() => done([
        performance.now() - began, document.querySelectorAll("#grid .pad [role=row]").length])));
})"""


async def test_ten_thousand_requests() -> None:
    async with an_inspector() as running:
        many(running.store, 10_000)
        await running.until_sorted()

        def steps(tab: Tab) -> None:
            tab.open()
            tab.has("#count", "10,000 requests")
            tab.has("#grid .pad [role=row]:last-child", "module-9999")
            assert tab.elements < 600
            assert tab.page.locator("#grid").get_attribute("aria-rowcount") == "10001"
            took_ms, rows = tab.page.evaluate(_FILTER_MS)
            assert rows == 1
            assert took_ms < 200
            tab.has("#count", "1 of 10,000")
            tab.page.locator("#clear-filter").click()
            tab.page.locator("select[name=status]").select_option("5xx")
            tab.has("#count", "100 of 10,000 requests")
            session = tab.page.context.new_cdp_session(tab.page)
            session.send("HeapProfiler.collectGarbage")
            assert session.send("Runtime.getHeapUsage")["usedSize"] < 60 * MIB
            tab.keep("many")

        assert not (await in_tab(running.port, steps)).errors


async def test_a_text_is_found_in_bodies() -> None:
    async with an_inspector() as running:
        many(running.store, 50)
        got(running.store, b"there is a needle in it", target=b"/stack")
        await running.until_sorted()

        def steps(tab: Tab) -> None:
            tab.open()
            tab.has("#count", "51 requests")
            tab.press("/")
            tab.page.keyboard.type("needle")
            tab.has("#count", "1 of 51")
            tab.has("#grid .pad [role=row]", "/stack")
            tab.is_hidden("#looking")

        assert not (await in_tab(running.port, steps)).errors


async def test_a_hundred_thousand_frames() -> None:
    async with an_inspector() as running:
        a_socket(running.store, 100_000)
        await running.until_sorted()

        def steps(tab: Tab) -> None:
            tab.open()
            tab.has("#grid .pad [role=row]", "/live")
            tab.press("Home", "Enter")
            tab.has(".socket .facts", "100,000 frames")
            tab.has("#frames .pad [role=row]:last-child", '{"n": 99999}')
            assert tab.elements < 600
            tab.page.locator("#frames").focus()
            tab.press("Home")
            tab.has("#frames .pad [aria-selected=true]", "{")
            tab.has(".payload .tree", "n:")
            tab.keep("frames")

        assert not (await in_tab(running.port, steps)).errors


async def test_every_action_by_keyboard() -> None:
    async with an_inspector() as running:
        many(running.store, 200)
        await running.until_sorted()

        def steps(tab: Tab) -> None:
            tab.open()
            tab.has("#count", "200 requests")
            tab.press("Home", "j", "ArrowDown", "k")
            tab.has("#grid [aria-selected=true]", "/src/module-1?")
            tab.press("Enter")
            tab.has("#title", "/src/module-1?")
            tab.press("j")
            tab.has("#title", "/src/module-2?")
            tab.press("?")
            tab.has("#dialog", "Go to the end, and follow it")
            tab.press("Escape")
            tab.is_hidden("#dialog")
            tab.press("Escape")
            tab.is_hidden("#details")
            tab.press("/")
            tab.page.keyboard.type("module-19?")
            tab.has("#count", "1 of 200")
            tab.press("Escape", "Home")
            tab.has("#grid [aria-selected=true]", "/src/module-19?")

        assert not (await in_tab(running.port, steps)).errors


HOSTILE = b"""<!doctype html><title>x</title>
<script>top.document.title='owned';fetch('%(url)s/script')</script>
<img src=%(url)s/img onerror="fetch('%(url)s/onerror')"><link rel=stylesheet href=%(url)s/css>
<meta http-equiv=refresh content="0;url=%(url)s/refresh">
<style>body{background:url(%(url)s/bg)}</style><iframe src=%(url)s/frame></iframe>
<form action=%(url)s/form method=post></form><script>document.forms[0].submit()</script>"""
SVG = b"""<svg xmlns="http://www.w3.org/2000/svg" onload="fetch('%(url)s/onload')">
<image href="%(url)s/svg"/><script>fetch('%(url)s/svg-script')</script></svg>"""
XML = b"""<?xml version="1.0"?><?xml-stylesheet type="text/xsl" href="%(url)s/xslt"?><a>text</a>"""


@pytest.mark.parametrize(
    ("body", "media_type"),
    [(HOSTILE, b"text/html"), (SVG, b"image/svg+xml"), (XML, b"text/xml")],
    ids=["html", "svg", "xml"],
)
async def test_a_captured_page_does_nothing(body: bytes, media_type: bytes) -> None:
    async with an_inspector() as running, trio.open_nursery() as nursery:
        came: list[bytes] = []

        async def note(stream: trio.SocketStream) -> None:
            came.append(bytes(await stream.receive_some()))
            await stream.aclose()

        serve = partial(trio.serve_tcp, note, 0, host="127.0.0.1")
        [listener] = await nursery.start(serve)
        url = b"http://127.0.0.1:%d/steal" % listener.socket.getsockname()[1]
        filled = body.replace(b"%(url)s", url)
        got(running.store, filled, b"Content-Type: " + media_type, target=b"/<img src=x>")
        await running.until_sorted()

        def steps(tab: Tab) -> None:
            tab.open()
            tab.has("#count", "1 request")
            tab.press("Home", "Enter")
            tab.has(".half[aria-label=Answer] .content", "steal")
            with tab.page.expect_response(lambda answer: "/page/" in answer.url) as shown:
                tab.page.get_by_role("button", name="Page").click()
            assert shown.value.status == 200
            shown.value.finished()
            assert tab.page.locator("iframe").get_attribute("sandbox") == ""
            tab.page.get_by_role("button", name="Text").click()
            tab.has(".content pre", "steal")
            assert tab.page.title() == "Inspector"
            tab.page.goto(url.decode())  # the listener hears what does leave, after all before it

        with pytest.raises(Exception, match="ERR_EMPTY_RESPONSE"):
            await in_tab(running.port, steps)
        assert {each.split()[1] for each in came} == {b"/steal"}
        nursery.cancel_scope.cancel()


async def test_links_and_signs_in_heads_stay_text() -> None:
    async with an_inspector() as running:
        link = b'{"a": "javascript:alert(1)", "b": "data:text/html,<script>alert(1)</script>"}'
        turned = "X-Turned: \u202egnp.exe".encode()
        got(running.store, link, JSON, turned, b"Location: javascript:alert(1)", target=b"/<b>")
        await running.until_sorted()

        def steps(tab: Tab) -> None:
            tab.open()
            tab.has("#count", "1 request")
            tab.press("Home", "Enter")
            tab.has(".tree", "javascript:alert(1)")
            assert tab.page.locator("#halves a, #halves script, #grid b").count() == 0
            assert "\u202e" not in tab.page.content()

        assert not (await in_tab(running.port, steps)).errors


async def test_who_looks_further_up_is_told_how_many_are_new() -> None:
    async with an_inspector() as running:
        many(running.store, 500)
        await running.until_sorted()

        def steps(tab: Tab) -> None:
            tab.open()
            tab.has("#count", "500 requests")
            tab.press("Home")
            tab.has("#grid [aria-selected=true]", "module-0?")
            trio.from_thread.run_sync(many, running.store, 37)
            tab.has("#new", "37 new")
            assert "module-0?" in tab.text("#grid [aria-selected=true]")
            tab.keep("new")
            tab.page.locator("#new").click()
            tab.is_hidden("#new")

        assert not (await in_tab(running.port, steps)).errors


@pytest.mark.needs("npm")
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_axe_finds_nothing(tmp_path: Path, scheme: str) -> None:
    await install(tmp_path / "axe", "axe")
    axe = (tmp_path / "axe/node_modules/axe-core/axe.min.js").read_text()
    async with an_inspector() as running:
        many(running.store, 300)
        a_socket(running.store, 500)
        posted = b'{"order": 7, "password": "%s"}' % SECRET
        got(running.store, b'{"id": [1, null]}', JSON, target=b"/orders", status=201)
        got(running.store, b"no", JSON, posted=posted, method=b"POST", target=b"/hook", status=502)
        await running.until_sorted()

        def steps(tab: Tab) -> None:
            tab.open()
            tab.has("#count", "303 requests")
            assert violations(tab, axe) == []
            tab.press("End", "Enter")
            tab.has("#title", "/hook")
            tab.has(".half[aria-label=Request] .masked", "••••")
            tab.keep(f"{scheme}-request")
            assert violations(tab, axe) == []
            tab.page.locator("#grid").focus()
            tab.press("k", "k")
            tab.has("#frames .pad [role=row]:last-child", '{"n": 499}')
            tab.page.locator("#frames").focus()
            tab.press("End")
            tab.has(".payload .tree", "n: 499")
            tab.keep(f"{scheme}-socket")
            assert violations(tab, axe) == []
            tab.press("?")
            tab.has("#dialog", "Keys")
            tab.keep(f"{scheme}-keys")
            assert violations(tab, axe) == []
            tab.press("Escape")
            for width in (900, 400):
                tab.page.set_viewport_size({"width": width, "height": 800})
                tab.keep(f"{scheme}-{width}")
                wide = tab.page.evaluate("document.documentElement.scrollWidth")
                assert wide <= width
                assert violations(tab, axe) == []

        assert not (await in_tab(running.port, steps, color_scheme=scheme)).errors


async def test_a_page_that_loses_its_client_waits_for_the_next_run() -> None:
    is_seen, again, is_over = trio.Event(), trio.Event(), trio.Event()

    def steps(tab: Tab) -> None:
        tab.open()
        tab.has("#grid .pad", "/of-the-first-run")
        trio.from_thread.run_sync(is_seen.set)
        tab.has("#lost", "The client does not answer.")
        tab.has("#connection", "client away")
        trio.from_thread.run(again.wait)
        tab.has("#grid .pad .line", "New run of the client")
        tab.has("#grid .pad", "/of-the-next-run")
        tab.has("#grid .pad .old", "/of-the-first-run")
        tab.is_hidden("#lost")
        tab.has("#count", "1 request")
        tab.keep("next-run")
        tab.press("Home", "Enter")
        tab.has("#halves", "a run of the client that is over")

    async def look(port: int) -> None:
        await in_tab(port, steps)
        is_over.set()

    async with trio.open_nursery() as nursery:
        async with an_inspector() as running:
            got(running.store, target=b"/of-the-first-run")
            nursery.start_soon(look, running.port)
            await is_seen.wait()
        async with an_inspector(port=running.port) as later:
            got(later.store, target=b"/of-the-next-run")
            again.set()
            await is_over.wait()
