from __future__ import annotations

import json
import os
import re
import resource
import runpy
import subprocess
import sys
import tomllib
from collections.abc import Callable
from ipaddress import ip_network
from pathlib import Path
from types import ModuleType

import pytest
import trustme

from protocol.errors import ConfigError
from protocol.program.process import version
from protocol.program.settings import read
from tunnel_server.cli import main
from tunnel_server.owners.auth_file import AuthFile
from tunnel_server.owners.store import FILE_NAME as STORE_NAME, open_store
from tunnel_server.owners.tokens import digest_of, fingerprint_of
from tunnel_server.settings import loading
from tunnel_server.settings.config import ServerConfig
from tunnel_server.settings.rows import TABLE
from tunnel_server.settings.values import FIELDS, PublicUrl


class App(ModuleType):
    """Takes the place of tunnel_server.app: keeps the config and returns `result`."""

    def __init__(self) -> None:
        super().__init__("tunnel_server.app")
        self.configs: list[ServerConfig] = []
        self.result: int | BaseException = 0

    def run(self, config: ServerConfig) -> int:
        self.configs.append(config)
        if isinstance(self.result, BaseException):
            raise self.result
        return self.result


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> App:
    stand_in = App()
    monkeypatch.setitem(sys.modules, "tunnel_server.app", stand_in)
    for variable in [name for name in os.environ if name.startswith("TUNNEL_")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr(loading, "SYSTEM_FOLDER", tmp_path / "etc")
    return stand_in


@pytest.fixture
def served(app: App) -> Callable[..., ServerConfig]:
    """Runs the command line, which must serve, and returns what it would serve with."""

    def serve(*argv: str) -> ServerConfig:
        assert main(argv) == 0
        return app.configs.pop()

    return serve


@pytest.fixture
def refused(app: App, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs the command line, which must be refused, and returns the one line that says why."""

    def refuse(*argv: str) -> str:
        assert main(argv) == 2
        assert app.configs == []
        captured = capsys.readouterr()
        assert captured.out == ""
        assert re.fullmatch(r"tunnel-server: [^\n]+\n", captured.err), captured.err
        return captured.err.removeprefix("tunnel-server: ").removesuffix("\n")

    return refuse


def write_file(folder: Path, content: str) -> Path:
    """Writes the settings file of a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "server.toml"
    path.write_text(content)
    return path


def test_no_arguments_serve_with_the_defaults(served: Callable[..., ServerConfig]) -> None:
    assert served() == ServerConfig()


def test_serve_may_be_said_or_left_out(served: Callable[..., ServerConfig]) -> None:
    assert served("serve") == ServerConfig()
    assert served("serve", "--json") == served("--json") == ServerConfig(json=True)


@pytest.mark.parametrize(
    ("argv", "config"),
    [
        (["--bind", "0.0.0.0:80"], ServerConfig(bind_host="0.0.0.0", bind_port=80)),
        (["--bind=[::1]:0"], ServerConfig(bind_host="::1", bind_port=0)),
        (["--domain", "Example.com."], ServerConfig(domain="example.com")),
        (
            ["--public-url", "https://example.com:8443"],
            ServerConfig(public_url=PublicUrl("https", "example.com", 8443)),
        ),
        (["--auth-file", "/a"], ServerConfig(auth_file=Path("/a"))),
        (["--open"], ServerConfig(open=True)),
        (
            ["--tls-cert", "/c", "--tls-key", "/k"],
            ServerConfig(tls_cert=Path("/c"), tls_key=Path("/k")),
        ),
        (
            ["--trusted-proxies", "10.0.0.0/8,::1"],
            ServerConfig(trusted_proxies=(ip_network("10.0.0.0/8"), ip_network("::1"))),
        ),
        (
            ["--trusted-proxies", "::1", "--proxy-protocol"],
            ServerConfig(trusted_proxies=(ip_network("::1"),), proxy_protocol=True),
        ),
        (
            [
                *("--trusted-fields", "X-Forwarded-User, x-forwarded-email"),
                *("--trusted-proxies", "10.0.0.0/8"),
            ],
            ServerConfig(
                trusted_proxies=(ip_network("10.0.0.0/8"),),
                trusted_fields=frozenset((b"x-forwarded-user", b"x-forwarded-email")),
            ),
        ),
        (["--max-connections", "100"], ServerConfig(max_connections=100)),
        (["--max-sessions", "100"], ServerConfig(max_sessions=100)),
        (["--drain-timeout", "0.5"], ServerConfig(drain_timeout_s=0.5)),
        (["--hold", "0"], ServerConfig(hold_s=0)),
        (["--heartbeat", "5,9"], ServerConfig(ping_interval_s=5, timeout_s=9)),
        (["--replace"], ServerConfig(replace=True)),
        (["--state-dir", "/s"], ServerConfig(state_dir=Path("/s"))),
        (["--json"], ServerConfig(json=True)),
    ],
)
def test_each_flag_has_its_setting(
    served: Callable[..., ServerConfig], argv: list[str], config: ServerConfig
) -> None:
    # The default state folder is made of the fixture's environment, in both.
    given = served(*argv)
    state_dir = given.state_dir if "--state-dir" in argv else ServerConfig().state_dir
    assert given.state_dir == state_dir
    assert vars(given) | {"state_dir": None} == vars(config) | {"state_dir": None}


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["--bind", "8080"], "--bind: takes an IP address and a port"),
        (["--bind", "example.com:80"], "--bind: takes an IP address and a port"),
        (["--bind", "127.0.0.1:65536"], "--bind: takes an IP address and a port"),
        (["--domain", "127.0.0.1"], "--domain: takes a domain name"),
        (["--domain", ""], "--domain: takes a domain name"),
        (["--public-url", "https://example.com/path"], "--public-url: takes http:// or https://"),
        (["--public-url", "https://example.com:0"], "--public-url: takes http:// or https://"),
        (["--public-url", "https://com", "--domain", "x.com"], "--public-url: its host may not be"),
        (["--auth-file", ""], "--auth-file: takes a path"),
        (["--tls-cert", "/c"], "--tls-key: is needed beside --tls-cert"),
        (["--tls-key", "/k"], "--tls-cert: is needed beside --tls-key"),
        (["--tls-cert", "", "--tls-key", "/k"], "--tls-cert: takes a path"),
        (["--trusted-proxies", "proxy"], "--trusted-proxies: takes networks"),
        (["--trusted-fields", "Cookie"], "--trusted-fields: takes names of forwarding fields"),
        (["--trusted-fields", "X_Forwarded_User"], "--trusted-fields: takes names of forwarding"),
        (
            ["--trusted-fields", "X-Forwarded-User,Cookie"],
            f"--trusted-fields: {FIELDS} (others pass by themselves), not 'Cookie'",
        ),
        (
            ["--trusted-fields", "X-Forwarded-User,"],
            f"--trusted-fields: {FIELDS} (there is a comma too many), not 'X-Forwarded-User,'",
        ),
        (["--proxy-protocol"], "--trusted-proxies: is needed beside --proxy-protocol"),
        (
            ["--trusted-fields", "X-Forwarded-User"],
            "--trusted-proxies: is needed beside --trusted-fields",
        ),
        (["--max-connections", "1e3"], "--max-connections: takes a whole number, 1 to 1,000,000"),
        (["--drain-timeout", "-1"], "--drain-timeout: takes seconds, 0 to 86400, not '-1'"),
        (["--drain-timeout", "86401"], "--drain-timeout: takes seconds, 0 to 86400"),
        (["--hold", "1.5"], "--hold: takes whole seconds, 0 to 86400, not '1.5'"),
        (["--hold", "86401"], "--hold: takes whole seconds"),
        (["--heartbeat", "15"], "--heartbeat: takes two whole numbers of seconds"),
        (["--heartbeat", "15,14"], "--heartbeat: takes two whole numbers of seconds"),
        (["--replace", "--bind", "[::1]:0"], "--replace: needs the port of the server"),
        (["--state-dir", ""], "--state-dir: takes a path"),
    ],
)
def test_bad_value_is_one_line_that_names_the_flag_and_what_it_takes(
    refused: Callable[..., str], argv: list[str], line: str
) -> None:
    assert refused(*argv).startswith(line)
    assert refused("serve", *argv).startswith(line)


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("--bind", "HOST:PORT"),
        ("--domain", "NAME"),
        ("--public-url", "URL"),
        ("--auth-file", "FILE"),
        ("--tls-cert", "FILE"),
        ("--tls-key", "FILE"),
        ("--trusted-proxies", "CIDR,..."),
        ("--trusted-fields", "NAME,..."),
        ("--max-connections", "N"),
        ("--max-sessions", "N"),
        ("--drain-timeout", "SECONDS"),
        ("--hold", "SECONDS"),
        ("--heartbeat", "S,S"),
        ("--state-dir", "DIR"),
    ],
)
def test_flag_without_its_value_is_refused(
    refused: Callable[..., str], flag: str, value: str
) -> None:
    assert refused(flag) == f"{flag}: needs a value, {value}"


@pytest.mark.parametrize("flag", ["--open", "--proxy-protocol", "--json", "--version", "--help"])
def test_switch_with_a_value_is_refused(refused: Callable[..., str], flag: str) -> None:
    assert refused(f"{flag}=1") == f"{flag}: takes no value"


@pytest.mark.parametrize("flag", ["--xyz", "--identity", "-x", "--no-open", "--install-completion"])
def test_unknown_flag_is_refused_with_a_list_of_those_there_are(
    refused: Callable[..., str], flag: str
) -> None:
    line = refused(flag)
    assert line.startswith(
        f"{flag[:2] if flag == '-x' else flag}: no such flag; there are --bind, "
    )
    for known in ("--domain", "--public-url", "--auth-file", "--open", "--tls-cert", "--tls-key"):
        assert known in line
    for known in ("--trusted-proxies", "--drain-timeout", "--state-dir", "--json", "--version"):
        assert known in line


def test_flag_is_not_guessed_from_its_beginning(refused: Callable[..., str]) -> None:
    assert refused("--dom", "example.com").startswith("--dom: no such flag; did you mean --domain?")
    assert refused("--bnd", "[::1]:80") == "--bnd: no such flag; did you mean --bind?"


def test_unknown_command_is_refused(refused: Callable[..., str]) -> None:
    assert refused("start") == (
        "start: no such command; there are serve, token create, list, which, rotate, revoke, "
        "delete and import, status, sessions, close NAME, drain, "
        "name list, release and give, and config check, show and path"
    )
    assert refused("token", "end").startswith("token end: no such command; there are create, list")
    assert refused("token").startswith("a command is missing behind token; there are create, list")
    assert refused("config") == (
        "a command is missing behind config; there are check, show and path; "
        "see tunnel-server config --help"
    )


def test_word_too_many_is_refused(refused: Callable[..., str]) -> None:
    assert "(now)" in refused("serve", "now")
    assert "(serve)" in refused("--json", "serve")
    assert refused("token", "create", "a", "b") == (
        "token create takes one NAME, and there are too many words (b); "
        "see tunnel-server token create --help"
    )


def test_words_of_a_name_command_that_are_missing_are_told(refused: Callable[..., str]) -> None:
    see = "is missing; see tunnel-server name"
    assert refused("name", "release") == f"NAME: {see} release --help"
    assert refused("name", "give") == f"NAME: {see} give --help"
    assert refused("name", "give", "shop") == f"OWNER: {see} give --help"
    assert refused("name").startswith(
        "a command is missing behind name; there are list, release and give; "
    )


@pytest.fixture
def done(app: App, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Runs the command line, and returns the exit code and what was printed."""

    def do(*argv: str) -> tuple[int, str, str]:
        code = main(argv)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return do


def test_names_are_listed_released_and_given_without_a_server(
    done: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    folder = tmp_path / "state" / "trio-tunnel"
    folder.mkdir(parents=True, mode=0o700)
    open_store(folder / STORE_NAME).close()
    domain = ("--domain", "example.com")
    of_store = "(no server runs; this is of names under example.com)\n"
    given = (0, f"shop is kept for alice\n{of_store}", "")
    assert done("name", "give", "shop", "alice", *domain) == given
    code, out, _ = done("name", "list", "--json", *domain)
    assert code == 0
    assert [name["name"] for name in json.loads(out)["names"]] == ["shop"]
    head, of_another = done("name", "list")[1].splitlines()
    assert head.split() == ["NAME", "STATE", "LAST", "SEEN", "OWNER"]
    assert of_another == "(no server runs; this is of names under localhost:8080)"
    code, _, err = done("name", "release", "shop")
    assert (code, err) == (1, f"tunnel-server: shop is free {of_another}\n")
    released = (0, f"shop was kept for alice, and is anybody's now\n{of_store}", "")
    assert done("name", "release", "shop", *domain) == released


@pytest.mark.parametrize("argv", [["status"], ["name", "list"], ["name", "release", "shop"]])
def test_command_for_a_server_that_does_not_run_is_not_done(
    done: Callable[..., tuple[int, str, str]], argv: list[str]
) -> None:
    code, out, err = done(*argv)
    assert (code, out) == (1, "")
    assert err.startswith("tunnel-server: no server runs with the state folder ")
    assert "no server runs on 127.0.0.1:8081" in done(*argv, "--bind", "localhost:8081")[2]
    assert "no server runs with" in done(*argv, "--bind", "localhost:0")[2]


def test_line_stays_one_whatever_the_value_is(refused: Callable[..., str]) -> None:
    refused("--bind", "a\nb\x1b[2J")
    assert refused("--\u202ebind").startswith(r"--\u202ebind: no such flag")
    refused("a\nb")
    refused("--a\nb")
    refused("serve", "a\nb")


def test_flags_win_over_variables_over_the_file_over_the_default(
    served: Callable[..., ServerConfig], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert served().hold_s == 60
    write_file(tmp_path / "config" / "trio-tunnel", "hold = 50")
    assert served().hold_s == 50
    monkeypatch.setenv("TUNNEL_SERVER_HOLD", "")  # an empty one is an unset one
    assert served().hold_s == 50
    monkeypatch.setenv("TUNNEL_SERVER_HOLD", "40")
    assert served().hold_s == 40
    assert served("--hold", "30").hold_s == 30


def test_environment_cannot_ask_for_shell_completion(
    served: Callable[..., ServerConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_TUNNEL_SERVER_COMPLETE", "complete_bash")
    assert served() == ServerConfig()


@pytest.mark.parametrize(
    "argv", [["--version"], ["serve", "--version"], ["--bind", "x", "--version"]]
)
def test_version_is_printed(app: App, capsys: pytest.CaptureFixture[str], argv: list[str]) -> None:
    assert main(argv) == 0
    assert capsys.readouterr().out == f"tunnel-server {version()}\n"
    assert app.configs == []


@pytest.mark.parametrize("argv", [["--help"], ["-h"], ["serve", "--help"]])
def test_help_shows_every_flag_and_the_other_command(
    app: App, capsys: pytest.CaptureFixture[str], argv: list[str]
) -> None:
    assert main(argv) == 0
    shown = capsys.readouterr().out
    flags = re.findall(r"^  (--[a-z-]+)", shown, re.MULTILINE)
    assert flags == [
        *("--bind", "--domain", "--public-url", "--auth-file", "--open", "--tls-cert", "--tls-key"),
        *(
            "--trusted-proxies",
            "--trusted-fields",
            "--proxy-protocol",
            "--max-connections",
            "--max-sessions",
        ),
        *("--limit", "--wide-cookies"),
        *("--drain-timeout", "--hold", "--keep-names", "--heartbeat", "--replace", "--state-dir"),
        *("--trust-state-dir", "--config", "--json", "--log-level", "--version"),
    ]
    assert "tunnel-server token create NAME" in shown
    assert app.configs == []


@pytest.mark.usefixtures("app")
@pytest.mark.parametrize("group", ["token", "name", "config"])
def test_help_of_a_group_is_not_cut_off(capsys: pytest.CaptureFixture[str], group: str) -> None:
    assert main([group, "--help"]) == 0
    assert "..." not in capsys.readouterr().out.replace("COMMAND [ARGS]...", "")


def test_version_needs_no_trio() -> None:
    code = (
        "import sys; from tunnel_server.cli import main; main(['--version']); print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    modules = done.stdout.split()
    assert "tunnel_server.cli" in modules
    assert "trio" not in modules
    assert "rich" not in modules


@pytest.mark.parametrize("result", [0, 1])
def test_exit_code_is_the_servers(app: App, result: int) -> None:
    app.result = result
    assert main([]) == result


def test_variables_that_do_not_fit_together_are_named(
    refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch, home_file: Path
) -> None:
    monkeypatch.setenv("TUNNEL_SERVER_TLS_CERT", "/c")
    assert refused() == "TUNNEL_SERVER_TLS_CERT: needs TUNNEL_SERVER_TLS_KEY beside it"
    monkeypatch.delenv("TUNNEL_SERVER_TLS_CERT")
    monkeypatch.setenv("TUNNEL_SERVER_REPLACE", "true")
    monkeypatch.setenv("TUNNEL_SERVER_BIND", "127.0.0.1:0")
    needs_port = "needs the port of the server that it replaces in"
    assert refused() == f"TUNNEL_SERVER_REPLACE: {needs_port} TUNNEL_SERVER_BIND"
    # Each by the name that it was given with.
    assert refused("--replace") == f"--replace: {needs_port} TUNNEL_SERVER_BIND"
    monkeypatch.delenv("TUNNEL_SERVER_BIND")
    path = write_file(home_file, "bind = '127.0.0.1:0'")
    assert refused() == f"TUNNEL_SERVER_REPLACE: {needs_port} {path}:1: bind"


def test_file_that_turns_out_bad_at_the_start_is_one_line_and_2(
    app: App, capsys: pytest.CaptureFixture[str]
) -> None:
    app.result = ConfigError("--tls-cert", "takes a PEM certificate")
    assert main([]) == 2
    captured = capsys.readouterr()
    assert captured.err == "tunnel-server: --tls-cert: takes a PEM certificate\n"
    assert captured.out == ""


def test_ctrl_c_before_the_server_listens_is_a_stop_by_the_user(app: App) -> None:
    app.result = KeyboardInterrupt()
    assert main([]) == 0


def test_fault_of_ours_is_not_hidden(app: App) -> None:
    app.result = RuntimeError("a bug")
    with pytest.raises(RuntimeError, match="a bug"):
        main([])


@pytest.mark.usefixtures("app")
def test_token_create_prints_the_token_alone_and_keeps_its_hash(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "tokens"
    assert main(["token", "create", "alice", "--auth-file", str(path)]) == 0
    captured = capsys.readouterr()
    assert re.fullmatch(r"tt_[A-Za-z0-9_-]{43}\n", captured.out)
    token = captured.out.strip()
    assert AuthFile(path).owners == {digest_of(token): "alice"}
    assert token not in path.read_text()
    assert token not in captured.err
    assert str(path) in captured.err


@pytest.mark.usefixtures("app")
def test_token_create_makes_another_token_each_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("alice", "bob"):
        assert main(["token", "create", name, "--auth-file", str(tmp_path / "tokens")]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first != second


def test_what_an_auth_file_has_no_place_for_is_refused(
    refused: Callable[..., str], tmp_path: Path
) -> None:
    path = tmp_path / "tokens"
    argv = ("token", "create", "alice", "--auth-file", str(path), "--owner", "bob")
    assert refused(*argv) == "--owner: is for tokens of the store, not of --auth-file"
    assert not path.exists()


@pytest.mark.usefixtures("app")
def test_without_that_flag_a_token_goes_into_the_store_which_is_made_where_it_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "state" / "trio-tunnel"
    assert main(["token", "create", "alice"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert f"there is no store in {folder} (--state-dir)" in captured.err
    assert "or make it here: tunnel-server token create NAME --init" in captured.err
    assert not folder.exists()
    assert main(["token", "create", "alice", "--init"]) == 0
    captured = capsys.readouterr()
    assert re.fullmatch(r"tt_[A-Za-z0-9_-]{43}\n", captured.out)
    fingerprint = fingerprint_of(digest_of(captured.out.strip()))
    assert captured.err == (
        f"tunnel-server: alice ({fingerprint}) may connect with this token. "
        "It is shown this once; the store has its hash.\n"
    )
    assert {each.name for each in folder.iterdir()} == {"state.db"}


def test_token_of_a_name_that_has_one_is_refused(
    refused: Callable[..., str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["token", "create", "alice", "--auth-file", str(tmp_path / "tokens")]
    assert main(argv) == 0
    capsys.readouterr()
    assert refused(*argv).startswith("NAME: takes a new name: ")


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["a b"], "NAME: takes 1 to 64 of letters"),
        ([""], "NAME: takes 1 to 64 of letters"),
        ([], "NAME: is missing; see tunnel-server token create --help"),
        (["a", "--auth-file", ""], "--auth-file: takes a path"),
        (["a", "--auth-file"], "--auth-file: needs a value, FILE"),
        (["a", "--auth-file", "/dev/null/tokens"], "--auth-file: takes a file that can be used"),
        (["a", "--open"], "--open: no such flag; there are --auth-file, --state-dir, "),
    ],
)
def test_bad_token_create_is_one_line(
    refused: Callable[..., str], argv: list[str], line: str
) -> None:
    assert refused("token", "create", *argv).startswith(line)


@pytest.mark.usefixtures("app")
def test_arguments_of_the_process_are_the_default(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["tunnel-server", "--bogus"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("tunnel_server", run_name="__main__")
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("tunnel-server: --bogus: no such flag")


# --- the file and the variables ------------------------------------------------------------------


@pytest.fixture
def home_file(tmp_path: Path) -> Path:
    """The folder of the user's settings file."""
    return tmp_path / "config" / "trio-tunnel"


EVERY_KEY = """
bind = "[::1]:0"
domain = "Example.com."
public_url = "https://example.com:8443"
auth_file = "tokens"
open = true
tls_cert = "c"
tls_key = "/k"
trusted_proxies = ["10.0.0.0/8", "::1"]
proxy_protocol = true
max_connections = 100
drain_timeout = 0.5
hold = 0
heartbeat = [5, 9]
state_dir = "state"
json = true
log_level = "debug"
"""


def every_setting(folder: Path) -> ServerConfig:
    return ServerConfig(
        bind_host="::1",
        bind_port=0,
        domain="example.com",
        public_url=PublicUrl("https", "example.com", 8443),
        auth_file=folder / "tokens",
        open=True,
        tls_cert=folder / "c",
        tls_key=Path("/k"),
        trusted_proxies=(ip_network("10.0.0.0/8"), ip_network("::1")),
        proxy_protocol=True,
        max_connections=100,
        drain_timeout_s=0.5,
        hold_s=0,
        ping_interval_s=5,
        timeout_s=9,
        state_dir=folder / "state",
        json=True,
        log_level="debug",
    )


def test_every_key_of_the_file_is_taken(
    served: Callable[..., ServerConfig], home_file: Path
) -> None:
    write_file(home_file, EVERY_KEY)
    assert served() == every_setting(home_file)
    write_file(home_file, "replace = true")
    assert served().replace


def test_empty_list_of_proxies_is_none(
    app: App, capsys: pytest.CaptureFixture[str], home_file: Path
) -> None:
    write_file(home_file, "trusted_proxies = []")
    assert main([]) == 0
    assert app.configs.pop().trusted_proxies == ()
    assert main(["config", "show"]) == 0
    assert tomllib.loads(capsys.readouterr().out)["trusted_proxies"] == []
    write_file(home_file, "heartbeat = []")
    assert main([]) == 2
    assert "server.toml:1: heartbeat: takes two whole numbers" in capsys.readouterr().err


def test_every_variable_is_taken(
    served: Callable[..., ServerConfig], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in tomllib.loads(EVERY_KEY).items():
        text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
        text = text.lower() if isinstance(value, bool) else text
        monkeypatch.setenv(f"TUNNEL_SERVER_{name.upper()}", text)
    expected = vars(every_setting(Path())) | {"tls_cert": Path("c")}
    found = vars(served())
    assert {name: found[name] for name in expected} == expected
    monkeypatch.setenv("TUNNEL_SERVER_REPLACE", "true")
    monkeypatch.setenv("TUNNEL_SERVER_BIND", "[::1]:80")
    assert served().replace


def test_every_row_has_its_default_in_the_config() -> None:
    defaults = read(TABLE.rows, {})
    assert {name: getattr(ServerConfig(), name) for name in defaults} == defaults
    assert "drain_timeout_s" in defaults


@pytest.mark.parametrize("value", ["1", "yes", "True", "on", " true"])
def test_switch_of_a_variable_is_true_or_false(
    refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("TUNNEL_SERVER_OPEN", value)
    assert refused() == f"TUNNEL_SERVER_OPEN: takes true or false, not {value!r}"


def test_variable_takes_back_what_the_file_switched_on(
    served: Callable[..., ServerConfig], monkeypatch: pytest.MonkeyPatch, home_file: Path
) -> None:
    write_file(home_file, "open = true")
    assert served().open
    monkeypatch.setenv("TUNNEL_SERVER_OPEN", "false")
    assert not served().open


def test_variables_that_are_no_settings_are_warned_about_and_passed_over(
    served: Callable[..., ServerConfig],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("TUNNEL_SERVER", "https://tunnel.example.com")  # the client's
    monkeypatch.setenv("TUNNEL_SERVER_PORT", "tcp://10.0.0.1:8080")  # Kubernetes makes it
    monkeypatch.setenv("TUNNEL_SERVER_DOMIAN", "secret.example.com")
    assert served() == ServerConfig()
    assert capsys.readouterr().err.splitlines() == [
        "tunnel-server: warning: TUNNEL_SERVER_DOMIAN is no setting, and passed over; "
        "did you mean TUNNEL_SERVER_DOMAIN?",
        "tunnel-server: warning: TUNNEL_SERVER_PORT is no setting, and passed over",
    ]


def test_one_file_is_read_the_named_one_or_the_first_that_is_there(
    served: Callable[..., ServerConfig],
    monkeypatch: pytest.MonkeyPatch,
    home_file: Path,
    tmp_path: Path,
) -> None:
    def found() -> tuple[str, int]:
        config = served(*flags)
        return config.domain, config.hold_s

    flags: list[str] = []
    write_file(tmp_path / "etc", 'domain = "etc.test"\nhold = 1')
    assert found() == ("etc.test", 1)
    write_file(home_file, 'domain = "home.test"')
    assert found() == ("home.test", 60)  # never both
    monkeypatch.setenv("TUNNEL_SERVER_CONFIG", str(write_file(tmp_path / "a", "hold = 2")))
    assert found() == ("localhost", 2)
    flags = ["--config", str(write_file(tmp_path / "b", "hold = 3"))]
    assert found() == ("localhost", 3)


def test_named_file_has_to_be_there(
    refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    missing = tmp_path / "none.toml"
    said = f"takes a file that is there, not {missing}"
    assert refused("--config", str(missing)) == f"--config: {said}"
    assert refused("--config", "") == "--config: takes a path, not ''"
    monkeypatch.setenv("TUNNEL_SERVER_CONFIG", str(missing))
    assert refused() == f"TUNNEL_SERVER_CONFIG: {said}"
    assert refused("token", "create", "a") == f"TUNNEL_SERVER_CONFIG: {said}"


def test_folder_that_this_user_may_not_look_into_has_no_file_for_it(
    served: Callable[..., ServerConfig],
    monkeypatch: pytest.MonkeyPatch,
    home_file: Path,
    tmp_path: Path,
) -> None:
    def exists(path: Path) -> bool:
        if path.is_relative_to(home_file):
            raise PermissionError(13, "Permission denied", str(path))
        return os.path.exists(path)

    write_file(home_file, "hold = 1")
    write_file(tmp_path / "etc", "hold = 2")
    monkeypatch.setattr(Path, "exists", exists)  # root, who may run the tests, may look anywhere
    assert served().hold_s == 2


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("hold = 'x'", "1: hold: takes whole seconds, 0 to 86400, not 'x'"),  # as docs/settings.md
        ("open = 'yes'", "1: open: takes true or false, not 'yes'"),
        ("hold = 86_401", "1: hold: takes whole seconds, 0 to 86400, not '86401'"),
        ("\nhold = '60'", "2: hold: takes whole seconds, 0 to 86400, not '60' in quotes"),
        ("hold = 1.5", "1: hold: takes whole seconds, 0 to 86400, not '1.5'"),
        ("bind = 8080", "1: bind: takes a string"),
        ("bind = 'x'", "1: bind: takes an IP address and a port"),
        ("heartbeat = [15]", "1: heartbeat: takes two whole numbers of seconds"),
        ("trusted_proxies = '::1'", "1: trusted_proxies: takes a list of strings"),
        ("trusted_proxies = ['proxy']", "1: trusted_proxies: takes networks"),
        ("max_connections = 0", "1: max_connections: takes a whole number, 1 to 1,000,000"),
        ("\n\nproxy_protocol = true", "3: proxy_protocol: needs trusted_proxies beside it"),
        (
            "bind = '[::1]:0'\nreplace = true",
            "2: replace: needs the port of the server that it replaces in bind",
        ),
        (
            "domain = 'x.com'\npublic_url = 'https://com'",
            "2: public_url: its host may not be com while domain is x.com: ",
        ),
        ("auth_file = ''", "1: auth_file: takes a path, not ''"),
        ("tls_cert = '/c'", "1: tls_cert: needs tls_key beside it"),
        ("tls_key = '/k'", "1: tls_key: needs tls_cert beside it"),
        (
            "trusted_fields = ['X-Forwarded-User']",
            "1: trusted_fields: needs trusted_proxies beside it",
        ),
        ("log_level = 'loud'", "1: log_level: takes error, warning, info, debug or frames"),
        ("config = 'other.toml'", "1: config: unknown key; "),
        ("[hold]", "1: hold: takes whole seconds, 0 to 86400"),
        ("domian = 'a.test'", "1: domian: unknown key; did you mean domain?"),
        ("tunnels = 1", "1: tunnels: unknown key; allowed: bind, domain, "),
        ("bind = ", "1: is not TOML: Invalid value"),
    ],
)
def test_bad_file_is_one_line_that_names_line_and_key(
    refused: Callable[..., str], home_file: Path, content: str, said: str
) -> None:
    path = write_file(home_file, content)
    for command in ([], ["config", "check"], ["config", "show"]):
        assert refused(*command).startswith(f"{path}:{said}")


def test_bad_variable_is_named(
    refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNNEL_SERVER_DRAIN_TIMEOUT", "-1")
    assert refused() == "TUNNEL_SERVER_DRAIN_TIMEOUT: takes seconds, 0 to 86400, not '-1'"


def test_file_that_turns_out_bad_at_the_start_is_named_by_its_line(
    app: App, capsys: pytest.CaptureFixture[str], home_file: Path
) -> None:
    path = write_file(home_file, "tls_cert = '/c'\ntls_key = '/k'")
    app.result = ConfigError("--tls-cert", "takes a PEM certificate")
    assert main([]) == 2
    assert (
        capsys.readouterr().err == f"tunnel-server: {path}:1: tls_cert: takes a PEM certificate\n"
    )


@pytest.mark.parametrize(("pid", "replaces"), [("own", False), ("1", True)])
def test_replace_of_the_file_is_passed_over_where_sockets_are_passed(
    served: Callable[..., ServerConfig],
    monkeypatch: pytest.MonkeyPatch,
    home_file: Path,
    pid: str,
    replaces: bool,
) -> None:
    write_file(home_file, "replace = true")
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()) if pid == "own" else pid)
    assert served().replace is replaces
    assert served("--replace").replace  # app refuses it, as what a flag asks in vain


@pytest.mark.parametrize("source", ["flag", "variable", "file", "named file"])
@pytest.mark.parametrize("name", ["auth_file", "state_dir"])
def test_token_create_writes_where_that_server_reads(
    served: Callable[..., ServerConfig],
    monkeypatch: pytest.MonkeyPatch,
    home_file: Path,
    tmp_path: Path,
    source: str,
    name: str,
) -> None:
    place, flags = str(tmp_path / "place"), []
    if source == "flag":
        flags = [f"--{name.replace('_', '-')}", place]
    elif source == "variable":
        monkeypatch.setenv(f"TUNNEL_SERVER_{name.upper()}", place)
    elif source == "file":
        write_file(home_file, f"{name} = '{place}'")
    else:
        flags = ["--config", str(write_file(tmp_path / "named", f"{name} = '../place'"))]
    config = served(*flags)
    tokens, state = config.tokens_file, config.state_dir / "state.db"
    into_file = "--auth-file" in flags
    own = [] if into_file else ["--init"]
    assert main(["token", "create", "alice", *own, *flags]) == 0
    assert (tokens.exists(), state.exists()) == (into_file, not into_file)
    assert main(["token", "list", *flags]) == 0


# --- config --------------------------------------------------------------------------------------


def printed(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    assert main(argv) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    return captured.out


@pytest.mark.usefixtures("app")
def test_config_check_says_that_all_is_well(
    capsys: pytest.CaptureFixture[str], home_file: Path
) -> None:
    assert printed(capsys, "config", "check") == "the settings can be used; there is no file\n"
    path = write_file(home_file, "hold = 1")
    assert printed(capsys, "config", "check") == (f"the settings can be used; the file is {path}\n")
    assert json.loads(printed(capsys, "config", "check", "--json")) == {
        "ok": True,
        "file": str(path),
    }


@pytest.mark.usefixtures("app", "home_file")
def test_config_check_warns_of_more_connections_than_the_descriptors_allow(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A start raises the soft limit to the hard one, which is what counts."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (80, 1079))
    assert main(["config", "check", "--max-connections", "1000", "--max-sessions", "16"]) == 0
    said = capsys.readouterr()
    assert said.out.startswith("the settings can be used")
    assert said.err.startswith("tunnel-server: warning: --max-connections 1,000 and ")
    assert "1,080 file descriptors are needed" in said.err
    printed(capsys, "config", "check", "--max-connections", "999", "--max-sessions", "16")


@pytest.mark.usefixtures("app")
def test_config_check_warns_of_a_certificate_for_another_domain(
    capsys: pytest.CaptureFixture[str], home_file: Path
) -> None:
    leaf = trustme.CA().issue_cert("elsewhere.test")
    write_file(home_file, "tls_cert = 'cert.pem'\ntls_key = 'key.pem'\ndomain = 'here.test'")
    leaf.cert_chain_pems[0].write_to_path(home_file / "cert.pem")
    leaf.private_key_pem.write_to_path(home_file / "key.pem")
    assert main(["config", "check"]) == 0
    assert "cert.pem covers elsewhere.test and not here.test (the " in capsys.readouterr().err


@pytest.mark.usefixtures("app")
def test_config_check_reads_the_files_that_the_settings_name(
    capsys: pytest.CaptureFixture[str], home_file: Path
) -> None:
    path = write_file(home_file, "\ntls_cert = 'none'\ntls_key = 'none'")
    assert main(["config", "check", "--json"]) == 2
    captured = capsys.readouterr()
    message = f"takes a file that can be read, not {home_file}/none (No such file or directory)"
    assert json.loads(captured.out) == {
        "ok": False,
        "key": f"{path}:2: tls_cert",
        "message": message,
    }
    assert captured.err == f"tunnel-server: {path}:2: tls_cert: {message}\n"
    (home_file / "tokens").write_text("no token")
    write_file(home_file, "auth_file = 'tokens'")
    assert main(["config", "check"]) == 2
    assert f"{path}:1: auth_file: " in capsys.readouterr().err


@pytest.mark.usefixtures("app")
def test_config_check_refuses_a_store_that_a_start_would_refuse_and_makes_none(
    capsys: pytest.CaptureFixture[str], home_file: Path
) -> None:
    state = home_file.parent / "state of this one"
    state.mkdir(mode=0o700, parents=True)
    write_file(home_file, f"state_dir = '{state}'")
    assert main(["config", "check"]) == 0
    assert list(state.iterdir()) == []
    (state / "state.db").touch(mode=0o600)
    capsys.readouterr()
    assert main(["config", "check"]) == 1
    assert "state.db is empty: what it held is lost" in capsys.readouterr().err
    write_file(home_file, f"state_dir = '{state}'\nkeep_names = 0")
    assert main(["config", "check"]) == 1  # tokens are in it, too


@pytest.mark.usefixtures("app")
def test_config_show_is_a_file_of_what_holds_and_tells_the_sources(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, home_file: Path
) -> None:
    path = write_file(home_file, "\nhold = 1\nheartbeat = [5, 9]")
    monkeypatch.setenv("TUNNEL_SERVER_OPEN", "true")
    shown = printed(capsys, "config", "show", "--domain", "a.test")
    lines = dict(re.findall(r"^(\S+ = .*?) +# (.*)$", shown, re.MULTILINE))
    assert lines["hold = 1"] == f"{path}:2"
    assert lines["heartbeat = [5, 9]"] == f"{path}:3"
    assert lines["open = true"] == "TUNNEL_SERVER_OPEN"
    assert lines['domain = "a.test"'] == "--domain"
    assert lines["drain_timeout = 8"] == "default"
    assert re.search(r"^# max_connections = +# by the limit of open files$", shown, re.MULTILINE)
    assert tomllib.loads(shown)["log_level"] == "info"
    # What is shown is a file that says the same.
    path.write_text(shown)
    assert tomllib.loads(printed(capsys, "config", "show")) == tomllib.loads(shown)


@pytest.mark.usefixtures("app")
def test_config_show_as_json_has_every_setting(
    capsys: pytest.CaptureFixture[str], home_file: Path
) -> None:
    path = write_file(home_file, "trusted_proxies = ['::1']\nopen = true")
    shown = json.loads(printed(capsys, "config", "show", "--json"))["settings"]
    assert list(shown) == [row.name for row in TABLE.rows]
    assert shown["trusted_proxies"] == {"value": ["::1"], "source": "file", "from": f"{path}:1"}
    assert shown["open"] == {"value": True, "source": "file", "from": f"{path}:2"}
    assert shown["public_url"] == {"value": None, "source": "default"}
    assert shown["hold"] == {"value": 60, "source": "default"}
    # The setting, and not the flag of this command.
    assert shown["json"] == {"value": False, "source": "default"}
    path.write_text("json = false")
    shown = json.loads(printed(capsys, "config", "show", "--json"))["settings"]
    assert shown["json"] == {"value": False, "source": "file", "from": f"{path}:1"}
    assert shown["open"] == {"value": False, "source": "default"}


@pytest.mark.usefixtures("app")
@pytest.mark.parametrize(
    ("arguments", "key"),
    [
        (["show", "--hold", "x"], "--hold"),
        (["show", "--frob"], "--frob"),
        (["check", "--frob"], "--frob"),
        (["check", "--hold"], "--hold"),
        (["path", "--config", ""], "--config"),
        (["path", "a"], ""),
    ],
)
def test_refusal_of_config_is_an_object_with_json(
    capsys: pytest.CaptureFixture[str], arguments: list[str], key: str
) -> None:
    command, *rest = arguments
    assert main(["config", command, "--json", *rest]) == 2
    captured = capsys.readouterr()
    told = json.loads(captured.out)
    assert (told["ok"], told["key"]) == (False, key)
    said = f"{key}: {told['message']}" if key else told["message"]
    assert captured.err == f"tunnel-server: {said}\n"


@pytest.mark.usefixtures("app")
def test_config_path_of_a_name_too_long_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    name = "a" * 5000
    assert main(["config", "path", "--json", "--config", name]) == 0
    assert json.loads(capsys.readouterr().out) == {"path": name, "exists": False}
    assert main(["config", "check", "--config", name]) == 2
    assert "cannot be read: File name too long" in capsys.readouterr().err


@pytest.mark.usefixtures("app")
def test_config_path_tells_where_the_file_is_or_would_be(
    capsys: pytest.CaptureFixture[str], home_file: Path, tmp_path: Path
) -> None:
    path = home_file / "server.toml"
    assert printed(capsys, "config", "path") == f"{path}\n"
    assert json.loads(printed(capsys, "config", "path", "--json")) == {
        "path": str(path),
        "exists": False,
    }
    etc = write_file(tmp_path / "etc", "broken")  # a file that is to be found may be wrong
    assert printed(capsys, "config", "path") == f"{etc}\n"
    write_file(home_file, "")
    assert printed(capsys, "config", "path") == f"{path}\n"
    assert printed(capsys, "config", "path", "--config", str(etc)) == f"{etc}\n"
    assert main(["config"]) == 2
    assert main(["config", "path", "--bind", "x"]) == 2
