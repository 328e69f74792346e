from __future__ import annotations

import trio
from trio.testing import wait_all_tasks_blocked

from tunnel_server.tunnels.parking import _WOKEN_AT_ONCE, PARKED_MAX, Parking, Waiter


def filled(parking: Parking, count: int, *keys: str | None) -> list[Waiter]:
    return [parking.enter("app", *keys) for _ in range(count)]


def waiting(waiters: list[Waiter]) -> int:
    return sum(not waiter.over for waiter in waiters)


def test_the_longest_parked_of_a_visitor_goes_beyond_its_share() -> None:
    parking = Parking()
    own = filled(parking, 768, "ann", "192.0.2.1")
    assert waiting(own) == 768
    one_more = parking.enter("app", "ann", "192.0.2.1")
    assert [own[0].refused, own[1].refused, one_more.refused] == [True, False, False]
    assert own[0].refused_for == "visitor"
    assert parking.count == 768
    other = parking.enter("app", "bob", "192.0.2.2")
    assert (waiting(own), other.over) == (767, False)


def test_of_an_owner_that_has_its_share_the_visitor_with_most_gives_way() -> None:
    """One address would else flush everybody else's requests of a tunnel."""
    parking = Parking()
    honest = [parking.enter("app", "ann", f"198.51.100.{number}") for number in range(20)]
    flood = filled(parking, 900, "ann", "192.0.2.1")
    assert waiting(honest) == 20
    assert waiting(flood) == 748
    assert {each.refused_for for each in flood if each.refused} == {"owner"}


def test_a_visitor_of_many_owners_has_one_share() -> None:
    parking = Parking()
    own = [parking.enter("app", f"owner{number}", "192.0.2.1") for number in range(769)]
    assert [each.refused_for for each in own[:2]] == ["visitor", None]


def test_an_owner_with_many_names_has_one_share() -> None:
    parking = Parking()
    for number in range(2_000):
        parking.enter(f"name{number % 8}", "ann", f"192.0.2.{number % 200}")
    assert parking.count == 768
    assert not parking.enter("shop", "bob", "198.51.100.1").over


def test_where_all_is_taken_the_heaviest_gives_way() -> None:
    parking = Parking()
    light, heavy = filled(parking, 4, "ann"), filled(parking, 20, "bob")
    nobodys = filled(parking, 1_000, None)
    assert parking.count == PARKED_MAX
    parking.enter("app", "eve")
    assert (waiting(light), waiting(heavy), waiting(nobodys)) == (4, 19, 1_000)


def test_nobody_in_particular_is_counted_among_all_alone() -> None:
    parking = Parking()
    nobodys = filled(parking, PARKED_MAX, None)
    assert waiting(nobodys) == PARKED_MAX
    parking.enter("app", None)
    assert (waiting(nobodys), nobodys[0].refused_for) == (PARKED_MAX - 1, "all")
    assert parking.count == PARKED_MAX


def test_a_release_is_for_those_of_its_name() -> None:
    parking = Parking()
    one, other = parking.enter("one"), parking.enter("other")
    parking.release("one")
    parking.release("nobody")
    assert (one.over, other.over, one.refused) == (True, False, False)
    parking.leave(one)
    parking.leave(one)
    parking.release_all()
    assert other.over
    parking.leave(other)
    assert repr(parking) == "<Parking <HeldShare <Share 0 of 1024, 0 keys>> for 0 names>"


def test_of_all_names_together_a_few_are_woken_and_as_each_leaves_the_next() -> None:
    parking = Parking()
    waiters = [parking.enter(f"n{number}") for number in range(_WOKEN_AT_ONCE + 2)]
    for number in range(_WOKEN_AT_ONCE):
        parking.release(f"n{number}")
    assert waiting(waiters) == 2
    parking.release_all()
    assert waiting(waiters) == 2
    parking.leave(waiters[0])
    assert waiting(waiters) == 1
    parking.leave(waiters[-1])  # its visitor has left, and nobody was woken for that
    assert waiting(waiters) == 1
    for waiter in waiters[1:]:
        parking.leave(waiter)
    late = parking.enter("late")
    parking.release("late")
    assert late.over


async def test_an_end_lets_a_waiting_task_go_on_and_cancels_a_read() -> None:
    waiter = Waiter("app")
    assert repr(waiter) == "<Waiter for app, waiting>"
    done: list[str] = []

    async def wait() -> None:
        await waiter.wait()
        done.append("waited")

    async def read() -> None:
        with waiter.until_over():
            await trio.sleep_forever()
        done.append("read")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        nursery.start_soon(read)
        await wait_all_tasks_blocked()
        waiter.end()
    with waiter.until_over() as scope:
        await trio.lowlevel.checkpoint()
    assert scope.cancelled_caught
    await waiter.wait()
    assert sorted(done) == ["read", "waited"]


def test_where_owners_cost_nothing_the_address_of_their_client_is_counted() -> None:
    parking = Parking()
    own = [
        parking.enter("app", f"owner{number}", None, "192.0.2.1") for number in range(PARKED_MAX)
    ]
    assert sum(waiter.refused for waiter in own) == PARKED_MAX - 768
    assert {waiter.refused_for for waiter in own} == {None, "owner"}
    assert not parking.enter("shop", "bob", "192.0.2.1", "198.51.100.1").over  # as a visitor, too
