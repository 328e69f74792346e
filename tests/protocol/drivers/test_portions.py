from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest
import trio

from protocol.drivers import portions
from protocol.drivers.portions import LOOKED_AT_ONCE, in_portions


class Turn(trio.abc.Instrument):
    """Notes which of the things were done in each turn of the tasks of a block."""

    def __init__(self) -> None:
        self.done: list[int] = []
        self.turns: list[list[int]] = []

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        if self.done:
            self.turns.append(self.done)
            self.done = []

    def do(self, thing: int) -> None:
        self.done.append(thing)


@contextmanager
def noted() -> Iterator[Turn]:
    turn = Turn()
    trio.lowlevel.add_instrument(turn)
    try:
        yield turn
    finally:
        trio.lowlevel.remove_instrument(turn)


@pytest.mark.parametrize(
    ("count", "turns"),
    [(0, []), (3, [[0, 1, 2]]), (4, [[0, 1, 2], [3]]), (6, [[0, 1, 2], [3, 4, 5]])],
)
async def test_so_many_are_done_in_a_turn_and_one_more_in_the_next(
    count: int, turns: list[list[int]]
) -> None:
    with noted() as turn:
        await in_portions(range(count), turn.do, at_once=3)
        await trio.lowlevel.checkpoint()
    assert turn.turns == turns


async def test_a_portion_begins_in_a_turn_of_its_own() -> None:
    with noted() as turn:
        turn.do(-1)
        await in_portions(range(2), turn.do, at_once=3)
        await trio.lowlevel.checkpoint()
    assert turn.turns == [[-1], [0, 1]]


@pytest.mark.parametrize("extra", [0, 1])
async def test_of_those_that_are_not_due_more_are_looked_at(
    extra: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert LOOKED_AT_ONCE == 256
    monkeypatch.setattr(portions, "LOOKED_AT_ONCE", 10)
    looked: list[int] = []
    last = 9 + extra

    def is_due(thing: int) -> bool:
        looked.append(thing)
        return thing in (0, last)

    with noted() as turn:
        await in_portions(range(last + 1), turn.do, at_once=3, when=is_due)
        await trio.lowlevel.checkpoint()
    assert looked == list(range(last + 1))
    assert turn.turns == ([[0], [10]] if extra else [[0, 9]])


async def test_a_thing_is_asked_right_before_it_is_done() -> None:
    due = {0, 1, 2}
    done: list[int] = []

    async def change() -> None:
        while not done:
            await trio.lowlevel.checkpoint()
        due.discard(2)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(change)
        nursery.start_soon(
            partial(in_portions, range(3), done.append, at_once=1, when=due.__contains__)
        )
    assert done == [0, 1]


async def test_what_changes_between_two_items_may_be_given() -> None:
    waiting = [3, 2, 1]
    done: list[int] = []

    def following() -> Iterator[int]:
        while waiting:
            yield waiting.pop()

    async def add() -> None:
        while not done:
            await trio.lowlevel.checkpoint()
        waiting.insert(0, 4)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(add)
        nursery.start_soon(partial(in_portions, following(), done.append, at_once=1))
    assert done == [1, 2, 3, 4]


async def test_cancelled_it_leaves_the_rest() -> None:
    done: list[int] = []
    with trio.CancelScope() as scope:

        def do(thing: int) -> None:
            done.append(thing)
            scope.cancel()

        await in_portions(range(9), do, at_once=2)
    assert done == [0, 1]


async def test_an_error_goes_on() -> None:
    def do(thing: int) -> None:
        raise ValueError(thing)

    with pytest.raises(ValueError, match="0"):
        await in_portions(range(9), do, at_once=2)
