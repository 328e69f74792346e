"""The command lines with the lowest click that pyproject.toml allows, and with the newest.

Each is installed in a folder of its own, which Python finds before this environment's.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.patience import PATIENCE
from tests.programs import isolated

ROOT = Path(__file__).parents[2]
INSTALL_S = 120 * PATIENCE  # two packages from the index, on a busy machine

HELP = [
    "tunnel_server --help",
    "tunnel_server serve -h",
    "tunnel_server token --help",
    "tunnel_server token create --help",
    "tunnel_server config --help",
    "tunnel_server config show --help",
    "tunnel_server --version",
    "tunnel_server serve --version",
    "tunnel_client --help",
    "tunnel_client http --help",
    "tunnel_client config --help",
    "tunnel_client config check --help",
    "tunnel_client --version",
]
BAD_USAGE = [
    "tunnel_server frob",
    "tunnel_server token",
    "tunnel_server token frob",
    "tunnel_server token create",
    "tunnel_server token create a b",
    "tunnel_server serve now",
    "tunnel_server --frob",
    "tunnel_server --hol 1",
    "tunnel_server --hold",
    "tunnel_server --hold=",
    "tunnel_server --open=1",
    "tunnel_server --version=1",
    "tunnel_server --no-open",
    "tunnel_server -x",
    "tunnel_server config show --frob",
    "tunnel_client",
    "tunnel_client htpp",
    "tunnel_client --frob",
    "tunnel_client config",
    "tunnel_client http",
    "tunnel_client http 3000 4000",
    "tunnel_client http 3000 --frob",
    "tunnel_client http 3000 --server",
    "tunnel_client http 3000 --request-header",
    "tunnel_client http 3000 --json=1",
    "tunnel_client http -3000",
    "tunnel_client config check x",
]


class Clicks(NamedTuple):
    """The folders with a click each."""

    lowest: Path
    newest: Path


def lowest() -> tuple[int, ...]:
    """The version that pyproject.toml allows, as three numbers."""
    found = re.search(
        r'^  "click>=([0-9.]+)",$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE
    )
    assert found is not None
    numbers = [int(number) for number in found[1].split(".")]
    return tuple((*numbers, 0, 0)[:3])


def environment(folder: Path) -> dict[str, str]:
    return isolated(folder / "home") | {"PYTHONPATH": str(folder), "COLUMNS": "80"}


def install(requirement: str, folder: Path) -> Path:
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(folder)]
    done = subprocess.run([*pip, requirement], capture_output=True, text=True, env=env)
    if done.returncode != 0:
        reason = f"needs {requirement} from the index: {done.stderr}"
        if os.environ.get("REQUIRE_ALL") == "1":
            pytest.fail(f"{reason} (REQUIRE_ALL=1)", pytrace=False)
        pytest.skip(reason)
    return folder


@pytest.fixture(scope="module")
def clicks(tmp_path_factory: pytest.TempPathFactory) -> Clicks:
    folder = tmp_path_factory.mktemp("clicks")
    wanted = f"click=={'.'.join(map(str, lowest()))}"
    return Clicks(install(wanted, folder / "lowest"), install("click", folder / "newest"))


def run(click: Path, command: str) -> tuple[int, str, str]:
    """The exit code of a command line, and what it said on stdout and stderr."""
    argv = [sys.executable, "-m", *command.split()]
    done = subprocess.run(argv, capture_output=True, text=True, env=environment(click), cwd=click)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.timeout(INSTALL_S)
def test_the_two_are_the_lowest_and_a_newer_one(clicks: Clicks) -> None:
    said = []
    for folder in clicks:
        code = "import click, importlib.metadata as m; print(click.__file__, m.version('click'))"
        argv = [sys.executable, "-c", code]
        done = subprocess.run(
            argv, capture_output=True, text=True, env=environment(folder), cwd=folder, check=True
        )
        place, version = done.stdout.split()
        assert Path(place).is_relative_to(folder)
        said.append(tuple(map(int, version.split("."))))
    assert said[0] == lowest() < said[1]


@pytest.mark.timeout(INSTALL_S)
@pytest.mark.parametrize("command", HELP)
def test_help_and_version_are_the_same(clicks: Clicks, command: str) -> None:
    code, out, err = run(clicks.lowest, command)
    assert (code, err) == (0, "")
    assert out
    assert run(clicks.newest, command) == (code, out, err)


@pytest.mark.timeout(INSTALL_S)
@pytest.mark.parametrize("command", BAD_USAGE)
def test_bad_usage_is_the_same_line(clicks: Clicks, command: str) -> None:
    code, out, err = run(clicks.lowest, command)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(command.split()[0].replace("_", "-") + ": ")
    assert run(clicks.newest, command) == (code, out, err)
