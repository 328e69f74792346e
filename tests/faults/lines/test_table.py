from __future__ import annotations

from dataclasses import replace

from tests.faults.lines.rows import Row, stretches
from tests.faults.lines.runs import Run, line_of as json_of, runs_of
from tests.faults.lines.table import line_of, tables

ROW = Row("steady", 40, 10, 10, ways=("down",))
PACKETS = {"sent": 990, "dropped": 10, "lost": 0}


def run(who: str, taken: list[int]) -> Run:
    """Two seconds of bulk, and small things that took 40 ms."""
    return Run(
        "steady",
        "landed",
        1,
        "down",
        who,  # type: ignore[arg-type]
        2.0,
        {"down": taken},
        {"down": [sum(taken) // 20] * 20},
        [] if who == "plain" else [0.040],
        [] if who == "plain" else [0.041],
        {"down": PACKETS, "up": PACKETS},
        0.62,
    )


def test_a_line_for_each_measure() -> None:
    assert line_of(run("plain", [2_500_000]), ROW) == (
        "steady, round 1, down, plain: down 10.00 Mbit/s, 1.0 % dropped; processors 62 %"
    )
    assert line_of(run("eight", [300_000] * 7 + [200_000]), ROW) == (
        "steady, round 1, down, eight: down 9.20 Mbit/s, slowest 0.80, 1.0 % dropped;"
        " GET 40 / 40 ms; echo 41 / 41 ms; processors 62 %"
    )
    idle = Run("steady", "landed", 1, "both", "idle", gets_s=[0.04])
    assert line_of(idle, ROW) == "steady, round 1, both, idle: GET 40 / 40 ms; processors 0 %"


def test_a_line_of_a_plan_has_each_second_and_how_soon_it_was_followed() -> None:
    row = replace(ROW, plan=stretches((1, 40, 20), (1, 40, 10)), settle_s=0, count_s=2)
    assert line_of(run("plain", [2_500_000]), row).endswith(
        "; down each second 10.0 10.0; to 40 ms, 10 Mbit/s followed after 1.0 s"
    )


def test_what_misses_its_limit_is_marked_and_counted() -> None:
    runs = [run("plain", [2_500_000]), run("one", [2_400_000]), run("eight", [290_000] * 8)]
    idle = Run("steady", "landed", 1, "both", "idle", gets_s=[0.020], echoes_s=[0.040])
    text, misses = tables([ROW], [*runs, idle])
    cells = [cell.strip() for cell in text.splitlines()[-1].strip("|").split("|")]
    assert cells == [
        *("steady", "down", "10.0", "0.96", "**0.928** (0.95)", "1.00"),
        *("20 / 20", "40 / 40", "-", "40 / 40", "41 / 41", "-", "1.0 %"),
    ]
    assert misses == 1


def test_a_row_without_measures_has_no_line() -> None:
    assert tables([ROW], []) == ("", 0)


def test_a_run_is_read_as_it_was_written() -> None:
    runs = [run("eight", [300_000] * 8), run("plain", [1])]
    assert runs_of([json_of(each) for each in runs]) == runs
