from __future__ import annotations

import socket

import pytest
from hypothesis import given, strategies as st

from protocol.errors import ConfigError
from tunnel_client.settings.addresses import Address, ServerUrl
from tunnel_client.settings.target import LONGEST_UNIX_PATH_BYTES, Target

BOTH = (("127.0.0.1", 3000), ("::1", 3000))


@pytest.mark.parametrize(
    ("text", "scheme", "authority", "addresses", "shown"),
    [
        ("3000", "http", "localhost:3000", BOTH, "http://localhost:3000"),
        ("localhost:3000", "http", "localhost:3000", BOTH, "http://localhost:3000"),
        ("http://localhost:3000/", "http", "localhost:3000", BOTH, "http://localhost:3000"),
        ("app:8000", "http", "app:8000", (("app", 8000),), "http://app:8000"),
        ("10.0.0.7:80", "http", "10.0.0.7", (("10.0.0.7", 80),), "http://10.0.0.7"),
        ("[::1]:3000", "http", "[::1]:3000", (("::1", 3000),), "http://[::1]:3000"),
        ("http://app", "http", "app", (("app", 80),), "http://app"),
        ("HTTPS://App", "https", "app", (("app", 443),), "https://app"),
        ("https://app:8443", "https", "app:8443", (("app", 8443),), "https://app:8443"),
        ("https://[::1]:443", "https", "[::1]", (("::1", 443),), "https://[::1]"),
        # As people type it.
        ("3000/", "http", "localhost:3000", BOTH, "http://localhost:3000"),
        (":3000", "http", "localhost:3000", BOTH, "http://localhost:3000"),
        (":3000/", "http", "localhost:3000", BOTH, "http://localhost:3000"),
        ("localhost:3000/", "http", "localhost:3000", BOTH, "http://localhost:3000"),
        ("ws://localhost:3000", "http", "localhost:3000", BOTH, "http://localhost:3000"),
        ("wss://app", "https", "app", (("app", 443),), "https://app"),
        ("unix:/run/my app.sock", "http", "localhost", (), "unix:/run/my app.sock"),
    ],
)
def test_target_is_read(
    text: str, scheme: str, authority: str, addresses: tuple[Address, ...], shown: str
) -> None:
    target = Target.parse(text)
    assert target.scheme == scheme
    assert target.authority == authority
    assert target.addresses() == addresses
    assert str(target) == shown


def test_unix_path_is_kept_as_given() -> None:
    assert Target.parse("unix:/Run/App.sock").unix_path == "/Run/App.sock"
    assert Target.parse("3000").unix_path is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "a host is"),
        ("localhost", "the port is missing"),
        ("[::1]", "the port is missing"),
        ("3000/path", "no path"),
        ("localhost:3000/path", "no path"),
        ("3000//", "no path"),
        ("./public", "a folder or file is no app"),
        ("/var/www", "a folder or file is no app"),
        ("~/site", "a folder or file is no app"),
        ("..", "a folder or file is no app"),
        (":", "a host is"),
        ("http://localhost:3000/path", "no path"),
        ("http://localhost:3000?q", "no path, query"),
        ("http://user:hunter2@localhost:3000", "no user name"),
        ("user:hunter2@localhost:3000", "no user name"),
        ("ftp://localhost:3000", "only http and https"),
        ("0", "1 to 65535"),
        ("65536", "1 to 65535"),
        ("localhost:0", "1 to 65535"),
        ("localhost:65536", "1 to 65535"),
        ("http://localhost:65536", "1 to 65535"),
        ("٣", "1 to 65535"),
        ("::1:3000", "IPv6 address in brackets"),
        ("http://", "a host is"),
        ("local host:3000", "a host is"),
        ("unix:", "absolute path"),
        ("unix:app.sock", "absolute path"),
        ("unix:/a\0b", "absolute path"),
    ],
)
def test_other_target_is_refused_with_the_reason_and_what_is_allowed(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Target.parse(text)
    assert caught.value.key == "TARGET"
    assert said in caught.value.message
    assert "allowed: 3000, host:3000" in caught.value.message
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("3000/admin", "did you mean http://localhost:3000?"),
        ("http://localhost:3000/a?b=c#d", "did you mean http://localhost:3000?"),
        ("https://app/x", "did you mean https://app?"),
        ("app/x", ", not 'app/x'"),
        ("local host:3000", ", not 'local host:3000'"),
    ],
)
def test_a_complaint_says_what_was_meant_or_quotes_what_came(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Target.parse(text)
    assert said in caught.value.message
    assert ("not '" in said) == ("did you mean" not in caught.value.message)


@pytest.mark.parametrize(
    "text", ["http://a:hunter2@b", "http://b/?token=hunter2", "http://b/#hunter2", "tt_hunter2"]
)
def test_what_may_hold_a_secret_is_not_quoted(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Target.parse(text)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("target", "server", "is_at"),
    [
        ("8080", "http://localhost:8080", True),
        ("8080", "http://127.0.0.1:8080", True),
        ("127.0.0.1:8080", "http://t.localhost:8080", True),
        ("http://[::1]:8080", "http://localhost:8080", True),
        ("https://tunnel.example.com", "https://tunnel.example.com:443", True),
        ("8081", "http://localhost:8080", False),
        ("http://[::1]:8080", "http://127.0.0.1:8080", False),
        ("443", "https://tunnel.example.com", False),
        ("unix:/app.sock", "http://localhost:80", False),
    ],
)
def test_a_target_that_is_the_server_is_known_by_its_address(
    target: str, server: str, is_at: bool
) -> None:
    assert Target.parse(target).is_at(ServerUrl.parse(server)) is is_at


def test_unix_path_may_be_as_long_as_the_system_takes() -> None:
    path = "/" + "ä" * ((LONGEST_UNIX_PATH_BYTES - 1) // 2)
    assert Target.parse(f"unix:{path}").unix_path == path
    with pytest.raises(ConfigError, match="107 bytes"):
        Target.parse(f"unix:{path}a")


def test_unix_path_is_refused_where_there_are_no_unix_sockets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(socket, "AF_UNIX")
    with pytest.raises(ConfigError, match="this system has no unix sockets"):
        Target.parse("unix:/run/app.sock")


@given(st.text())
def test_any_text_is_a_target_or_a_config_error_on_one_line(text: str) -> None:
    said = ""
    try:
        Target.parse(text)
    except ConfigError as error:
        said = str(error)
    assert said.isprintable()
