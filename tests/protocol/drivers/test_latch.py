from __future__ import annotations

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from protocol.drivers.latch import Gate


async def test_open_lets_the_waiting_task_go_on() -> None:
    gate = Gate()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(gate.wait)
        await wait_all_tasks_blocked()
        assert repr(gate) == "<Gate awaited>"
        gate.open()
    assert repr(gate) == "<Gate closed>"


async def test_open_before_the_wait_is_not_forgotten_and_used_up_by_it() -> None:
    gate = Gate()
    gate.open()
    gate.open()
    assert repr(gate) == "<Gate open>"
    await gate.wait()
    with trio.move_on_after(0) as scope:
        await gate.wait()
    assert scope.cancelled_caught


async def test_cancelled_wait_leaves_the_gate_as_it_was() -> None:
    gate = Gate()
    with trio.move_on_after(0):
        await gate.wait()
    assert repr(gate) == "<Gate closed>"
    gate.open()
    await gate.wait()


async def test_two_tasks_at_one_gate_are_a_bug_that_is_named() -> None:
    gate = Gate()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(gate.wait)
        await wait_all_tasks_blocked()
        with pytest.raises(trio.BusyResourceError):
            await gate.wait()
        gate.open()
