from __future__ import annotations

import pytest

from tunnel_client.identity.own_urls import OwnUrls, ToPublic
from tunnel_client.identity.url_lists import (
    challenges,
    endpoints,
    if_tagged,
    link,
    permissions,
    refresh,
    rule_sets,
    upload_concat,
)
from tunnel_client.settings.target import Target

PUBLIC = b"https://name.example.com:8443"
OWN = b"http://localhost:3000"
TO = ToPublic(OwnUrls(Target.parse("3000")), PUBLIC)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"5; url=http://localhost:3000/a", b"5; url=" + PUBLIC + b"/a"),
        (b'0;URL="http://localhost:3000/a"', b'0;URL="' + PUBLIC + b'/a"'),
        (b"0 ; Url = 'http://localhost:3000'", b"0 ; Url = '" + PUBLIC + b"'"),
        (b"1, http://localhost:3000/", b"1, " + PUBLIC + b"/"),
        (b"5", b"5"),
        (b"5; url=/a", b"5; url=/a"),
        (b"5; url=http://other.example/", b"5; url=http://other.example/"),
        (b"url=http://localhost:3000/", b"url=http://localhost:3000/"),
        (b"", b""),
    ],
)
def test_the_url_of_a_refresh_is_translated(value: bytes, expected: bytes) -> None:
    assert refresh(value, TO) == expected


@pytest.mark.parametrize(
    "template",
    [
        b"<%s/?page=2>; rel=next",
        b'<%s/?page=2>; rel="next", <%s/?page=9>; rel="last"',
        b", <%s/a>;rel=preload ; as=style;type=text/css,,</b.css>; rel=preload",
        b'<%s/a>; title="<http://localhost:3000/>"; anchor="%s/b"',
        b"<%s/a>; title*=UTF-8''%%e2; ANCHOR = \"%s/b\"",
        b"<%s/a>;;rel=next; crossorigin",
        b"<%s>",
        b'<%s/,a;b>; rel="a, b; anchor=c"',
    ],
)
def test_the_targets_and_the_context_of_a_link_are_translated(template: bytes) -> None:
    count = template.count(b"%s")
    assert link(template % ((OWN,) * count), TO) == template % ((PUBLIC,) * count)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"http://localhost:3000/",
        b"<http://localhost:3000/",
        b"<http://localhost:3000/> rel=next",
        b'<http://localhost:3000/>; rel="next',
        b"<<http://localhost:3000/>>",
        b"<http://localhost:3000/>; rel=next <http://localhost:3000/>",
        b"</a>; rel=next; href=http://localhost:3000/",
        b"<http://other.example/>; rel=next",
        b'</a>; anchor="http:\\/\\/localhost:3000/"',
    ],
)
def test_any_other_link_stays(value: bytes) -> None:
    assert link(value, TO) == value


@pytest.mark.parametrize(
    "template",
    [
        b"<%s/a> (<urn:uuid:1>)",
        b'<%s/a> (<urn:uuid:1> ["a)b"]) (Not <DAV:no-lock>)<%s/b>([W/"c"])',
        b"<%s/a>(<http://localhost:3000/state> not <http://localhost:3000/token>)",
    ],
)
def test_the_resources_of_an_if_are_translated_and_no_state_token(template: bytes) -> None:
    count = template.count(b"%s")
    assert if_tagged(template % ((OWN,) * count), TO) == template % ((PUBLIC,) * count)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"(<http://localhost:3000/token>)",
        b'(["<http://localhost:3000/>"])',
        b"<http://localhost:3000/>",
        b"<http://localhost:3000/> ()",
        b"<http://localhost:3000/> (<urn:uuid:1>",
        b"(<urn:uuid:1>) <http://localhost:3000/> (<urn:uuid:2>)",
        b"<http://other.example/> (<urn:uuid:1>)",
    ],
)
def test_any_other_if_stays(value: bytes) -> None:
    assert if_tagged(value, TO) == value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"final;%s/a %s/b;%s" % (OWN, OWN, OWN), b"final;%s/a %s/b;%s" % (PUBLIC, PUBLIC, OWN)),
        (b"final; /a %s/b" % OWN, b"final; /a %s/b" % PUBLIC),
        (b"final;/a /b", b"final;/a /b"),
        (b"partial", b"partial"),
        (b"final;", b"final;"),
        (b"%s/a" % OWN, b"%s/a" % OWN),
        (b"final %s/a" % OWN, b"final %s/a" % OWN),
    ],
)
def test_the_parts_of_a_final_upload_are_translated(value: bytes, expected: bytes) -> None:
    assert upload_concat(value, TO) == expected


@pytest.mark.parametrize(
    "template",
    [
        b'default="%s/reports"',
        b'a="%s/a", b="%s/b";c="http://localhost:3000/";d,e="https://other.example/"',
        b'*a-b.c_1="%s/a"; d="http://localhost:3000/"',
    ],
)
def test_endpoints_of_reports_are_translated_and_no_parameters(template: bytes) -> None:
    count = template.count(b"%s")
    assert endpoints(template % ((OWN,) * count), TO) == template % ((PUBLIC,) * count)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b'"http://localhost:3000/"',
        b'A="http://localhost:3000/"',
        b'a="http://localhost:3000/',
        b'a=("http://localhost:3000/")',
        b'a = "http://localhost:3000/"',
        b"a=http://localhost:3000/",
        b'a="http://localhost:3000/",',
    ],
)
def test_what_is_no_dictionary_stays(value: bytes) -> None:
    assert endpoints(value, TO) == value


@pytest.mark.parametrize(
    "template",
    [
        b'Bearer realm="%s/token",service="registry",scope="repository:a:pull"',
        b'bearer error="a b", resource_metadata="%s/.well-known/oauth-protected-resource"',
        b'Digest realm="http://localhost:3000/", nonce="Bearer realm=", Bearer Realm = "%s/a"',
        b'Negotiate, NTLM abc==, Bearer  realm="%s/a", Basic realm="http://localhost:3000/"',
        b'Bearer scope=a, , error_description="realm=\\"x\\"" , realm="%s/", Bearer realm="%s/"',
        b', Bearer realm="%s/",',
        # RFC 9728 5.1 and RFC 9449 7.1 in one; what proves possession hashes nothing of it
        b'DPoP error="invalid_token", resource_metadata="%s/a", algs="ES256 PS256"',
        b'Bearer realm="%s/", dpop realm="http://localhost:3000/",resource_metadata = "%s/a"',
    ],
)
def test_two_parameters_of_bearer_are_translated_and_one_of_dpop(template: bytes) -> None:
    count = template.count(b"%s")
    assert challenges(template % ((OWN,) * count), TO) == template % ((PUBLIC,) * count)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"Bearer",
        b"Bearer dG9rZW4=",
        b'Basic realm="http://localhost:3000/"',
        b'Digest realm="http://localhost:3000/", domain="http://localhost:3000/"',
        b'Bearer realm="http://localhost:3000/',
        b"Bearer realm=http://localhost:3000/",
        b'Bearer scope="http://localhost:3000/", xrealm="http://localhost:3000/"',
        b'Bearer, realm="http://localhost:3000/"; a',
        b'Bearer error="realm=\\"http://localhost:3000/\\""',
        b'Bearer realm="http://localhost:3000/" scope="a"',
        b'Bearer realm="http://other.example/"',
        b'DPoP realm="http://localhost:3000/"',
        b'Digest resource_metadata="http://localhost:3000/"',
        b'XDPoP resource_metadata="http://localhost:3000/"',
    ],
)
def test_any_other_challenge_stays(value: bytes) -> None:
    assert challenges(value, TO) == value


@pytest.mark.parametrize(
    "template",
    [
        # of django-permissions-policy 4.34
        b'autoplay=(), camera=("%s"), fullscreen=(*), payment=(self "https://pay.example" "%s")',
        b'geolocation="%s"',
        b'a=( self  "%s" ) , b-c=*,d=(self "%s";x);report-to="http://localhost:3000"',
        b'a;b="http://localhost:3000",c="%s"',
    ],
)
def test_origins_that_have_a_permission_are_translated(template: bytes) -> None:
    count = template.count(b"%s")
    assert permissions(template % ((OWN,) * count), TO) == template % ((PUBLIC,) * count)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"geolocation=(self), camera=()",
        b'geolocation=(self "http://localhost:3001")',
        b'geolocation=(self "http://localhost:3000"',
        b'geolocation=(self"http://localhost:3000")',
        b'geolocation=(self,"http://localhost:3000")',
        b'geolocation=(("http://localhost:3000"))',
        b'geolocation (self "http://localhost:3000")',
        b'geolocation=(self "http://localhost:3000"),',
        b'geolocation=(self "http:\\/\\/localhost:3000")',
        b"geolocation=(self http://localhost:3000)",
        b"geolocation 'self' http://localhost:3000",  # Feature-Policy's form
    ],
)
def test_any_other_permissions_stay(value: bytes) -> None:
    assert permissions(value, TO) == value


@pytest.mark.parametrize(
    "template",
    [
        b'"%s/rules.json"',
        b'"/a.json" , "%s/b.json";x="http://localhost:3000/", "%s/c.json"',
    ],
)
def test_sets_of_speculation_rules_are_translated(template: bytes) -> None:
    count = template.count(b"%s")
    assert rule_sets(template % ((OWN,) * count), TO) == template % ((PUBLIC,) * count)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b'"/cdn-cgi/speculation"',  # Cloudflare's
        b'"http://other.example/rules.json"',
        b'"http://localhost:3000/rules.json',
        b'"http://localhost:3000/a.json" "http://localhost:3000/b.json"',
        b'a="http://localhost:3000/a.json"',
        b'("http://localhost:3000/a.json")',
        b"http://localhost:3000/a.json",
    ],
)
def test_what_is_no_list_of_strings_stays(value: bytes) -> None:
    assert rule_sets(value, TO) == value
