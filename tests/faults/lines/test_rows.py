from __future__ import annotations

from tests.faults.lines.rows import ROWS, chosen


def test_each_row_has_its_name_alone() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS)


def test_all_are_chosen_but_the_extra_ones_and_these_by_their_names() -> None:
    assert chosen("") == [row for row in ROWS if not row.extra]
    assert [row.name for row in chosen("stall, bbr")] == [
        "bbr 40/20",
        "bbr 20/50 at 30",
        "bbr 40/20 at 1 %",
        "bbr 5+100+5 at 20",
        "stall 30 20/50",
    ]
    assert [row.name for row in chosen("jitter")] == [
        "jitter 10 30/20",
        "jitter 30 20/50",
        "jitter 40 60/20",
    ]
    assert chosen("no such") == []


def test_a_plan_counts_whole_periods() -> None:
    in_turn, *followed = (row for row in ROWS if row.plan)
    assert len(followed) == 3
    assert in_turn.settle_s == sum(stretch.seconds for stretch in in_turn.plan)
    assert in_turn.count_s % in_turn.settle_s == 0
    for row in followed:
        assert row.settle_s + row.count_s == sum(stretch.seconds for stretch in row.plan)


def test_the_rate_of_a_line_is_that_of_its_direction_or_the_lowest_of_its_plan() -> None:
    (slow,) = chosen("asymmetric")
    assert (slow.mbit("down"), slow.mbit("up")) == (2, 50)
    (changing,) = chosen("in turn")
    assert changing.mbit("down") == 10
