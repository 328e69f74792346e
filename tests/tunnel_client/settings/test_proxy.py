from __future__ import annotations

import pytest

from protocol.errors import ConfigError
from tunnel_client.settings.addresses import ServerUrl
from tunnel_client.settings.proxy import Proxy, choose_proxy

HTTPS = ServerUrl.parse("https://tunnel.example.com")
HTTP = ServerUrl.parse("http://tunnel.example.com")
PROXY = "http://proxy.example:3128"


def chosen(server: ServerUrl, **environ: str) -> str | None:
    proxy = choose_proxy(server, environ)
    return None if proxy is None else proxy.variable


def test_without_variables_there_is_no_proxy() -> None:
    assert choose_proxy(HTTPS, {}) is None


@pytest.mark.parametrize(
    ("server", "environ", "variable"),
    [
        (HTTPS, {"https_proxy": PROXY}, "https_proxy"),
        (HTTPS, {"HTTPS_PROXY": PROXY}, "HTTPS_PROXY"),
        (HTTPS, {"HTTPS_PROXY": "http://other", "https_proxy": PROXY}, "https_proxy"),
        (HTTPS, {"all_proxy": PROXY}, "all_proxy"),
        (HTTPS, {"ALL_PROXY": PROXY}, "ALL_PROXY"),
        (HTTPS, {"ALL_PROXY": "http://other", "HTTPS_PROXY": PROXY}, "HTTPS_PROXY"),
        (HTTPS, {"ALL_PROXY": PROXY, "HTTPS_PROXY": ""}, "ALL_PROXY"),
        (HTTPS, {"http_proxy": PROXY}, None),
        (HTTP, {"http_proxy": PROXY}, "http_proxy"),
        (HTTP, {"HTTP_PROXY": PROXY}, None),
        (HTTP, {"HTTP_PROXY": PROXY, "ALL_PROXY": PROXY}, "ALL_PROXY"),
        (HTTP, {"https_proxy": PROXY, "HTTPS_PROXY": PROXY}, None),
    ],
)
def test_variable_is_chosen_as_curl_does(
    server: ServerUrl, environ: dict[str, str], variable: str | None
) -> None:
    proxy = choose_proxy(server, environ)
    assert chosen(server, **environ) == variable
    assert proxy is None or str(proxy) == "proxy.example:3128"


@pytest.mark.parametrize(
    "url", ["localhost:8080", "app.localhost", "127.0.0.1", "127.8.8.8:99", "[::1]:8080"]
)
def test_this_machine_is_never_reached_through_a_proxy(url: str) -> None:
    for scheme in ("http", "https"):
        server = ServerUrl.parse(f"{scheme}://{url}")
        environ = dict.fromkeys(("http_proxy", "https_proxy", "ALL_PROXY"), "socks5://nonsense")
        assert choose_proxy(server, environ) is None


@pytest.mark.parametrize(
    ("url", "no_proxy", "excepted"),
    [
        ("https://tunnel.example.com", "*", True),
        ("https://tunnel.example.com", "a,*", True),
        ("https://tunnel.example.com", "tunnel.example.com", True),
        ("https://tunnel.example.com", "example.com", True),
        ("https://tunnel.example.com", ".example.com", True),
        ("https://tunnel.example.com", "*.example.com", True),
        ("https://tunnel.example.com", "EXAMPLE.com.", True),
        ("https://tunnel.example.com", "a.b , example.com", True),
        ("https://tunnel.example.com", "a.b example.com", True),
        ("https://tunnel.example.com", "ample.com", False),
        ("https://tunnel.example.com", "a.tunnel.example.com", False),
        ("https://tunnel.example.com", "tunnel.example.com:443", True),
        ("https://tunnel.example.com", "example.com:8443", False),
        ("https://tunnel.example.com:8443", "example.com:8443", True),
        ("https://tunnel.example.com", "example.com:nonsense", False),
        ("https://tunnel.example.com", ":443", False),
        ("https://tunnel.example.com", ".", False),
        ("https://tunnel.example.com", " , ,", False),
        ("https://tunnel.example.com", "", False),
        ("https://10.1.2.3", "10.1.2.3", True),
        ("https://10.1.2.3", "10.1.2.30", False),
        ("https://10.1.2.3", "10.1.2.3:443", True),
        ("https://10.1.2.3", "10.1.2.3:80", False),
        ("https://10.1.2.3", "10.0.0.0/8", True),
        ("https://10.1.2.3", "10.1.2.99/24", True),
        ("https://10.1.2.3", "11.0.0.0/8", False),
        ("https://10.1.2.3", "10.0.0.0/99", False),
        ("https://10.1.2.3", "2.3", False),
        ("https://10.1.2.3", ".3", False),
        ("https://110.1.2.3", "10.1.2.3", False),
        ("https://[2001:db8::1]", "2001:db8::1", True),
        ("https://[2001:db8::1]", "[2001:db8:0::1]", True),
        ("https://[2001:db8::1]", "[2001:db8::1]:443", True),
        ("https://[2001:db8::1]", "[2001:db8::1]:80", False),
        ("https://[2001:db8::1]", "2001:db8::/32", True),
        ("https://[2001:db8::1]", "10.0.0.0/8", False),
        ("https://tunnel.example.com", "[", False),
    ],
)
def test_exceptions_are_read_as_users_of_curl_expect(
    url: str, no_proxy: str, excepted: bool
) -> None:
    server = ServerUrl.parse(url)
    for variable in ("no_proxy", "NO_PROXY"):
        proxy = choose_proxy(server, {"https_proxy": PROXY, variable: no_proxy})
        assert (proxy is None) is excepted


def test_lower_case_exceptions_win() -> None:
    assert chosen(HTTPS, https_proxy=PROXY, no_proxy="other.example", NO_PROXY="*") == "https_proxy"


def test_excepted_server_leaves_a_bad_proxy_unread() -> None:
    assert chosen(HTTPS, https_proxy="socks5://a", no_proxy="example.com") is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("http://p", ("http", "p", 80)),
        ("https://p", ("https", "p", 443)),
        ("http://P.example:3128/", ("http", "p.example", 3128)),
        ("p:3128", ("http", "p", 3128)),
        ("HTTPS://p:8443", ("https", "p", 8443)),
        ("http://[2001:db8::9]:3128", ("http", "2001:db8::9", 3128)),
    ],
)
def test_proxy_is_read(value: str, expected: tuple[str, str, int]) -> None:
    proxy = choose_proxy(HTTPS, {"https_proxy": value})
    assert proxy is not None
    assert (proxy.scheme, proxy.host, proxy.port) == expected
    assert proxy.authorization is None


@pytest.mark.parametrize(
    ("value", "authorization"),
    [
        ("http://user:pass@p", "Basic dXNlcjpwYXNz"),
        ("user:pass@p:80", "Basic dXNlcjpwYXNz"),
        ("http://user@p", "Basic dXNlcjo="),
        ("http://a%3Ab:p%40%C3%A4@p", "Basic YTpiOnBAw6Q="),
        ("http://a:b:c@p", "Basic YTpiOmM="),
        ("http://a:b@c@p", "Basic YTpiQGM="),
        ("http://a:\udcff@p", "Basic YTr/"),
    ],
)
def test_credentials_become_basic_authorization(value: str, authorization: str) -> None:
    proxy = choose_proxy(HTTPS, {"https_proxy": value})
    assert proxy is not None
    assert proxy.host == "p"
    assert proxy.authorization == authorization


def test_credentials_are_never_printed() -> None:
    proxy = choose_proxy(HTTPS, {"https_proxy": "http://user:hunter2@p:3128"})
    assert proxy is not None
    assert str(proxy) == "p:3128"
    assert "dXNlcjpodW50ZXIy" not in repr(proxy)
    assert proxy == Proxy("http", "p", 3128, "Basic dXNlcjpodW50ZXIy", "https_proxy")


@pytest.mark.parametrize(
    "value",
    [
        *("socks5://user:hunter2@p:1080", "socks5h://p", "ftp://p"),
        *("http://", "http://:3128", "http://p:0", "http://p:65536", "http://p:x", "http://p/path"),
        *("http://user:hunter2@p q", "http://user:hunter2@p/x", " "),
    ],
)
@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "all_proxy"])
def test_other_value_is_refused_by_the_variables_name(value: str, variable: str) -> None:
    with pytest.raises(ConfigError) as caught:
        choose_proxy(HTTPS, {variable: value})
    assert caught.value.key == variable
    assert "allowed: http://" in caught.value.message
    assert "hunter2" not in str(caught.value)
