"""The in-flight limit by itself; test_line_inflight.py has it on whole lines."""

from __future__ import annotations

import math
from copy import deepcopy
from functools import cache

import pytest

from protocol.limits import KIB
from protocol.mux.inflight import InFlight
from protocol.mux.jitter import Jitter
from tests.protocol.mux.lines.trial import Line, Trial

NOW = 5.01


@cache
def download(allowance_s: float) -> Trial:
    """One that has filled its line in five seconds, and has had an ack or two since then."""
    trial = Trial(Line(40, 10), downloads=1)
    trial.timeline.run(5)
    trial.rule.jitter.allowance_s = allowance_s
    trial.timeline.run(NOW)
    return trial


def settled(allowance_s: float = 0.0) -> InFlight:
    """The rule of that download, to be changed as a test likes."""
    return deepcopy(download(allowance_s).rule)


def test_at_first_nothing_is_held_back_and_messages_are_2_kib() -> None:
    rule = InFlight()
    assert rule.may_go(0.0)
    assert rule.message_bytes == 2 * KIB
    rule.sent(10**7, 0.0)
    assert rule.may_go(0.0)
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


def test_the_first_messages_fit_the_first_window_of_tcp_and_the_others_have_16_kib() -> None:
    rule = InFlight()
    sizes = []
    for _ in range(8):
        sizes.append(rule.message_bytes)
        rule.sent(sizes[-1], 0.0)
    assert sizes == [2 * KIB] * 6 + [16 * KIB] * 2
    rule.acknowledged(sum(sizes), 0.1)
    assert rule.message_bytes == 2 * KIB


def test_what_an_echo_takes_on_a_noisy_line_does_not_end_the_start() -> None:
    """A WebSocket that idles on Wi-Fi: its messages are late, and tell nothing of the line."""
    rule = InFlight()
    for number in range(200):
        rule.sent(100, float(number))
        rule.idle()
        rule.acknowledged(100, number + 0.02 + 0.1 * (number % 7))
    assert "starting" in repr(rule)
    assert rule.cap_bytes == math.inf


def test_the_cap_is_reached_by_the_last_message_that_had_room() -> None:
    rule = settled()
    assert not rule.may_go(NOW)
    assert rule.cap_bytes <= rule.unacked_bytes < rule.cap_bytes + rule.message_bytes + 200


def test_on_a_steady_line_bulk_is_not_paced() -> None:
    rule = settled()
    rule.acknowledged(rule.unacked_bytes // 2, NOW)
    while rule.may_go(NOW):  # all of the room at once
        rule.sent(rule.message_bytes, NOW)
    assert rule.unacked_bytes >= rule.cap_bytes
    assert rule.due_at == math.inf


def test_with_noise_bulk_goes_a_little_faster_than_the_rate() -> None:
    rule = settled(allowance_s=0.2)
    now, sent = NOW, 0
    while rule.may_go(now) or rule.due_at < math.inf:
        now = max(now, rule.due_at) if rule.due_at < math.inf else now
        rule.sent(rule.message_bytes, now)
        sent += rule.message_bytes
    assert now > NOW + 0.05
    at_once = 0.004 * 1.15 * rule.rate + rule.message_bytes
    assert sent == pytest.approx(1.15 * rule.rate * (now - NOW) + at_once, rel=0.1)


def test_what_is_paced_says_when_it_may_go_and_then_may() -> None:
    rule = settled(allowance_s=0.2)
    while rule.may_go(NOW):
        rule.sent(rule.message_bytes, NOW)
    assert NOW < rule.due_at < NOW + 0.1
    assert rule.may_go(rule.due_at)


def test_a_pace_that_was_set_at_a_lower_rate_is_hurried_by_a_higher_one() -> None:
    rule = settled(allowance_s=0.2)
    before = rule.rate
    rule.sent(10**6, NOW)  # which waits for no pace, but sets one: 0.7 s
    rule.acknowledged(rule.unacked_bytes, NOW + 0.01)  # the line is a fast one now
    assert rule.rate > 10 * before
    rule.sent(1, NOW + 0.01)
    rule.may_go(NOW + 0.01)
    assert rule.due_at < NOW + 0.1


def test_after_a_pause_a_cap_s_worth_is_paced_and_no_more() -> None:
    """TCP begins its own slow start then, whose bursts routers drop."""
    rule = settled()
    rule.acknowledged(rule.unacked_bytes, NOW)
    whole = rule.cap_bytes
    now, sent, paced_until = NOW + 5.0, 0, 0
    sizes: list[int] = []
    while sent < 3 * whole:
        if rule.may_go(now):
            sizes.append(rule.message_bytes)
            rule.sent(sizes[-1], now)
            sent += sizes[-1]
        elif rule.due_at < math.inf:
            now, paced_until = rule.due_at, sent
        else:
            now += sizes[0] / rule.rate
            rule.acknowledged(sizes.pop(0), now)
    assert 0.8 * whole < paced_until <= 1.2 * whole


def test_noise_below_a_millisecond_paces_nothing() -> None:
    rule = settled(allowance_s=0.001)
    rule.acknowledged(rule.unacked_bytes // 2, NOW)
    while rule.may_go(NOW):
        rule.sent(rule.message_bytes, NOW)
    assert rule.unacked_bytes >= rule.cap_bytes
    assert rule.due_at == math.inf


class Told(Jitter):
    """Notes whether bulk waited, ack by ack, and learns nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[bool] = []
        self.alone: list[bool] = []

    def acknowledged(
        self,
        size: int,
        now: float,
        rate: float,
        usual: float,
        slack_s: float,
        *,
        waits: bool,
        alone: bool,
    ) -> None:
        self.waits.append(waits)
        self.alone.append(alone)


def full(told: Told) -> tuple[InFlight, list[int], float]:
    """A settled rule with nothing of old, up to its cap; what is on its way, and the time."""
    rule, now = settled(), NOW
    rule.jitter = told
    rule.acknowledged(rule.unacked_bytes, now)
    told.waits.clear()
    told.alone.clear()
    sizes = []
    while rule.may_go(now) or rule.due_at < math.inf:
        now = max(now, rule.due_at) if rule.due_at < math.inf else now
        sizes.append(rule.message_bytes)
        rule.sent(sizes[-1], now)
    return rule, sizes, now


def test_bulk_waits_for_room_when_the_cap_is_reached_and_there_is_more() -> None:
    told = Told()
    rule, sizes, now = full(told)
    rule.acknowledged(sizes[0], now + 0.05)
    rule.acknowledged(sizes[1], now + 0.05)  # there was room, and nobody used it
    assert told.waits == [True, False]


def test_bulk_that_has_nothing_more_does_not_wait_for_room() -> None:
    told = Told()
    rule, sizes, now = full(told)
    rule.idle()
    rule.acknowledged(sizes[0], now + 0.05)
    assert told.waits == [False]


def test_where_there_is_nothing_to_send_nothing_waits_for_its_pace() -> None:
    rule, _, now = full(Told())
    rule.due_at = now + 0.05
    rule.idle()
    assert rule.due_at == math.inf


def test_a_line_that_has_not_run_empty_for_two_seconds_has_nothing_to_learn_from() -> None:
    told = Told()
    rule, sizes, now = full(told)
    for late_s in (0.05, 0.5, 0.5, 0.5, 0.5, 0.5):
        now += late_s
        rule.acknowledged(sizes.pop(0), now)
        while rule.may_go(now):
            sizes.append(rule.message_bytes)
            rule.sent(sizes[-1], now - 0.4)  # each round trip is longer than the cap explains
    assert told.waits == [True, True, True, True, False, False]


def test_the_rule_is_told_whether_an_ack_came_alone() -> None:
    told = Told()
    rule, sizes, now = full(told)
    rule.acknowledged(sizes[0], now + 0.05, alone=False)
    rule.acknowledged(sizes[1], now + 0.05)
    assert told.alone == [False, True]


def test_a_cap_that_holds_less_than_two_messages_does_not_stop_the_line() -> None:
    line = Line(300, 0.1, queue_ms=2000)
    trial = Trial(line, downloads=1)
    trial.timeline.run(60)
    assert trial.rate(120) >= 0.75 * line.mbit * 125_000  # echoes take a fifth of it


def test_repr_tells_what_it_knows() -> None:
    assert "starting" in repr(InFlight())
    assert "steady" in repr(settled())
