"""The inspector's page: copies of a request, HAR files out and in, and two answers compared."""

from __future__ import annotations

import gzip
import json
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.dev_servers import install
from tests.e2e.inspector_pages import JSON, Tab, a_socket, in_tab, many, violations
from tests.inspector_fakes import RunningInspector, an_inspector, got
from tests.memory_streams import MemoryStream, an_open

pytestmark = [pytest.mark.needs("chromium", "playwright"), pytest.mark.timeout(120)]

SECRET = b"sk-abcdefgh12345678"
PNG = b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
CLIPBOARD = ["clipboard-read", "clipboard-write"]


def copied(tab: Tab) -> str:
    text: str = tab.page.evaluate("navigator.clipboard.readText()")
    return text


def listen_for_choosers(tab: Tab) -> None:
    """Without one that stays, Chromium may show a chooser before playwright catches it."""
    tab.page.on("filechooser", lambda _: None)


async def two_answers(running: RunningInspector) -> None:
    """Two answers of JSON that differ in a value, in a secret and in their dates."""
    for at, fields in ((1, (b"Date: a", b"X-One: 1")), (2, (b"Date: b",))):
        body = {"user": {"name": f"name-{at}", "token": f"{SECRET.decode()}{at}"}, "same": [1, 2]}
        got(
            running.store,
            json.dumps(body).encode(),
            JSON,
            *fields,
            target=b"/user",
            status=199 + at,
        )
    await running.until_sorted()


async def test_a_request_is_copied_and_its_secrets_when_asked_for() -> None:
    async with an_inspector() as running:
        auth = b"Authorization: Bearer " + SECRET
        got(running.store, b"", auth, posted=b'{"a": 1}', method=b"POST", target=b"/hook")
        got(running.store, target=b"/plain")
        await running.until_sorted()

        def steps(tab: Tab) -> None:
            tab.open()
            tab.is_ready()
            tab.has("#count", "2 requests")
            tab.press("Home", "c")
            tab.has("#notice", "Copied. 1 secret in it is masked.")
            assert copied(tab).startswith("# Secrets are masked, 1 of them")
            assert SECRET.decode() not in copied(tab)
            tab.page.get_by_role("button", name="Copy with secrets").click()
            tab.has("#notice", "Copied, with its secrets.")
            assert f"-H 'Authorization: Bearer {SECRET.decode()}'" in copied(tab)
            tab.press("j", "p")
            tab.has("#notice", "Copied.")
            assert copied(tab).startswith("import httpx\n")
            tab.press("Home", "Enter")
            tab.page.get_by_role("button", name="Copy as curl").click()
            tab.has("#notice", "1 secret in it is masked.")
            assert "curl --globoff" in copied(tab)

        assert not (await in_tab(running.port, steps, permissions=CLIPBOARD)).errors


async def test_without_leave_to_copy_it_can_be_copied_by_hand() -> None:
    async with an_inspector() as running:
        got(running.store, target=b"/plain")
        await running.until_sorted()

        def steps(tab: Tab) -> None:
            tab.page.add_init_script("delete Navigator.prototype.clipboard")
            tab.open()
            tab.is_ready()
            tab.has("#count", "1 request")
            tab.press("Home", "c")
            tab.has("#dialog-title", "Copy it by hand")
            assert "curl" in tab.page.locator("#dialog textarea").input_value()

        assert not (await in_tab(running.port, steps)).errors


async def test_what_is_shown_is_saved_and_comes_back(tmp_path: Path) -> None:
    async with an_inspector() as running:
        said = b'{"token": "%b", "next": "/two"}' % SECRET
        got(running.store, said, JSON, target=b"/one?token=" + SECRET)
        got(running.store, b"no", target=b"/two", status=500)
        await running.until_sorted()

        def save(tab: Tab, button: str) -> Any:
            tab.press("s")
            with tab.page.expect_download() as begun:
                tab.page.get_by_role("button", name=button, exact=True).click()
            assert begun.value.suggested_filename.startswith("inspector-2")
            begun.value.save_as(tmp_path / "saved.har")
            return json.loads((tmp_path / "saved.har").read_text())["log"]

        def steps(tab: Tab) -> None:
            listen_for_choosers(tab)
            tab.open()
            tab.is_ready()
            tab.has("#count", "2 requests")
            log = save(tab, "Save, secrets masked")
            assert SECRET.decode() not in json.dumps(log)
            assert len(log["entries"]) == 2
            tab.page.locator("select[name=status]").select_option("5xx")
            assert len(save(tab, "Save with secrets")["entries"]) == 1
            tab.page.locator("#clear-filter").click()
            tab.page.locator("input[name=everywhere]").uncheck()
            tab.page.locator("#text").fill("/two")
            tab.has("#count", "1 of 2")
            tab.page.locator("#grid").focus()
            assert len(save(tab, "Save with secrets")["entries"]) == 1
            tab.page.locator("#clear-filter").click()
            log["entries"][1]["response"]["status"] = "five hundred"
            log["entries"] += [{"request": {"url": "x" * 2_000_000}}]
            (tmp_path / "saved.har").write_text(json.dumps({"log": log}))
            with tab.page.expect_file_chooser() as chooser:
                tab.press("o")
            chooser.value.set_files(tmp_path / "saved.har")
            tab.has("#dialog-title", "Entries that were refused: 2")
            tab.has("#dialog-content", "log.entries[1].response.status takes a number, not a text")
            tab.has("#dialog-content", "log.entries[2] is over 1 MB without its bodies")
            tab.press("Escape")
            tab.has("#notice", "1 request imported.")
            tab.has("#count", "3 requests")
            tab.page.locator("#grid").focus()
            tab.press("End", "Enter")
            tab.has("#grid [aria-selected=true]", "⤓ /one?token=")
            tab.has("#summary", "imported from a file")
            tab.has(".half[aria-label=Answer] .tree", "token")

        assert not (await in_tab(running.port, steps)).errors


async def test_a_body_that_is_too_long_is_left_out_and_no_har_is_said_to_be_none(
    tmp_path: Path,
) -> None:
    async with an_inspector() as running:
        many(running.store, 1)
        await running.until_sorted()

        def load(tab: Tab, text: str) -> None:
            (tmp_path / "a.har").write_text(text)
            with tab.page.expect_file_chooser() as chooser:
                tab.page.locator("#load").click()
            chooser.value.set_files(tmp_path / "a.har")

        def steps(tab: Tab) -> None:
            listen_for_choosers(tab)
            tab.open()
            tab.is_ready()
            tab.has("#count", "1 request")
            for text, said in (
                ("{", "It is no JSON"),
                ("[]", "It is no HAR"),
                ('{"log": {"entries": {}}}', "It is no HAR"),
            ):
                load(tab, text)
                tab.has("#notice", said)
            body = "x" * 1_100_000
            entry = {
                "startedDateTime": "2026-01-31T10:24:03Z",
                "request": {"method": "GET", "url": "http://example.com/long"},
                "response": {"status": 200, "content": {"size": len(body), "text": body}},
            }
            load(tab, json.dumps({"log": {"entries": [entry]}}))
            tab.has("#notice", "Left out, as it is too long: what 1 of them had")
            tab.page.locator("#grid").focus()
            tab.press("End", "Enter")
            tab.has("#title", "/long")
            tab.has(".half[aria-label=Answer]", "not captured")

        assert not (await in_tab(running.port, steps)).errors


async def test_another_program_answers_from_what_was_saved(tmp_path: Path) -> None:
    """Playwright reads HAR as well, and knows nothing of this one's writer."""
    async with an_inspector() as running:
        page = gzip.compress(
            b"<title>saved</title><img src=/dot.png onload=\"document.title+='!'\">"
        )
        packed = b"Content-Type: text/html", b"Content-Encoding: gzip"
        got(running.store, page, *packed, target=b"/page?a=%2f")
        got(running.store, PNG, b"Content-Type: image/png", target=b"/dot.png")
        await running.until_sorted()

        def steps(tab: Tab) -> None:
            tab.open()
            tab.is_ready()
            tab.has("#count", "2 requests")
            tab.press("s")
            with tab.page.expect_download() as begun:
                tab.page.get_by_role("button", name="Save, secrets masked").click()
            begun.value.save_as(tmp_path / "saved.har")
            other = tab.page.context.new_page()
            other.route_from_har(tmp_path / "saved.har", not_found="abort")
            other.goto("http://app.example/page?a=%2f")
            tab.expect(other).to_have_title("saved!")

        assert not (await in_tab(running.port, steps)).errors


async def test_two_answers_are_compared_by_keys_alone() -> None:
    async with an_inspector() as running:
        await two_answers(running)

        def steps(tab: Tab) -> None:
            tab.open()
            tab.is_ready()
            tab.has("#count", "2 requests")
            tab.press("Home", "d")
            tab.has("#notice", "Request 1 is marked.")
            tab.press("d")
            tab.has("#notice", "Request 1 is marked no more.")
            tab.press("d", "j", "d")
            tab.has("#dialog-title", "Answers of requests 1 and 2")
            shown = tab.text(".differences")
            assert "user.name" in shown
            assert '"name-1"' in shown
            assert "user.token" in shown
            assert SECRET.decode() not in tab.page.content()
            assert "X-One" in shown
            assert "Not counted: date." in shown
            assert "same" not in shown
            tab.keep("differences")
            tab.press("Escape")
            tab.press("?")
            for said in ("Copy as curl", "Copy as Python", "Compare its answer", "Open a HAR"):
                tab.has("#dialog", said)

        assert not (await in_tab(running.port, steps)).errors


async def test_a_replay_is_compared_with_what_it_repeats() -> None:
    async with an_inspector() as running:
        got(running.store, b"before", target=b"/first")
        stream = MemoryStream(an_open("http", b"GET", None))
        stream.replay_of = 1  # type: ignore[attr-defined]  # as that of a replay has it
        tap = running.store.tap_for(stream)
        assert tap is not None
        tap.asked(b"GET /a?b HTTP/1.1\r\n\r\n")
        tap.head(b"HTTP/1.1 200 OK\r\n\r\n")
        tap.body_out(b"after")
        tap.ended(None)
        await running.until_sorted()

        def steps(tab: Tab) -> None:
            tab.open()
            tab.is_ready()
            tab.has("#count", "2 requests")
            tab.press("End", "Enter")
            tab.has("#summary", "replay of request 1")
            tab.page.get_by_role("button", name="Compare its answer").click()
            tab.has("#dialog-title", "Answers of requests 1 and 2")
            tab.has(".differences .gone", "before")
            tab.has(".differences .come", "after")

        assert not (await in_tab(running.port, steps)).errors


@pytest.mark.timeout(300)
@pytest.mark.needs("npm")
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_axe_finds_nothing_in_dialogs(tmp_path: Path, scheme: str) -> None:
    await install(tmp_path / "axe", "axe")
    axe = (tmp_path / "axe/node_modules/axe-core/axe.min.js").read_text()
    async with an_inspector() as running:
        await two_answers(running)
        for at in (1, 2):
            got(running.store, b"same\n" * 99 + b"%d" % at, b"Content-Type: text/plain")
        a_socket(running.store, 1)
        await running.until_sorted()

        def steps(tab: Tab) -> None:
            tab.open()
            tab.is_ready()
            tab.has("#count", "5 requests")
            assert violations(tab, axe) == []
            tab.press("Home", "d", "j", "d")
            tab.has(".differences", "user.name")
            tab.keep(f"{scheme}-differences")
            assert violations(tab, axe) == []
            tab.press("Escape", "j", "d", "j", "d")
            tab.has(".differences .lines", "line 97")
            tab.keep(f"{scheme}-lines")
            assert violations(tab, axe) == []
            tab.press("Escape", "s")
            tab.has("#dialog-title", "Save as HAR?")
            assert violations(tab, axe) == []
            tab.press("Escape", "c")
            tab.has("#notice", "Copied.")
            assert violations(tab, axe) == []

        assert not (
            await in_tab(running.port, steps, color_scheme=scheme, permissions=CLIPBOARD)
        ).errors
