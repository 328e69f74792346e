"""deploy/trio-tunnel.service and .socket: what systemd makes of them, and that they serve.

Whoever starts the server with listening sockets (LISTEN_FDS) keeps the port open while it restarts.
"""

from __future__ import annotations

import configparser
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import trio

from benchmarks.programs import free_port
from tests.needs import needs
from tests.programs import SCRIPTS, Address, Programs, isolated
from tests.system.deploy_files import DEPLOY, deployed
from tests.system.origin import Origin
from tests.system.visitor import SMALL_S, Answer, fetch, visit

UNIT = "trio-tunnel.service"
SOCKET = "trio-tunnel.socket"

# What systemd does before it starts a service: the sockets are 3 and what follows.
PASS = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
os.execv(sys.argv[2], sys.argv[2:])
"""


def unit(folder: Path) -> str:
    """The file, with this environment's programs and another folder for its state."""
    return deployed(
        UNIT, {"/opt/trio-tunnel/bin": str(SCRIPTS), "/var/lib/trio-tunnel": str(folder)}
    )


@pytest.mark.needs("systemd-analyze")
def test_systemd_finds_nothing_wrong_with_the_units(tmp_path: Path) -> None:
    (tmp_path / UNIT).write_text(unit(tmp_path))
    (tmp_path / SOCKET).write_text((DEPLOY / SOCKET).read_text())
    (analyze,) = needs("systemd-analyze")
    argv = [analyze, "verify", "--man=no", str(tmp_path / UNIT), str(tmp_path / SOCKET)]
    done = subprocess.run(argv, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def settings_of(unit: str) -> configparser.SectionProxy:
    parsed = configparser.ConfigParser(interpolation=None)
    parsed.read_string(unit.replace("\\\n", ""))
    return parsed["Service"]


def command_of(unit: str, key: str) -> list[str]:
    """A command line of the unit's, without the program, and without `-` in front of it."""
    program, *words = shlex.split(settings_of(unit)[key].removeprefix("-"))
    assert Path(program) == SCRIPTS / "tunnel-server"
    return words


def run(folder: Path, words: Sequence[str], **variables: str) -> tuple[int, str]:
    env = isolated(folder / "home") | variables
    argv = [str(SCRIPTS / "tunnel-server"), *words]
    done = subprocess.run(argv, capture_output=True, text=True, env=env)
    return done.returncode, done.stdout + done.stderr


def test_the_settings_of_the_unit_are_checked_before_it_starts(tmp_path: Path) -> None:
    words = command_of(unit(tmp_path), "ExecStartPre")
    assert words == ["config", "check", *command_of(unit(tmp_path), "ExecStart")]
    assert run(tmp_path, words)[0] == 0
    code, said = run(tmp_path, words, TUNNEL_SERVER_HOLD="x")
    assert (code, said.count("\n")) == (2, 1)
    assert said.startswith("tunnel-server: TUNNEL_SERVER_HOLD: takes whole seconds")


def test_settings_that_cannot_be_used_end_the_service_and_do_not_restart_it(tmp_path: Path) -> None:
    """RestartPreventExitStatus= is of the main process alone (systemd.service(5)): it has to start.

    So the check before it says what is wrong, and its exit code counts for nothing (`-`).
    """
    service = settings_of(unit(tmp_path))
    assert service["ExecStartPre"].startswith("-")
    assert service["Restart"] == "on-failure"
    words = command_of(unit(tmp_path), "ExecStart")
    code, said = run(tmp_path, words, TUNNEL_SERVER_HOLD="x")
    assert said.startswith("tunnel-server: TUNNEL_SERVER_HOLD: takes whole seconds")
    assert str(code) in service["RestartPreventExitStatus"].split()


async def test_the_command_line_of_the_unit_serves(programs: Programs, tmp_path: Path) -> None:
    flags = command_of(unit(tmp_path), "ExecStart")
    server, _ = await programs.server(*flags)
    assert server.events[0]["url"] == "https://tunnel.example.com"


def test_the_socket_is_where_proxies_and_the_service_look_for_it() -> None:
    parsed = configparser.ConfigParser(interpolation=None)
    parsed.read_string((DEPLOY / SOCKET).read_text())
    listen = parsed["Socket"]["ListenStream"]
    assert listen == "127.0.0.1:8080"  # the default of --bind
    assert listen in (DEPLOY / "nginx.conf").read_text()


# --- started with sockets ------------------------------------------------------------------------


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A port that the test holds, as systemd does."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


def passing(given: socket.socket) -> Sequence[str]:
    return (sys.executable, "-c", PASS, str(given.fileno()))


async def test_a_server_serves_on_the_socket_that_it_was_given(
    programs: Programs, origin: Origin, listener: socket.socket
) -> None:
    port = listener.getsockname()[1]
    _, told = await programs.server(by=passing(listener), pass_fds=[listener.fileno()])
    assert told == port
    client = await programs.client(origin.port, port, "--subdomain", "app")
    ready = await client.event("ready")
    assert ready["url"] == f"http://app.localhost:{port}"
    assert (await fetch(Address(port, "app.localhost"))).body == b"hello"


async def test_while_a_server_restarts_its_visitors_wait_and_nobody_is_refused(
    programs: Programs, origin: Origin, listener: socket.socket
) -> None:
    """The client's connection waits as well; the new server expects the name."""
    port = listener.getsockname()[1]
    address = Address(port, "app.localhost")
    give = {"by": passing(listener), "pass_fds": [listener.fileno()]}
    server, _ = await programs.server(**give)  # type: ignore[arg-type]  # as named
    client = await programs.client(origin.port, port, "--subdomain", "app")
    await client.event("ready")
    answers: list[Answer] = []

    async def ask() -> None:
        answers.append(await fetch(address))

    assert await server.stop() == 0
    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(ask)
        await programs.server(**give)  # type: ignore[arg-type]  # as named
    assert [(answer.status, answer.body) for answer in answers] == [(200, b"hello")] * 20


async def test_a_socket_that_is_none_is_one_line_and_1(programs: Programs) -> None:
    with socket.socket() as idle:
        server = await programs.start("tunnel-server", by=passing(idle), pass_fds=[idle.fileno()])
        assert await server.exit_code() == 1
    (line,) = server.stderr.splitlines()
    assert "LISTEN_FDS=1: descriptor 3 is no TCP socket that listens" in line


async def test_a_socket_that_others_can_reach_needs_a_token_whatever_bind_says(
    programs: Programs,
) -> None:
    with socket.create_server(("0.0.0.0", 0)) as public:
        server, _ = await programs.server(by=passing(public), pass_fds=[public.fileno()])
    await server.says("there is no token, so nobody can connect")
    assert server.events[0]["bind"].startswith("0.0.0.0:")


@pytest.mark.needs("systemd-socket-activate")
async def test_systemd_passes_it_the_socket(programs: Programs) -> None:
    (activate,) = needs("systemd-socket-activate")
    port = free_port()
    server = await programs.start(
        "tunnel-server", "--json", by=(activate, "--listen", f"127.0.0.1:{port}")
    )
    await server.says(f"Listening on 127.0.0.1:{port}")
    with trio.fail_after(SMALL_S):
        async with visit(Address(port, "localhost")) as visitor:  # only now it is started
            answer = await visitor.fetch("/_tunnel/ready")
    assert answer.status == 200
    assert server.events[0]["bind"] == f"127.0.0.1:{port}"
    assert await server.stop() == 0
