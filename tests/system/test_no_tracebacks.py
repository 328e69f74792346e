"""Nothing that a person does makes a traceback."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import tempfile
import types
from pathlib import Path

import pytest

from tests.other_users import PACKAGES, be, python_of
from tests.programs import SCRIPTS, isolated

PROGRAMS = {
    "tunnel-server": ("--bind", "127.0.0.1:0"),
    "tunnel-client": ("http", "3000", "--server", "http://127.0.0.1:1"),
}
DEMO = Path(__file__).resolve().parents[2] / "examples" / "demo.py"
NOBODY = 54321  # of whom no passwd has an entry


class Interrupted(types.ModuleType):
    """A command line that is interrupted while it is loaded."""

    def __getattr__(self, name: str) -> object:
        raise KeyboardInterrupt


@pytest.mark.parametrize("package", ["tunnel_client", "tunnel_server"])
def test_ctrl_c_while_it_is_loaded_is_a_quiet_stop(
    package: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    program = importlib.import_module(f"{package}.__main__")
    sys.modules.pop(program.__name__)  # another test runs it as a program
    monkeypatch.setitem(sys.modules, f"{package}.cli", Interrupted("cli"))
    monkeypatch.delattr(sys.modules[package], "cli", raising=False)
    assert program.main([]) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("package", ["tunnel_client", "tunnel_server"])
def test_nothing_is_loaded_before_ctrl_c_is_looked_for(package: str) -> None:
    ours = ("protocol", "click", "trio", "collections.abc", f"{package}.cli")
    code = f"import sys, {package}.__main__; print([m for m in {ours} if m in sys.modules])"
    alone = (sys.executable, "-X", "frozen_modules=on", "-c", code)
    said = subprocess.run(alone, capture_output=True, text=True, check=True).stdout
    loaded_anyway = "import sys; print([m for m in ('collections.abc',) if m in sys.modules])"
    base = (sys.executable, "-X", "frozen_modules=on", "-c", loaded_anyway)
    assert said == subprocess.run(base, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("at", ["click", "protocol.program.settings", "trio", "h11"])
@pytest.mark.parametrize("program", PROGRAMS)
def test_ctrl_c_at_any_moment_of_the_start(tmp_path: Path, program: str, at: str) -> None:
    interrupt_at(at, tmp_path, str(SCRIPTS / program), *PROGRAMS[program])


@pytest.mark.parametrize("at", ["json", "tempfile", "trio"])
def test_ctrl_c_while_the_demo_is_loaded(tmp_path: Path, at: str) -> None:
    interrupt_at(at, tmp_path, sys.executable, str(DEMO))


def interrupt_at(at: str, folder: Path, *argv: str) -> None:
    """The program is interrupted when it has just loaded a module, and stops quietly."""
    env = isolated(folder) | {"PYTHONPROFILEIMPORTTIME": "1"}
    with subprocess.Popen(
        argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=env, text=True
    ) as started:
        assert started.stderr is not None
        for line in started.stderr:
            if line.startswith("import time:") and line.split("|")[-1].strip() == at:
                break
        started.send_signal(signal.SIGINT)
        rest = started.stderr.read()
    assert "Traceback" not in rest
    assert started.returncode == 0


def without_home(program: str, *arguments: str) -> tuple[int, str]:
    """Exit code and stderr of a command of a user without a home, as in many containers."""
    done = subprocess.run(
        [*be(NOBODY), python_of(NOBODY), "-m", program, *arguments],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": PACKAGES},
        cwd="/",
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr


def test_a_client_without_a_home_keeps_nothing() -> None:
    arguments = ("http", "3000", "--server", "http://127.0.0.1:1", "--give-up-after", "1")
    code, said = without_home("tunnel_client", *arguments)
    assert code == 4
    assert "no install key can be kept since there is no home folder: HOME is not set" in said
    code, said = without_home("tunnel_client", *arguments, "--token", "tt_x")
    assert code == 4
    assert "nothing can be kept here: the tunnel has a new name at each start" in said
    code, said = without_home("tunnel_client", "config", "path")
    assert (code, "so there is no file either" in said) == (2, True)


def test_a_server_without_a_home_needs_a_state_folder() -> None:
    code, said = without_home("tunnel_server", "--bind", "127.0.0.1:0")
    assert code == 2
    assert said.startswith("tunnel-server: --state-dir: is missing, and there is no home folder")
    # pytest's own folders are closed to others.
    with tempfile.TemporaryDirectory() as folder:
        os.chown(folder, NOBODY, NOBODY)
        code, said = without_home("tunnel_server", "config", "check", "--state-dir", folder)
    assert (code, said) == (0, "")
