from __future__ import annotations

import math
import os
import signal
import sys
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from benchmarks.attacks.__main__ import options
from benchmarks.attacks.catalogue import ATTACKS
from benchmarks.attacks.honest import HONEST
from benchmarks.attacks.honest_run import complaints
from benchmarks.attacks.load import Load
from benchmarks.attacks.results import Reading, Results, formula_bytes, p99_ms, summary_of
from benchmarks.attacks.tenants import Rejected
from benchmarks.attacks.ways import Entrance, Way, address_of
from benchmarks.programs import output, running
from benchmarks.usage import children
from tunnel_server.visitors.crowd_news import CrowdNews

MIB = 1 << 20
ROOT = Path(__file__).parents[2]


def entrance(way: Way) -> Entrance:
    return Entrance(way, "10.77.0.1", 8080, "10.77.0.2")


def reading(
    lost: int = 0, more_ms: float = 0, peak_mib: int = 50, places: int = 0, sessions: int = 0
) -> Reading:
    return Reading(lost, 5.0, 5.0 + more_ms, 100, 10, peak_mib * MIB, places, sessions)


# --- options --------------------------------------------------------------------------------------


def test_without_options_every_attack_comes_by_every_way() -> None:
    chosen = options([])

    assert (chosen.rounds, chosen.seconds) == (3, 5)
    assert chosen.attacks == [attack.name for attack in ATTACKS]
    assert chosen.ways == ["peer", "proxy", "forwarded"]


@pytest.mark.parametrize("argv", [["--attacks", "flood"], ["--ways", "peer,"], ["--rounds", "0"]])
def test_an_unknown_attack_or_way_is_refused(
    argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as refused:
        options(argv)
    assert refused.value.code == 2
    assert argv[0] in capsys.readouterr().err


def test_no_two_loads_have_one_name() -> None:
    assert len({load.name for load in (*ATTACKS, *HONEST)}) == len(ATTACKS) + len(HONEST)


# --- ways -----------------------------------------------------------------------------------------


def test_an_address_comes_by_its_connection_by_a_header_or_by_a_field() -> None:
    address = address_of(300)

    assert address == "10.77.65.44"
    assert [entrance(way).fields(address) for way in Way] == [
        (),
        (),
        ((b"X-Forwarded-For", b"10.77.65.44"),),
    ]
    assert entrance(Way.PROXY).header(address) == b"PROXY TCP4 10.77.65.44 10.77.0.1 40000 8080\r\n"


def test_the_server_trusts_us_where_we_are_the_proxy() -> None:
    assert entrance(Way.PEER).flags == []
    assert entrance(Way.PROXY).flags == ["--proxy-protocol", "--trusted-proxies", "10.77.0.2"]
    assert entrance(Way.FORWARDED).flags == ["--trusted-proxies", "10.77.0.2"]


# --- the load -------------------------------------------------------------------------------------


async def test_a_load_has_so_many_at_once_and_begins_so_many_in_a_second(
    autojump_clock: MockClock,
) -> None:
    load = Load(entrance(Way.PEER))
    began: list[tuple[int, float]] = []
    start = trio.current_time()

    async def stay(number: int) -> None:
        began.append((number, trio.current_time() - start))
        await trio.sleep_forever()

    with trio.move_on_after(10):
        await load.keep(3, 2, stay)

    assert began == [(0, 0.0), (1, 0.5), (2, 1.0)]
    assert load.ready.is_set()


async def test_what_was_refused_or_closed_is_counted_and_begun_anew(
    autojump_clock: MockClock,
) -> None:
    load = Load(entrance(Way.PEER))
    ends = iter([Rejected("503"), trio.BrokenResourceError(), Rejected("503"), OSError()])

    async def fail(_number: int) -> None:
        raise next(ends, None) or Rejected("401")

    with trio.move_on_after(2.25):
        await load.keep(1, 2, fail)

    assert load.report() == {
        "asked": 5,
        "served": 0,
        "refused": 3,
        "closed": 2,
        "places": 0,
        "refusals": {"503": 2, "401": 1},
    }


# --- results --------------------------------------------------------------------------------------


def test_p99_is_what_99_of_100_stay_within() -> None:
    assert p99_ms([number / 1000 for number in range(100, 0, -1)]) == pytest.approx(99)
    assert p99_ms([0.5]) == pytest.approx(500)
    assert p99_ms([]) == math.inf


def test_the_formula_is_that_of_the_docs() -> None:
    assert formula_bytes(0, 0) == 128 * MIB
    assert formula_bytes(500, 16) == 129 * MIB + 500 * 20 * 1024


@pytest.mark.parametrize(
    ("readings", "faults"),
    [
        ([reading(more_ms=100)], []),
        ([reading(more_ms=101)], ["p99 101 ms more"]),
        ([reading(more_ms=900), reading(), reading()], []),
        ([reading(lost=1), reading(), reading()], ["1 lost"]),
        ([reading(peak_mib=128)], []),
        ([reading(peak_mib=129), reading(), reading()], ["memory"]),
        ([reading(peak_mib=129, places=52)], []),
        ([reading(peak_mib=129, sessions=16)], []),
    ],
)
def test_latency_is_a_median_and_what_is_lost_or_held_is_not(
    readings: list[Reading], faults: list[str]
) -> None:
    assert summary_of(readings).faults == faults


def test_the_table_has_a_line_for_each_attack_and_way() -> None:
    results = Results()
    results.add("places", "peer", reading(more_ms=3, places=100))
    results.add("places", "proxy", reading(lost=2))

    lines = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in results.table().split("\n")
    ]

    assert lines[2:] == [
        ["places", "peer", "0", "5.0", "8.0", "10", "100", "50.0", "130.0", "kept"],
        ["places", "proxy", "2", "5.0", "5.0", "10", "100", "50.0", "128.0", "2 lost"],
    ]


def test_a_line_of_the_server_about_a_share_is_a_complaint() -> None:
    news = CrowdNews(64)
    news.closed_for(None)
    said = news.told(0.0)
    refused = "10.77.64.10: control handshake refused: overloaded"
    log = f"session 1: app is online, of ann\n{said}\n10.77.64.10: session of ann\n{refused}\n"

    assert complaints(log) == [said, refused]


# --- all of it ------------------------------------------------------------------------------------

COMMAND = [sys.executable, "-m", "benchmarks.attacks", "--rounds", "1", "--seconds", "1"]


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.needs("taskset", "nsenter", "ip")
async def test_a_round_of_an_attack_prints_the_table() -> None:
    chosen = ["--attacks", "tokens,fields", "--ways", "forwarded"]

    printed = await output(["env", "-C", str(ROOT), *COMMAND, *chosen], 100)

    lines = [line.split("|")[1:4] for line in printed.splitlines() if line.startswith("|")]
    assert [[cell.strip() for cell in line] for line in lines[2:]] == [
        ["fields", "forwarded", "0"],
        ["tokens", "forwarded", "0"],
    ]


@pytest.mark.slow
@pytest.mark.needs("taskset", "nsenter", "ip")
async def test_ctrl_c_ends_every_program(tmp_path: Path) -> None:
    env = {"TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    async with running("attacks", [*COMMAND, "--attacks", "streams"], tmp_path, env) as program:
        await program.line("the server was busy", 30)  # without: the attack begins
        started = descendants(program.pid)
        os.kill(program.pid, signal.SIGINT)
        await program.wait()

    assert len(started) > 3
    assert not [pid for pid in started if is_there(pid)]


def is_there(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def descendants(pid: int) -> list[int]:
    own = children(pid)
    return [*own, *(below for child in own for below in descendants(child))]
