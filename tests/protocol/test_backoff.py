from __future__ import annotations

import math
import random

import pytest

from protocol.backoff import FIRST_SPAN_S, LIVED_S, LONGEST_SPAN_S, Backoff, Patience


def waits(backoff: Backoff, count: int) -> list[float]:
    return [backoff.next_wait_s() for _ in range(count)]


def test_span_doubles_up_to_the_cap_and_stays_there() -> None:
    backoff = Backoff(lambda: 1.0)
    assert waits(backoff, 8) == [0.5, 1, 2, 4, 8, 16, 30, 30]
    assert waits(backoff, 5000)[-1] == LONGEST_SPAN_S


def test_whole_span_is_random_also_the_first() -> None:
    assert waits(Backoff(lambda: 0.0), 10) == [0.0] * 10
    assert Backoff(lambda: 0.25).next_wait_s() == FIRST_SPAN_S / 4


def test_each_wait_draws_anew() -> None:
    draws = iter([0.1, 0.9, 0.5])
    assert waits(Backoff(lambda: next(draws)), 3) == pytest.approx([0.05, 0.9, 1.0])


def test_attempts_are_counted() -> None:
    backoff = Backoff(lambda: 0.0)
    assert backoff.attempt == 0
    waits(backoff, 3)
    assert backoff.attempt == 3


def test_connection_that_lived_makes_the_next_wait_a_first_one() -> None:
    backoff = Backoff(lambda: 1.0)
    waits(backoff, 6)
    backoff.connection_ended(LIVED_S)
    assert backoff.attempt == 0
    assert backoff.next_wait_s() == FIRST_SPAN_S


def test_connection_that_died_young_changes_nothing() -> None:
    backoff = Backoff(lambda: 1.0)
    waits(backoff, 3)
    backoff.connection_ended(LIVED_S - 0.001)
    assert backoff.attempt == 3
    assert backoff.next_wait_s() == 8 * FIRST_SPAN_S


def test_a_wait_begins_behind_what_the_server_asks_for_and_stays_short() -> None:
    asked = Backoff(lambda: 1.0)
    assert [asked.next_wait_s(asked_s=1) for _ in range(6)] == [1.5, 2, 3, 5, 6, 6]
    assert Backoff(lambda: 0.0).next_wait_s(asked_s=7) == 7
    assert Backoff(lambda: 1.0).next_wait_s(2, asked_s=0) == 0.5


def test_clients_of_a_restarted_server_come_back_spread_out() -> None:
    source = random.Random(7)
    firsts = sorted(Backoff(source.random).next_wait_s() for _ in range(1000))
    tenths = [sum(i / 20 <= first < (i + 1) / 20 for first in firsts) for i in range(10)]
    assert min(tenths) > 60
    assert firsts[-1] < FIRST_SPAN_S


def test_repr_says_where_it_stands() -> None:
    backoff = Backoff(lambda: 0.0)
    waits(backoff, 2)
    assert repr(backoff) == "<Backoff attempt=2 span=2s>"


def test_reset_makes_the_next_wait_a_first_one() -> None:
    backoff = Backoff(lambda: 1.0)
    waits(backoff, 6)
    backoff.reset()
    assert backoff.attempt == 0
    assert backoff.next_wait_s() == FIRST_SPAN_S


def test_patience_counts_from_the_start() -> None:
    assert Patience(60, 100).ends_at == 160


def test_patience_is_without_end_while_connected_and_counts_from_the_loss() -> None:
    patience = Patience(60, 100)
    assert patience.connected(110) == 10
    assert patience.ends_at == math.inf
    patience.lost(500)
    assert patience.ends_at == 560


def test_attempts_that_fail_do_not_put_the_end_off() -> None:
    patience = Patience(60, 100)
    patience.lost(130)
    assert patience.ends_at == 160
    patience.connected(150)
    patience.lost(500)
    patience.lost(530)
    assert patience.ends_at == 560


def test_patience_says_how_long_it_was_away() -> None:
    patience = Patience(60, 100)
    patience.connected(110)
    assert patience.connected(400) == 0
    patience.lost(500)
    patience.lost(505)
    assert patience.connected(512) == 12


def test_patience_that_begins_anew_counts_from_then() -> None:
    patience = Patience(60, 100)
    patience.begin_anew(1000)
    assert patience.ends_at == 1060
    assert patience.connected(1001) == 901  # what it was away stays what it was
    patience.begin_anew(2000)
    assert patience.ends_at == math.inf
    patience.lost(3000)
    assert patience.ends_at == 3060


def test_without_a_limit_nobody_gives_up() -> None:
    patience = Patience(math.inf, 100)
    patience.connected(110)
    patience.lost(500)
    assert patience.ends_at == math.inf


def test_repr_of_patience_says_when_it_ends() -> None:
    assert repr(Patience(60, 100)) == "<Patience limit=60s ends_at=160>"
