from __future__ import annotations

import math
from dataclasses import replace

import pytest

from tests.faults.lines.report import (
    PAYLOAD,
    changes,
    delay_cell,
    delays,
    follow_cell,
    limits,
    near,
    share_cell,
    shares,
    slowest_cell,
)
from tests.faults.lines.rows import Delays, Row, Ways, chosen, stretches
from tests.faults.lines.runs import Run, Who

STEADY = Row("row", 40, 10, 10)


def bulk(who: Who, mbit: float, number: int = 1, way: Ways = "down") -> Run:
    """A measure of 8 s, so that 1 Mbit/s is a million bytes."""
    taken = [round(mbit * 1e6)]
    if way == "both":
        return Run("row", "landed", number, way, who, 8.0, {"down": taken, "up": taken})
    return Run("row", "landed", number, way, who, 8.0, {way: taken})


def small(who: Who, *times_ms: float, way: Ways = "down") -> Run:
    times_s = [time_ms / 1000 for time_ms in times_ms]
    return Run("row", "landed", 1, way, who, gets_s=times_s, echoes_s=times_s)


# --- bulk ---


def test_a_share_is_taken_within_a_round() -> None:
    runs = [bulk("plain", 10, 1), bulk("plain", 5, 2), bulk("plain", 8, 3)]
    runs += [bulk("one", 9, 1), bulk("one", 5, 2)]
    assert shares(runs, "one", "down", "down") == [0.9, 1.0]


def test_the_yardstick_of_a_round_without_one_is_the_first() -> None:
    runs = [bulk("plain", 10, 1), bulk("one", 9, 1), bulk("one", 5, 2)]
    assert shares(runs, "one", "down", "down") == [0.9, 0.5]
    assert shares(runs[1:], "one", "down", "down") == []


def test_bulk_both_ways_is_compared_with_plain_connections_both_ways() -> None:
    runs = [bulk("plain", 10), bulk("plain", 5, way="both"), bulk("one", 4, way="both")]
    assert shares(runs, "one", "both", "up") == [0.8]


@pytest.mark.parametrize(("mbit", "text"), [(9.5, "0.95"), (9.49, "**0.949** (0.95)")])
def test_a_share_at_its_limit_is_enough_and_below_is_not(mbit: float, text: str) -> None:
    runs = [bulk("plain", 10), bulk("one", mbit)]
    assert str(share_cell(STEADY, runs, "one", "down", "down")) == text


def test_the_median_of_the_rounds_counts() -> None:
    runs = [run for n in (1, 2, 3) for run in (bulk("plain", 10, n), bulk("one", 3 * n, n))]
    assert str(share_cell(STEADY, runs, "one", "down", "down")) == "**0.600** (0.95)"


def test_without_a_plain_connection_there_is_the_rate() -> None:
    row = replace(STEADY, share=None)
    assert str(share_cell(row, [bulk("one", 9.26)], "one", "down", "down")) == "9.3 Mbit/s"
    assert str(share_cell(row, [], "one", "down", "down")) == "-"


def test_a_measure_whose_yardstick_is_missing_misses_its_limit() -> None:
    runs = [bulk("one", 9.26), small("eight", 70)]
    assert str(share_cell(STEADY, runs, "one", "down", "down")) == "**9.3 Mbit/s** (of what?)"
    assert str(delay_cell(STEADY, runs, "down", "GET")) == "**70 / 70** (nan / nan)"


@pytest.mark.parametrize(
    ("mbit", "expected"), [(8.99, False), (9.01, True), (9.99, True), (10.01, False)]
)
def test_a_share_is_near_its_limit_by_five_hundredths(mbit: float, expected: bool) -> None:
    runs = [bulk("plain", 10), bulk("one", 5), bulk("eight", mbit)]
    assert near(STEADY, runs) == [("down", "eight")] * expected
    assert near(replace(STEADY, share=None), runs) == []


def test_of_bulk_both_ways_one_direction_is_enough_to_be_near() -> None:
    row = replace(STEADY, ways=("down", "both"))
    one = Run("row", "landed", 1, "both", "one", 8.0, {"down": [5_000_000], "up": [9_500_000]})
    assert near(row, [bulk("plain", 10, way="both"), one]) == [("both", "one")]


@pytest.mark.parametrize(("slowest", "text"), [(50, "0.50"), (49, "**0.49** (0.5)")])
def test_the_slowest_of_eight_has_half_of_its_eighth(slowest: int, text: str) -> None:
    taken = [slowest, *[100] * 6, 200 - slowest]
    runs = [Run("row", "landed", 1, "down", "eight", 8.0, {"down": taken})]
    assert str(slowest_cell(runs, "down", "down")) == text
    assert str(slowest_cell([], "down", "down")) == "-"


# --- delays ---


def test_delays_are_those_of_all_rounds_together() -> None:
    found = delays([small("one", 1, 2, 3), small("one", 4, 100)], "GET")
    assert (found.p50, found.p99, found.count) == (3, 100, 5)
    assert str(found) == "3 / 100"
    assert str(delays([], "GET")) == "-"


@pytest.mark.parametrize(
    ("judged", "idle", "expected"),
    [
        # Four packets of 10 Mbit/s are 4.8 ms.
        ("steady", (40, 40, 40, 50), (1.7 * 40 + 14.8, 2.5 * 40 + 34.8)),
        ("jitter", (40, 40, 40, 50), (1.8 * 40 + 10, 2.5 * 50 + 30)),
    ],
)
def test_limits_come_from_the_idle_line(
    judged: Delays, idle: tuple[float, ...], expected: tuple[float, float]
) -> None:
    row = replace(STEADY, delays=judged)
    assert limits(row, [small("idle", *idle, way="both")], "down", "GET") == pytest.approx(expected)


def test_limits_of_a_line_of_two_rates_are_those_of_the_bulk() -> None:
    row = replace(STEADY, down_mbit=2, up_mbit=50)
    runs = [small("idle", 40)]
    assert limits(row, runs, "down", "GET") == pytest.approx((68 + 10 + 24, 100 + 30 + 24))
    assert limits(row, runs, "down", "echo") == pytest.approx((68 + 10 + 24, 100))
    assert limits(row, runs, "up", "echo") == pytest.approx((68 + 10.96, 100 + 30.96))


def test_limits_by_the_rule_switched_off_are_what_it_adds() -> None:
    row = replace(STEADY, delays="off")
    runs = [small("idle", 40), small("off", 140, 140, 300), small("off", 1, way="up")]
    assert limits(row, runs, "down", "GET") == pytest.approx((40 + 90, 300))


@pytest.mark.parametrize(
    ("one", "eight", "text"),
    [
        ((70, 70, 70), (70, 70, 134), "70 / 134"),
        ((70, 70, 70), (70, 70, 136), "**70 / 136** (83 / 135)"),
        ((83, 83, 83), (83, 83, 83), "**83 / 83** (83 / 135)"),
    ],
)
def test_small_things_beside_one_stream_and_eight_miss_their_limits_together(
    one: tuple[float, ...], eight: tuple[float, ...], text: str
) -> None:
    runs = [small("idle", 40), small("one", *one), small("eight", *eight)]
    assert str(delay_cell(STEADY, runs, "down", "echo")) == text


def test_eight_streams_alone_are_compared_with_eight_of_the_rule_switched_off() -> None:
    row = replace(STEADY, delays="off")
    runs = [small("idle", 40), small("one", 900), small("off", 140), small("eight", 131)]
    assert str(delay_cell(row, runs, "down", "GET")) == "**131 / 131** (130 / 140)"
    assert str(delay_cell(row, [*runs[:3], small("eight", 129)], "down", "GET")) == "129 / 129"


# --- a line that changes ---


def test_changes_are_those_that_fall_into_what_is_counted() -> None:
    in_turn, round_trip, rate = chosen("in turn, round trip, rate halves")
    assert [(str(c), c.at_s) for c in changes(in_turn)] == [
        ("to 40 ms, 10 Mbit/s", (6, 12, 18, 24)),
        ("to 40 ms, 20 Mbit/s", (9, 15, 21, 27)),
    ]
    assert [(str(c), c.at_s, c.longer) for c in changes(round_trip)] == [
        ("to 100 ms, 20 Mbit/s", (20,), True),
        ("to 5 ms, 20 Mbit/s", (40,), False),
    ]
    assert [(str(c), c.at_s, c.seconds) for c in changes(rate)] == [
        ("to 40 ms, 10 Mbit/s", (12,), 12),
        ("to 40 ms, 20 Mbit/s", (24,), 12),
    ]
    assert changes(STEADY) == []


FULL = round(PAYLOAD * 16e6 / 8 / 10)  # what 16 Mbit/s carry in a tick


def changing(*, longer: bool = False) -> Row:
    plan = stretches((2, 40, 8), (12, 80 if longer else 40, 16))
    return replace(STEADY, plan=plan, share=None, plain=False, delays="off", settle_s=1, count_s=13)


def following(who: Who, after: int, share: float = 1.0) -> Run:
    """A tunnel that has so much of the line from this tick after the change on."""
    ticks = [FULL // 2] * (20 + after) + [math.ceil(FULL * share)] * (120 - after)
    return Run("row", "landed", 1, "down", who, 13.0, {"down": [1]}, {"down": ticks})


@pytest.mark.parametrize(
    ("longer", "after", "off_after", "text"),
    [
        (False, 40, 0, "4.8"),  # of the last second four fifths were at full rate
        (False, 42, 0, "5.0"),
        (False, 43, 0, "**5.1** (5.0)"),
        (True, 72, 90, "8.0"),
        (True, 73, 90, "**8.1** (8.0)"),
        (True, 30, 20, "3.8"),
        (True, 31, 20, "**3.9** (3.8)"),
    ],
)
def test_a_change_is_followed_once_a_second_has_carried_nine_tenths(
    longer: bool, after: int, off_after: int, text: str
) -> None:
    row = changing(longer=longer)
    (change,) = changes(row)
    runs = [following("one", after), following("off", off_after)]
    assert str(follow_cell(row, runs, "one", "down", change)) == text


def test_a_change_that_is_never_followed_is_infinite() -> None:
    row = changing()
    (change,) = changes(row)
    assert str(follow_cell(row, [following("one", 0, 0.89)], "one", "down", change)) == (
        "**inf** (5.0)"
    )
    assert str(follow_cell(row, [following("one", 0, 0.9)], "one", "down", change)) == "1.0"
    assert str(follow_cell(row, [], "one", "down", change)) == "-"


def test_a_good_second_before_a_bad_rest_is_no_following() -> None:
    row = changing()
    (change,) = changes(row)
    run = following("one", 0)
    run.ticks["down"][40:60] = [0] * 20
    assert str(follow_cell(row, [run], "one", "down", change)) == "4.9"
    run.ticks["down"][60:80] = [0] * 20
    assert str(follow_cell(row, [run], "one", "down", change)) == "**6.9** (5.0)"


def test_where_a_share_is_asked_how_soon_is_only_told() -> None:
    row = replace(changing(), share=0.8)
    (change,) = changes(row)
    assert str(follow_cell(row, [following("one", 100)], "one", "down", change)) == "10.8"
