"""What the programs load to start: nothing that a start does not need, and no other library."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.programs import SCRIPTS, Programs, isolated
from tests.system.origin import Origin

TELL_IMPORTS = {"PYTHONPROFILEIMPORTTIME": "1"}  # a line on stderr for each module that is loaded

OURS = {"protocol", "tunnel_server", "tunnel_client"}
# What this environment runs before each program: .pth files of setuptools and of editable installs.
ENVIRONMENT = ("_distutils_hack", "__editable__", "sitecustomize", "usercustomize")
JYTHON = "org"  # Python's `copy` looks for it, and is told in vain

FOR_THE_COMMAND_LINE = {"click", "platformdirs"}
TRIO_BRINGS = {"attr", "attrs", "idna", "outcome", "sniffio", "sortedcontainers"}
FOR_A_TUNNEL = {"trio", *TRIO_BRINGS, "trio_websocket", "wsproto", "h11", "msgpack"}


def libraries(stderr: str) -> set[str]:
    """The packages that were loaded and are neither ours nor Python's."""
    modules = re.findall(r"^import time:.*\| +([\w.]+)$", stderr, re.MULTILINE)
    packages = {module.partition(".")[0] for module in modules}
    assert packages & OURS
    known = {*OURS, *sys.stdlib_module_names, JYTHON}
    return {name for name in packages - known if not name.startswith(ENVIRONMENT)}


@pytest.mark.parametrize(
    "command",
    [
        ("tunnel-server", "--help"),
        ("tunnel-server", "--version"),
        ("tunnel-server", "token", "create", "--help"),
        ("tunnel-client", "--help"),
        ("tunnel-client", "--version"),
        ("tunnel-client", "http", "--help"),
    ],
    ids=" ".join,
)
def test_help_and_version_load_the_command_line_alone(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    argv = [str(SCRIPTS / command[0]), *command[1:]]
    env = isolated(tmp_path) | TELL_IMPORTS
    done = subprocess.run(argv, capture_output=True, text=True, env=env, check=True)
    assert libraries(done.stderr) <= FOR_THE_COMMAND_LINE
    loaded = set(re.findall(r"\| +([\w.]+)$", done.stderr, re.MULTILINE))
    if "--help" in command:
        assert not loaded & {"email.message", "importlib.metadata", "ssl", "socket", "tomllib"}


async def test_programs_that_are_ready_have_loaded_what_a_tunnel_needs_and_no_more(
    programs: Programs, origin: Origin
) -> None:
    server = await programs.start(
        "tunnel-server", "--bind", "127.0.0.1:0", "--json", env=TELL_IMPORTS
    )
    port = int((await server.event("listening"))["bind"].rpartition(":")[2])
    client = await programs.client(origin.port, port, env=TELL_IMPORTS)
    await client.event("ready")
    for program in (client, server):
        assert await program.stop() == 0  # so that all of its stderr is here
        found = libraries(program.stderr)
        assert found - (FOR_THE_COMMAND_LINE | FOR_A_TUNNEL) == set()
        assert {"trio", "click"} <= found
