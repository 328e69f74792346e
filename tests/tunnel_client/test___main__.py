from __future__ import annotations

import subprocess
import sys
import types
from importlib import metadata
from pathlib import Path

import pytest

from tunnel_client.__main__ import main
from tunnel_client.settings.config import ClientConfig


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNNEL_TOKEN", "tt_x")
    for variable in ("XDG_CONFIG_HOME", "XDG_STATE_HOME"):
        monkeypatch.setenv(variable, str(tmp_path))


class App(types.ModuleType):
    """Stands in for tunnel_client.app."""

    def __init__(self, result: int | BaseException) -> None:
        super().__init__("tunnel_client.app")
        self.result = result
        self.ran: list[ClientConfig] = []

    def run(self, config: ClientConfig) -> int:
        self.ran.append(config)
        if isinstance(self.result, BaseException):
            raise self.result
        return self.result


def install(monkeypatch: pytest.MonkeyPatch, result: int | BaseException) -> App:
    app = App(result)
    monkeypatch.setitem(sys.modules, "tunnel_client.app", app)
    return app


@pytest.mark.parametrize("code", [0, 1, 3])
def test_exit_code_is_the_apps(code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    app = install(monkeypatch, code)
    assert main(["http", "3000", "--subdomain", "myapp"]) == code
    assert [config.subdomain for config in app.ran] == ["myapp"]


def test_arguments_of_the_process_are_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    app = install(monkeypatch, 0)
    monkeypatch.setattr(sys, "argv", ["tunnel-client", "http", "3001"])
    ended: list[None] = []
    monkeypatch.setattr("protocol.program.process.end_quietly", lambda: ended.append(None))
    assert main() == 0
    assert ended == [None]  # and signals are heard by nobody any more
    assert [config.target.port for config in app.ran] == [3001]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["--version"], 0), (["--help"], 0), (["http", "--help"], 0), ([], 2), (["http", "0"], 2)],
)
def test_nothing_runs_for_help_version_and_bad_usage(
    arguments: list[str], code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = install(monkeypatch, 0)
    assert main(arguments) == code
    assert app.ran == []


def test_interrupt_outside_the_apps_own_handling_is_a_quiet_stop(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    install(monkeypatch, KeyboardInterrupt())
    assert main(["http", "3000"]) == 0
    assert capsys.readouterr() == ("", "")


def test_module_runs_as_a_program() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tunnel_client", "--version"], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"tunnel-client {metadata.version('trio-tunnel')}\n"
