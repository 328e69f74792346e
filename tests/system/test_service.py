"""deploy/trio-tunnel.service: what systemd makes of it, and that its command line serves."""

from __future__ import annotations

import configparser
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.needs import needs
from tests.programs import SCRIPTS, Programs
from tests.system.fronts import deployed

UNIT = "trio-tunnel.service"


def unit(folder: Path) -> str:
    """The file, with this environment's programs and another folder for its state."""
    return deployed(
        UNIT, {"/opt/trio-tunnel/bin": str(SCRIPTS), "/var/lib/trio-tunnel": str(folder)}
    )


@pytest.mark.needs("systemd-analyze")
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    (tmp_path / UNIT).write_text(unit(tmp_path))
    (analyze,) = needs("systemd-analyze")
    argv = [analyze, "verify", "--man=no", str(tmp_path / UNIT)]
    done = subprocess.run(argv, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


async def test_the_command_line_of_the_unit_serves(programs: Programs, tmp_path: Path) -> None:
    text = unit(tmp_path).replace("\\\n", "")
    parsed = configparser.ConfigParser(interpolation=None)
    parsed.read_string(text)
    program, *flags = shlex.split(parsed["Service"]["ExecStart"])
    assert Path(program) == SCRIPTS / "tunnel-server"
    server, _ = await programs.server(*flags)
    assert server.events[0]["url"] == "https://tunnel.example.com"
