from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
import trustme

from protocol.program.settings import read
from tunnel_client.cli import config_from
from tunnel_client.settings.config import ClientConfig
from tunnel_client.settings.credentials import key_for
from tunnel_client.settings.header_edits import HeaderEdits
from tunnel_client.settings.install_key import FILE_NAME as INSTALL_KEY
from tunnel_client.settings.rows import TABLE
from tunnel_client.settings.target import Target
from tunnel_client.uplink.release import ReleaseFailed

ALLOWED = (
    "allowed: http TARGET, release NAME, login URL, logout URL, status URL, "
    "and config check, show and path"
)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user without settings; the folder for config and state."""
    for variable in os.environ:
        if variable.startswith("TUNNEL_") or variable.lower() == "all_proxy":
            monkeypatch.delenv(variable)
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
    key = (home / "trio-tunnel" / INSTALL_KEY).read_text().strip()
    assert found.token == key_for(key, found.server_url)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    "arguments",
    [["3000"], ["localhost:3000"], ["--subdomain", "app", "3000"], ["http", "3000"], [":3000/"]],
)
def test_http_may_be_left_out(arguments: list[str]) -> None:
    found = config_from(arguments)
    assert isinstance(found, ClientConfig)
    assert str(found.target) == "http://localhost:3000"


@pytest.mark.parametrize(
    ("name", "meant"),
    [("My_App", "my-app"), ("shop.tunnel.example.com", "shop"), ("-a-", "a"), ("_", "")],
)
def test_a_name_that_is_none_is_told_what_was_meant(
    name: str, meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert config_from(["http", "3000", f"--subdomain={name}"]) == 2
    hint = f"; did you mean {meant}?" if meant else ""
    assert capsys.readouterr().err.endswith(f"not {name!r}{hint}\n")


def test_every_flag_reaches_the_config(home: Path) -> None:
    ca = home / "ca.pem"
    trustme.CA().cert_pem.write_to_path(ca)
    (home / "token").write_text("tt_file\n")
    found = config(
        *("--server", "https://example.com", "--server-ca", str(ca), "--subdomain", "myapp"),
        *("--token-file", str(home / "token"), "--origin-timeout", "30", "--origin-ca", str(ca)),
        *("--drain-timeout=2", "--ws-keepalive", "20", "--give-up-after", "90", "--json"),
        *("--inspect-memory", "64", "--no-capture-bodies"),
        "https://localhost:8443",
    )
    assert str(found.target) == "https://localhost:8443"
    assert str(found.server_url) == "https://example.com"
    assert (found.server_ca, found.origin_ca) == (ca, ca)
    assert (found.subdomain, found.token, found.json) == ("myapp", "tt_file", True)
    assert (found.origin_timeout_s, found.drain_timeout_s) == (30, 2)
    assert (found.ws_keepalive_s, found.give_up_after_s) == (20, 90)
    assert (found.inspect_memory_mib, found.no_capture_bodies) == (64, True)
    assert config("https://localhost:8443", "--origin-insecure").origin_insecure


@pytest.fixture
def released(monkeypatch: pytest.MonkeyPatch) -> list[tuple[ClientConfig, str]]:
    """The names that were given up, with the settings of each."""
    seen: list[tuple[ClientConfig, str]] = []

    def release(config: ClientConfig, name: str) -> str:
        seen.append((config, name))
        return f"{name} is nobody's now"

    monkeypatch.setattr("tunnel_client.app.release", release)
    return seen


def test_a_name_is_released_with_the_settings_of_the_user(
    home: Path,
    released: list[tuple[ClientConfig, str]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    (home / "trio-tunnel").mkdir()
    (home / "trio-tunnel" / "client.toml").write_text(
        'server = "https://example.com"\ntoken = "tt_x"\norigin_insecure = true'
    )
    assert config_from(["release", "Shop"]) == 0
    ((found, name),) = released
    assert (str(found.server_url), found.token, name) == ("https://example.com", "tt_x", "shop")
    assert capsys.readouterr().out == "shop is nobody's now\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "NAME: is missing; see tunnel-client release --help\n"),
        (["a.b"], "NAME: takes a DNS label: "),
        (["a", "b"], "release takes one NAME, and there are too many words; "),
        (["a", "--subdomain", "b"], "--subdomain: no such flag; allowed: --server, "),
    ],
)
def test_a_release_that_cannot_be_meant_is_refused(
    released: list[tuple[ClientConfig, str]],
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    said: str,
) -> None:
    assert config_from(["release", *arguments]) == 2
    assert capsys.readouterr().err.startswith(f"tunnel-client: {said}")
    assert released == []


@pytest.mark.parametrize(("final", "code"), [(True, 3), (False, 1)])
def test_a_name_that_was_not_released_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], final: bool, code: int
) -> None:
    def release(*_: object) -> None:
        raise ReleaseFailed("shop: it is another owner's", final=final)

    monkeypatch.setattr("tunnel_client.app.release", release)
    assert config_from(["release", "shop"]) == code
    assert capsys.readouterr() == ("", "tunnel-client: shop: it is another owner's\n")


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
        (
            [],
            f"a command is missing; {ALLOWED}; see ",
        ),
        (
            ["config"],
            "a command is missing behind config; allowed: check, show and path; "
            "see tunnel-client config --help\n",
        ),
        (
            ["frob"],
            f"frob: no such command; {ALLOWED}\n",
        ),
        (["htpp", "3000"], "htpp: no such command; did you mean http?\n"),
        (["config", "chek"], "config chek: no such command; did you mean check?\n"),
        (["config", "x"], "config x: no such command; allowed: check, show and path\n"),
        (
            ["config", "check", "3000"],
            "config check takes flags alone, and there are too many words; "
            "see tunnel-client config check --help\n",
        ),
        (
            ["http", "3000", "--subdoman", "a"],
            "--subdoman: no such flag; did you mean --subdomain?",
        ),
        (["--frob"], "--frob: no such flag; allowed: --server, --server-ca, "),
        (["3000/path"], "TARGET: no path"),
        (["http", "3000", "--sub", "x"], "--sub: no such flag; did you mean --subdomain?\n"),
        (["http", "3000", "--subdomain", "My_App"], "--subdomain: takes a DNS label: "),
        (
            ["http", "3000", "--token", "tt_x", "--token-file", "f"],
            "--token: not together with --token-file: there is one token\n",
        ),
        (["http"], "TARGET: is missing; allowed: 3000, host:3000, "),
        (["http", ""], "TARGET: a host is "),
        (
            ["http", "3000", "tt_hunter2"],
            "http takes one TARGET, and there are too many words; see ",
        ),
        (["http", "3000/path"], "TARGET: no path"),
        (["http", "--frob", "3000"], "--frob: no such flag; allowed: --server, --server-ca, "),
        (["http", "3000", "--frob\x1b[2J\n"], r"--frob\x1b[2J\n: no such flag; "),
        (["http", "3000", "--identity", "both"], "--identity: takes auto, local or public"),
        (["http", "3000", "--host-header", "a b"], "--host-header: takes a host, or host:port"),
        (
            ["http", "3000", "--request-header", "secret"],
            "--request-header: takes a header field as ",
        ),
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
        (["http", "3000", "--subdomain", "a.b"], "--subdomain: takes a DNS label: 1 to 63"),
        (["http", "3000", "--token", "hunter2 "], "--token: a token is 1 to 1024"),
        (["http", "3000", "--token-file", "/none"], "--token-file: /none cannot be read: No such"),
        (
            ["http", "3000", "--origin-timeout", "0"],
            "--origin-timeout: takes a number of seconds from",
        ),
        (["http", "3000", "--origin-insecure"], "--origin-insecure: only for an https:// TARGET"),
        (["http", "3000", "--origin-ca", "x"], "--origin-ca: only for an https:// TARGET"),
        (
            ["http", "3000", "--drain-timeout", "x"],
            "--drain-timeout: takes a number of seconds from",
        ),
        (
            ["http", "3000", "--give-up-after", "x"],
            "--give-up-after: takes a number of seconds from 1 ",
        ),
        (
            ["http", "3000", "--ws-keepalive", "0.9"],
            "--ws-keepalive: takes a number of seconds from 1 ",
        ),
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
        *("--plain", "--qr"),
        *("--origin-timeout", "--origin-insecure", "--origin-ca", "--drain-timeout", "--help"),
        *("--identity", "--host-header", "--request-header", "--request-header-remove"),
        *("--response-header", "--response-header-remove"),
        *("--ws-keepalive", "--origin-wait", "--give-up-after", "--log-level", "--inspect-memory"),
        "--no-capture-bodies",
        *("--insecure-server", "--random"),
        *("--inspect", "--no-inspect", "--inspect-host", "--allow-ip", "--deny-ip"),
    }


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["3000"], None),
        (["3000", "--inspect"], True),
        (["--inspect", "3000"], True),
        (["3000", "--inspect", "--json"], True),
        (["3000", "--inspect", "4040"], ("127.0.0.1", 4040)),
        (["--inspect", "4040", "3000"], ("127.0.0.1", 4040)),
        (["3000", "--inspect=localhost:4040"], ("127.0.0.1", 4040)),
        (["3000", "--inspect=[::1]:4040"], ("::1", 4040)),
        (["3000", "--inspect=10.0.0.1:0"], ("10.0.0.1", 0)),
        (["3000", "--no-inspect"], False),
    ],
)
def test_where_the_inspector_is(home: Path, arguments: list[str], wanted: object) -> None:
    config = config_from(["http", *arguments])
    assert isinstance(config, ClientConfig)
    assert config.inspect == wanted
    assert config.target.port == 3000


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--inspect=app.example:1"], "--inspect: takes a port, or an address and a port"),
        (["--inspect=70000"], "--inspect: takes a port, or an address and a port"),
        (["--inspect="], "--inspect: takes a port, or an address and a port"),
        (["--inspect", "3000"], "--inspect: the app is there: http://localhost:3000"),
        (["--inspect", "0.0.0.0:3000"], "--inspect: the app is there: http://localhost:3000"),
        (["--inspect", "--no-inspect"], "--inspect: not together with --no-inspect"),
        (["--inspect-host", "a b"], "--inspect-host: a host is a name"),
    ],
)
def test_where_no_inspector_can_be(
    home: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert config_from(["http", "3000", *arguments]) == 2
    assert f"tunnel-client: {said}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("inspect = true", True),
        ("inspect = false", False),
        ('inspect = "127.0.0.1:4044"', ("127.0.0.1", 4044)),
        ("no_inspect = true", False),
    ],
)
def test_the_inspector_in_the_file(home: Path, line: str, wanted: object) -> None:
    folder = home / "trio-tunnel"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "client.toml").write_text(f"{line}\n")
    config = config_from(["http", "3000"])
    assert isinstance(config, ClientConfig)
    assert config.inspect == wanted


# --- variables and config ------------------------------------------------------------------------


def test_every_flag_has_its_variable(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = {
        "SERVER": "https://example.com",
        "SUBDOMAIN": "myapp",
        "TOKEN": "tt_x",
        "ORIGIN_TIMEOUT": "30",
        "ORIGIN_WAIT": "20",
        "ORIGIN_INSECURE": "true",
        "DRAIN_TIMEOUT": "0",
        "GIVE_UP_AFTER": "90",
        "IDENTITY": "public",
        "HOST_HEADER": "app.test",
        "REQUEST_HEADER": "A: 1, 2",
        "REQUEST_HEADER_REMOVE": "Cookie",
        "RESPONSE_HEADER": "B: 3",
        "RESPONSE_HEADER_REMOVE": "Server",
        "WS_KEEPALIVE": "20",
        "JSON": "true",
        "LOG_LEVEL": "debug",
    }
    ca = home / "ca.pem"
    trustme.CA().cert_pem.write_to_path(ca)
    for name, value in {**values, "SERVER_CA": str(ca)}.items():
        monkeypatch.setenv(f"TUNNEL_CLIENT_{name}", value)
    monkeypatch.setenv("TUNNEL_SERVER", "http://weaker.example")
    monkeypatch.setenv("TUNNEL_TOKEN", "weaker")
    found = config("https://localhost:8443")
    assert (str(found.server_url), found.server_ca) == ("https://example.com", ca)
    assert (found.subdomain, found.token, found.identity) == ("myapp", "tt_x", "public")
    assert (found.origin_timeout_s, found.origin_wait_s, found.origin_insecure) == (30, 20, True)
    assert (found.drain_timeout_s, found.give_up_after_s, found.ws_keepalive_s) == (0, 90, 20)
    assert (found.json, found.log_level, found.host_header) == (True, "debug", "app.test")
    assert found.request_edits == HeaderEdits(((b"A", b"1, 2"),), frozenset({b"cookie"}))
    assert found.answer_edits == HeaderEdits(((b"B", b"3"),), frozenset({b"server"}))
    monkeypatch.setenv("TUNNEL_CLIENT_ORIGIN_INSECURE", "")
    monkeypatch.setenv("TUNNEL_CLIENT_ORIGIN_CA", str(ca))
    assert config("https://localhost:8443").origin_ca == ca
    monkeypatch.setenv("TUNNEL_CLIENT_TOKEN", "")
    monkeypatch.setenv("TUNNEL_TOKEN", "")
    (home / "token").write_text("tt_file\n")
    monkeypatch.setenv("TUNNEL_CLIENT_TOKEN_FILE", str(home / "token"))
    assert config("3000").token == "tt_file"


def test_what_a_flag_refuses_as_useless_is_passed_over_in_a_variable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TUNNEL_CLIENT_SERVER_CA", "none.pem")
    monkeypatch.setenv("TUNNEL_CLIENT_ORIGIN_CA", "none.pem")
    found = config("3000")
    assert (found.server_ca, found.origin_ca) == (None, None)


def test_variables_that_are_no_settings_only_warn(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TUNNEL_CLIENT_TOKN", "hunter2")
    monkeypatch.setenv("TUNNEL_SERVER_HOLD", "60")  # the server's
    config("3000")
    assert capsys.readouterr().err == (
        "tunnel-client: warning: TUNNEL_CLIENT_TOKN is no setting, and passed over; "
        "did you mean TUNNEL_CLIENT_TOKEN?\n"
    )


def test_every_row_has_its_default_in_the_config() -> None:
    defaults = read(TABLE.rows, {})
    found = ClientConfig(target=Target.parse("3000"), token="")
    assert {name: getattr(found, name) for name in defaults} == defaults
    assert "origin_timeout_s" in defaults


def write_file(home: Path, content: str) -> Path:
    path = home / "trio-tunnel" / "client.toml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(content)
    return path


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert config_from(["config", *arguments]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    return captured.out


def test_config_check_makes_no_install_key(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys, "check") == "the settings can be used; there is no file\n"
    assert list(home.iterdir()) == []
    path = write_file(home, "origin_wait = 5")
    assert str(path) in printed(capsys, "check")
    assert json.loads(printed(capsys, "check", "--json")) == {"ok": True, "file": str(path)}
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("command", ["check", "show"])
@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("\norigin_wait = 601", "2: origin_wait: takes a number of seconds from 0 to 600"),
        ("origin_wiat = 1", "1: origin_wiat: unknown key; did you mean origin_wait?"),
        ("token = 'a b'", "1: token: a token is 1 to 1024"),
        ("token_file = 'none'", "1: token_file: "),
        ("origin_ca = 'none.pem'", "1: origin_ca: "),  # whatever the app will be
        ("request_header = ['Host: a']", "1: request_header: takes any field but not Host"),
    ],
)
def test_config_check_refuses_what_could_not_be_used(
    home: Path, capsys: pytest.CaptureFixture[str], command: str, content: str, said: str
) -> None:
    path = write_file(home, content)
    assert config_from(["config", command]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(f"tunnel-client: {path}:{said}")
    assert (captured.out, captured.err.count("\n")) == ("", 1)


def test_config_check_says_in_json_what_is_wrong(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_file(home, "json = 1")
    assert config_from(["config", "check", "--json"]) == 2
    told = json.loads(capsys.readouterr().out)
    assert told == {"ok": False, "key": f"{path}:1: json", "message": "takes true or false, not 1"}


@pytest.mark.parametrize(
    ("arguments", "key"),
    [(["show", "--origin-wait", "x"], "--origin-wait"), (["path", "--frob"], "--frob")],
)
def test_refusal_of_config_is_an_object_with_json(
    capsys: pytest.CaptureFixture[str], arguments: list[str], key: str
) -> None:
    assert config_from(["config", *arguments, "--json"]) == 2
    captured = capsys.readouterr()
    assert json.loads(captured.out)["key"] == key
    assert captured.err.startswith(f"tunnel-client: {key}: ")


SUBDOMAIN = ("--subdomain", "myapp")


def test_config_show_tells_sources_and_no_secret(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    content = "token = 'hunter2'\nrequest_header = ['A: hunter2']\nserver = 'https://example.com'"
    path = write_file(home, content)
    monkeypatch.setenv("TUNNEL_SERVER", "https://example.com")
    plain, as_json = (printed(capsys, "show", *SUBDOMAIN, *form) for form in ((), ("--json",)))
    for out in (plain, as_json):
        assert "hunter2" not in out
        assert out.count("***") == 2
    shown = json.loads(as_json)["settings"]
    assert shown["token"] == {"value": "***", "source": "file", "from": f"{path}:1"}
    assert shown["server"]["from"] == "TUNNEL_SERVER"
    assert shown["subdomain"] == {"value": "myapp", "source": "flag", "from": "--subdomain"}
    assert shown["origin_timeout"] == {"value": 600, "source": "default"}
    # The setting, and not the flag of this command.
    assert shown["json"] == {"value": False, "source": "default"}


def test_config_path_is_told_whether_it_is_there_or_not(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = home / "trio-tunnel" / "client.toml"
    assert printed(capsys, "path") == f"{path}\n"
    write_file(home, "broken")
    assert json.loads(printed(capsys, "path", "--json")) == {"path": str(path), "exists": True}


def test_folder_that_this_user_may_not_look_into_has_no_file_for_it(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_file(home, "origin_wait = 5")

    def locked(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "exists", locked)
    assert json.loads(printed(capsys, "path", "--json")) == {"path": str(path), "exists": False}
    assert printed(capsys, "check") == "the settings can be used; there is no file\n"
    assert config("3000", "--token", "tt_a").origin_wait_s == 3


def test_command_line_is_read_without_loading_trio() -> None:
    code = "import sys, tunnel_client.cli; print(*sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "click" in shown.stdout.split()
    assert not {"trio", "ssl", "email"} & set(shown.stdout.split())
