from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from protocol.program.process import version


def test_version_is_that_of_the_installed_distribution() -> None:
    assert re.match(r"[0-9]+\.[0-9]+\.[0-9]+", version())


COMMANDS = [
    ("tunnel_client", "--help"),
    ("tunnel_client", "--version"),
    ("tunnel_client", "config", "show"),
    ("tunnel_client", "config", "check"),
    ("tunnel_server", "--help"),
    ("tunnel_server", "config", "path"),
    ("tunnel_server", "token", "create", "ada", "--init"),
]


def run(
    command: tuple[str, ...], home: Path, stdout: int, **environ: str
) -> subprocess.CompletedProcess[str]:
    folders = {name: str(home) for name in ("HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME")}
    return subprocess.run(
        [sys.executable, "-m", *command],
        env={"PATH": os.environ["PATH"], **folders, **environ},
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_stdout_that_takes_no_more_is_one_line_and_exit_code_1(
    command: tuple[str, ...], tmp_path: Path
) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    ended = run(command, tmp_path, full)
    os.close(full)
    first, *more = ended.stderr.splitlines()
    program = command[0].replace("_", "-")
    assert first == f"{program}: stdout cannot be written: No space left on device"
    assert ended.returncode == 1
    if command[1] == "token":
        (what_to_do,) = more
        assert what_to_do.startswith("tunnel-server: nobody knows that token now: ")
    else:
        assert more == []


@pytest.mark.parametrize("command", COMMANDS[:-1], ids=" ".join)
def test_pipe_that_nobody_reads_ends_a_command_without_a_word(
    command: tuple[str, ...], tmp_path: Path
) -> None:
    read, write = os.pipe()
    os.close(read)
    ended = run(command, tmp_path, write)
    os.close(write)
    assert (ended.stderr, ended.returncode) == ("", 1)


def test_stdout_that_has_no_word_for_it_is_one_line(tmp_path: Path) -> None:
    ascii_only = {"PYTHONIOENCODING": "ascii", "TUNNEL_CLIENT_TOKEN_FILE": str(tmp_path / "h\xe9")}
    (tmp_path / "h\xe9").write_text("tt_a\n")
    ended = run(("tunnel_client", "config", "show"), tmp_path, subprocess.DEVNULL, **ascii_only)
    assert ended.stderr == "tunnel-client: stdout is ascii, which cannot say all of it\n"
    assert ended.returncode == 1
