from __future__ import annotations

import math

import pytest
import trio
from hypothesis import given, strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from tunnel_server.observing.strangers import crowd_key
from tunnel_server.owners.shares import ALPHA
from tunnel_server.owners.waiting import WAIT_S
from tunnel_server.visitors.crowd import (
    DEFAULT_MAX,
    DEFAULT_MIN,
    Crowd,
    Place,
    connections_for,
)


class People:
    """A crowd, and who was closed in which order."""

    def __init__(self, most: int, spare: int = 0) -> None:
        self.crowd = Crowd(most, spare)
        self.closed: list[str] = []

    def enter(self, name: str, key: str | None = "a") -> Place | None:
        return self.crowd.enter(key, lambda: self.closed.append(name))

    def serve(self, name: str, key: str | None = "a") -> Place:
        place = self.enter(name, key)
        assert place is not None
        place.serve()
        return place


# --- who has to go -------------------------------------------------------------------------------


def test_an_address_has_its_share_of_the_places_and_one_more_closes_its_longest_pending() -> None:
    people = People(64)
    for number in range(48):
        people.enter(f"{number}")
    assert people.closed == []
    assert people.enter("one more") is not None
    assert people.closed == ["0"]
    assert people.enter("of another address", "b") is not None
    assert people.closed == ["0"]
    assert people.crowd.count == 49
    assert people.crowd.news.told(0.0) == (
        "closed 1 connection that waited for longest: a had its share of the 64 places;"
        " --max-connections allows more"
    )


def test_one_that_is_pending_once_more_is_the_last_to_go() -> None:
    people = People(4)
    first, second = people.enter("first"), people.enter("second")
    assert first is not None
    assert second is not None
    first.serve()
    first.wait()
    people.enter("third")
    people.enter("fourth")
    assert people.closed == ["second"]


def test_one_that_is_pending_already_keeps_its_turn() -> None:
    people = People(4)
    first = people.enter("first")
    people.enter("second")
    assert first is not None
    first.wait()
    people.enter("third")
    people.enter("fourth")
    assert people.closed == ["first"]


def test_one_that_is_served_makes_no_room() -> None:
    people = People(4)
    served = [people.serve(f"{number}") for number in range(3)]
    assert people.enter("over its share") is not None  # there is a place; its request will wait
    assert people.closed == []
    served[0].wait()
    assert people.enter("of another", "b") is not None
    assert people.closed == ["over its share"]  # the longest pending


def test_proxies_and_this_machine_are_not_counted_apart() -> None:
    people = People(12)
    for number in range(12):
        assert people.enter(f"{number}", None) is not None
    assert people.closed == []
    assert people.enter("one more", None) is not None
    assert people.closed == ["0"]


def test_of_all_as_many_come_in_as_may_and_then_the_first_that_is_pending_goes() -> None:
    people = People(4)
    people.serve("0", "a")
    for number in (1, 2, 3):
        people.enter(f"{number}", f"{number}")
    assert people.closed == []
    assert people.enter("one more", "x") is not None
    assert people.closed == ["1"]
    assert people.crowd.count == 4


def test_an_address_pays_for_itself_when_all_places_are_taken() -> None:
    people = People(8)
    people.enter("somebody", "b")
    for number in range(7):
        people.serve(f"{number}") if number < 6 else people.enter("own")
    people.enter("one more")
    assert people.closed == ["own"]
    people.enter("of another address", "c")
    assert people.closed == ["own", "somebody"]
    assert people.crowd.news.told(0.0) == (
        "closed 2 connections that waited for longest: all 8 places were taken;"
        " --max-connections allows more"
    )


def test_where_none_is_pending_the_newcomer_has_to_go() -> None:
    people = People(2)
    kept = people.serve("0")
    people.serve("1")
    assert people.enter("one more", "b") is None
    assert people.closed == []
    assert people.crowd.news.told(0.0) == (
        "turned 1 new connection away: all 2 places were taken; --max-connections allows more"
    )
    kept.leave()
    assert people.enter("now", "b") is not None


def test_where_all_places_are_taken_a_few_more_are_let_in_and_close_nobody() -> None:
    people = People(4, spare=2)
    people.enter("idle", "b")
    for number in range(3):
        people.serve(f"{number}", f"{number}")
    assert people.enter("first", "c") is not None
    assert people.enter("second", "b") is not None  # which has little: its idle one stays
    assert people.closed == []
    assert people.crowd.count == 6
    assert people.enter("third", "d") is not None
    assert people.closed == ["idle"]
    assert people.enter("fourth", "e") is not None
    assert people.closed == ["idle", "first"]


def test_who_left_or_was_closed_is_counted_once() -> None:
    people = People(1)
    first = people.enter("first")
    people.enter("second")
    assert first is not None
    assert people.closed == ["first"]
    for _ in range(2):
        first.leave()
        first.wait()
        first.serve()
    assert people.crowd.count == 1


def test_whose_connection_it_is_may_turn_out_later_and_change_with_each_request() -> None:
    people = People(8)
    places = [people.serve(f"{number}", None) for number in range(3)]
    for place in places:
        place.move("a")
    assert (people.crowd._served.of("a"), people.crowd._places.of("a")) == (3, 3)
    places[0].wait()
    places[0].move("b")
    assert (people.crowd._served.of("a"), people.crowd._places.of("b")) == (2, 1)
    places[0].serve()
    assert people.crowd._served.of("b") == 1
    places[1].move(None)
    for place in places:
        place.leave()
        place.move("c")
    assert repr(people.crowd._served) == "<RoomShare 0 of 8, 0 keys>"
    assert repr(people.crowd._places) == "<Share 0 of 8, 0 keys>"


# --- requests over their share -------------------------------------------------------------------


async def test_a_request_over_its_share_waits_for_one_of_its_own_and_is_then_served(
    autojump_clock: MockClock,
) -> None:
    people = People(8)
    served = [people.serve(f"{number}") for number in range(6)]
    assert not any(place.over_share for place in served)
    over = people.serve("over")
    assert over.over_share
    async with trio.open_nursery() as nursery:

        async def wait() -> None:
            assert await over.wait_for_share()

        nursery.start_soon(wait)
        await wait_all_tasks_blocked()
        assert over in people.crowd._pending
        other = people.serve("of another", "b")
        assert not other.over_share
        other.rest()  # which is none of its own
        served[0].wait()  # a pause of its body
        await wait_all_tasks_blocked()
        assert over in people.crowd._pending
        served[0].rest()
    assert over not in people.crowd._pending
    assert people.crowd._served.of("a") == 6


async def test_one_that_is_closed_as_its_turn_comes_takes_nothing(
    autojump_clock: MockClock,
) -> None:
    people = People(8)
    served = [people.serve(f"{number}") for number in range(6)]
    over = people.serve("over")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(over.wait_for_share)
        await wait_all_tasks_blocked()
        served[0].leave()  # its turn has come, and its task has not run yet
        over.leave()
    assert people.crowd._served.of("a") == 5
    assert people.crowd.count == 5


async def test_after_two_seconds_it_has_waited_for_nothing(autojump_clock: MockClock) -> None:
    people = People(8)
    for number in range(6):
        people.serve(f"{number}")
    over = people.serve("over")
    began = trio.current_time()
    assert not await over.wait_for_share()
    assert trio.current_time() - began == pytest.approx(WAIT_S)
    assert over in people.crowd._pending
    assert not people.crowd._over_share


async def test_one_that_waits_for_its_share_goes_first_where_all_places_are_taken(
    autojump_clock: MockClock,
) -> None:
    people = People(8)
    people.enter("idle", "b")
    for number in range(6):
        people.serve(f"{number}")
    over = people.serve("over")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(over.wait_for_share)
        await wait_all_tasks_blocked()
        assert people.enter("newcomer", "c") is not None
        nursery.cancel_scope.cancel()  # as its connection's scope would be
    assert people.closed == ["over"]
    assert over.gone
    assert not people.crowd._over_share


Step = tuple[str, int, str | None]
STEPS = st.tuples(
    st.sampled_from(["enter", "ask", "ask", "wait", "serve", "rest", "leave"]),
    st.integers(0, 40),
    st.sampled_from(["a", "a", "a", "b", "c", None]),
)


class Asking:
    """Connections with requests, as their tasks would be: what is over its share waits for it."""

    def __init__(self, most: int, tasks: trio.Nursery) -> None:
        self.people = People(most)
        self.places: list[Place] = []
        self._tasks = tasks
        self._waiting: dict[Place, trio.CancelScope] = {}

    def do(self, what: str, number: int, key: str | None) -> None:
        if what == "enter":
            place = self.people.enter("", key)
            self.places += [place] if place else []
            return
        there = [place for place in self.places if not place.gone and place not in self._waiting]
        if not there:
            return
        place = there[number % len(there)]
        if what == "ask":
            self._ask(place)
        elif what in ("rest", "leave") or place.is_served:
            getattr(place, what)()

    def _ask(self, place: Place) -> None:
        place.serve()
        if place.over_share:
            scope = self._waiting[place] = trio.CancelScope()
            self._tasks.start_soon(self._wait, place, scope)

    async def _wait(self, place: Place, scope: trio.CancelScope) -> None:
        with scope:
            if not await place.wait_for_share():
                place.wait()  # it is told so, and its answer has left
        del self._waiting[place]

    def check(self, most: int) -> None:
        crowd = self.people.crowd
        there = {place for place in self.places if not place.gone}
        assert crowd.count == len(there) <= most
        assert set(crowd._pending) <= there
        assert crowd._served.used == sum(place.is_served for place in there)
        assert all(crowd._pending_of.values())
        listed = {place for own in crowd._pending_of.values() for place in own}
        assert listed == {
            place
            for place in crowd._pending
            if place.key is not None and place not in crowd._over_share
        }
        for key in "abc":
            own = [place for place in there if place.key == key]
            served = sum(place.is_served for place in own)
            # Where nobody else is there it has three quarters, one that comes, and a few that wait.
            share = math.ceil(ALPHA * most / (ALPHA + 1)) + 1
            assert served <= share
            assert len(own) <= share + max(most // 16, 1)


@given(most=st.integers(1, 40), steps=st.lists(STEPS, max_size=120))
def test_neither_bound_is_ever_passed(most: int, steps: list[Step]) -> None:
    async def run() -> None:
        async with trio.open_nursery() as nursery:
            asking = Asking(most, nursery)
            for step in steps:
                asking.do(*step)
                await wait_all_tasks_blocked()
                asking.check(most)
            nursery.cancel_scope.cancel()

    trio.run(run)


async def test_the_pauses_of_bodies_let_in_nobody(autojump_clock: MockClock) -> None:
    """An address whose uploads all pause and go on together would have all places in the end."""
    people = People(100)
    uploads = [people.serve("upload") for _ in range(75)]
    async with trio.open_nursery() as nursery:
        for _ in range(60):
            place = people.enter("newcomer")
            assert place is not None
            place.serve()
            assert place.over_share
            nursery.start_soon(place.wait_for_share)
            await wait_all_tasks_blocked()
            for upload in uploads:
                upload.wait()
            await wait_all_tasks_blocked()
            for upload in uploads:
                upload.serve()
        assert people.crowd._served.of("a") == 75
        assert people.crowd.count <= 75 + 25 // 4 + 60  # those that were told so are closed next
        people.serve("another", "b")
        nursery.cancel_scope.cancel()


# --- numbers and names ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("descriptors", "sessions", "connections"),
    [
        (40, 16, DEFAULT_MIN),
        (144, 16, 64),
        (145, 16, 65),
        (1024, 128, 832),
        (1024, 500, 460),
        (8192, 1024, 7104),
        (65_536, 1024, DEFAULT_MAX),
        (1 << 30, 1024, DEFAULT_MAX),
    ],
)
def test_connections_leave_descriptors_for_sessions_and_the_rest(
    descriptors: int, sessions: int, connections: int
) -> None:
    assert connections_for(descriptors, sessions) == connections


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("192.0.2.1", "192.0.2.1/32"),
        ("::ffff:192.0.2.1", "192.0.2.1/32"),
        ("2001:db8:1:2:3:4:5:6", "2001:0db8:0001:0002::/64"),
        ("2001:db8:1:2::1", "2001:0db8:0001:0002::/64"),
        ("fe80::1%eth0", "fe80:0000:0000:0000::/64"),
        ("127.0.0.1", None),
        ("127.9.9.9", None),
        ("::1", None),
        ("unknown", "unknown/"),
    ],
)
def test_a_network_of_64_bits_is_one_address(address: str, key: str | None) -> None:
    assert crowd_key(address) == key


def test_a_place_says_whose_it_is() -> None:
    place = People(1).enter("0", "192.0.2.1")
    assert place is not None
    assert repr(place) == "<Place of 192.0.2.1>"
    place.leave()
    assert repr(place) == "<Place of 192.0.2.1, gone>"
