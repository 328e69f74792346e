from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from protocol.http.heads import parse_request
from tunnel_server.answers.negotiation import (
    MAX_ACCEPT_RANGES,
    Form,
    accept_of,
    is_ping,
    preferred_form,
)

BROWSER = b"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        (b"", Form.TEXT),
        (b"*/*", Form.TEXT),  # curl, and fetch() by default
        (BROWSER, Form.HTML),
        (b"image/avif,image/webp,image/*,*/*;q=0.8", Form.TEXT),  # an <img>
        (b"text/css,*/*;q=0.1", Form.TEXT),
        (b"application/json", Form.JSON),
        (b"application/json, text/plain, */*", Form.JSON),  # axios
        (b"application/vnd.api+json", Form.JSON),
        (b"text/plain, application/json", Form.TEXT),
        (b"application/json, text/html", Form.JSON),
        (b"text/html, application/json", Form.HTML),
        (b"TEXT/HTML", Form.HTML),
        (b"text/html;level=1", Form.HTML),
        (b"text/html;q=0.4, application/json;q=0.5", Form.JSON),
        (b"application/json ; Q=0.5 , text/html ; q=0.9", Form.HTML),
        (b"text/*", Form.TEXT),
        (b"application/*", Form.JSON),
        (b"*/*, text/html", Form.HTML),
        (b"text/html;q=0.5, */*", Form.TEXT),
        (b"text/html;q=0, */*;q=0.1", Form.TEXT),
        (b"text/html;q=0", Form.TEXT),
        (b"text/plain;q=0, application/json;q=0.001", Form.JSON),
        (b"image/png", Form.TEXT),
        (b"text/x-vite-ping", Form.TEXT),
        (b"text/html;q=nan", Form.TEXT),
        (b"text/html;q=2, application/json;q=0.1", Form.JSON),
        (b"text/html;q=0.1234, application/json;q=0.1", Form.JSON),
        (b"html", Form.TEXT),
        (b",,;q=1,/", Form.TEXT),
        (b"\xff\xfe", Form.TEXT),
    ],
)
def test_form_is_what_accept_likes_best(accept: bytes, form: Form) -> None:
    assert preferred_form(accept) is form


def test_ranges_beyond_those_that_are_read_do_not_count() -> None:
    assert preferred_form(b"a/b," * (MAX_ACCEPT_RANGES - 1) + b"text/html") is Form.HTML
    assert preferred_form(b"a/b," * MAX_ACCEPT_RANGES + b"text/html") is Form.TEXT


@given(st.binary() | st.from_regex(rb"[a-z/*,;q=.01 ]*"))
def test_no_accept_makes_it_raise(accept: bytes) -> None:
    assert preferred_form(accept) in Form


@pytest.mark.parametrize(
    ("accept", "ping"),
    [
        (b"text/x-vite-ping", True),
        (b"", False),
        (b"*/*", False),
        (b"text/x-vite-ping, */*", False),  # of no Vite
    ],
)
def test_what_the_page_of_an_older_vite_asks_while_its_server_is_away(
    accept: bytes, ping: bool
) -> None:
    assert is_ping(accept) is ping


def test_several_accepts_are_one() -> None:
    head = parse_request(b"GET / HTTP/1.1\r\nHost: a\r\nAccept: a\r\naccept: b\r\n\r\n")
    assert accept_of(head) == b"a,b"
    assert accept_of(None) == b""
