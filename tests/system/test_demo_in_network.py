"""`make demo LAN=1`, as a phone of the same network meets it, in namespaces of this machine."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO

import pytest

from tests.needs import lacks, needs
from tests.patience import PATIENCE
from tests.programs import isolated

ROOT = Path(__file__).resolve().parents[2]
LAPTOP, PHONE = "trio-laptop", "trio-phone"
ADDRESS, DOMAIN = "10.113.0.1", "10-113-0-1.nip.io"


@pytest.fixture
def network() -> Iterator[None]:
    """Two machines on one wire; the one has a default route, to a router that is not there."""
    [ip] = needs("ip")
    if os.geteuid() != 0:
        lacks("root, for network namespaces")

    def run(*words: str) -> None:
        subprocess.run([ip, *words], check=True)

    with ExitStack() as stack:
        for name in (LAPTOP, PHONE):
            run("netns", "add", name)
            stack.callback(run, "netns", "del", name)
            run("-n", name, "link", "set", "lo", "up")
        wire = ("wire0", "netns", LAPTOP, "type", "veth", "peer", "wire0", "netns", PHONE)
        run("link", "add", *wire)
        for name, own in ((LAPTOP, ADDRESS), (PHONE, "10.113.0.2")):
            run("-n", name, "addr", "add", f"{own}/24", "dev", "wire0")
            run("-n", name, "link", "set", "wire0", "up")
        run("-n", LAPTOP, "route", "add", "default", "via", "10.113.0.254")
        yield


def until(text: str, stdout: IO[str]) -> str:
    """What it prints until it has said this."""
    said = ""
    while text not in said:
        line = stdout.readline()
        assert line, said
        said += line
    return said


def in_namespace(name: str, *command: str) -> list[str]:
    return ["ip", "netns", "exec", name, *command]


@pytest.mark.usefixtures("network")
def test_a_phone_of_the_same_network_reaches_it(tmp_path: Path) -> None:
    [curl] = needs("curl")
    demo = in_namespace(LAPTOP, sys.executable, str(ROOT / "examples" / "demo.py"), "--lan")
    hosts = Path("/etc/netns", PHONE, "hosts")  # which `ip netns exec` puts in the place of its own
    with ExitStack() as stack:
        hosts.parent.mkdir(parents=True)
        stack.callback(hosts.parent.rmdir)
        stack.callback(hosts.unlink, missing_ok=True)
        started = stack.enter_context(
            subprocess.Popen(
                demo, stdout=subprocess.PIPE, text=True, env=isolated(tmp_path), cwd=ROOT
            )
        )
        assert started.stdout is not None
        said = until("Requests:", started.stdout)
        assert "nip.io, which resolves these names, belongs to somebody else" in said
        found = re.search(rf"Public URL +(http://([a-z0-9-]+\.{re.escape(DOMAIN)}):\d+)", said)
        assert found, said
        hosts.write_text(f"{ADDRESS} {found[2]}\n")  # what nip.io would say
        patience = ("--max-time", str(20 * PATIENCE))
        ask = in_namespace(PHONE, curl, "-sS", "--noproxy", "*", *patience, found[1])
        page = subprocess.run(ask, capture_output=True, text=True, check=True).stdout
        assert "Hello from your own machine." in page
        until(" 200 GET  /  ", started.stdout)
        started.send_signal(signal.SIGINT)
        started.communicate()
        assert started.returncode == 0
