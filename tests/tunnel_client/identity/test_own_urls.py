from __future__ import annotations

import pytest

from tunnel_client.identity.own_urls import OwnUrls, ToOwn, ToPublic, spelled
from tunnel_client.settings.target import Target

PUBLIC = b"https://name.example.com:8443"


def urls(target: str = "3000", host: str | None = None) -> OwnUrls:
    return OwnUrls(Target.parse(target), host)


def public(own: OwnUrls, url: bytes) -> bytes:
    return ToPublic(own, PUBLIC).url(url)


@pytest.mark.parametrize(
    ("target", "host", "origin"),
    [
        ("3000", None, b"http://localhost:3000"),
        ("127.0.0.1:3000", None, b"http://127.0.0.1:3000"),
        ("http://localhost:80", None, b"http://localhost"),
        ("https://app.test", None, b"https://app.test"),
        ("https://app.test:80", None, b"https://app.test:80"),
        ("http://[::1]:3000", None, b"http://[::1]:3000"),
        ("unix:/run/app.sock", None, b"http://localhost"),
        ("3000", "Shop.test", b"http://shop.test"),
        ("3000", "shop.test:80", b"http://shop.test"),
    ],
)
def test_the_apps_own_origin(target: str, host: str | None, origin: bytes) -> None:
    assert urls(target, host).origin == origin


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        (b"HTTPS://A.example:443", b"https://a.example"),
        (b"http://a.example:80", b"http://a.example"),
        (b"https://a.example:80", b"https://a.example:80"),
        (b"http://a.example:8080", b"http://a.example:8080"),
        (b"http://[2001:DB8::1]:80", b"http://[2001:db8::1]"),
        (b"null", b"null"),
        (b"http://a.example/", b"http://a.example/"),
        (b"http://a@b", b"http://a@b"),
        (b"", b""),
    ],
)
def test_origins_are_compared_as_browsers_spell_them(origin: bytes, expected: bytes) -> None:
    assert spelled(origin) == expected


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (b"http://localhost:3000/a?b#c", PUBLIC + b"/a?b#c"),
        (b"http://localhost:3000", PUBLIC),
        (b"http://localhost:3000?q", PUBLIC + b"?q"),
        (b"HTTP://LocalHost:3000/A", PUBLIC + b"/A"),
        (b"https://localhost:3000/", PUBLIC + b"/"),
        (b"http://127.0.0.1:3000/", PUBLIC + b"/"),
        (b"http://[::1]:3000/", PUBLIC + b"/"),
        (b"http://0.0.0.0:3000/", PUBLIC + b"/"),
        (b"http://[::]:3000/", PUBLIC + b"/"),
        (b"//localhost:3000/a", b"//name.example.com:8443/a"),
    ],
)
def test_urls_of_the_app_itself_become_public(url: bytes, expected: bytes) -> None:
    assert public(urls(), url) == expected


@pytest.mark.parametrize(
    "url",
    [
        b"/a",
        b"a",
        b"?q",
        b"",
        b"http://localhost:3001/",
        b"http://localhost/",
        b"http://localhost:30000/",
        b"http://localhost:*/",
        b"http://0.0.0.0/",
        b"http://0.0.0.0:3001/",
        b"http://[::]/",
        b"http://other.example:3000/",
        b"http://localhost:3000.evil.example/",
        b"http://user@localhost:3000/",
        b"http://localhost:3000@evil.example/",
        b"ftp://localhost:3000/",
        b"mailto:me@localhost",
        b"/redirect?to=http://localhost:3000/",
        b"\xe9\xff",
    ],
)
def test_any_other_url_stays(url: bytes) -> None:
    assert public(urls(), url) is url


def test_on_the_default_port_it_may_be_said_or_not() -> None:
    for url in (b"http://localhost/x", b"http://localhost:80/x"):
        assert public(urls("unix:/run/app.sock"), url) == PUBLIC + b"/x"


@pytest.mark.parametrize(
    "target", ["http://localhost:80", "unix:/run/app.sock", "https://localhost"]
)
def test_on_either_default_port_an_url_without_one_is_its_own_by_either_scheme(target: str) -> None:
    """An app on port 80 writes https where it was told that its visitors come by it."""
    for url in (b"http://localhost/x", b"https://localhost/x"):
        assert public(urls(target), url) == PUBLIC + b"/x"
    assert public(urls(target), b"https://localhost:8443/x") == b"https://localhost:8443/x"


def test_a_host_that_is_not_this_machine_has_one_spelling() -> None:
    own = urls("http://app.test:3000")
    assert public(own, b"http://app.test:3000/") == PUBLIC + b"/"
    assert public(own, b"http://localhost:3000/") == b"http://localhost:3000/"


def test_any_address_is_the_apps_own_wherever_it_runs() -> None:
    own = urls("http://app.test:3000")
    for url in (b"http://0.0.0.0:3000/", b"http://[::]:3000/"):
        assert public(own, url) == PUBLIC + b"/"


def test_a_host_header_is_a_name_of_the_app_too() -> None:
    own = urls("3000", "shop.test")
    assert public(own, b"http://shop.test/") == PUBLIC + b"/"
    assert public(own, b"http://localhost:3000/") == PUBLIC + b"/"
    assert own.translate_cookie(b"a=b; Domain=shop.test", PUBLIC) == b"a=b; Domain=name.example.com"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (PUBLIC, b"http://localhost:3000"),
        (PUBLIC + b"/a?b", b"http://localhost:3000/a?b"),
        (b"HTTPS://Name.example.com:8443/A", b"http://localhost:3000/A"),
        (b"https://name.example.com/a", None),
        (b"https://evil.example/?" + PUBLIC, None),
        (PUBLIC + b"#c", b"http://localhost:3000#c"),
        (PUBLIC + b"@evil.example/", None),
        (PUBLIC + b"0/", None),
        (PUBLIC + b".evil.example/", None),
        (b"//name.example.com:8443/", None),
        (b"", None),
    ],
)
def test_in_a_referer_only_the_origin_changes(value: bytes, expected: bytes | None) -> None:
    assert ToOwn(urls(), PUBLIC).url(value) == (value if expected is None else expected)


@pytest.mark.parametrize(
    ("cookie", "expected"),
    [
        (b"a=b; Domain=localhost; Path=/", b"a=b; Domain=name.example.com; Path=/"),
        (b"a=b;domain=.LOCALHOST", b"a=b;domain=name.example.com"),
        (b"a=b; Domain = 127.0.0.1 ;Secure", b"a=b; Domain =name.example.com;Secure"),
        (b"a=b; Domain=other.example", b"a=b; Domain=other.example"),
        (b"a=b; Domain=", b"a=b; Domain="),
        (b"a=b; Domain=.", b"a=b; Domain=."),
        (b"domain=localhost; Path=/", b"domain=localhost; Path=/"),
        (b"a=b; Path=/;HttpOnly", b"a=b; Path=/;HttpOnly"),
    ],
)
def test_a_domain_that_covers_the_app_becomes_the_public_host(
    cookie: bytes, expected: bytes
) -> None:
    assert urls().translate_cookie(cookie, PUBLIC) == expected


def test_a_domain_above_the_app_covers_it() -> None:
    own = urls("http://shop.dev.test:3000")
    for domain in (b"shop.dev.test", b"dev.test", b".test"):
        assert own.translate_cookie(b"a=; Domain=" + domain, PUBLIC) == (
            b"a=; Domain=name.example.com"
        )
    for domain in (b"hop.dev.test", b"x.shop.dev.test"):
        cookie = b"a=; Domain=" + domain
        assert own.translate_cookie(cookie, PUBLIC) == cookie


@pytest.mark.parametrize(
    ("target", "public", "cookie", "kept"),
    [
        ("https://localhost:8443", b"http://a.example", b"a=b; Secure; Path=/", False),
        ("https://localhost:8443", b"http://a.example", b"a=b; Path=/;secure", False),
        ("https://localhost:8443", b"http://a.example", b"__Secure-a=b; Secure", True),
        ("https://localhost:8443", b"http://a.example", b"__HOST-a=b; Path=/; Secure", True),
        ("https://localhost:8443", b"http://a.example", b"a=b; Secure; SameSite=none", True),
        ("https://localhost:8443", b"https://a.example", b"a=b; Secure", True),
        ("3000", b"http://a.example", b"a=b; Secure", True),
    ],
)
def test_secure_goes_only_where_it_would_lose_the_cookie(
    target: str, public: bytes, cookie: bytes, kept: bool
) -> None:
    translated = urls(target).translate_cookie(cookie, public)
    assert (b"secure" in translated.partition(b";")[2].lower()) is kept
    assert not kept or translated == cookie
