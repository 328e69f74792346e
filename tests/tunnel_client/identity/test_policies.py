from __future__ import annotations

import pytest

from tunnel_client.identity.own_urls import OwnUrls, ToPublic
from tunnel_client.identity.policies import features, policy
from tunnel_client.settings.target import Target


def translated(
    value: bytes, public: bytes = b"https://name.example.com", to: str = "3000"
) -> bytes:
    return policy(value, ToPublic(OwnUrls(Target.parse(to)), public))


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (b"http://localhost:3000", b"https://name.example.com"),
        (b"https://127.0.0.1:3000/a/", b"https://name.example.com/a/"),
        (b"ws://localhost:3000", b"wss://name.example.com"),
        (b"WSS://LocalHost:3000/ws", b"wss://name.example.com/ws"),
        (b"localhost:3000", b"name.example.com"),
        (b"0.0.0.0:3000", b"name.example.com"),
        (b"localhost:*", b"name.example.com:*"),
        (b"http://localhost:*", b"https://name.example.com:*"),
        (b"ws://127.0.0.1:*/ws", b"wss://name.example.com:*/ws"),
    ],
)
def test_a_source_that_is_the_app_becomes_public(source: bytes, expected: bytes) -> None:
    value = b"default-src 'self';  Connect-Src 'self' %b  data:,img-src * %b"
    assert translated(value % (source, source)) == value % (expected, expected)


@pytest.mark.parametrize(
    "source",
    [
        b"'self'",
        b"'nonce-localhost:3000'",
        b"http:",
        b"*",
        b"*:3000",
        b"*.localhost:3000",
        b"localhost",
        b"http://localhost",
        b"localhost:3001",
        b"http://localhost:3000?a",
        b"http://user@localhost:3000",
        b"ftp://localhost:3000",
        b"//localhost:3000",
        b"localhost:3000.example",
        b"other.example:*",
        b"localhost:",
        b"\xe9",
    ],
)
def test_any_other_source_stays(source: bytes) -> None:
    value = b"script-src " + source
    assert translated(value) == value


def test_a_port_of_the_public_origin_is_said() -> None:
    value = b"connect-src localhost:3000 ws://localhost:3000 localhost:*"
    assert translated(value, b"http://name.example.com:8080") == (
        b"connect-src name.example.com:8080 ws://name.example.com:8080 name.example.com:*"
    )


def test_on_the_default_port_a_bare_host_is_the_app() -> None:
    value = b"script-src localhost http://localhost:80"
    assert translated(value, to="unix:/run/app.sock") == (
        b"script-src name.example.com https://name.example.com"
    )


def test_what_lists_no_sources_stays() -> None:
    for value in (
        b"report-to localhost:3000",
        b"sandbox localhost:3000",
        b"trusted-types localhost:3000; require-trusted-types-for 'script'",
        b"localhost:3000",
        b";;, ,",
        b"",
    ):
        assert translated(value) == value


def test_reports_go_to_an_url() -> None:
    value = b"report-uri http://localhost:3000/csp?x=1 /csp localhost:3000"
    assert translated(value) == b"report-uri https://name.example.com/csp?x=1 /csp localhost:3000"


def test_the_origins_of_a_feature_policy_are_sources() -> None:
    """As Rails 6.1 writes it, where `config.permissions_policy` names the app's own URL."""
    value = b"camera 'none'; payment 'self' %b; fullscreen 'self' https://other.example"
    to = ToPublic(OwnUrls(Target.parse("3000")), b"https://name.example.com")
    for own in (b"http://localhost:3000", b"https://127.0.0.1:3000"):
        assert features(value % own, to) == value % b"https://name.example.com"
    for other in (b"http://localhost:3001", b"*", b""):
        assert features(value % other, to) == value % other
