"""README's "Run it for others", as it is written: by root, and by an ordinary user.

The commands are README's own, of the steps that are code. Around them is what it assumes: names
that lead to the machine (a hosts file), a certificate that the client's system trusts, and an app
on port 3000. A namespace of its own has port 443 free.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import pytest
import trio
import trustme

from tests.needs import lacks, needs
from tests.other_users import PACKAGES, be, python_of
from tests.patience import PATIENCE
from tests.programs import isolated

ROOT = Path(__file__).resolve().parents[2]
NAMESPACE = "trio-readme"
DOMAIN, NAME = "tunnel.example.com", "alice.tunnel.example.com"
USER = 54321
START_S = 30 * PATIENCE
# As AmbientCapabilities=CAP_NET_BIND_SERVICE in the unit.
CAPABLE = ("--inh-caps", "+net_bind_service", "--ambient-caps", "+net_bind_service")


def steps() -> tuple[str, str, str]:
    """The commands for a token, the server and the client."""
    section = (ROOT / "README.md").read_text().partition("## Run it for others")[2]
    token = re.search(
        r"^   `(\(umask 077; tunnel-server token create .*\))`$", section, re.MULTILINE
    )
    assert token
    blocks = re.findall(r"\n\n((?:       .*\n)+)", section)
    server, client = (" ".join(block.replace("\\\n", " ").split()) for block in blocks[:2])
    assert server.startswith("tunnel-server ")
    assert client.startswith("tunnel-client ")
    return token[1], server, client


@pytest.fixture
def namespace() -> Iterator[None]:
    [ip] = needs("ip")
    needs("setpriv", "curl")
    if os.geteuid() != 0:
        lacks("root, for a network namespace")
    hosts = Path("/etc/netns", NAMESPACE)  # which `ip netns exec` puts in the place of /etc/hosts
    with ExitStack() as stack:
        subprocess.run([ip, "netns", "add", NAMESPACE], check=True)
        stack.callback(subprocess.run, [ip, "netns", "del", NAMESPACE], check=True)
        subprocess.run([ip, "-n", NAMESPACE, "link", "set", "lo", "up"], check=True)
        hosts.mkdir(parents=True)
        stack.callback(shutil.rmtree, hosts)
        (hosts / "hosts").write_text(f"127.0.0.1 localhost {DOMAIN} {NAME}\n")
        yield


class Machine:
    """One home, and the user whose it is."""

    def __init__(self, home: Path, uid: int) -> None:
        self.home = home
        self.uid = uid
        ca = trustme.CA()
        cert = ca.issue_cert(DOMAIN, f"*.{DOMAIN}")
        ca.cert_pem.write_to_path(home / "ca.pem")
        cert.private_key_pem.write_to_path(home / "privkey.pem")
        for pem in cert.cert_chain_pems:
            pem.write_to_path(home / "fullchain.pem", append=True)
        (home / "privkey.pem").chmod(0o600)
        environment = isolated(home)
        scripts = home / "bin"
        scripts.mkdir()
        for program in ("tunnel-server", "tunnel-client"):
            module = program.replace("-", "_")
            path = scripts / program
            path.write_text(f'#!/bin/sh\nexec {python_of(uid)} -m {module} "$@"\n')
            path.chmod(0o755)
        self.env = environment | {
            "PATH": f"{scripts}:{os.environ['PATH']}",
            "PYTHONPATH": PACKAGES,
            "SSL_CERT_FILE": str(home / "ca.pem"),
        }
        for path in (home, *home.rglob("*")):
            os.chown(path, uid, uid)

    def argv(self, command: str, *privileges: str) -> list[str]:
        who = be(self.uid, *privileges) if self.uid else []
        return ["ip", "netns", "exec", NAMESPACE, *who, "sh", "-c", f"umask 022; {command}"]

    def run(self, command: str, *privileges: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.argv(command, *privileges),
            cwd=self.home,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=START_S,
        )

    @asynccontextmanager
    async def running(self, command: str, said: str, *privileges: str) -> AsyncIterator[str]:
        """What a program prints until it has said this; it is ended with the block."""
        process: trio.Process = await trio.lowlevel.open_process(
            self.argv(f"exec {command}", *privileges),
            cwd=self.home,
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert process.stdout is not None
        printed = ""
        try:
            with trio.fail_after(START_S):
                while said not in printed:
                    data = await process.stdout.receive_some()
                    assert data, printed
                    printed += data.decode()
            yield printed
        finally:
            process.terminate()
            with trio.CancelScope(shield=True), trio.move_on_after(START_S):
                await process.wait()
            process.kill()
            await process.stdout.aclose()


@pytest.fixture
def home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:  # pytest's own are closed to other users
        yield Path(folder)


@pytest.mark.usefixtures("namespace")
@pytest.mark.parametrize("uid", [0, USER], ids=["root", "user"])
async def test_the_steps_work_as_they_are_written(home: Path, uid: int) -> None:
    machine = Machine(home, uid)
    token, server, client = steps()
    made = machine.run(token)
    assert made.returncode == 0, made.stderr
    status = (home / "alice.token").stat()
    assert (status.st_uid, stat.S_IMODE(status.st_mode)) == (uid, 0o600)
    privileges: tuple[str, ...] = ()
    if uid:
        refused = machine.run(server)
        assert refused.returncode == 1
        assert (
            "cannot listen on 0.0.0.0:443: Permission denied; a port below 1024" in refused.stderr
        )
        assert "AmbientCapabilities=CAP_NET_BIND_SERVICE" in refused.stderr
        privileges = CAPABLE
    app = f"{python_of(uid)} -u -m http.server 3000 --bind 127.0.0.1"
    async with (
        machine.running(app, "Serving HTTP"),
        machine.running(server, "Ctrl-C stops it.", *privileges) as listening,
        machine.running(client, "Requests:") as ready,
    ):
        assert f"with a token of {home}" in listening
        assert f"https://{NAME}" in ready
        assert "warning" not in ready
        ask = f"curl -sS --noproxy '*' --cacert ca.pem https://{NAME}/fullchain.pem"
        answer = await trio.to_thread.run_sync(machine.run, ask)
    assert answer.stdout == (home / "fullchain.pem").read_text(), answer.stderr
