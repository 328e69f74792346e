from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser

import pytest

from protocol.statuses import STATUSES
from tunnel_server.answers.pages import CONTENT_SECURITY_POLICY, WAITING_POLICY, error_page, landing
from tunnel_server.answers.texts import ERRORS, Side

VOID = {"meta", "link", "br"}
HOSTILE = "</style><script>alert('1')</script>\"&amp;"


class Page(HTMLParser):
    """Fails on tags that do not match; collects what could load or run something."""

    def __init__(self, html: bytes) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(html.decode())
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes.update(name for name, _ in attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def page_of(
    code: str = "tunnel-lost",
    cause: str = "It broke.",
    name: str | None = None,
    *,
    safe: bool = True,
) -> bytes:
    return error_page(code, ERRORS[code], STATUSES[code], cause, name, safe=safe)


def waiting(*, safe: bool = True) -> bytes:
    """The page of an error that passes."""
    return page_of("origin-refused", safe=safe)


@pytest.mark.parametrize("code", ERRORS)
def test_error_page_says_what_happened_and_what_to_do(code: str) -> None:
    text = ERRORS[code]
    shown = Page(page_of(code, "It broke.", "brave-otter")).text
    for words in (text.title, "It broke.", text.next_step, text.owner_step, code, "brave-otter"):
        assert words in shown
    assert str(STATUSES[code]) in shown


@pytest.mark.parametrize("html", [page_of(), landing("t", "a", [("h", "c")], "f")])
def test_page_is_whole_in_itself_and_runs_nothing(html: bytes) -> None:
    page = Page(html)
    assert not page.tags & {"script", "img", "link", "iframe", "object", "form", "base", "a"}
    assert not page.attributes & {"src", "href", "style", "action"}
    assert not [name for name in page.attributes if name.startswith("on")]
    assert b"url(" not in html
    assert b"@import" not in html


@pytest.mark.parametrize("html", [page_of(), landing("t", "a", [("h", "c")], "f")])
def test_policy_allows_the_pages_own_style_and_nothing_else(html: bytes) -> None:
    styles = re.findall(rb"<style>(.*?)</style>", html, re.DOTALL)
    assert len(styles) == 1
    digest = b64encode(sha256(styles[0]).digest()).decode()
    directives = CONTENT_SECURITY_POLICY.decode().split("; ")
    assert directives[0] == "default-src 'none'"
    assert directives[1] == f"style-src 'sha256-{digest}'"
    assert {"base-uri 'none'", "form-action 'none'"} == set(directives[2:])


def test_the_policy_of_a_page_that_waits_allows_its_own_script_to_ask_its_own_address() -> None:
    scripts = re.findall(rb"<script>(.*?)</script>", waiting(), re.DOTALL)
    assert len(scripts) == 1
    digest = b64encode(sha256(scripts[0]).digest()).decode()
    common = CONTENT_SECURITY_POLICY.decode()
    assert WAITING_POLICY.decode() == (
        f"{common}; script-src 'sha256-{digest}'; connect-src 'self'"
    )
    assert not set(b"<&") & set(scripts[0].replace(b"&&", b""))  # it is text to every parser


def test_a_page_that_waits_says_so_only_where_its_script_runs() -> None:
    page = Page(waiting())
    assert page.tags & {"script", "a", "form", "iframe", "img"} == {"script"}
    assert not page.attributes & {"src", "href", "style", "action"}
    assert b'<p id="waits" class="dim" hidden>' in waiting()


def test_what_was_posted_is_never_sent_again_by_the_page_but_a_link_leads_back() -> None:
    page = Page(waiting(safe=False))
    assert page.tags & {"script", "a", "form", "iframe", "img"} == {"a"}
    assert b'<a href="">' in waiting(safe=False)
    assert "has not reached the app" in page.text


@pytest.mark.parametrize("code", ERRORS)
def test_only_what_passes_is_waited_for(code: str) -> None:
    for safe in (True, False):
        tags = Page(page_of(code, safe=safe)).tags & {"script", "a"}
        assert tags == (({"script"} if safe else {"a"}) if ERRORS[code].passes else set())


def test_whatever_is_in_a_waiting_pages_cause_is_text_and_its_script_is_ours() -> None:
    page = Page(page_of("origin-refused", HOSTILE))
    assert page.text.count(HOSTILE) == 1
    scripts = re.findall(rb"<script>(.*?)</script>", page_of("origin-refused", HOSTILE), re.DOTALL)
    assert scripts == re.findall(rb"<script>(.*?)</script>", waiting(), re.DOTALL)


@pytest.mark.parametrize("html", [page_of(), waiting(), landing("t", "a", [("h", "c")], "f")])
def test_page_fits_phones_and_dark_screens_and_stays_out_of_search_engines(html: bytes) -> None:
    assert html.startswith(b"<!doctype html>\n")
    assert b'name="viewport" content="width=device-width' in html
    assert b"color-scheme: light dark" in html
    assert b"prefers-color-scheme: dark" in html
    assert b'name="robots" content="noindex"' in html
    assert b'<html lang="en">' in html
    assert len(html) < 6000


def test_whatever_is_in_cause_and_name_is_text() -> None:
    page = Page(page_of(cause=HOSTILE, name=HOSTILE))
    assert page.text.count(HOSTILE) == 2
    assert "script" not in page.tags


def test_braces_and_lone_surrogates_do_no_harm() -> None:
    assert b"{style} {0}" in page_of(cause="{style} {0}")
    assert b"?" in page_of(cause="\ud800")


def test_whatever_is_in_a_landing_pages_steps_is_text() -> None:
    page = Page(landing(HOSTILE, HOSTILE, [(HOSTILE, HOSTILE)], HOSTILE))
    assert page.text.count(HOSTILE) == 6  # title and heading among them
    assert "script" not in page.tags


@pytest.mark.parametrize(
    ("side", "states"),
    [
        (Side.VISITOR, ["bad", "", "", ""]),
        (Side.SERVICE, ["good", "bad", "", ""]),
        (Side.TUNNEL, ["good", "good", "bad", ""]),
        (Side.APP, ["good", "good", "good", "bad"]),
    ],
)
def test_way_of_the_request_is_good_up_to_the_fault_and_unknown_beyond(
    side: Side, states: list[str]
) -> None:
    text = ERRORS["internal"]._replace(side=side)
    html = error_page("internal", text, 500, "", None).decode()
    items = re.findall(r'<li(?: class="(\w+)")?>([^<]*)', html)
    assert [state for state, _ in items] == states
    assert [label for _, label in items] == ["Your request", "Tunnel service", "Tunnel", "App"]
    assert html.count("the fault is here") == 1  # for who does not see the colours
