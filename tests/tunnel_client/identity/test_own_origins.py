from __future__ import annotations

import pytest

from tunnel_client.identity.own_origins import COUNTED_MAX, AppOrigins, OriginsSaid
from tunnel_client.settings.target import Target

PUBLIC = "https://demo.example:8443"


def said(text: bytes, target: str = "3000") -> OriginsSaid:
    return AppOrigins(Target.parse(target), PUBLIC).said(text)


@pytest.mark.parametrize(
    ("target", "text", "count"),
    [
        ("3000", b"http://localhost:3000", 1),
        ("3000", b"https://localhost:3000/ ws://127.0.0.1:3000/x wss://[::1]:3000", 3),
        ("3000", b"http://0.0.0.0:3000", 1),
        ("3000", b"http://[::]:3000/", 1),
        ("3000", b"HTTP://LOCALHOST:3000", 1),
        ("3000", rb"http:\/\/localhost:3000 http:\u002F\u002flocalhost:3000", 2),
        ("3000", b"http://localhost:30001 http://localhost http://localhost:8080", 0),
        ("3000", b"//localhost:3000 ftp://localhost:3000 http://xlocalhost:3000", 0),
        ("3000", b"http://app.localhost:3000 http://localhost.example:3000", 0),
        ("web:3000", b"http://web:3000 http://localhost:3000 http://web:30000", 2),
        ("[::5]:3000", b"http://[::5]:3000", 1),
        ("unix:/a", b"http://localhost/ http://localhost:80/ http://localhost", 3),
        ("unix:/a", b"http://localhost:8080 http://localhosts http://localhost.example", 0),
        ("web:80", b'"http://web" http://web:81', 1),
    ],
)
def test_own_origins_are_counted_and_what_only_looks_like_one_is_not(
    target: str, text: bytes, count: int
) -> None:
    assert said(text, target).own == count


@pytest.mark.parametrize(
    ("text", "public", "other"),
    [
        (b"https://demo.example:8443/x https://demo.example:8443", 2, 0),
        (rb"https:\/\/demo.example:8443\/x", 1, 0),
        (b"http://demo.example:8443/", 0, 1),
        (b"wss://demo.example:8443/s", 1, 0),
        (b"ws://demo.example:8443/s", 0, 1),
        (b"//demo.example:8443 ftp://demo.example:8443 HTTPS://demo.example:8443", 0, 0),
        (b"https://demo.example https://demo.example:84431 https://x.demo.example:8443", 0, 0),
        (b"https://demo.example:8443.evil", 0, 0),
    ],
)
def test_the_public_origin_is_counted_with_its_scheme_and_with_the_other(
    text: bytes, public: int, other: int
) -> None:
    found = said(text)
    assert (found.own, found.public, found.other_scheme) == (0, public, other)


def test_where_visitors_have_http_that_is_right_and_https_is_wrong() -> None:
    origins = AppOrigins(Target.parse("3000"), "http://demo.example")
    text = b"http://demo.example/ ws://demo.example https://demo.example wss://demo.example/ "
    assert origins.said(text + b"wss://demo.example") == OriginsSaid(0, 2, 3, in_links=False)


@pytest.mark.parametrize(
    ("text", "in_links"),
    [
        (b"<a href='http://localhost:3000/x'>", True),
        (b'<form action = "http://127.0.0.1:3000">', True),
        (b"<img SRC=https://localhost:3000/i.png>", True),
        (b"open http://localhost:3000 in a browser", False),
        (b"data-config='http://localhost:3000'", False),
        (b"<a href='/x'>http://localhost:3000</a>", False),
    ],
)
def test_an_origin_in_a_link_is_told_from_one_in_the_text(text: bytes, in_links: bool) -> None:
    assert said(text) == OriginsSaid(1, 0, 0, in_links)


@pytest.mark.parametrize(("names", "in_links"), [(COUNTED_MAX - 1, True), (COUNTED_MAX, False)])
def test_no_more_of_each_is_looked_at_than_says_yes_or_no(names: int, in_links: bool) -> None:
    texts = (b"http://localhost:3000 ", b"https://demo.example:8443 ", b"ws://demo.example:8443 ")
    text = b"".join(text * names for text in texts) + b"<a href='http://localhost:3000/x'>"
    own = names + in_links
    assert said(text) == OriginsSaid(own, names, names, in_links)
    assert said(b"".join(text * (COUNTED_MAX + 1) for text in texts))[:3] == (COUNTED_MAX,) * 3


@pytest.mark.parametrize(
    ("location", "path"),
    [
        (b"/en/", b"/en/"),
        (b"en?x=1", b"/a/en?x=1"),
        (b"http://localhost:3000", b"/"),
        (b"http://127.0.0.1:3000/x", b"/x"),
        (b"http://localhost:3000/x#y", b"/x"),
        (b"https://localhost:3000/x", b"/x"),
        (b"https://localhost/x", None),
        (b"http://localhost:3001/x", None),
        (b"//sso.example/x", None),
        (b"http://[::1", None),
        (b"mailto:a@b", None),
    ],
)
def test_a_redirect_to_the_app_itself_is_known_by_its_origin(
    location: bytes, path: bytes | None
) -> None:
    origins = AppOrigins(Target.parse("3000"), PUBLIC)
    assert origins.own_path(location, b"/a/b") == path


def test_the_own_https_is_itself_only_where_visitors_come_by_https() -> None:
    origins = AppOrigins(Target.parse("3000"), "http://demo.example")
    assert origins.own_path(b"https://localhost:3000/x", b"/") is None
    assert not origins.is_own_https(b"https://localhost:3000/", b"/")


@pytest.mark.parametrize(
    ("location", "asked", "found"),
    [
        (b"https://localhost:3000/", b"/", True),
        (b"https://localhost:3000/a?x", b"/a?x", True),
        (b"https://localhost:3000/a?next=1", b"/a?x", False),
        (b"https://127.0.0.1:3000/", b"/", True),
        (b"https://localhost:3000/b", b"/a", False),
        (b"http://localhost:3000/", b"/", False),
        (b"https://localhost/", b"/", False),
        (b"https://sso.example/", b"/", False),
    ],
)
def test_a_redirect_to_the_own_https_is_one_to_the_same_target(
    location: bytes, asked: bytes, found: bool
) -> None:
    origins = AppOrigins(Target.parse("3000"), PUBLIC)
    assert origins.is_own_https(location, asked) is found


def test_a_script_is_one_of_the_page_only_at_the_public_origin() -> None:
    origins = AppOrigins(Target.parse("3000"), PUBLIC)
    assert origins.public_path(b"main.js", b"/app/") == b"/app/main.js"
    assert origins.public_path(b"https://demo.example:8443/a.js?v=1", b"/") == b"/a.js?v=1"
    assert origins.public_path(b"https://cdn.example/a.js", b"/") is None
    assert origins.public_path(b"http://demo.example:8443/a.js", b"/") is None
