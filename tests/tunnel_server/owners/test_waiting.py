from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tunnel_server.owners.waiting import WAIT_S, Pause, RoomShare


async def test_who_waits_for_room_gets_it_in_order_before_newcomers_of_the_same_key(
    autojump_clock: MockClock,
) -> None:
    share = RoomShare(4)
    for _ in range(3):
        share.take("ann")
    got = []

    async def wait(number: int) -> None:
        assert await share.take_when_open("ann")
        got.append(number)

    async with trio.open_nursery() as nursery:
        for number in (1, 2):
            nursery.start_soon(wait, number)
            await wait_all_tasks_blocked()
        assert not share.is_open("ann")
        assert share.is_open("bob")
        share.give("ann")
        assert not share.is_open("ann")
        await wait_all_tasks_blocked()
        assert got == [1]
        share.give("ann")
    assert got == [1, 2]
    assert share.of("ann") == 3


async def test_room_that_others_give_is_room_too(autojump_clock: MockClock) -> None:
    share = RoomShare(8)
    for key in ("ann", "ann", "ann", "bob", "bob", "bob"):
        share.take(key)
    share.take("ann")
    assert share.is_over("ann") is False
    share.take("ann")
    assert share.is_over("ann")
    share.give("ann")

    async with trio.open_nursery() as nursery:
        began = trio.current_time()
        nursery.start_soon(share.take_when_open, "ann")
        await wait_all_tasks_blocked()
        for _ in range(3):
            share.give("bob")
    assert trio.current_time() == began


async def test_what_is_given_back_goes_to_one_that_may_have_it(autojump_clock: MockClock) -> None:
    """The first that waits has its share already: it must not eat the others' turns."""
    share = RoomShare(4)
    for key in ("ann", "ann", "ann", "bob"):
        share.take(key)
    async with trio.open_nursery() as nursery:
        began = trio.current_time()
        nursery.start_soon(share.take_when_open, "ann")
        await wait_all_tasks_blocked()
        nursery.start_soon(share.take_when_open, "eve")
        await wait_all_tasks_blocked()
        share.give("bob")
        await wait_all_tasks_blocked()
        assert (share.of("eve"), share.of("ann")) == (1, 3)
        assert trio.current_time() == began
        nursery.cancel_scope.cancel()


async def test_of_many_that_wait_each_that_is_given_something_has_it(
    autojump_clock: MockClock,
) -> None:
    share = RoomShare(4)
    for _ in range(3):
        share.take("ann")
    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(share.take_when_open, "ann")
        await wait_all_tasks_blocked()
        share.give("ann")
        await wait_all_tasks_blocked()
        assert share.of("ann") == 3
        nursery.cancel_scope.cancel()
    assert share.of("ann") == 3


async def test_a_turn_that_comes_to_one_that_is_cancelled_or_gone_is_the_nexts(
    autojump_clock: MockClock,
) -> None:
    share = RoomShare(4)
    for _ in range(3):
        share.take("ann")
    began = trio.current_time()

    async def is_cancelled(turn: Pause) -> None:
        await turn.wait()
        await trio.sleep_forever()

    async def is_gone(turn: Pause) -> None:
        await turn.wait()
        raise trio.BrokenResourceError

    async def leave() -> None:
        with pytest.raises(trio.BrokenResourceError):
            await share.take_when_open("ann", is_gone)

    async with trio.open_nursery() as nursery:
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as cancelled:
                cancelled.start_soon(share.take_when_open, "ann", is_cancelled)
                await wait_all_tasks_blocked()
                nursery.start_soon(leave)
                await wait_all_tasks_blocked()
                nursery.start_soon(share.take_when_open, "ann")
                await wait_all_tasks_blocked()
                share.give("ann")
                scope.cancel()
    assert trio.current_time() == began
    assert share.of("ann") == share.used == 3
    assert share.is_open("ann") is False
    share.give("ann")
    assert share.is_open("ann")


async def test_one_that_does_not_want_its_turn_any_more_has_taken_nothing(
    autojump_clock: MockClock,
) -> None:
    share = RoomShare(1)
    share.take("ann")

    async def wants_no_more(turn: Pause) -> None:
        assert repr(turn) == "<Pause waiting>"

    assert not await share.take_when_open("bob", wants_no_more)
    share.give("ann")
    assert repr(share) == "<RoomShare 0 of 1, 0 keys>"


async def test_who_gives_up_or_is_cancelled_has_not_waited(autojump_clock: MockClock) -> None:
    share = RoomShare(1)
    share.take(None)
    began = trio.current_time()
    assert not await share.take_when_open("ann")
    assert trio.current_time() - began == pytest.approx(WAIT_S)
    with trio.move_on_after(0.5):
        await share.take_when_open(None)
    share.give(None)
    assert share.is_open("ann")
    assert share.is_open(None)
    assert repr(share) == "<RoomShare 0 of 1, 0 keys>"


def test_it_is_known_whose_share_it_is() -> None:
    share = RoomShare(8)
    for _ in range(6):
        share.take("eve")
    assert share.has_its_share("eve")
    assert not share.has_its_share("ann")
    share.take("bob")
    share.take("bob")
    assert not share.has_room("ann")
    assert not share.has_its_share("ann")  # all together have
    assert not share.has_its_share(None)


async def test_however_many_heavy_ones_wait_one_that_has_little_is_called(
    autojump_clock: MockClock,
) -> None:
    share = RoomShare(1000)
    heavy = [f"eve{number}" for number in range(199)]
    for key in [*heavy, "eve"] * 5:
        share.take(key)
    called = list[str]()

    async def wait(key: str) -> None:
        if await share.take_when_open(key):
            called.append(key)

    async with trio.open_nursery() as nursery:
        for key in [*heavy, "ann"]:
            nursery.start_soon(wait, key)
            await wait_all_tasks_blocked()
        share.give("eve")
        await wait_all_tasks_blocked()
        assert called == ["ann"]
    assert called == ["ann"]
    assert not share._waiting
    assert not share._waiting_with
