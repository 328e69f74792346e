"""The in-flight limit, by itself and on lines in virtual time."""

from __future__ import annotations

import math

import pytest

from protocol.limits import KIB
from protocol.mux.inflight import InFlight
from tests.protocol.mux.virtual_line import SMALL_BYTES, Line

MBIT = 125_000.0  # bytes a second


def test_at_first_nothing_is_held_back_and_messages_are_16_kib() -> None:
    rule = InFlight()
    assert rule.has_room
    assert rule.message_bytes == 16 * KIB
    rule.sent(10**7, 0.0)
    assert rule.has_room
    assert rule.unacked_bytes == 10**7


def test_an_ack_tells_the_rate_and_the_round_trip() -> None:
    rule = InFlight()
    rule.sent(1000, 1.0)
    rule.sent(1000, 1.5)
    rule.acknowledged(2000, 2.0)
    assert (rule.unacked_bytes, rule.rate, rule.round_trip_s) == (0, 2000, 0.5)


def test_a_part_of_a_message_that_is_acknowledged_tells_nothing() -> None:
    rule = InFlight()
    rule.sent(1000, 1.0)
    rule.acknowledged(999, 2.0)
    assert (rule.unacked_bytes, rule.rate, rule.round_trip_s) == (1000, 0, math.inf)


def test_with_nothing_on_its_way_bulk_may_always_go() -> None:
    line = Line(0.04, 10 * MBIT)
    line.run(5)
    line.busy = False
    line.run(5.95)  # between two small frames
    assert line.rule.unacked_bytes == 0
    assert line.rule.has_room


def test_the_cap_is_reached_by_the_last_message_that_had_room() -> None:
    line = Line(0.04, 10 * MBIT)
    line.run(5)
    rule = line.rule
    assert not rule.has_room
    most = rule.cap_bytes + rule.message_bytes + SMALL_BYTES
    assert rule.cap_bytes <= rule.unacked_bytes < most


@pytest.mark.parametrize(
    ("round_trip_s", "rate", "first", "then", "p50_s", "p99_s"),
    [
        pytest.param(0.04, 10 * MBIT, 0.92, 0.95, 0.062, 0.070, id="10 Mbit/s, 40 ms"),
        pytest.param(0.1, 100 * MBIT, 0.80, 0.95, 0.135, 0.140, id="100 Mbit/s, 100 ms"),
        pytest.param(0.01, 50 * MBIT, 0.92, 0.95, 0.023, 0.026, id="50 Mbit/s, 10 ms"),
        pytest.param(0.0003, 3200 * MBIT, 0.92, 0.95, 0.010, 0.010, id="400 MB/s, 0.3 ms"),
    ],
)
def test_bulk_fills_the_line_and_a_small_frame_stays_quick(
    round_trip_s: float, rate: float, first: float, then: float, p50_s: float, p99_s: float
) -> None:
    line = Line(round_trip_s, rate)
    begun_s, end_s = (5, 20) if rate < 1000 * MBIT else (1, 3)
    line.run(begun_s)
    assert line.share(0, 0) >= first
    carried = line.carried
    line.run(end_s)
    assert line.share(begun_s, carried) >= then
    assert line.slowest(begun_s, 0.5) <= p50_s
    assert line.slowest(begun_s, 0.99) <= p99_s


def test_the_slow_start_of_the_kernel_is_not_taken_for_a_queue_of_the_line() -> None:
    """Messages wait in the kernel for its window: late, while the rate still doubles."""
    line = Line(0.1, 100 * MBIT, unsent_bytes=64 * KIB)
    line.run(1.2)
    carried = line.carried
    line.run(3.2)
    assert line.share(1.2, carried) >= 0.90


def test_a_longer_route_is_learnt_within_seconds_and_a_shorter_one_again() -> None:
    line = Line(0.04, 10 * MBIT)
    line.run(15)
    carried, line.round_trip_s = line.carried, 0.08
    line.run(30)
    assert line.share(15, carried) >= 0.92
    carried, line.round_trip_s = line.carried, 0.04
    line.run(50)
    assert line.share(30, carried) >= 0.95
    assert line.slowest(42, 0.99) <= 0.070  # ten seconds later the queue is gone


def test_a_slower_line_is_learnt() -> None:
    line = Line(0.04, 20 * MBIT)
    line.run(10)
    line.bytes_per_s = 5 * MBIT
    line.run(20)
    carried = line.carried
    line.run(30)
    assert line.share(20, carried) >= 0.95
    assert line.slowest(20, 0.5) <= 0.090


def test_a_pause_forgets_nothing() -> None:
    line = Line(0.04, 10 * MBIT)
    line.run(8)
    line.busy = False
    line.run(23)
    known = line.rule.rate, line.rule.round_trip_s
    carried, line.busy = line.carried, True
    line.run(24)
    assert line.share(23, carried) >= 0.85
    assert line.slowest(23, 0.99) <= 0.070
    assert known == pytest.approx((10 * MBIT, 0.042), rel=0.1)


def test_idle_samples_never_lower_the_rate() -> None:
    line = Line(0.04, 10 * MBIT)
    line.run(5)
    rate = line.rule.rate
    line.busy = False
    line.run(60)  # nothing but small frames for longer than ten rounds
    assert line.rule.rate >= 0.99 * rate


def test_a_small_window_of_the_kernel_does_not_stop_the_line() -> None:
    """A cap that holds less than the two messages which an ack waits for."""
    line = Line(0.3, 0.1 * MBIT)
    line.run(60)
    carried = line.carried
    line.run(120)
    assert line.share(60, carried) >= 0.90


def test_repr_tells_what_it_knows() -> None:
    line = Line(0.04, 10 * MBIT)
    assert "starting" in repr(line.rule)
    line.run(5)
    assert "steady" in repr(line.rule)
