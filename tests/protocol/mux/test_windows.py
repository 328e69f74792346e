from __future__ import annotations

import math

import pytest
from hypothesis import given, strategies as st

from protocol.errors import LocalProtocolError, RemoteProtocolError
from protocol.limits import (
    BUDGET_BYTES,
    FIRST_CREDIT_BYTES,
    KIB,
    START_WINDOW_BYTES,
    STREAM_WINDOW_MAX_BYTES,
    STREAMS_MAX,
)
from protocol.mux.windows import Budget, ReceiveWindow, SendCredit

LENDABLE = BUDGET_BYTES // 2
PIECE = 16 * KIB
SALT_BYTES = 617  # by which the second credit of a window is short
RTT_S = 0.05


def opened(budget: Budget, size: int = START_WINDOW_BYTES) -> ReceiveWindow:
    window = ReceiveWindow(budget, 0, 0.0, size)
    window.grow_credit(0.0)
    return window


def pass_through(window: ReceiveWindow, size: int, now: float, rtt: float = RTT_S) -> bool:
    window.receive(size)
    return window.consume(size, now, rtt)


def promised(window: ReceiveWindow) -> int:
    return window.granted - window.consumed


# --- sending -------------------------------------------------------------------------------------


def test_credit_is_spent_to_the_last_byte_and_no_further() -> None:
    credit = SendCredit(10)
    credit.spend(10)
    assert credit.left == 0
    with pytest.raises(LocalProtocolError):
        credit.spend(1)


def test_head_overdraws_while_a_byte_is_left_and_not_without() -> None:
    credit = SendCredit(10)
    credit.spend(9)
    credit.spend(1000, overdraw=True)
    assert credit.left == -999
    with pytest.raises(LocalProtocolError):
        credit.spend(1, overdraw=True)
    credit.raise_to(1009)
    with pytest.raises(LocalProtocolError):
        credit.spend(1, overdraw=True)
    credit.raise_to(1010)
    credit.spend(2, overdraw=True)


def test_credit_is_absolute_and_never_falls() -> None:
    credit = SendCredit(10)
    credit.raise_to(10)
    credit.raise_to(20)
    credit.raise_to(20)
    assert credit.left == 20
    with pytest.raises(RemoteProtocolError, match="fell from 20 to 19") as caught:
        credit.raise_to(19)
    assert caught.value.code == "flow-control"


# --- receiving -----------------------------------------------------------------------------------


def test_bytes_up_to_the_credit_pass_and_one_more_does_not() -> None:
    window = opened(Budget())
    window.receive(window.granted)
    with pytest.raises(RemoteProtocolError) as caught:
        window.receive(1)
    assert caught.value.code == "flow-control"


def test_head_may_overdraw_while_a_byte_is_left() -> None:
    window = opened(Budget())
    window.receive(window.granted - 1)
    window.receive(40_000, overdraw=True)
    window.receive(0)
    with pytest.raises(RemoteProtocolError):
        window.receive(1, overdraw=True)


def test_credit_is_given_again_when_half_is_consumed_and_not_before() -> None:
    window = opened(Budget())
    half = START_WINDOW_BYTES // 2
    assert not pass_through(window, half - 1, math.inf)
    assert pass_through(window, 1, math.inf)
    assert window.granted == START_WINDOW_BYTES + half - SALT_BYTES
    left = (START_WINDOW_BYTES - SALT_BYTES) // 2 + SALT_BYTES  # it is said earlier by as much
    assert not pass_through(window, promised(window) - left - 1, math.inf)
    assert pass_through(window, 1, math.inf)


def test_receiving_alone_gives_no_credit() -> None:
    window = opened(Budget())
    window.receive(START_WINDOW_BYTES)
    assert window.granted == START_WINDOW_BYTES


def test_window_doubles_with_the_next_credit_when_its_half_was_quick() -> None:
    window = opened(Budget())
    assert pass_through(window, START_WINDOW_BYTES // 2, RTT_S)
    assert promised(window) == 2 * START_WINDOW_BYTES - SALT_BYTES


def test_window_that_has_shrunk_grants_nothing_until_half_of_it_is_left() -> None:
    window = opened(Budget())
    for _ in range(5):
        pass_through(window, promised(window) - promised(window) // 2 + KIB, 0.0)
    assert promised(window) > STREAM_WINDOW_MAX_BYTES - KIB
    window.receive(promised(window))  # and the reader has become slow
    granted, now = window.granted, 0.0
    while promised(window) - PIECE > START_WINDOW_BYTES // 2:
        now += 0.05
        assert not window.consume(PIECE, now, RTT_S)
        assert window.granted == granted
    assert window.consume(PIECE, now, RTT_S)
    assert START_WINDOW_BYTES - KIB < promised(window) <= START_WINDOW_BYTES


def test_window_that_the_budget_kept_small_does_not_double() -> None:
    budget = Budget()
    budget._own = 0
    window = opened(budget)
    assert window.granted == FIRST_CREDIT_BYTES
    for _ in range(10):
        assert not pass_through(window, FIRST_CREDIT_BYTES // 2 - 2 * KIB, 0.0)  # few frames
        assert pass_through(window, 2 * KIB, 0.0)
        assert FIRST_CREDIT_BYTES - KIB < promised(window) <= FIRST_CREDIT_BYTES
    budget._own = LENDABLE
    pass_through(window, FIRST_CREDIT_BYTES // 2, 0.0)
    assert START_WINDOW_BYTES - KIB < promised(window) <= START_WINDOW_BYTES


def test_first_bytes_of_every_stream_need_no_loan() -> None:
    budget = Budget()
    windows = [opened(budget) for _ in range(STREAMS_MAX)]
    assert budget.free == 0
    assert all(window.granted >= FIRST_CREDIT_BYTES for window in windows)
    assert sum(window.granted for window in windows) == BUDGET_BYTES


def test_small_window_borrows_nothing_at_first() -> None:
    budget = Budget()
    window = opened(budget, FIRST_CREDIT_BYTES)
    assert budget.free == LENDABLE
    assert pass_through(window, FIRST_CREDIT_BYTES // 2, 0.0)
    assert window.lent == FIRST_CREDIT_BYTES - SALT_BYTES


def test_loan_comes_back_when_the_half_ended_and_was_consumed() -> None:
    budget = Budget()
    window = opened(budget)
    window.receive(100_000)
    window.finish()
    assert budget.free == LENDABLE - (100_000 - FIRST_CREDIT_BYTES)
    assert not window.consume(100_000, 0.0, RTT_S)
    assert budget.free == LENDABLE


def test_loan_comes_back_when_the_half_is_given_up_and_ends_later() -> None:
    budget = Budget()
    window = opened(budget)
    window.receive(100_000)
    window.close()
    assert budget.free == LENDABLE
    window.receive(50_000)  # it was on its way
    window.finish()
    window.close()
    assert budget.free == LENDABLE


def test_overdraft_that_is_left_at_the_end_is_not_lent() -> None:
    budget = Budget()
    budget._own = 0
    window = opened(budget)
    window.receive(FIRST_CREDIT_BYTES - 1)
    window.receive(40_000, overdraw=True)
    window.finish()
    assert budget.free == 0


def test_nothing_is_promised_beyond_what_is_expected() -> None:
    budget = Budget()
    window = opened(budget)
    window.expect(1000)
    assert budget.free == LENDABLE
    assert not window.grow_credit(0.0)


def test_expected_bytes_always_find_credit_and_trailers_a_byte_of_it() -> None:
    window = ReceiveWindow(Budget(), 10, 0.0)
    window.expect(1_000_000)
    came = 0
    window.grow_credit(0.0)
    while came < 1_000_000:
        size = min(window.granted - window.received, 1_000_000 - came)
        assert size > 0
        came += size
        pass_through(window, size, 0.0)
    window.receive(1000, overdraw=True)


def test_unknown_length_expects_nothing() -> None:
    budget = Budget()
    window = opened(budget)
    before = budget.free
    window.expect(None)
    assert budget.free == before


STEPS = st.lists(
    st.tuples(
        st.integers(0, 5),
        st.sampled_from(["open", "receive", "overdraw", "consume", "expect", "finish", "close"]),
        st.integers(0, 300_000),
    ),
    max_size=60,
)


@given(STEPS, st.sampled_from([0, 5_000, LENDABLE]))
def test_no_life_of_a_window_promises_more_or_leaks(
    steps: list[tuple[int, str, int]], free: int
) -> None:
    budget = Budget()
    budget._own = free
    windows: dict[int, ReceiveWindow] = {}
    ended: set[int] = set()
    for place, step, size in steps:
        if place not in windows:
            windows[place] = opened(budget)
        window = windows[place]
        if step in ("receive", "overdraw") and place not in ended:
            left = max(window.granted - window.received, 0)
            if step == "overdraw" and left:
                window.receive(size % 48_000, overdraw=True)
            else:
                window.receive(min(size, left))
        elif step == "consume":
            window.consume(min(size, window.received - window.consumed), 0.0, RTT_S)
        elif step == "expect":
            window.expect(size)
        elif step in ("finish", "close"):
            getattr(window, step)()
            ended.add(place)
        assert budget.free >= 0
        assert budget.free + sum(one.lent for one in windows.values()) == free
        assert all(one.lent <= STREAM_WINDOW_MAX_BYTES for one in windows.values())
    for window in windows.values():
        window.finish()
        window.consume(window.received - window.consumed, 0.0, RTT_S)
    assert budget.free == free
