from __future__ import annotations

from ipaddress import ip_network

import pytest

from protocol.errors import ConfigError
from tunnel_server.settings.values import (
    PublicUrl,
    parse_bind,
    parse_domain,
    parse_drain_timeout,
    parse_max_connections,
    parse_networks,
    parse_public_url,
)


@pytest.mark.parametrize(
    ("value", "bind"),
    [
        ("127.0.0.1:8080", ("127.0.0.1", 8080)),
        ("0.0.0.0:0", ("0.0.0.0", 0)),
        ("[::1]:65535", ("::1", 65535)),
        ("localhost:80", ("127.0.0.1", 80)),
    ],
)
def test_bind_is_an_address_and_a_port(value: str, bind: tuple[str, int]) -> None:
    assert parse_bind(value, "--bind") == bind


@pytest.mark.parametrize(
    "value",
    [
        "",
        "8080",
        "127.0.0.1",
        "127.0.0.1:",
        "1.2.3.4:+80",
        "1.2.3.4:8_0",
        "1.2.3.4:٨٠",
        "1.2.3.4: 80",
    ],
)
def test_bind_without_a_plain_port_is_refused(value: str) -> None:
    with pytest.raises(ConfigError, match=r"^--bind: takes an IP address and a port") as refused:
        parse_bind(value, "--bind")
    assert repr(value) in str(refused.value)


def test_ipv6_address_without_brackets_is_refused_with_a_hint() -> None:
    with pytest.raises(ConfigError, match=r"IPv6 in brackets"):
        parse_bind("::1:8080", "--bind")


def test_domain_is_read_in_lower_case_and_without_its_last_dot() -> None:
    assert parse_domain("Example.COM.", "--domain") == "example.com"
    assert parse_domain("\u212a.example", "--domain") == "\u212a.example"  # not an ordinary k


@pytest.mark.parametrize(
    ("value", "spelt"),
    [
        ("https://example.com", "https://example.com"),
        ("https://example.com/", "https://example.com"),
        ("HTTPS://Example.COM.:443", "https://example.com"),
        ("http://example.com:80", "http://example.com"),
        ("https://example.com:80", "https://example.com:80"),
        ("http://localhost:08080", "http://localhost:8080"),
    ],
)
def test_public_url_is_spelt_as_browsers_do(value: str, spelt: str) -> None:
    assert str(parse_public_url(value, "--public-url")) == spelt


def test_public_url_has_its_default_port() -> None:
    found = parse_public_url("https://example.com", "--public-url")
    assert found == PublicUrl("https", "example.com", 443)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "example.com",
        "//example.com",
        "ftp://example.com",
        "wss://example.com",
        "https://",
        "https:///",
        "https://example.com/path",
        "https://example.com//",
        "https://example.com?",
        "https://example.com#x",
        "https://user@example.com",
        "https://example.com:",
        "https://example.com:x",
        "https://example.com:123456",
        "https://127.0.0.1",
        "https://[::1]:80",
        "https://exa mple.com",
        "https://-.com",
        "https://\u212a.com",
        "https://example.com\n",
    ],
)
def test_public_url_that_is_no_origin_of_a_domain_is_refused(value: str) -> None:
    with pytest.raises(ConfigError, match=r"^--public-url: takes http:// or https://, a domain"):
        parse_public_url(value, "--public-url")


def test_networks_are_a_list_and_an_address_is_a_network_of_one() -> None:
    expected = ("10.0.0.0/8", "192.0.2.7/32", "fd00::/8", "::1/128")
    found = parse_networks("10.0.0.0/8, 192.0.2.7,fd00::/8,::1", "--trusted-proxies")
    assert found == tuple(map(ip_network, expected))


@pytest.mark.parametrize("value", ["", "10.0.0.0/8,", ",", "10.0.0.1/8", "10.0.0.0/33", "proxy"])
def test_anything_else_among_the_networks_is_refused(value: str) -> None:
    with pytest.raises(ConfigError, match=r"^--trusted-proxies: takes networks"):
        parse_networks(value, "--trusted-proxies")


@pytest.mark.parametrize(("value", "seconds"), [("0", 0.0), ("8", 8.0), ("0.25", 0.25)])
def test_drain_timeout_is_seconds(value: str, seconds: float) -> None:
    assert parse_drain_timeout(value, "--drain-timeout") == seconds


@pytest.mark.parametrize(
    "value", ["", "-1", "+1", "nan", "inf", "1e3", "1_0", ".5", "5.", "8s", "1\n"]
)
def test_drain_timeout_that_is_no_plain_number_is_refused(value: str) -> None:
    with pytest.raises(ConfigError, match=r"^--drain-timeout: takes seconds, 0 to 86400, not "):
        parse_drain_timeout(value, "--drain-timeout")


def test_max_connections_is_a_whole_number() -> None:
    assert parse_max_connections("0100", "--max-connections") == 100


@pytest.mark.parametrize("value", ["", "-1", "+1", "1.0", "1_000", "1e3", " 1", "1234567890", "٣"])
def test_max_connections_that_is_no_plain_number_is_refused(value: str) -> None:
    with pytest.raises(ConfigError, match=r"^--max-connections: takes a whole number, 1 to "):
        parse_max_connections(value, "--max-connections")
