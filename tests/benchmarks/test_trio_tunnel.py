"""The peer against stand-ins that keep to the contract of `--json` and check their arguments."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.peers.route import Peer
from benchmarks.peers.trio_tunnel import TUNNEL, installed_in
from benchmarks.programs import BenchmarkError

SERVER = """
assert sys.argv[1:] == ["--bind", "127.0.0.1:0", "--json"], sys.argv
url = "http://localhost:41233"
print(json.dumps({"event": "listening", "bind": "127.0.0.1:41233", "url": url}), flush=True)
signal.pause()
"""
CLIENT = """
options = ["--server", "http://localhost:41233", "--subdomain", "bench", "--json"]
assert sys.argv[1:] == ["http", "3000", *options], sys.argv
url = "http://bench.localhost:41233"
print(json.dumps({"event": "ready", "url": url, "name": "bench"}), flush=True)
signal.pause()
"""


@pytest.fixture
def peer(tmp_path: Path) -> Peer:
    for name, code in (("tunnel-server", SERVER), ("tunnel-client", CLIENT)):
        script = tmp_path / name
        script.write_text(f"#!{sys.executable}\nimport json, signal, sys\n{code}")
        script.chmod(0o755)
    return installed_in(tmp_path, "before")


async def test_the_load_goes_to_the_address_and_host_of_the_ready_line(
    peer: Peer, tmp_path: Path
) -> None:
    async with peer.open(3000, tmp_path) as route:
        assert (route.port, route.host) == (41233, "bench.localhost:41233")
        assert set(route.programs) == {"server", "client"}


async def test_a_client_that_does_not_start_is_an_error(peer: Peer, tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match="tunnel-client ended early: AssertionError"):
        async with peer.open(3001, tmp_path):
            pass


def test_nothing_is_missing_once_both_programs_are_installed(peer: Peer, tmp_path: Path) -> None:
    assert TUNNEL.missing() == peer.missing() == []
    (tmp_path / "tunnel-client").unlink()
    assert peer.missing() == ["tunnel-client"]
