from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from tunnel_server.owners.gcra import Gcra, Rate, RateTable

TEN = Rate(10, 3)
NOW = 1_764_000_000.0  # far from zero, where floats are coarse


def test_a_burst_is_had_at_once_and_then_one_in_each_tenth() -> None:
    account = Gcra()
    assert [account.take(TEN, NOW) for _ in range(3)] == [0.0, 0.0, 0.0]
    assert account.take(TEN, NOW) == pytest.approx(0.1, abs=1e-5)
    assert account.take(TEN, NOW + 0.05) == pytest.approx(0.05, abs=1e-5)
    assert account.take(TEN, NOW + 0.1) == 0.0
    assert account.take(TEN, NOW + 0.1) == pytest.approx(0.1, abs=1e-5)


def test_whoever_is_refused_pays_nothing_for_it() -> None:
    account = Gcra()
    for _ in range(100):
        account.take(TEN, NOW)
    assert account.take(TEN, NOW + 0.1) == 0.0


def test_after_a_pause_there_is_one_burst_and_no_more() -> None:
    account = Gcra()
    account.take(TEN, NOW)
    assert [bool(account.take(TEN, NOW + 3600)) for _ in range(4)] == [False, False, False, True]


def test_several_are_had_whole_or_not_at_all() -> None:
    account = Gcra()
    assert account.take(TEN, NOW, 2) == 0.0
    assert account.take(TEN, NOW, 2) == pytest.approx(0.1, abs=1e-5)
    assert account.take(TEN, NOW, 1) == 0.0


@given(
    st.floats(0.1, 1000),
    st.integers(1, 100),
    st.lists(st.floats(0, 0.5), min_size=1, max_size=200),
)
def test_in_any_time_no_more_is_had_than_rate_and_burst(
    per_s: float, burst: int, pauses: list[float]
) -> None:
    rate, account, now, had = Rate(per_s, burst), Gcra(), 0.0, 0
    for pause in pauses:
        now += pause
        had += account.take(rate, now) == 0.0
        assert had <= burst + per_s * now + 1e-6


def test_each_key_has_its_own_and_the_one_that_came_longest_ago_is_forgotten() -> None:
    table = RateTable(Rate(1, 1), most=2)
    assert [table.take(key, NOW) for key in "ab"] == [0.0, 0.0]
    assert table.take("a", NOW) > 0
    assert table.take("c", NOW) == 0.0  # b goes
    assert len(table) == 2
    assert table.take("a", NOW) > 0
    assert table.take("b", NOW) == 0.0
