from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from tunnel_client.settings.addresses import (
    ServerUrl,
    dial_addresses,
    format_address,
    is_loopback,
    parse_authority,
    parse_host,
    parse_port,
    split_url,
)


@pytest.mark.parametrize(("text", "port"), [("1", 1), ("80", 80), ("00080", 80), ("65535", 65535)])
def test_port_is_read(text: str, port: int) -> None:
    assert parse_port(text) == port


@pytest.mark.parametrize(
    "text", ["", "0", "65536", "99999", "100000", "+80", "-1", " 80", "8_0", "80\n", "٣", "x"]
)
def test_other_port_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="1 to 65535"):
        parse_port(text)


LABEL_63 = "a" * 63
HOST_253 = ".".join([LABEL_63] * 3 + ["a" * 61])


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("LocalHost", "localhost"),
        ("my_app", "my_app"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("10.0.0.1", "10.0.0.1"),
        ("3com.example", "3com.example"),
        ("[::1]", "::1"),
        ("[2001:DB8:0::1]", "2001:db8::1"),
        (LABEL_63, LABEL_63),
        (HOST_253, HOST_253),
    ],
)
def test_host_is_read(text: str, host: str) -> None:
    assert parse_host(text) == host


@pytest.mark.parametrize(
    "text",
    [
        *("", "-a", "a-", "a..b", ".a", "a.", "a b", "a\n", "bücher", "a,b", "a%41", "\u212a"),
        *("127.1", "1.2.3.4.5", "256.0.0.1", "a.1"),
        *("[]", "[::g]", "[1.2.3.4]", "[fe80::1%eth0]", "[::1", "[[::1]]"),
        *(LABEL_63 + "a", HOST_253 + "a"),
    ],
)
def test_other_host_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"a host|IPv6"):
        parse_host(text)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a", ("a", None)),
        ("a:80", ("a", 80)),
        ("[::1]", ("::1", None)),
        ("[::1]:80", ("::1", 80)),
    ],
)
def test_authority_is_read(text: str, parts: tuple[str, int | None]) -> None:
    assert parse_authority(text) == parts


@pytest.mark.parametrize(
    "text", ["", ":80", "a:", "a:b", "a:1:2", "::1", "[::1]80", "[::1]:", "x[::1]"]
)
def test_other_authority_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"a host|a port|brackets"):
        parse_authority(text)


def test_url_is_split_without_the_slash_that_browsers_print() -> None:
    assert split_url("HTTP://Host:80/") == ("http", "Host:80")
    assert split_url("localhost:80") is None


@pytest.mark.parametrize("rest", ["h/a", "h//", "h?a", "h#a", "h\\a", "u@h", "u:p@h"])
def test_url_with_more_than_host_and_port_is_refused(rest: str) -> None:
    with pytest.raises(ValueError, match=r"^no "):
        split_url(f"http://{rest}")


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        *((host, True) for host in ("localhost", "x.localhost", "127.0.0.1", "127.9.9.9", "::1")),
        *((host, False) for host in ("notlocalhost", "localhost.example", "10.0.0.1", "::2")),
    ],
)
def test_loopback_is_told(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


def test_localhost_and_names_under_it_are_both_loopback_addresses() -> None:
    both = (("127.0.0.1", 3000), ("::1", 3000))
    assert dial_addresses("localhost", 3000) == dial_addresses("x.localhost", 3000) == both
    assert dial_addresses("example.com", 3000) == (("example.com", 3000),)
    assert dial_addresses("127.0.0.1", 3000) == (("127.0.0.1", 3000),)


def test_ipv6_address_is_printed_in_brackets() -> None:
    assert format_address("::1", 80) == "[::1]:80"
    assert format_address("a", 80) == "a:80"


@pytest.mark.parametrize(
    ("text", "url", "authority", "shown"),
    [
        ("http://localhost:8080", ("http", "localhost", 8080), "localhost:8080", None),
        (
            "https://Example.com/",
            ("https", "example.com", 443),
            "example.com",
            "https://example.com",
        ),
        ("http://a:443", ("http", "a", 443), "a:443", None),
        # As people type it: https, unless it is this machine.
        ("example.com", ("https", "example.com", 443), "example.com", "https://example.com"),
        ("a:8443/", ("https", "a", 8443), "a:8443", "https://a:8443"),
        ("localhost:8080", ("http", "localhost", 8080), "localhost:8080", "http://localhost:8080"),
        ("127.0.0.1:80", ("http", "127.0.0.1", 80), "127.0.0.1", "http://127.0.0.1"),
        ("wss://a", ("https", "a", 443), "a", "https://a"),
        ("ws://a:80", ("http", "a", 80), "a", "http://a"),
        ("https://a:443", ("https", "a", 443), "a", "https://a"),
        ("https://[2001:db8::1]:8443", ("https", "2001:db8::1", 8443), "[2001:db8::1]:8443", None),
    ],
)
def test_server_url_is_read(
    text: str, url: tuple[str, str, int], authority: str, shown: str | None
) -> None:
    server = ServerUrl.parse(text)
    assert (server.scheme, server.host, server.port) == url
    assert server.tls == (url[0] == "https")
    assert server.authority == authority
    assert str(server) == (shown or text)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "example.com/x",
            "user:hunter2@localhost:8080",
            "a:0",
            "ftp://a",
            "http:/a",
            "http://",
        ),
        *("https://a/b", "https://a?b", "https://a#b", "https://user:hunter2@a", "https://a:0"),
        *("https://a:65536", "https://a b", " https://a", "https://a\n"),
    ],
)
def test_other_server_url_is_refused_without_repeating_a_secret(text: str) -> None:
    with pytest.raises(ValueError, match=r"allowed: http://HOST\[:PORT\]") as caught:
        ServerUrl.parse(text)
    assert "hunter2" not in str(caught.value)
    assert "\n" not in str(caught.value)


@given(st.text())
def test_any_text_is_an_address_or_a_value_error(text: str) -> None:
    for parse in (parse_authority, ServerUrl.parse, split_url):
        said = ""
        try:
            parse(text)
        except ValueError as error:
            said = str(error)
        assert said.isprintable()
