"""The peer against stand-ins that keep to the contract of `--json` and check their arguments."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.peers import trio_tunnel
from benchmarks.peers.trio_tunnel import TUNNEL
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
def stand_ins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, code in (("SERVER", SERVER), ("CLIENT", CLIENT)):
        script = tmp_path / name
        script.write_text(f"#!{sys.executable}\nimport json, signal, sys\n{code}")
        script.chmod(0o755)
        monkeypatch.setattr(trio_tunnel, name, script)


@pytest.mark.usefixtures("stand_ins")
async def test_the_load_goes_to_the_address_and_host_of_the_ready_line(tmp_path: Path) -> None:
    async with TUNNEL.open(3000, tmp_path) as route:
        assert (route.port, route.host) == (41233, "bench.localhost:41233")
        assert set(route.programs) == {"server", "client"}


@pytest.mark.usefixtures("stand_ins")
async def test_a_client_that_does_not_start_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match="tunnel-client ended early: AssertionError"):
        async with TUNNEL.open(3001, tmp_path):
            pass


@pytest.mark.usefixtures("stand_ins")
def test_nothing_is_missing_once_both_programs_are_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert TUNNEL.missing() == []

    monkeypatch.setattr(trio_tunnel, "CLIENT", tmp_path / "tunnel-client")
    assert TUNNEL.missing() == ["tunnel-client"]
