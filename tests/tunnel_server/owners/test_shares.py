from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from protocol.limits import FIRST_CREDIT_BYTES, MEMORY_LENT_BYTES, START_WINDOW_BYTES
from protocol.mux.control import Heartbeat
from protocol.mux.core import Core
from protocol.mux.memory import OWN_BYTES, Memory
from tests.protocol.mux.pair import GET
from tunnel_server.owners.shares import MemoryShare, Share


def filled(most: int, *keys: str) -> Share:
    """These keys take in turn all that each may have."""
    share = Share(most)
    while any(share.has_room(key) for key in keys):
        for key in keys:
            if share.has_room(key):
                share.take(key)
    return share


@pytest.mark.parametrize(("most", "own"), [(4, 3), (8, 6), (100, 75), (1024, 768), (1, 1), (2, 2)])
def test_alone_one_gets_three_quarters_and_not_one_more(most: int, own: int) -> None:
    share = filled(most, "ann")
    assert share.of("ann") == share.used == own
    assert not share.has_room("ann")


def test_two_that_want_all_get_three_sevenths_each() -> None:
    share = filled(700, "ann", "bob")
    assert (share.of("ann"), share.of("bob")) == (300, 300)
    assert share.has_room("eve")


def test_one_that_has_little_finds_room_beside_those_that_have_much() -> None:
    share = filled(1024, "ann", "bob", "carol")
    taken = 0
    while share.has_room("eve"):
        share.take("eve")
        taken += 1
    assert taken > 70


def test_what_is_given_back_is_free_for_all() -> None:
    share = filled(100, "ann")
    share.give("ann")
    assert share.has_room("ann")
    for _ in range(74):
        share.give("ann")
    assert repr(share) == "<Share 0 of 100, 0 keys>"


def test_each_key_of_a_taker_pays() -> None:
    share = Share(100)
    for number in range(75):
        share.take(f"owner{number}", "192.0.2.1")
    assert not share.has_room("another owner", "192.0.2.1")
    assert share.has_room("another owner", "192.0.2.2")
    share.give("owner0", "192.0.2.1")
    assert share.has_room("another owner", "192.0.2.1")


def test_nobody_in_particular_is_counted_among_all_alone() -> None:
    share = Share(10)
    for _ in range(10):
        assert share.has_room(None)
        share.take(None)
    assert not share.has_room(None)
    assert not share.has_room("ann")
    share.give(None)
    assert share.has_room("ann")


def test_what_was_there_already_is_counted_beyond_the_most() -> None:
    share = Share(2)
    for _ in range(3):
        share.take("ann")
    assert not share.has_room("bob")
    share.give("ann")
    assert not share.has_room("bob")
    share.give("ann")
    assert share.has_room("bob")


@given(
    most=st.integers(1, 60),
    steps=st.lists(st.tuples(st.booleans(), st.sampled_from("abcde")), max_size=200),
)
def test_no_key_passes_three_times_what_was_free_and_all_never_the_most(
    most: int, steps: list[tuple[bool, str]]
) -> None:
    share = Share(most)
    for takes, key in steps:
        if takes and share.has_room(key):
            assert share.of(key) < 3 * (most - share.used)
            share.take(key)
        elif not takes and share.of(key):
            share.give(key)
        assert 0 <= share.used <= most
        assert share.used == sum(share.of(each) for each in "abcde")


# --- bytes ---------------------------------------------------------------------------------------


def test_of_memory_one_gets_three_quarters_and_two_get_three_sevenths_each() -> None:
    share = MemoryShare(7 * 4000)
    lenders = {key: share.lender(key) for key in ("ann", "bob")}
    ann, bob = Memory(), Memory()
    tight = [share.is_tight]
    lenders["ann"].take(ann, lenders["ann"].free)
    assert share.of("ann") == 7 * 3000
    assert lenders["ann"].free == 0
    tight.append(share.is_tight)
    assert tight == [False, True]
    lenders["ann"].take(ann, -9000)
    while taken := lenders["bob"].free:
        lenders["bob"].take(bob, taken)
    assert (share.of("ann"), share.of("bob")) == (12_000, 12_000)
    assert 0 < share.lender("eve").free <= 3000


def test_who_has_more_than_its_share_may_take_nothing_and_gives_it_back() -> None:
    share = MemoryShare(1000)
    lender = share.lender("ann", None, "192.0.2.1/32")
    lender.take(Memory(), 2000)
    assert (lender.free, share.lender("bob").free, share.used) == (0, 0, 2000)
    lender.take(Memory(), -2000)
    assert repr(share) == "<MemoryShare 0 of 1000, 0 keys>"


def test_what_a_session_has_taken_and_does_not_hold_is_free_again_within_a_second() -> None:
    share = MemoryShare(10**9)
    memory = Memory(share.lender("ann"))
    memory.add(10**6)
    share.trim()
    assert share.used >= 10**6 - OWN_BYTES
    memory.add(-(10**6))
    share.trim()
    assert share.used == 0
    share.trim()  # and it is looked at no more
    assert not share._lax


@given(used=st.integers(0, 1000), own=st.integers(0, 1000))
def test_of_what_is_not_tight_there_is_plenty(used: int, own: int) -> None:
    share = MemoryShare(1000)
    share.lender("others").take(Memory(), max(used - own, 0))
    lender = share.lender("ann")
    lender.take(Memory(), min(own, used))
    if not share.is_tight:
        assert lender.free >= lender.plenty


@pytest.mark.parametrize(("sessions", "unread"), [(1, 68), (4, 102)])
def test_visitors_of_one_owner_that_do_not_read_cost_its_others_their_windows_and_nobody_else(
    sessions: int, unread: int
) -> None:
    """Memory is no share of visitors: docs/limits.md says what follows."""
    share = MemoryShare(MEMORY_LENT_BYTES)

    def session(owner: str) -> Core:
        return Core(is_server=True, heartbeat=Heartbeat(15, 30), lender=share.lender(owner))

    cores = [session("ann") for _ in range(sessions)]
    granted = [cores[number % sessions].open(GET, 0.0).opened.credit for number in range(200)]
    assert granted[:unread] == [START_WINDOW_BYTES] * unread
    assert granted[unread + 2 :] == [FIRST_CREDIT_BYTES] * (198 - unread)
    other = session("bob")
    assert [other.open(GET, 0.0).opened.credit for _ in range(6)] == [START_WINDOW_BYTES] * 6
