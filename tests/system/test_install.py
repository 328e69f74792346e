"""The programs as a newcomer gets them: from a wheel, and by the commands of the README.

The block of the README is the first one fenced as `sh` in which one line starts with
`tunnel-server` and one with `tunnel-client`. Its lines are run in order, in a clone of this
repository's HEAD and in a fresh virtual environment; those two stay running.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import pytest
import trio

from tests.programs import STOP_S, Address, open_programs
from tests.system.origin import Origin
from tests.system.visitor import fetch

ROOT = Path(__file__).parents[2]
INSTALL_S = 240  # a build and six small packages from the index, on a busy machine
SERVER_PORT, APP_PORT = 8080, 3000  # the README's
RUNNING = ("tunnel-server", "tunnel-client")


async def make_venv(folder: Path) -> Path:
    """The scripts folder of a fresh virtual environment."""
    await trio.run_process([sys.executable, "-m", "venv", str(folder)])
    return folder / "bin"


def away_from_the_checkout() -> dict[str, str]:
    """What pip may be told in this environment stays; what leads Python back here does not."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


@pytest.mark.timeout(INSTALL_S)
async def test_the_wheel_runs_both_programs_in_a_fresh_environment(
    tmp_path: Path, origin: Origin
) -> None:
    source, scripts = tmp_path / "source", await make_venv(tmp_path / "venv")
    # A copy: a build leaves its own folders beside what it builds.
    for package in ("protocol", "tunnel_server", "tunnel_client"):
        shutil.copytree(ROOT / package, source / package)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    run = partial(trio.run_process, cwd=tmp_path, env=away_from_the_checkout())
    pip = [str(scripts / "python"), "-m", "pip", "--quiet"]
    await run([*pip, "wheel", "--no-deps", "--wheel-dir", "wheels", str(source)])
    (wheel,) = (tmp_path / "wheels").glob("trio_tunnel-*.whl")
    shutil.rmtree(source)
    await run([*pip, "install", str(wheel)])

    async with open_programs(tmp_path, scripts) as programs:
        for name in RUNNING:
            told = await run([str(scripts / name), "--version"], capture_stdout=True)
            assert wheel.name.split("-")[1] in told.stdout.decode()
        tunnel = await programs.tunnel(origin.port)
        assert (await fetch(tunnel.address)).body == b"hello"
        landing_page = await fetch(Address(tunnel.address.port, "localhost"))
        assert (landing_page.status, landing_page.error) == (200, None)


def readme_commands(readme: str) -> list[str]:
    """The lines of the block described above."""
    for block in re.findall(r"^```sh\n(.*?)^```", readme, re.MULTILINE | re.DOTALL):
        lines: list[str] = [line.strip() for line in block.splitlines()]
        if all(any(line.startswith(name) for line in lines) for name in RUNNING):
            return lines
    raise AssertionError("README.md shows no block of sh with both programs")


@pytest.fixture
def readme_ports() -> None:
    """Skips the test where a port of the README's is in use; fails it under REQUIRE_ALL=1."""
    for port in (SERVER_PORT, APP_PORT):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                give_up = pytest.fail if os.environ.get("REQUIRE_ALL") == "1" else pytest.skip
                give_up(f"the README's commands need port {port}: {error}")


@pytest.mark.timeout(INSTALL_S)
@pytest.mark.needs("git")
@pytest.mark.usefixtures("readme_ports")
async def test_the_two_commands_of_the_readme_share_an_app_from_a_clone(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    await trio.run_process(["git", "clone", "--quiet", str(ROOT), str(tmp_path / "clone")])
    scripts = await make_venv(tmp_path / "venv")
    await nursery.start(partial(trio.serve_tcp, Origin().handle, APP_PORT, host="127.0.0.1"))
    lines = readme_commands((tmp_path / "clone" / "README.md").read_text())
    stays = [f"{line} &" if line.startswith(RUNNING) else line for line in lines]
    async with running_shell("\n".join([*stays, "wait"]), tmp_path, scripts) as stdout:
        host = await printed_host(stdout)
        assert (await fetch(Address(SERVER_PORT, host))).body == b"hello"


@asynccontextmanager
async def running_shell(
    commands: str, folder: Path, scripts: Path
) -> AsyncIterator[trio.abc.ReceiveStream]:
    """What a shell and its programs write to stdout; it ends them as closing a terminal does."""
    env = {
        name: v for name, v in away_from_the_checkout().items() if not name.startswith("TUNNEL_")
    }
    env |= {"PATH": f"{scripts}:{env['PATH']}", "XDG_STATE_HOME": str(folder / "state")}
    shell: trio.Process = await trio.lowlevel.open_process(
        ["sh", "-e", "-c", commands],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        cwd=folder / "clone",
        env=env,
        start_new_session=True,  # so that one signal reaches all
    )
    assert shell.stdout is not None
    try:
        async with shell.stdout:
            yield shell.stdout
            os.killpg(shell.pid, signal.SIGTERM)
            with trio.fail_after(STOP_S):  # the pipe is closed when the last of them is gone
                while await shell.stdout.receive_some():
                    pass
    finally:
        with suppress(ProcessLookupError):
            os.killpg(shell.pid, signal.SIGKILL)
        with trio.CancelScope(shield=True):
            await shell.wait()


async def printed_host(stdout: trio.abc.ReceiveStream) -> str:
    """The host of the first tunnel's URL that is printed."""
    said = b""
    while not (found := re.search(rb"http://([a-z0-9-]+\.localhost):8080\b", said)):
        data = await stdout.receive_some()
        assert data, said
        said += data
    return found[1].decode()
