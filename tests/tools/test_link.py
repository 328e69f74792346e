from __future__ import annotations

from random import Random

import pytest

from tests.tools.link import Direction, Plan, PlanError, Stretch, Weather, read_plan

# A packet of 1,000 bytes takes 1 ms of 8 Mbit/s. Times are compared to a nanosecond.
RATE = 1_000_000.0
STEADY = Plan([Stretch(1.0, 0.040, RATE)])
NEARLY = 1e-9
CALM = Weather()


def direction(
    line: Plan = STEADY, weather: Weather = CALM, queue_s: float = 0.1, seed: str = "1u"
) -> Direction:
    return Direction(line, queue_s, weather, seed, now=0.0)


def near(time: float | None) -> object:
    return pytest.approx(time, abs=NEARLY)


def draw(slot: int, mean_s: float, seed: str = "1u") -> float:
    return Random(f"{seed} {slot}").expovariate(1 / mean_s)


def slot_over(least_s: float, mean_s: float) -> int:
    """The first slot whose draw is longer than this."""
    return next(slot for slot in range(1000) if draw(slot, mean_s) > least_s)


def test_a_packet_takes_its_own_time_and_half_a_round_trip() -> None:
    assert direction().accept(1000, 5.0) == near(5.021)


def test_packets_leave_one_behind_the_other() -> None:
    way = direction()
    assert [way.accept(1000, 0.0) for _ in range(3)] == [near(0.021), near(0.022), near(0.023)]


def test_a_full_queue_drops_and_one_place_takes() -> None:
    way = direction(queue_s=0.010)
    accepted = [way.accept(1000, 0.0) is not None for _ in range(12)]
    assert accepted == [True] * 11 + [False]  # ten wait behind it: no more than the queue
    assert (way.counts.sent, way.counts.dropped, way.counts.lost) == (11, 1, 0)
    assert way.accept(1000, 0.0009) is None
    assert way.accept(1000, 0.0010) is not None


def test_a_queue_is_as_long_as_the_rate_of_the_moment_says() -> None:
    way = direction(Plan([Stretch(1.0, 0.0, RATE), Stretch(1.0, 0.0, RATE / 2)]), queue_s=0.010)
    for _ in range(11):
        assert way.accept(1000, 0.999) is not None
    # 1 ms later ten of them wait, and half of the rate's queue is 5,000 bytes.
    assert way.accept(1000, 1.0) is None
    assert way.accept(1000, 1.0049) is None
    assert way.accept(1000, 1.0051) is not None


def test_a_seed_has_the_same_losses_after_each_beginning() -> None:
    way = direction(weather=Weather(loss=0.5))
    first = [way.accept(1000, now) is None for now in range(100)]
    way.begin("1u", 100.0)
    assert [way.accept(1000, now) is None for now in range(100, 200)] == first
    assert 0 < way.counts.lost == sum(first) < 100
    way.begin("2u", 200.0)
    assert [way.accept(1000, now) is None for now in range(200, 300)] != first


def test_jitter_is_the_draw_of_the_interval_in_which_a_packet_came() -> None:
    way = direction(weather=Weather(jitter_s=0.030, every_s=0.2))
    times = [0.0, 0.1999, 0.2001, 0.7]
    expected = [now + 0.021 + draw(int(now / 0.2), 0.030) for now in times]
    # Those that a longer hold delays come a quarter of their own time behind it.
    expected[2] = max(expected[2], expected[1] + 0.00025)
    assert [way.accept(1000, now) for now in times] == [near(time) for time in expected]


def test_jitter_is_the_same_after_each_beginning() -> None:
    way = direction(weather=Weather(jitter_s=0.030))
    times = [slot * 0.02 + 0.01 for slot in range(50)]
    first = [way.accept(1000, now) for now in times]
    way.begin("1u", 10.0)
    assert [way.accept(1000, 10.0 + now) for now in times] == [
        near(None if arrival is None else 10.0 + arrival) for arrival in first
    ]


def test_what_was_held_leaves_at_four_times_the_rate_and_in_order() -> None:
    mean_s = 0.030
    slots = (slot for slot in range(1000) if draw(slot, mean_s) - draw(slot + 1, mean_s) > 0.05)
    start = next(slots) * 0.02 + 0.0195  # those behind the first come in the next interval
    way = direction(weather=Weather(jitter_s=mean_s))
    arrivals = [way.accept(1000, start + 0.001 * n) for n in range(10)]
    assert arrivals[0] is not None
    assert arrivals == [near(arrivals[0] + 0.00025 * n) for n in range(10)]


def test_a_sending_that_stands_still_loses_rate_and_lets_the_queue_grow() -> None:
    mean_s, every_s = 0.030, 0.2
    slot = slot_over(0.050, mean_s)
    way = direction(weather=Weather(jitter_s=mean_s, every_s=every_s, stall=True), queue_s=0.010)
    start, hold_s = slot * every_s + 0.001, draw(slot, mean_s)
    arrivals = [way.accept(1000, start) for _ in range(12)]
    first = slot * every_s + hold_s + 0.021
    assert arrivals == [*[near(first + 0.001 * n) for n in range(11)], None]
    assert way.counts.dropped == 1


def test_a_sending_that_no_hold_stops_goes_at_the_rate() -> None:
    way = direction(weather=Weather(jitter_s=0.030, every_s=0.2, stall=True))
    start = draw(0, 0.030) + 0.001
    assert way.accept(1000, start) == near(start + 0.021)


def test_a_plan_is_followed_and_begins_again() -> None:
    way = direction(read_plan("1 40 8\n2 100 4"))
    arrivals = [way.accept(1000, now) for now in (0.999, 1.0, 2.999, 3.0)]
    # The last is overtaken by none that took the longer way.
    assert arrivals == [near(1.020), near(1.052), near(3.051), near(3.0512500)]
    assert way.accept(1000, 3.5) == near(3.521)


def test_a_beginning_starts_the_plan() -> None:
    way = direction(read_plan("1 40 8\n2 100 4"))
    assert way.accept(1000, 1.5) == near(1.552)
    way.begin("1u", 1.6)
    assert way.accept(1000, 1.7) == near(1.721)


def test_a_shorter_round_trip_lets_none_overtake() -> None:
    way = direction(Plan([Stretch(1.0, 0.100, RATE), Stretch(1.0, 0.004, RATE)]))
    assert way.accept(1000, 0.999) == near(1.050)
    assert way.accept(1000, 1.0) == near(1.05025)
    assert way.accept(1000, 1.2) == near(1.203)


def test_comments_and_empty_lines_are_no_stretches() -> None:
    assert read_plan("# first\n\n3 40 8 # a line\n").stretches == [Stretch(3.0, 0.040, RATE)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has none"),
        ("# 3 40 10", "has none"),
        ("3 40", "line 1: SECONDS RTT_MS MBIT are three numbers, not 2"),
        ("3 40 10\n3 40 10 5", "line 2: SECONDS RTT_MS MBIT are three numbers, not 4"),
        ("3 x 10", "line 1: not all of these are numbers: 3 x 10"),
        ("0 40 10", "line 1: a stretch lasts more than 0 s, not 0"),
        ("inf 40 10", "line 1: a stretch lasts more than 0 s, not inf"),
        ("nan 40 10", "line 1: a stretch lasts more than 0 s, not nan"),
        ("3 -1 10", "line 1: a round trip takes 0 ms or more, not -1"),
        ("3 40 0", "line 1: a rate is more than 0 Mbit/s, not 0"),
    ],
)
def test_each_bad_line_has_its_own_sentence(text: str, said: str) -> None:
    with pytest.raises(PlanError) as error:
        read_plan(text)
    assert said in str(error.value)
