"""When the start is over: at the limit and one past it."""

from __future__ import annotations

import pytest

from protocol.mux.slow_start import SlowStart


def test_three_rounds_that_grow_by_less_than_a_quarter_end_it() -> None:
    start = SlowStart()
    states = []
    for rate in (1000.0, 1249.0, 1249.0, 1249.0):
        start.end_round(rate)
        states.append(start.over)
    assert states == [False, False, False, True]


def test_a_round_that_grows_by_a_quarter_begins_the_count_again() -> None:
    start = SlowStart()
    for rate in (1000.0, 1249.0, 1249.0, 1250.0, 1250.0, 1250.0):
        start.end_round(rate)
        assert not start.over


@pytest.mark.parametrize(("newest", "over"), [(1062.0, True), (1063.0, False)])
def test_four_late_acks_end_it_unless_the_rate_still_grows(newest: float, over: bool) -> None:
    start = SlowStart()
    for rate in (1000.0, 1000.0, 1000.0, newest):
        assert not start.over
        start.acknowledged(rate, late=True)
    assert start.over == over


def test_an_ack_in_time_begins_the_count_again() -> None:
    start = SlowStart()
    for late in (True, True, True, False, True, True, True):
        start.acknowledged(1000.0, late=late)
        assert not start.over


def test_repr_tells_how_near_the_end_is() -> None:
    start = SlowStart()
    start.acknowledged(1000.0, late=True)
    assert repr(start) == "<SlowStart 0 flat, 1 late>"
    start.over = True
    assert repr(start) == "<SlowStart over>"
