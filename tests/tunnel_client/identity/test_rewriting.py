from __future__ import annotations

import pytest

from protocol.http.fields import Fields
from protocol.mux.messages import Open
from tunnel_client.identity.rewriting import Identity, Visited, forwarded
from tunnel_client.settings.header_edits import HeaderEdits
from tunnel_client.settings.target import Target
from tunnel_client.settings.values import Mode

PUBLIC = b"https://name.example.com"
OWN = b"http://localhost:3000"
FOR = (b"X-Forwarded-For", b"192.0.2.1")
PUBLIC_FACTS: Fields = (
    (b"X-Forwarded-Host", b"name.example.com"),
    (b"X-Forwarded-Proto", b"https"),
    (b"X-Forwarded-Port", b"443"),
)
HOST = (b"Host", b"name.example.com")
OWN_HOST = (b"Host", b"localhost:3000")


def request(*fields: tuple[bytes, bytes]) -> Open:
    told = (HOST, *fields, FOR, *PUBLIC_FACTS)
    return Open(
        *("http", 1, b"GET", b"/", b"1.1", told, None, "https", "name.example.com"),
        *("192.0.2.1", 0),
    )


def identity(mode: Mode = "local", host: str | None = None) -> Identity:
    return Identity(Target.parse("3000"), mode, host)


def asked(
    *fields: tuple[bytes, bytes], mode: Mode = "local", host: str | None = None
) -> tuple[Fields, bool]:
    """What the app gets, and whether Origin was rewritten."""
    opened = request(*fields)
    got, visited = identity(mode, host).asked(opened, opened.fields)
    assert visited.origin == PUBLIC
    return got, visited.origin_rewritten


def answered(*fields: tuple[bytes, bytes], rewritten: bool = False, mode: Mode = "local") -> Fields:
    return identity(mode).answered(fields, Visited(PUBLIC, rewritten), final=True)


# --- requests ------------------------------------------------------------------------------------


def test_a_plain_request_has_the_apps_host_and_no_public_facts() -> None:
    fields = ((b"x-A", b"1"), (b"ACCEPT", b"*/*"))
    assert asked(*fields) == ((OWN_HOST, *fields, FOR), False)


def test_host_keeps_its_place_and_case() -> None:
    opened = request()._replace(fields=((b"A", b"1"), (b"hOST", b"name.example.com")))
    got, _ = identity().asked(opened, opened.fields)
    assert got == ((b"A", b"1"), (b"hOST", b"localhost:3000"))


def test_an_origin_of_ours_becomes_the_apps() -> None:
    fields = ((b"Origin", PUBLIC), (b"Referer", PUBLIC + b"/form?x=1"))
    own = ((b"Origin", OWN), (b"Referer", OWN + b"/form?x=1"))
    assert asked(*fields) == ((OWN_HOST, *own, FOR), True)


def test_a_forwarded_of_a_trusted_proxy_is_a_public_fact_too() -> None:
    got, _ = asked((b"Forwarded", b"for=192.0.2.1;host=name.example.com"))
    assert got == (OWN_HOST, FOR)


@pytest.mark.parametrize(
    "origin",
    [
        b"https://evil.example",
        b"http://name.example.com",
        b"https://name.example.com:8443",
        b"https://x.name.example.com",
        b"https://name.example.com.evil.example",
        b"null",
        b"",
        OWN,
    ],
)
def test_an_origin_of_anybody_else_is_not_touched(origin: bytes) -> None:
    field = (b"Origin", origin)
    assert asked(field) == ((OWN_HOST, field, FOR), False)


def test_a_referer_of_anybody_else_is_not_touched() -> None:
    field = (b"Referer", b"https://evil.example/?" + PUBLIC)
    assert asked(field)[0] == (OWN_HOST, field, FOR)


def test_an_origin_with_its_default_port_or_in_capitals_is_ours_too() -> None:
    for origin in (b"https://name.example.com:443", b"HTTPS://Name.Example.com"):
        assert asked((b"Origin", origin)) == ((OWN_HOST, (b"Origin", OWN), FOR), True)


def test_in_public_nothing_is_touched_and_forwarded_is_added() -> None:
    fields = ((b"Origin", PUBLIC), (b"Referer", PUBLIC + b"/"))
    said = (b"Forwarded", b'for=192.0.2.1;host="name.example.com";proto=https')
    assert asked(*fields, mode="public") == ((HOST, *fields, FOR, *PUBLIC_FACTS, said), False)


def test_a_host_header_is_the_apps_own_host() -> None:
    own = ((b"Host", b"Shop.test"), (b"Origin", b"http://shop.test"), FOR)
    assert asked((b"Origin", PUBLIC), host="Shop.test") == (own, True)
    got, _ = asked((b"Origin", PUBLIC), mode="public", host="Shop.test")
    assert got[:2] == ((b"Host", b"Shop.test"), (b"Origin", PUBLIC))


# --- Forwarded -----------------------------------------------------------------------------------


def said(*fields: tuple[bytes, bytes]) -> bytes:
    return forwarded(request(), fields)[1]


def test_forwarded_names_every_address_on_the_way() -> None:
    chain = ((b"X-Forwarded-For", b"198.51.100.7, 2001:db8::1"), FOR)
    assert said(*chain) == (
        b'for=198.51.100.7;host="name.example.com";proto=https, for="[2001:db8::1]", for=192.0.2.1'
    )


def test_forwarded_of_a_trusted_proxy_is_continued() -> None:
    assert said((b"Forwarded", b"for=_a;proto=https"), FOR) == b"for=_a;proto=https, for=192.0.2.1"


def test_forwarded_without_an_address_says_so() -> None:
    assert said() == b'for=unknown;host="name.example.com";proto=https'


# --- answers -------------------------------------------------------------------------------------


def test_what_names_the_app_names_the_public_origin() -> None:
    assert answered(
        (b"Location", OWN + b"/a"),
        (b"content-location", OWN + b"/b"),
        (b"Refresh", b"0; url=" + OWN + b"/c"),
        (b"SET-COOKIE", b"a=b; Domain=localhost"),
        (b"Set-Cookie", b"c=d"),
        (b"Link", b"<" + OWN + b"/d>"),
    ) == (
        (b"Location", PUBLIC + b"/a"),
        (b"content-location", PUBLIC + b"/b"),
        (b"Refresh", b"0; url=" + PUBLIC + b"/c"),
        (b"SET-COOKIE", b"a=b; Domain=name.example.com"),
        (b"Set-Cookie", b"c=d"),
        (b"Link", b"<" + OWN + b"/d>"),
    )


def test_an_answer_with_nothing_of_that_is_the_very_same() -> None:
    fields = ((b"Content-Type", b"text/html"), (b"ETag", b"x"))
    assert identity().answered(fields, Visited(PUBLIC), final=True) is fields


@pytest.mark.parametrize(
    ("allowed", "rewritten", "expected"),
    [
        (OWN, True, PUBLIC),
        (OWN, False, OWN),
        (b"*", True, b"*"),
        (b"null", True, b"null"),
        (b"https://other.example", True, b"https://other.example"),
    ],
)
def test_an_origin_is_allowed_as_it_was_asked(
    allowed: bytes, rewritten: bool, expected: bytes
) -> None:
    field = (b"Access-Control-Allow-Origin", allowed)
    assert answered(field, rewritten=rewritten) == ((field[0], expected),)


def test_in_public_no_answer_is_touched() -> None:
    fields = ((b"Location", OWN + b"/a"), (b"Set-Cookie", b"a=b; Domain=localhost"))
    assert answered(*fields, mode="public") == fields


# --- what the person wants -----------------------------------------------------------------------


def test_edits_come_last_and_not_to_informational_heads() -> None:
    edited = Identity(
        Target.parse("3000"),
        request_edits=HeaderEdits(((b"Origin", b"x"),), frozenset({b"x-forwarded-for"})),
        answer_edits=HeaderEdits(((b"Location", OWN),)),
    )
    opened = request((b"Origin", PUBLIC))
    got, visited = edited.asked(opened, opened.fields)
    assert got == (OWN_HOST, (b"Origin", b"x"))
    fields = ((b"Location", OWN + b"/a"),)
    assert edited.answered(fields, visited, final=True) == ((b"Location", OWN),)
    assert edited.answered(fields, visited, final=False) == ((b"Location", PUBLIC + b"/a"),)
