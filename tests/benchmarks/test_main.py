from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.__main__ import options, present
from benchmarks.peers.direct import DIRECT
from benchmarks.peers.route import Peer
from benchmarks.programs import output
from benchmarks.rounds import rotated

ROOT = Path(__file__).parents[2]


def test_without_options_every_peer_and_measure_runs() -> None:
    chosen = options([])

    assert chosen.rounds == 5
    assert chosen.peers == ["direct", "nginx", "ssh", "localtunnel", "trio-tunnel"]
    assert {"gets", "idle", "peak"} <= set(chosen.measures)


def test_peers_are_chosen_by_name() -> None:
    assert options(["--peers", "direct,ssh"]).peers == ["direct", "ssh"]


def test_another_installation_is_a_peer_of_its_own() -> None:
    assert options([]).before is None
    assert options(["--before", "/opt/old/bin"]).before == Path("/opt/old/bin")


@pytest.mark.parametrize(
    "argv", [["--peers", "direct,frp"], ["--measures", ""], ["--rounds", "0"], ["--seconds", "x"]]
)
def test_an_unknown_name_or_number_is_refused(
    argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as refused:
        options(argv)
    assert refused.value.code == 2
    assert argv[0] in capsys.readouterr().err


def test_a_peer_that_is_not_installed_is_named_and_left_out() -> None:
    lacking = Peer("other", missing=lambda: ["other-server"], open=DIRECT.open)

    assert present([DIRECT, lacking]) == (
        [DIRECT],
        ["other is left out: missing other-server"],
    )


def test_each_peer_comes_first_in_turn() -> None:
    other = Peer("other", missing=list, open=DIRECT.open)

    first = [rotated([DIRECT, other], number)[0].name for number in (1, 2, 3)]

    assert first == ["other", "direct", "other"]


@pytest.mark.slow
@pytest.mark.needs("cc", "wrk")
async def test_a_round_runs_and_prints_the_table() -> None:
    argv = [sys.executable, "-m", "benchmarks", "--rounds", "1", "--seconds", "1"]
    chosen = ["--peers", "direct", "--measures", "gets,download,upload,websocket"]

    printed = await output(["env", "-C", str(ROOT), *argv, *chosen], 50)

    rows = [line.split("|")[1].strip() for line in printed.splitlines() if line.startswith("|")]
    assert rows[2:] == [
        "1 KiB GETs, keep-alive, 32 connections",
        "download, 1 stream",
        "download, 8 streams",
        "upload, 1 stream",
        "upload, 8 streams",
        "WebSocket echo, 64 connections",
    ]
    assert "| -" not in printed.replace("| --", "")
