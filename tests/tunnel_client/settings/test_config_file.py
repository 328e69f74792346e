from __future__ import annotations

from pathlib import Path

import pytest

from protocol.errors import ConfigError
from tunnel_client.settings.config_file import FILE_NAME, read_config_file


def write(folder: Path, content: str | bytes) -> Path:
    path = folder / FILE_NAME
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_no_file_is_no_settings(tmp_path: Path) -> None:
    assert read_config_file(tmp_path) == {}
    assert read_config_file(tmp_path / "none") == {}


def test_every_key_is_read(tmp_path: Path) -> None:
    write(
        tmp_path,
        """
        server = "https://example.com"
        server_ca = "/etc/ca.pem"
        subdomain = "myapp"
        token = "tt_x"
        token_file = "/run/token"
        origin_timeout = 30
        origin_insecure = true
        origin_ca = "/etc/origin.pem"
        drain_timeout = 1.5
        give_up_after = 90
        identity = "public"
        host_header = "app.test"
        request_header = ["A: 1", "B: 2"]
        request_header_remove = []
        response_header = ["C: 3"]
        response_header_remove = ["D"]
        ws_keepalive = 20
        """,
    )
    assert read_config_file(tmp_path) == {
        "server": "https://example.com",
        "server_ca": "/etc/ca.pem",
        "subdomain": "myapp",
        "token": "tt_x",
        "token_file": "/run/token",
        "origin_timeout": 30,
        "origin_insecure": True,
        "origin_ca": "/etc/origin.pem",
        "drain_timeout": 1.5,
        "give_up_after": 90,
        "identity": "public",
        "host_header": "app.test",
        "request_header": ("A: 1", "B: 2"),
        "request_header_remove": (),
        "response_header": ("C: 3",),
        "response_header_remove": ("D",),
        "ws_keepalive": 20,
    }


def test_paths_start_at_the_folder_of_the_file_or_at_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    write(tmp_path, 'server_ca = "ca.pem"\ntoken_file = "~/token"\norigin_ca = "../ca.pem"')
    assert read_config_file(tmp_path) == {
        "server_ca": str(tmp_path / "ca.pem"),
        "token_file": "/home/somebody/token",
        "origin_ca": str(tmp_path / "../ca.pem"),
    }


def test_home_of_an_unknown_user_is_refused(tmp_path: Path) -> None:
    write(tmp_path, 'token_file = "~no-such-user-here/token"')
    with pytest.raises(ConfigError, match="token_file: ~ stands for a home folder"):
        read_config_file(tmp_path)


@pytest.mark.parametrize("key", ["subdomian", "identiy", "json", "Server", '"\\u001b[2J"'])
def test_unknown_key_is_refused_by_name(tmp_path: Path, key: str) -> None:
    path = write(tmp_path, f"{key} = true")
    with pytest.raises(ConfigError) as caught:
        read_config_file(tmp_path)
    assert caught.value.key.startswith(f"{path}: ")
    assert key.strip('"').replace("\\u001b", r"\x1b") in caught.value.key
    assert caught.value.message.startswith("unknown key; allowed: server, server_ca, ")


@pytest.mark.parametrize(
    ("line", "allowed"),
    [
        ("server = 8080", "a string"),
        ("server_ca = true", "a string"),
        ("subdomain = 1", "a string"),
        ("token = 12345", "a string"),
        ('token_file = ["a"]', "a string"),
        ('origin_timeout = "30"', "a number of seconds"),
        ("origin_timeout = true", "a number of seconds"),
        ("origin_insecure = 1", "true or false"),
        ('origin_insecure = "yes"', "true or false"),
        ("origin_ca = 1", "a string"),
        ("drain_timeout = false", "a number of seconds"),
        ("give_up_after = true", "a number of seconds"),
        ("ws_keepalive = true", "a number of seconds"),
        ("[server]", "a string"),
        ("identity = true", "a string"),
        ('request_header = "A: 1"', "a list of strings"),
        ("request_header = [1]", "a list of strings"),
        ("response_header_remove = true", "a list of strings"),
    ],
)
def test_value_of_another_type_is_refused(tmp_path: Path, line: str, allowed: str) -> None:
    path = write(tmp_path, line)
    with pytest.raises(ConfigError) as caught:
        read_config_file(tmp_path)
    key = line.strip("[]").partition(" ")[0]
    assert (caught.value.key, caught.value.message) == (f"{path}: {key}", allowed)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"server = \xff", "is not UTF-8"),
        (b"server: x", "is not TOML: "),
        (b"a = 1\na = 2", "TOML"),
    ],
)
def test_file_that_is_no_toml_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    write(tmp_path, content)
    with pytest.raises(ConfigError, match=said):
        read_config_file(tmp_path)


def test_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).mkdir()
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        read_config_file(tmp_path)


def test_error_of_toml_does_not_repeat_the_token(tmp_path: Path) -> None:
    write(tmp_path, 'token = "hunter2\n')
    with pytest.raises(ConfigError) as caught:
        read_config_file(tmp_path)
    assert "hunter2" not in str(caught.value)
