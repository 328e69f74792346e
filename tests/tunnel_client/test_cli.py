from __future__ import annotations

import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
import trustme

from tunnel_client.cli import config_from
from tunnel_client.settings.config import ClientConfig
from tunnel_client.settings.install_key import FILE_NAME as INSTALL_KEY


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user without settings; the folder for config and state."""
    for variable in ("TUNNEL_SERVER", "TUNNEL_TOKEN", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(variable, raising=False)
    for variable in ("XDG_CONFIG_HOME", "XDG_STATE_HOME"):
        monkeypatch.setenv(variable, str(tmp_path))
    return tmp_path


def config(*arguments: str) -> ClientConfig:
    found = config_from(["http", *arguments])
    assert isinstance(found, ClientConfig)
    return found


def test_target_alone_is_enough(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = config("3000")
    assert str(found.target) == "http://localhost:3000"
    assert str(found.server_url) == "http://localhost:8080"
    assert found.token == (home / "trio-tunnel" / INSTALL_KEY).read_text().strip()
    assert capsys.readouterr() == ("", "")


def test_every_flag_reaches_the_config(home: Path) -> None:
    ca = home / "ca.pem"
    trustme.CA().cert_pem.write_to_path(ca)
    (home / "token").write_text("tt_file\n")
    found = config(
        *("--server", "https://example.com", "--server-ca", str(ca), "--subdomain", "myapp"),
        *("--token-file", str(home / "token"), "--origin-timeout", "30", "--origin-ca", str(ca)),
        *("--drain-timeout=2", "--ws-keepalive", "20", "--give-up-after", "90", "--json"),
        "https://localhost:8443",
    )
    assert str(found.target) == "https://localhost:8443"
    assert str(found.server_url) == "https://example.com"
    assert (found.server_ca, found.origin_ca) == (ca, ca)
    assert (found.subdomain, found.token, found.json) == ("myapp", "tt_file", True)
    assert (found.origin_timeout_s, found.drain_timeout_s) == (30, 2)
    assert (found.ws_keepalive_s, found.give_up_after_s) == (20, 90)
    assert config("https://localhost:8443", "--origin-insecure").origin_insecure


def test_config_file_of_the_user_is_read(home: Path) -> None:
    (home / "trio-tunnel").mkdir()
    (home / "trio-tunnel" / "client.toml").write_text('subdomain = "myapp"')
    assert config("3000").subdomain == "myapp"


def test_token_as_an_argument_works_and_is_warned_about(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert config("3000", "--token", "tt_hunter2").token == "tt_hunter2"
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("tunnel-client: warning: --token shows in the process list")
    assert err.count("\n") == 1
    assert "hunter2" not in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "Missing command; allowed: tunnel-client http TARGET [FLAGS]"),
        (["frob"], "No such command 'frob'; allowed: tunnel-client http TARGET [FLAGS]"),
        (["3000"], "No such command '3000'; allowed: tunnel-client http TARGET [FLAGS]"),
        (["--frob"], "--frob: no such flag; allowed: --version, --help\n"),
        (["http"], "TARGET: is missing; allowed: 3000, host:3000, "),
        (["http", ""], "TARGET: a host is "),
        (["http", "3000", "tt_hunter2"], "Got unexpected extra argument(s); allowed: "),
        (["http", "3000/path"], "TARGET: no path"),
        (["http", "--frob", "3000"], "--frob: no such flag; allowed: --server, --server-ca, "),
        (["http", "3000", "--frob\x1b[2J\n"], r"--frob\x1b[2J\n: no such flag; "),
        (["http", "3000", "--identity", "both"], "--identity: local or public"),
        (["http", "3000", "--host-header", "a b"], "--host-header: a host, or host:port"),
        (["http", "3000", "--request-header", "secret"], "--request-header: a header field as "),
        (["http", "3000", "--insecure"], "--insecure: no such flag; "),
        (["http", "3000", "--no-json"], "--no-json: no such flag; "),
        (["http", "3000", "--serv", "http://a"], "--serv: no such flag; "),
        (["http", "-3000"], "-3: no such flag; "),
        (["http", "3000", "--json=yes"], "--json: takes no value\n"),
        (["http", "3000", "--origin-insecure=yes"], "--origin-insecure: takes no value\n"),
        *(
            (["http", "3000", flag], f"{flag}: needs a value, {metavar}\n")
            for flag, metavar in {
                "--server": "URL",
                "--server-ca": "FILE",
                "--subdomain": "NAME",
                "--token": "TOKEN",
                "--token-file": "FILE",
                "--origin-timeout": "SECONDS",
                "--origin-ca": "FILE",
                "--drain-timeout": "SECONDS",
                "--give-up-after": "SECONDS",
                "--ws-keepalive": "SECONDS",
            }.items()
        ),
        (["http", "3000", "--server", "ftp://a"], "--server: a URL starts with http:// or"),
        (["http", "3000", "--server-ca", "x"], "--server-ca: only for an https:// server"),
        (["http", "3000", "--subdomain", "a.b"], "--subdomain: a DNS label: 1 to 63"),
        (["http", "3000", "--token", "hunter2 "], "--token: a token is 1 to 1024"),
        (["http", "3000", "--token-file", "/none"], "--token-file: /none cannot be read: No such"),
        (["http", "3000", "--origin-timeout", "0"], "--origin-timeout: a number of seconds from"),
        (["http", "3000", "--origin-insecure"], "--origin-insecure: only for an https:// TARGET"),
        (["http", "3000", "--origin-ca", "x"], "--origin-ca: only for an https:// TARGET"),
        (["http", "3000", "--drain-timeout", "x"], "--drain-timeout: a number of seconds from"),
        (["http", "3000", "--give-up-after", "x"], "--give-up-after: a number of seconds from 1 "),
        (["http", "3000", "--ws-keepalive", "0.9"], "--ws-keepalive: a number of seconds from 1 "),
    ],
)
def test_bad_usage_is_one_line_and_exit_code_2(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert config_from(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"tunnel-client: {said}")
    assert err.endswith("\n")
    assert err.strip("\n").isprintable()
    assert "hunter2" not in err


def test_environment_cannot_ask_for_shell_completion(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("_TUNNEL_CLIENT_COMPLETE", "complete_bash")
    assert config("3000").target.port == 3000
    assert capsys.readouterr() == ("", "")


def test_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert config_from(["--version"]) == 0
    assert capsys.readouterr() == (f"tunnel-client {metadata.version('trio-tunnel')}\n", "")


@pytest.mark.parametrize("arguments", [["--help"], ["http", "--help"], ["http", "-h"]])
def test_help_is_plain_text_on_stdout(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert config_from(arguments) == 0
    out, err = capsys.readouterr()
    assert out.isascii()
    assert "Usage: tunnel-client" in out
    assert err == ""


def test_help_names_every_flag_of_the_design(capsys: pytest.CaptureFixture[str]) -> None:
    config_from(["http", "--help"])
    out = capsys.readouterr().out
    named = {word for word in out.split() if word.startswith("--")}
    assert named == {
        *("--server", "--server-ca", "--subdomain", "--token", "--token-file", "--json"),
        *("--origin-timeout", "--origin-insecure", "--origin-ca", "--drain-timeout", "--help"),
        *("--identity", "--host-header", "--request-header", "--request-header-remove"),
        *("--response-header", "--response-header-remove"),
        *("--ws-keepalive", "--origin-wait", "--give-up-after", "--log-level"),
    }


def test_command_line_is_read_without_loading_trio() -> None:
    code = "import sys, tunnel_client.cli; print('trio' in sys.modules, 'rich' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout == "False False\n"
