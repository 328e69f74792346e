from __future__ import annotations

import re
import runpy
import subprocess
import sys
from collections.abc import Callable
from ipaddress import ip_network
from pathlib import Path
from types import ModuleType

import pytest

from protocol.errors import ConfigError
from protocol.program.process import version
from tunnel_server.cli import main
from tunnel_server.owners.tokens import Authenticator
from tunnel_server.settings.config import PublicUrl, ServerConfig


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
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
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
        (["--max-connections", "100"], ServerConfig(max_connections=100)),
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
        (["--proxy-protocol"], "--trusted-proxies: is needed beside --proxy-protocol"),
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
        ("--max-connections", "N"),
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


@pytest.mark.parametrize("flag", ["--bnd", "--identity", "-x", "--no-open", "--install-completion"])
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
    assert refused("--dom", "example.com").startswith("--dom: no such flag")


def test_unknown_command_is_refused(refused: Callable[..., str]) -> None:
    assert refused("start") == "start: no such command; there are serve and token create"
    assert "'revoke'" in refused("token", "revoke")
    refused("token")


def test_word_too_many_is_refused(refused: Callable[..., str]) -> None:
    assert "(now)" in refused("serve", "now")
    assert "(serve)" in refused("--json", "serve")
    assert "(b)" in refused("token", "create", "a", "b")


def test_line_stays_one_whatever_the_value_is(refused: Callable[..., str]) -> None:
    refused("--bind", "a\nb\x1b[2J")
    refused("a\nb")
    refused("--a\nb")
    refused("serve", "a\nb")


def test_no_variable_of_the_environment_is_read(
    served: Callable[..., ServerConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("BIND", "DOMAIN", "OPEN", "JSON"):
        monkeypatch.setenv(f"TUNNEL_SERVER_{name}", "1")
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
        *("--trusted-proxies", "--proxy-protocol", "--max-connections", "--drain-timeout"),
        *("--hold", "--heartbeat", "--replace", "--state-dir", "--json", "--version"),
    ]
    assert "tunnel-server token create NAME" in shown
    assert app.configs == []


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
    assert Authenticator(path).owner_of(token) == "alice"
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


@pytest.mark.usefixtures("app")
def test_token_create_uses_the_file_that_the_server_reads_by_default(tmp_path: Path) -> None:
    assert main(["token", "create", "alice"]) == 0
    path = tmp_path / "state" / "trio-tunnel" / "tokens"
    assert path.read_text().startswith("alice sha256:")
    assert path == ServerConfig().tokens_file


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
        ([], "Missing argument 'NAME'"),
        (["a", "--auth-file", ""], "--auth-file: takes a path"),
        (["a", "--auth-file"], "--auth-file: needs a value, FILE"),
        (["a", "--auth-file", "/dev/null/tokens"], "--auth-file: takes a file that can be used"),
        (["a", "--open"], "--open: no such flag; there are --auth-file, --help"),
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
