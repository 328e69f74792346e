"""The smallest round trip: what keeps it, and what a probe sees."""

from __future__ import annotations

import math

from protocol.mux.round_trip import Probe, RoundTrip


def test_a_minimum_that_is_reached_again_needs_no_probe() -> None:
    trips = RoundTrip()
    for second in range(60):
        trips.learn(0.04, second)
        trips.learn(0.05, second + 0.5)
        assert not trips.should_probe(second + 0.9)
    assert trips.shortest_s == 0.04


def test_after_ten_seconds_without_it_a_probe_is_due_and_a_pause_does_not_count() -> None:
    trips = RoundTrip()
    trips.learn(0.04, 5.0)
    assert not trips.should_probe(15.0)
    assert trips.should_probe(15.1)
    trips.paused(60.0)
    assert not trips.should_probe(75.0)
    assert trips.should_probe(75.1)


def test_three_late_rounds_are_reason_enough_but_not_within_a_second_of_a_probe() -> None:
    trips = RoundTrip()
    trips.learn(0.04, 0.0)
    trips.end_probe(0.04, 5.0)
    for late in (True, True, False, True, True):
        trips.end_round(late=late)
        assert not trips.should_probe(7.0)
    trips.end_round(late=True)
    assert not trips.should_probe(6.0)
    assert trips.should_probe(6.1)


def test_late_rounds_before_a_probe_do_not_count_after_it() -> None:
    trips = RoundTrip()
    trips.learn(0.04, 0.0)
    for _ in range(2):
        trips.end_round(late=True)
    trips.end_probe(0.04, 1.0)
    trips.end_round(late=True)
    assert not trips.should_probe(5.0)


def test_the_shortest_of_a_round_is_forgotten_with_it() -> None:
    trips = RoundTrip()
    trips.learn(0.05, 1.0)
    trips.learn(0.06, 1.1)
    assert trips.of_round_s == 0.05
    trips.end_round(late=False)
    assert trips.of_round_s == math.inf
    assert trips.shortest_s == 0.05


def test_a_probe_sees_what_was_sent_behind_the_queue_and_one_round_more() -> None:
    probe = Probe(math.inf)
    assert probe.goes_on(500, 1000, 0.01)
    probe.drained = 1000
    assert probe.goes_on(1000, 1200, 0.01)  # sent while the queue was still there
    assert probe.goes_on(1200, 1600, 0.05)
    assert probe.goes_on(1599, 2000, 0.04)
    assert not probe.goes_on(1600, 2000, 0.06)
    assert probe.shortest_s == 0.04


def test_a_probe_may_find_a_longer_one() -> None:
    trips = RoundTrip()
    trips.learn(0.04, 0.0)
    trips.probe = Probe(math.inf)
    trips.end_probe(0.08, 3.0)
    assert repr(trips) == "<RoundTrip 0.0800 s, None>"
    assert not trips.should_probe(13.0)


def test_repr_tells_the_minimum_and_the_probe() -> None:
    trips = RoundTrip()
    trips.learn(0.04, 0.0)
    assert repr(trips) == "<RoundTrip 0.0400 s, None>"
    trips.probe = Probe(math.inf)
    assert repr(trips) == "<RoundTrip 0.0400 s, <Probe drained=None end=None inf s>>"
