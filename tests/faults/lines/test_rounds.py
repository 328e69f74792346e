from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.faults.lines.__main__ import LANES
from tests.faults.lines.measures import (
    Processors,
    flags_of,
    seconds_of,
    steps_beyond,
    steps_of,
)
from tests.faults.lines.rounds import causes, row_s, wall_s
from tests.faults.lines.rows import ROWS, Row, chosen

TEN = Row("ten", 40, 10, 10)


# --- the measures of a round ---


def test_a_round_begins_idle_and_takes_each_direction_by_itself() -> None:
    assert steps_of(TEN, 1) == [
        ("both", "idle"),
        *[("down", who) for who in ("plain", "one", "eight")],
        *[("up", who) for who in ("plain", "one", "eight")],
    ]


def test_a_plain_connection_is_measured_in_each_round_where_it_has_luck() -> None:
    tunnel = [(way, who) for way in ("down", "up") for who in ("one", "eight")]
    assert steps_of(TEN, 2) == [("both", "idle"), *tunnel]
    for row in (replace(TEN, jitter_ms=1), replace(TEN, loss=0.001), *chosen("in turn")):
        assert ("up", "plain") in steps_of(row, 2)


def test_a_round_beyond_takes_what_is_near_and_its_yardsticks() -> None:
    row = replace(TEN, jitter_ms=1)
    assert steps_beyond(row, 5, [("up", "eight")]) == [("up", "plain"), ("up", "eight")]
    assert steps_beyond(TEN, 5, [("up", "eight")]) == [("up", "eight")]
    assert steps_beyond(row, 5, []) == []


def test_the_rule_switched_off_is_measured_where_delays_are_judged_by_it() -> None:
    row = replace(TEN, delays="off", ways=("down",))
    assert [who for _, who in steps_of(row, 1)] == ["idle", "plain", "one", "eight", "off"]
    row = replace(row, plain=False)
    assert [who for _, who in steps_of(row, 1)] == ["idle", "one", "eight", "off"]


def test_a_measure_takes_what_is_counted_and_a_rest() -> None:
    assert seconds_of(TEN, "one") == pytest.approx(4 + 15 + 1.2)
    assert seconds_of(TEN, "idle") == pytest.approx(200 * 0.05 + 1)
    assert seconds_of(replace(TEN, queue_ms=1000), "plain") == pytest.approx(4 + 15 + 3)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_three_rounds_have_600_small_things_of_each_kind(row: Row) -> None:
    steps = steps_of(row, 1)
    judged = ("eight",) if row.delays == "off" else ("one", "eight")
    for who in (judged, ("off",)):
        measures = sum(step in [("down", name) for name in who] for step in steps)
        assert 3 * measures * row.count_s / row.small_every_s >= 600 or not measures


def test_a_line_is_opened_with_what_its_row_says(tmp_path: Path) -> None:
    (stall,) = chosen("stall")
    said = " ".join(flags_of(stall, tmp_path))
    assert "--jitter 30 --jitter-every 200 --stall" in said
    assert "--plan" not in said
    (in_turn,) = chosen("in turn")
    assert flags_of(in_turn, tmp_path)[-2:] == ["--plan", str(tmp_path / "plan")]
    assert (tmp_path / "plan").read_text() == "3 40 10\n3 40 20\n"


def test_processors_are_busy_by_what_is_not_idle() -> None:
    before, after = Processors(1000, 800), Processors(1200, 850)
    assert after.busy_since(before) == 0.75
    now = Processors.now()
    assert 0 < now.idle < now.all


# --- side by side ---


def test_rows_side_by_side_take_as_long_as_the_longest_lane() -> None:
    one_s = row_s(TEN, 3)
    assert wall_s([TEN], 3, 3) == one_s
    assert wall_s([TEN, TEN], 3, 2) == one_s
    assert wall_s([TEN, TEN, TEN], 3, 2) == 2 * one_s
    long = replace(TEN, count_s=60)
    assert wall_s([TEN, TEN, long], 3, 2) == row_s(long, 3)
    heavy = replace(TEN, heavy=True)
    assert wall_s([TEN, heavy, TEN], 3, 2) == 2 * one_s


def test_three_rounds_of_all_rows_take_less_than_90_minutes() -> None:
    assert wall_s(chosen(""), 3, LANES) < 90 * 60


def test_what_broke_is_said_without_the_groups_around_it() -> None:
    ended = AssertionError("it has ended\nand said much")
    group = ExceptionGroup("a", [ExceptionGroup("b", [ended]), OSError(2, "gone")])
    assert causes(group) == ["AssertionError: it has ended", "FileNotFoundError: [Errno 2] gone"]
