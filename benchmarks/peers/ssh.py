"""`ssh -R`: OpenSSH's remote forwarding, with an sshd, keys and settings of its own.

Everything is in the peer's folder: no file of the user's or the system's is read or written, but
for /run/sshd, which sshd wants as root and Debian makes only where it starts sshd itself.
"""

from __future__ import annotations

import getpass
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from benchmarks.peers.route import Peer, Route
from benchmarks.programs import START_S, find, free_port, output, path_of, running

SERVER_CONFIG = """
ListenAddress 127.0.0.1:{port}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/client_key.pub
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
"""

CLIENT_CONFIG = """
Host benchmark
    HostName 127.0.0.1
    Port {port}
    User {user}
    IdentityFile {folder}/client_key
    IdentitiesOnly yes
    IdentityAgent none
    BatchMode yes
    ExitOnForwardFailure yes
    GlobalKnownHostsFile none
    UserKnownHostsFile {folder}/known_hosts
    RemoteForward 127.0.0.1:0 127.0.0.1:{backend_port}
"""


@asynccontextmanager
async def open_ssh(backend_port: int, folder: Path) -> AsyncIterator[Route]:
    port = free_port()
    await make_keys(folder, port)
    values = {"port": port, "folder": folder, "user": getpass.getuser()}
    server_config, client_config = folder / "sshd_config", folder / "ssh_config"
    server_config.write_text(SERVER_CONFIG.format(**values))
    client_config.write_text(CLIENT_CONFIG.format(**values, backend_port=backend_port))
    sshd = [path_of("sshd"), "-D", "-e", "-f", str(server_config)]
    ssh = [path_of("ssh"), "-N", "-F", str(client_config), "benchmark"]
    async with running("sshd", sshd, folder) as server:
        await server.listening(port)
        async with running("ssh", ssh, folder) as client:
            said = await client.line("Allocated port")
            public_port = int(re.findall(r"Allocated port (\d+)", said)[0])
            programs = {"server": server.pid, "client": client.pid}
            yield Route(public_port, f"127.0.0.1:{public_port}", programs)


async def make_keys(folder: Path, port: int) -> None:
    for name in ("host_key", "client_key"):
        argv = [
            path_of("ssh-keygen"),
            "-q",
            "-t",
            "ed25519",
            "-N",
            "",
            "-C",
            "",
            "-f",
            str(folder / name),
        ]
        await output(argv, START_S)
    host_key = (folder / "host_key.pub").read_text()
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {host_key}")
    if os.geteuid() == 0:
        await trio.Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)


def missing() -> list[str]:
    programs = {"sshd": "openssh-server", "ssh": "openssh-client", "ssh-keygen": "openssh-client"}
    return sorted({package for program, package in programs.items() if not find(program)})


SSH = Peer("ssh", missing, open_ssh)
