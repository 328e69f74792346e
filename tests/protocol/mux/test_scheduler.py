from __future__ import annotations

import pytest

from protocol.limits import WAKING_TURNS_MAX
from protocol.mux.scheduler import Scheduler, Turn


class Line:
    """Something with `left` turns to send."""

    def __init__(self, name: str, left: int) -> None:
        self.name = name
        self.left = left
        self.turn = Turn.IDLE

    def __repr__(self) -> str:
        return f"{self.name}:{self.left}"


def turn(scheduler: Scheduler[Line], *, bulk: bool = True) -> str:
    """Who was served; a capital letter for a turn that passed empty."""
    line = scheduler.next(bulk=bulk)
    if line is None:
        return ""
    served = line.left > 0
    line.left = max(line.left - 1, 0)
    scheduler.done(line, served=served, blocked=False)
    return line.name if served else line.name.upper()


def turns(scheduler: Scheduler[Line], count: int) -> str:
    return "".join(turn(scheduler) for _ in range(count))


def started(*lines: Line) -> Scheduler[Line]:
    scheduler: Scheduler[Line] = Scheduler()
    for line in lines:
        scheduler.wake(line)
    return scheduler


def test_nobody_has_a_turn_when_all_are_idle() -> None:
    assert started().next(bulk=True) is None


def test_turns_go_round() -> None:
    assert turns(started(Line("a", 9), Line("b", 9), Line("c", 9)), 9) == "abcabcabc"


def test_next_takes_nobody_away() -> None:
    scheduler = started(Line("a", 9), Line("b", 9))
    assert scheduler.next(bulk=True) is scheduler.next(bulk=True)


def test_waking_one_goes_ahead_once_and_then_to_the_tail() -> None:
    scheduler = started(Line("a", 9), Line("b", 9))
    turns(scheduler, 4)
    scheduler.wake(Line("w", 9))
    assert turns(scheduler, 7) == "wabwabw"


def test_waking_again_needs_a_turn_that_passes_empty() -> None:
    scheduler = started(Line("a", 99), Line("b", 99))
    turns(scheduler, 2)
    waking = Line("w", 1)
    scheduler.wake(waking)
    assert turns(scheduler, 1) == "w"
    for _ in range(3):
        waking.left = 1  # it had emptied, and is at the tail all the same
        scheduler.wake(waking)
        assert turns(scheduler, 3) == "abw"
    assert turns(scheduler, 3) == "abW"
    waking.left = 1
    scheduler.wake(waking)
    assert turns(scheduler, 1) == "w"


def test_after_eight_waking_turns_an_old_one_is_served() -> None:
    scheduler = started(Line("a", 99))
    turns(scheduler, 2)  # a waking one, and one in turn
    for _ in range(20):
        scheduler.wake(Line("w", 1))
    served = turns(scheduler, 38).replace("W", "")
    eight = "w" * WAKING_TURNS_MAX
    assert served.startswith(f"{eight}a{eight}a")


def test_an_old_one_is_owed_a_turn_after_eight_that_woke() -> None:
    scheduler = started(Line("a", 9))
    assert turns(scheduler, 2) == "aa"
    for number in range(WAKING_TURNS_MAX):
        assert not scheduler.owes
        scheduler.wake(Line(str(number), 1))
        turn(scheduler, bulk=False)
    assert scheduler.owes
    assert turn(scheduler) == "a"
    assert not scheduler.owes


def test_old_one_that_found_no_room_is_the_first_of_the_next_message() -> None:
    old = Line("a", 99)
    scheduler = started(old)
    turns(scheduler, 2)
    for _ in range(30):
        scheduler.wake(Line("w", 1))
    turns(scheduler, WAKING_TURNS_MAX)
    assert scheduler.next(bulk=True) is old  # the message was full: neither done nor leave follows
    scheduler.wake(Line("w", 1))
    assert scheduler.next(bulk=True) is old


def test_download_is_not_starved_by_one_that_writes_a_turn_and_empties() -> None:
    scheduler = started(Line("a", 999))
    turns(scheduler, 1)
    chatty = Line("w", 0)
    served = ""
    for _ in range(40):
        chatty.left = 1
        scheduler.wake(chatty)
        served += turn(scheduler)
    assert served.count("a") >= served.count("w") - 1


def test_without_bulk_only_waking_ones_are_served() -> None:
    scheduler = started(Line("a", 99))
    turns(scheduler, 1)
    assert turn(scheduler, bulk=False) == ""
    for _ in range(WAKING_TURNS_MAX + 2):
        scheduler.wake(Line("w", 1))
    for _ in range(WAKING_TURNS_MAX + 2):
        assert turn(scheduler, bulk=False) == "w"
    assert turn(scheduler, bulk=False) == ""
    assert turn(scheduler) == "a"


def test_blocked_one_is_in_no_queue_and_comes_back_at_the_tail() -> None:
    blocked, other = Line("a", 9), Line("b", 9)
    scheduler = started(blocked, other)
    first = scheduler.next(bulk=True)
    assert first is blocked
    scheduler.done(blocked, served=True, blocked=True)
    assert turns(scheduler, 3) == "bbb"
    scheduler.wake(blocked)
    assert turns(scheduler, 2) == "ba"


def test_waking_twice_is_waking_once() -> None:
    line = Line("a", 1)
    scheduler = started(line)
    scheduler.wake(line)
    assert turns(scheduler, 3) == "aA"
    assert line.turn is Turn.IDLE


def test_one_that_leaves_has_no_more_turns() -> None:
    line = Line("a", 9)
    scheduler = started(line, Line("b", 9))
    assert scheduler.next(bulk=True) is line
    scheduler.leave(line)
    assert line.turn is Turn.IDLE
    assert turns(scheduler, 2) == "bb"


def test_only_the_first_can_be_done() -> None:
    scheduler = started(Line("a", 9), other := Line("b", 9))
    with pytest.raises(AssertionError):
        scheduler.done(other, served=True, blocked=False)
