from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.state_tables import walk
from tunnel_client.origin import capacity as capacities
from tunnel_client.origin.capacity import Capacity, CapacityEvent
from tunnel_client.origin.reuse import (
    BURST_S,
    HELPED_S,
    IDLE_MAX,
    IDLE_S,
    SILENT_S,
    TOGETHER_S,
    ReusePolicy,
)

A_CAPACITY = """
        TWO_IDLE HELPED OVERLAP AWAY
UNKNOWN MANY     ONE    MANY    UNKNOWN
MANY    MANY     MANY   MANY    UNKNOWN
ONE     .        .      MANY    UNKNOWN
"""
SOON_S = 1e-6  # a float tells the two sides of a limit apart


@dataclass(eq=False)
class AnIdle:
    idle_since: float = math.nan
    is_stale: bool = False


@dataclass(eq=False)
class ARequest:
    is_silent: bool = True
    is_answered: bool = False
    is_open: bool = True

    def answered(self) -> None:
        self.is_silent, self.is_answered = False, True

    def gone(self) -> None:
        self.is_silent = False


Policy = ReusePolicy[AnIdle, ARequest]


def with_idle(count: int, since: float = 0.0) -> tuple[Policy, list[AnIdle]]:
    policy = Policy()
    idle = [AnIdle() for _ in range(count)]
    assert all(policy.keep(one, since) for one in idle)
    return policy, idle


def asks(policy: Policy, now: float) -> ARequest:
    """A request on a connection that is made at once."""
    request = ARequest()
    policy.asks(request, now)
    policy.connected(request, now, life=0)
    return request


def one_at_a_time() -> Policy:
    """A policy that knows it."""
    policy, _ = with_idle(1)
    request = asks(policy, 0.0)
    assert policy.look(SILENT_S)
    request.answered()
    policy.ended(request)
    assert policy.capacity is Capacity.ONE
    return policy


def test_what_is_known_of_the_app_moves_as_the_table_says() -> None:
    def begin(
        state: Capacity,
    ) -> tuple[Callable[[CapacityEvent], object], Callable[[], Capacity]]:
        policy = Policy()
        policy.capacity = state
        return policy._happened, lambda: policy.capacity

    walk(capacities.TRANSITIONS, A_CAPACITY, begin, Capacity, CapacityEvent)


def test_its_repr_says_what_it_knows() -> None:
    policy, _ = with_idle(2)
    asks(policy, 0.0)
    assert repr(policy) == "<ReusePolicy MANY 2 idle, 1 on new ones>"


# --- which one -----------------------------------------------------------------------------------


def test_the_one_that_was_parked_last_is_chosen() -> None:
    policy, idle = with_idle(3)
    assert policy.choose(repeatable=True) == (idle[2], [])
    assert len(policy) == 2


def test_stale_ones_are_closed_on_the_way() -> None:
    policy, idle = with_idle(3)
    idle[2].is_stale = idle[1].is_stale = True
    assert policy.choose(repeatable=True) == (idle[0], [idle[2], idle[1]])


def test_with_none_that_is_good_a_new_one_is_made() -> None:
    policy, idle = with_idle(1)
    idle[0].is_stale = True
    assert policy.choose(repeatable=True) == (None, idle)
    assert policy.choose(repeatable=True) == (None, [])


def test_the_one_that_is_passed_over_is_closed_and_no_other() -> None:
    policy, idle = with_idle(3)
    assert policy.choose(repeatable=False) == (None, [idle[2]])
    assert len(policy) == 2


# --- how long, and how many ----------------------------------------------------------------------


def test_one_is_kept_for_a_second() -> None:
    policy, idle = with_idle(1, 7.0)
    assert policy.look_at == 7.0 + IDLE_S
    assert policy.look(7.0 + IDLE_S - SOON_S) == []
    assert policy.look(7.0 + IDLE_S) == idle
    assert policy.look_at == math.inf


def test_8_are_kept_and_what_is_more_for_the_time_of_a_burst() -> None:
    policy, idle = with_idle(IDLE_MAX)
    assert policy.look_at == IDLE_S
    assert policy.look(BURST_S) == []
    policy, idle = with_idle(IDLE_MAX + 2)
    assert policy.look_at == BURST_S
    assert policy.look(BURST_S - SOON_S) == []
    assert policy.look(BURST_S) == idle[:2]
    assert policy.look(IDLE_S) == idle[2:]


# --- one at a time -------------------------------------------------------------------------------


def test_all_are_closed_for_a_request_that_finds_no_answer_on_a_new_one() -> None:
    policy, idle = with_idle(2)
    asks(policy, 0.0)
    assert policy.look_at == SILENT_S
    assert policy.look(SILENT_S - SOON_S) == []
    assert policy.look(SILENT_S) == idle


@pytest.mark.parametrize("what", [ARequest.answered, ARequest.gone])
def test_for_one_that_does_not_wait_nothing_is_closed(what: Callable[[ARequest], None]) -> None:
    policy, _ = with_idle(1)
    what(asks(policy, 0.0))
    assert policy.look(SILENT_S) == []


def test_while_a_request_waits_too_long_nothing_is_kept() -> None:
    policy = Policy()
    waits = asks(policy, 0.0)
    assert policy.keep(AnIdle(), SILENT_S - SOON_S)
    assert policy.look(SILENT_S)
    assert not policy.keep(AnIdle(), SILENT_S)
    assert policy.look_at == math.inf
    policy.ended(waits)
    assert policy.keep(AnIdle(), SILENT_S)


@pytest.mark.parametrize("ended", [False, True])
def test_an_answer_as_soon_as_they_were_closed_says_that_it_serves_one(ended: bool) -> None:
    policy, _ = with_idle(1)
    request = asks(policy, 0.0)
    policy.look(SILENT_S)
    assert policy.look_at == SILENT_S + HELPED_S
    request.answered()
    if ended:
        policy.ended(request)
    else:
        policy.look(SILENT_S + HELPED_S)
    assert policy.capacity is Capacity.ONE
    assert policy.says_close
    assert not policy.keep(AnIdle(), 1.0)
    assert policy.look_at == math.inf


def test_a_later_answer_says_nothing() -> None:
    policy, _ = with_idle(1)
    request = asks(policy, 0.0)
    policy.look(SILENT_S)
    assert policy.look(SILENT_S + HELPED_S) == []
    request.answered()
    policy.ended(request)
    assert policy.capacity is Capacity.UNKNOWN
    assert not policy.says_close


def test_an_answer_to_another_request_says_nothing() -> None:
    policy, _ = with_idle(1)
    asks(policy, 0.0).is_open = False
    policy.look(SILENT_S)
    later = asks(policy, SILENT_S)
    later.answered()
    policy.ended(later)
    assert policy.capacity is Capacity.UNKNOWN


@pytest.mark.parametrize(("idle_s", "says"), [(HELPED_S, True), (HELPED_S - SOON_S, False)])
def test_what_was_busy_until_just_now_says_nothing(idle_s: float, says: bool) -> None:
    policy = Policy()
    request = asks(policy, 0.0)
    assert policy.keep(AnIdle(), SILENT_S - idle_s)
    assert policy.look(SILENT_S)
    request.answered()
    policy.ended(request)
    assert policy.says_close is says


def test_two_that_are_idle_at_a_time_say_that_it_serves_many() -> None:
    policy, _ = with_idle(2)
    request = asks(policy, 0.0)
    assert len(policy.look(SILENT_S)) == 2
    request.answered()
    policy.ended(request)
    assert policy.capacity is Capacity.MANY


def test_two_of_which_it_has_closed_one_say_nothing() -> None:
    policy, idle = with_idle(1)
    idle[0].is_stale = True
    assert policy.keep(AnIdle(), 0.0)
    assert policy.capacity is Capacity.UNKNOWN


def test_one_that_was_kept_since_contradicts() -> None:
    policy, _ = with_idle(1)
    request = asks(policy, 0.0)
    policy.look(SILENT_S)
    request.answered()  # nobody has looked
    assert policy.keep(AnIdle(), SILENT_S)
    policy.ended(request)
    assert policy.capacity is Capacity.UNKNOWN


@pytest.mark.parametrize("make", [one_at_a_time, lambda: with_idle(2)[0]])
def test_all_is_forgotten_when_the_app_was_away(make: Callable[[], Policy]) -> None:
    policy = make()
    request = ARequest()
    policy.asks(request, 5.0)
    policy.connected(request, 5.0, life=1)
    assert policy.capacity is Capacity.UNKNOWN
    policy.capacity = Capacity.MANY
    policy.connected(request, 6.0, life=1)
    assert policy.capacity is Capacity.MANY


# --- that it serves many after all ---


def a_page_of_two(policy: Policy) -> None:
    """A page, and then two at once: of 50 ms on the used connection, of 250 ms on a new one."""
    page = asks(policy, 0.0)
    page.answered()
    policy.ended(page)
    used = AnIdle()
    assert policy.keep(used, 0.01)
    assert policy.choose(repeatable=True) == (used, [])
    slow = asks(policy, 0.02)
    assert policy.keep(used, 0.07)
    assert policy.look(policy.look_at) == [used]
    slow.answered()
    policy.ended(slow)


def test_a_threaded_app_that_was_taken_for_one_is_known_at_the_next_overlap() -> None:
    policy = Policy()
    a_page_of_two(policy)
    assert policy.says_close  # nothing tells it from one that was held
    asks(policy, 1.0)
    quick = asks(policy, 1.1)
    quick.answered()
    policy.ended(quick)
    assert policy.capacity is Capacity.MANY
    a_page_of_two(policy)
    assert policy.capacity is Capacity.MANY


@pytest.mark.parametrize("capacity", Capacity)
@pytest.mark.parametrize(
    ("later_s", "is_open", "says"),
    [(TOGETHER_S + SOON_S, True, True), (TOGETHER_S, True, False), (1.0, False, False)],
)
def test_an_answer_while_an_earlier_connection_is_open_says_that_it_serves_many(
    capacity: Capacity, later_s: float, is_open: bool, says: bool
) -> None:
    policy = Policy()
    policy.capacity = capacity
    earlier = asks(policy, 0.0)
    later = asks(policy, later_s)
    earlier.is_open = is_open
    later.answered()
    policy.ended(later)
    assert policy.capacity is (Capacity.MANY if says else capacity)


def test_so_does_one_while_an_earlier_answer_goes_on() -> None:
    policy = one_at_a_time()
    stream = asks(policy, 10.0)
    stream.answered()
    later = asks(policy, 11.0)
    later.answered()
    policy.ended(later)
    assert policy.capacity is Capacity.MANY


def test_an_app_that_serves_one_stays_known_as_such() -> None:
    """It answers in the order of the connections, each when the one before has ended."""
    policy = one_at_a_time()
    requests = [asks(policy, 10.0 + number) for number in range(5)]
    for request in requests:
        request.answered()
        policy.ended(request)
        assert not policy.keep(AnIdle(), 20.0)
    assert policy.capacity is Capacity.ONE


def test_what_waits_costs_no_more_the_more_there_is_of_it() -> None:
    """Each end and each that is kept look at the first that is too young for them, and no further.

    So they ask a request once or not at all, whether ten wait or a thousand.
    """
    policy = Policy()
    waiting = [Counting() for _ in range(1000)]
    for number, request in enumerate(waiting):
        policy.asks(request, number * 1e-6)
    quick = Counting()
    policy.asks(quick, 0.01)
    quick.answered()
    policy.ended(quick)
    assert policy.keep(AnIdle(), 0.02)
    assert sum(request.asked for request in waiting) == 0
    assert not policy.keep(AnIdle(), SILENT_S + 1.0)
    assert sum(request.asked for request in waiting) == 1


class Counting(ARequest):
    """Counts how often it is asked whether it is silent."""

    asked = 0

    def __getattribute__(self, name: str) -> object:
        if name == "is_silent":
            self.asked += 1
        return super().__getattribute__(name)


# --- the order of connections --------------------------------------------------------------------


@pytest.mark.parametrize(("later_s", "waits"), [(TOGETHER_S, True), (TOGETHER_S + SOON_S, False)])
@pytest.mark.parametrize("ended", [False, True])
def test_an_answer_on_a_later_connection_says_that_an_earlier_one_was_taken(
    later_s: float, waits: bool, ended: bool
) -> None:
    policy = Policy()
    asks(policy, 0.0)  # a long poll
    later = asks(policy, later_s)
    later.answered()
    if ended:
        policy.ended(later)
    else:
        assert policy.look(later_s) == []
    assert policy.keep(AnIdle(), 10.0) is not waits


def test_the_time_of_a_connection_counts_from_when_it_was_made() -> None:
    policy = Policy()
    request = ARequest()
    policy.asks(request, 0.0)
    assert policy.keep(AnIdle(), 0.0)
    policy.connected(request, 0.1, life=0)
    assert policy.look(SILENT_S) == []
    assert len(policy.look(SILENT_S + 0.1)) == 1


def test_one_that_is_being_made_counts_as_well() -> None:
    policy = Policy()
    policy.asks(ARequest(), 0.0)
    assert policy.keep(AnIdle(), 0.0)
    assert len(policy.look(SILENT_S)) == 1
