from __future__ import annotations

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from protocol.drivers.latch import Latch


async def test_open_lets_the_waiting_task_go_on() -> None:
    latch = Latch()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(latch.wait)
        await wait_all_tasks_blocked()
        assert repr(latch) == "<Latch awaited>"
        latch.open()
    assert repr(latch) == "<Latch closed>"


async def test_open_before_the_wait_is_not_forgotten_and_used_up_by_it() -> None:
    latch = Latch()
    latch.open()
    latch.open()
    assert repr(latch) == "<Latch open>"
    await latch.wait()
    with trio.move_on_after(0) as scope:
        await latch.wait()
    assert scope.cancelled_caught


async def test_opened_twice_before_the_waiting_task_has_its_turn_is_opened_once() -> None:
    latch = Latch()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(latch.wait)
        await wait_all_tasks_blocked()
        latch.open()
        latch.open()
    assert repr(latch) == "<Latch closed>"
    latch.open()  # now it is another time
    await latch.wait()


async def test_cancelled_wait_leaves_the_gate_as_it_was() -> None:
    latch = Latch()
    with trio.move_on_after(0):
        await latch.wait()
    assert repr(latch) == "<Latch closed>"
    latch.open()
    await latch.wait()


async def test_two_tasks_at_one_gate_are_a_bug_that_is_named() -> None:
    latch = Latch()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(latch.wait)
        await wait_all_tasks_blocked()
        with pytest.raises(trio.BusyResourceError):
            await latch.wait()
        latch.open()
