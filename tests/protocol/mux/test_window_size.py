"""The rule for the size of a window: against a sender that keeps to the credit, without a line."""

from __future__ import annotations

import math

import pytest

from protocol.limits import KIB, START_WINDOW_BYTES, STREAM_WINDOW_MAX_BYTES
from protocol.mux.window_size import WindowSize

START = START_WINDOW_BYTES
PIECE = 16 * KIB


def dry(*, pause_s: float, kept: int = 0, short: int = 0) -> WindowSize:
    """A window whose sender has come to its first credit, and went on after a pause.

    Args:
        pause_s: from the last byte of that credit to the next one.
        kept: bytes that the reader had not taken then.
        short: how many bytes before the credit it paused.
    """
    rule = WindowSize(START, START, 0.0)
    received = START - short
    rule.taken(received - kept, received, received - kept, 0.1, math.inf)
    rule.taken(PIECE, received + PIECE, received + PIECE, 0.1 + pause_s, math.inf)
    rule.may_grow(1.0, math.inf)
    return rule


# A piece of 16 KiB takes 6 ms at the rate at which the first window came, 256 KiB in 0.1 s; but the
# pause counts, too, and two programs are allowed 8 ms for their turns.
PAUSE_S = 0.0151


def test_window_doubles_after_a_pause_at_a_credit_that_was_said() -> None:
    assert dry(pause_s=PAUSE_S).size == 2 * START


def test_window_stays_when_what_came_next_was_on_its_way_already() -> None:
    assert dry(pause_s=0.014).size == START


@pytest.mark.parametrize("short", [1, KIB])
def test_window_stays_when_the_sender_paused_before_its_credit(short: int) -> None:
    assert dry(pause_s=1.0, short=short).size == START


def test_window_stays_when_the_reader_had_something_left() -> None:
    assert dry(pause_s=1.0, kept=1).size == START


def test_a_pause_at_the_credit_before_the_newest_counts_too() -> None:
    rule = WindowSize(START, START, 0.0)
    rule.taken(START // 2, START, START // 2, 0.05, math.inf)
    rule.said(START + START // 2, 0.05)
    rule.taken(START // 2, START, START, 0.1, math.inf)
    rule.taken(PIECE, START + PIECE, START + PIECE, 0.3, math.inf)
    rule.may_grow(0.3, math.inf)
    assert rule.size == 2 * START


def test_one_pause_doubles_once() -> None:
    rule = dry(pause_s=PAUSE_S)
    rule.said(2 * START, 1.0)
    rule.may_grow(2.0, math.inf)
    assert rule.size == 2 * START


@pytest.mark.parametrize(("took_s", "size"), [(0.0749, 2 * START), (0.0751, START)])
def test_window_doubles_when_half_went_within_one_and_a_half_round_trips(
    took_s: float, size: int
) -> None:
    rule = WindowSize(START, START, 0.0)
    rule.may_grow(took_s, 0.05)
    assert rule.size == size


def test_a_round_trip_that_is_not_known_lets_nothing_grow() -> None:
    rule = WindowSize(START, START, 0.0)
    rule.may_grow(0.0, math.inf)
    assert rule.size == START


def test_window_stops_at_a_quarter_of_the_budget() -> None:
    rule = WindowSize(STREAM_WINDOW_MAX_BYTES, STREAM_WINDOW_MAX_BYTES, 0.0)
    rule.may_grow(0.0, 1.0)
    assert rule.size == STREAM_WINDOW_MAX_BYTES


def unread(share: float, look_s: float, round_trip_s: float, *, rate: float = 0.0) -> int:
    """The size of a window of 4 MiB after one look, of which this share always waited."""
    size = 4096 * KIB
    rule = WindowSize(size, size, 0.0)
    kept = math.ceil(share * size)
    rule.taken(0, kept, 0, 0.5, round_trip_s)  # the first look is from an empty window
    read = int(rate * look_s)
    rule.taken(read, read + kept, read, 0.5 + look_s, round_trip_s)
    return rule.size // KIB


def test_window_halves_when_three_eighths_of_it_waited_for_half_a_second() -> None:
    assert unread(3 / 8, 0.5, math.inf) == 2048
    assert unread(3 / 8 - 0.001, 0.5, math.inf) == 4096
    assert unread(1, 0.499, math.inf) == 4096


def test_twice_what_is_read_in_a_round_trip_stays() -> None:
    assert unread(0.5, 0.5, 0.2, rate=7e6) == 2 * 7e6 * 0.2 // KIB
    assert unread(0.5, 0.5, 0.2, rate=70e6) == 4096


def test_window_never_shrinks_below_the_one_that_a_stream_begins_with() -> None:
    rule = WindowSize(2 * START, 2 * START, 0.0)
    for look in range(1, 10):
        rule.taken(0, 8 * START, 0, look / 2, math.inf)
    assert rule.size == START


def test_small_window_of_a_websocket_does_not_shrink() -> None:
    rule = WindowSize(16 * KIB, 16 * KIB, 0.0)
    for look in range(1, 10):
        rule.taken(0, 16 * KIB, 0, look / 2, math.inf)
    assert rule.size == 16 * KIB


def test_salt_differs_from_credit_to_credit_and_is_less_than_a_kib() -> None:
    rule = WindowSize(START, START, 0.0)
    salts = []
    for _ in range(1021):
        salts.append(rule.salt)
        rule.said(START, 0.0)
    assert all(0 <= salt < KIB for salt in salts)
    assert len(set(salts)) == 1021


def test_repr_tells_the_size_and_whether_it_ran_dry() -> None:
    assert repr(WindowSize(START, START, 0.0)) == f"<WindowSize {START}>"
    assert "dry" in repr(dry(pause_s=PAUSE_S))


def test_a_first_credit_that_is_less_than_the_window_is_no_sign_of_a_limit() -> None:
    """Each sender of a long request body stands still behind its first 16 KiB."""
    window = WindowSize(START_WINDOW_BYTES, 16 * KIB, 0.0)
    window.said(START_WINDOW_BYTES, 0.0)
    window.taken(16 * KIB, 16 * KIB, 16 * KIB, 0.05, math.inf)
    window.taken(4 * KIB, 20 * KIB, 20 * KIB, 0.1, math.inf)
    window.may_grow(0.3, math.inf)
    assert window.size == START_WINDOW_BYTES
