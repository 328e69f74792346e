from __future__ import annotations

import pytest

from protocol.http.fields import Fields
from protocol.mux.messages import Open
from protocol.names import MAX_HOST_LENGTH
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


def test_what_is_under_the_public_origin_comes_under_the_apps() -> None:
    template: Fields = (
        (b"Destination", b"%b/b"),
        (b"If", b"<%b/a> (<urn:uuid:1>)"),
        (b"HX-Current-URL", b"%b/page"),
        (b"Upload-Concat", b"final;%b/1 %b/2"),
    )
    public = tuple((name, value.replace(b"%b", PUBLIC)) for name, value in template)
    own = tuple((name, value.replace(b"%b", OWN)) for name, value in template)
    assert asked(*public) == ((OWN_HOST, *own, FOR), False)
    assert asked(*public, mode="public")[0][1:5] == public


def test_an_authorization_crosses_as_it_came() -> None:
    field = (b"Authorization", b'Digest uri="%b/a", realm="%b"' % (PUBLIC, PUBLIC))
    assert asked(field)[0] == (OWN_HOST, field, FOR)


def test_a_signed_request_keeps_destination_and_if() -> None:
    signature = (b"Authorization", b"AWS4-HMAC-SHA256 SignedHeaders=destination;host;if")
    kept = ((b"Destination", PUBLIC + b"/b"), (b"If", b"<%b/a> (<urn:uuid:1>)" % PUBLIC))
    got, _ = asked(signature, *kept, (b"Referer", PUBLIC + b"/"))
    assert got == (OWN_HOST, signature, *kept, (b"Referer", OWN + b"/"), FOR)


def test_a_request_with_none_of_these_is_not_looked_at_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Neither a grammar nor the list of signatures is asked."""
    for name in ("HeadRoom.translated", "signed_by", "ToOwn", "ToPublic"):
        monkeypatch.setattr(f"tunnel_client.identity.rewriting.{name}", None)
    asked((b"Accept", b"*/*"), (b"Authorization", b"DPoP x"), (b"Origin", PUBLIC))
    answered((b"Content-Type", b"text/html"), (b"X-Frame-Options", b"DENY"))


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
        (b"WWW-Authenticate", b'Bearer realm="' + OWN + b'/token"'),
        (b"Content-Security-Policy", b"connect-src ws://localhost:3000"),
        (b"X-Elsewhere", OWN + b"/d"),
    ) == (
        (b"Location", PUBLIC + b"/a"),
        (b"content-location", PUBLIC + b"/b"),
        (b"Refresh", b"0; url=" + PUBLIC + b"/c"),
        (b"SET-COOKIE", b"a=b; Domain=name.example.com"),
        (b"Set-Cookie", b"c=d"),
        (b"Link", b"<" + PUBLIC + b"/d>"),
        (b"WWW-Authenticate", b'Bearer realm="' + PUBLIC + b'/token"'),
        (b"Content-Security-Policy", b"connect-src wss://name.example.com"),
        (b"X-Elsewhere", OWN + b"/d"),
    )


def test_early_hints_are_translated() -> None:
    fields = ((b"Link", b"<%b/a.css>; rel=preload" % OWN),)
    assert identity().answered(fields, Visited(PUBLIC), final=False) == (
        (b"Link", b"<%b/a.css>; rel=preload" % PUBLIC),
    )


@pytest.mark.parametrize("length", [MAX_HOST_LENGTH, MAX_HOST_LENGTH + 1])
def test_a_host_that_is_longer_than_any_is_no_public_origin(length: int) -> None:
    host = "a" * length
    public = b"https://" + host.encode()
    opened = request((b"Origin", public), (b"Referer", public + b"/a"))._replace(host=host)
    got, visited = identity().asked(opened, opened.fields)
    assert got[:1] == (OWN_HOST,)
    assert not set(PUBLIC_FACTS) & set(got)
    told = identity().answered(((b"Location", OWN + b"/"),), visited, final=True)
    if length == MAX_HOST_LENGTH:
        assert got[1:3] == ((b"Origin", OWN), (b"Referer", OWN + b"/a"))
        assert told == ((b"Location", public + b"/"),)
    else:
        assert got[1:3] == opened.fields[1:3]
        assert told == ((b"Location", OWN + b"/"),)


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
    fields = (
        (b"Location", OWN + b"/a"),
        (b"Set-Cookie", b"a=b; Domain=localhost"),
        (b"Link", b"<%b/>" % OWN),
        (b"Content-Security-Policy", b"connect-src ws://localhost:3000"),
    )
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
