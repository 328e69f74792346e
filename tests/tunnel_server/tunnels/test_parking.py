from __future__ import annotations

import trio
from trio.testing import wait_all_tasks_blocked

from tunnel_server.tunnels.parking import PARKED_MAX, PARKED_OF_ONE_NAME_MAX, Parking, Waiter


def test_places_are_bounded_for_a_name_and_in_all() -> None:
    parking = Parking()
    names = [f"name{number // PARKED_OF_ONE_NAME_MAX}" for number in range(PARKED_MAX)]
    waiters = []
    for name in names:
        assert parking.has_place(name)
        waiters.append((name, parking.enter(name)))
    assert not parking.has_place("another")
    parking.leave(*waiters[0])
    assert parking.has_place("another")
    parking.enter("another")
    assert not parking.has_place("name1")
    assert parking.count == PARKED_MAX


def test_one_name_cannot_take_all_places() -> None:
    parking = Parking()
    for _ in range(PARKED_OF_ONE_NAME_MAX):
        assert parking.has_place("app")
        parking.enter("app")
    assert not parking.has_place("app")
    assert parking.has_place("other")


def test_a_release_is_for_those_of_its_name() -> None:
    parking = Parking()
    one, other = parking.enter("one"), parking.enter("other")
    parking.release("one")
    parking.release("nobody")
    assert (one.over, other.over) == (True, False)
    parking.leave("one", one)
    parking.release_all()
    assert other.over
    parking.leave("other", other)
    assert repr(parking) == "<Parking 0 requests for 0 names>"


async def test_an_end_lets_a_waiting_task_go_on_and_cancels_a_read() -> None:
    waiter = Waiter()
    assert repr(waiter) == "<Waiter waiting>"
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
