"""DRIVER. Work on many things, a portion in each turn of the loop.

All tokens, names or sessions that are due together would else be one turn, in which nobody is
served: 768 sessions that end with their 12,288 names are 0.2 s of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, TypeVar

import trio

T = TypeVar("T")

# Things that need nothing done; each takes up to 2 us.
LOOKED_AT_ONCE: Final = 256


async def in_portions(
    things: Iterable[T],
    do: Callable[[T], object],
    *,
    at_once: int,
    when: Callable[[T], bool] | None = None,
) -> None:
    """Do something with each of these; between two portions every other task has its turn.

    Whether it is to be done with a thing is asked right before: what has become of that meanwhile
    counts. The first portion is a turn of its own as well.

    Args:
        things: a copy, or what may change between two of its items.
        do: works on one thing, and waits for nothing.
        at_once: the number with which it is done in one portion. Of others a portion has
            LOOKED_AT_ONCE.
        when: says whether it is to be done with a thing; None: with each.

    Cancellation: between two portions. The things that are left stay as they are.

    Errors: what `do` and `when` raise goes on, and the things that are left stay as they are.
    """
    await trio.lowlevel.checkpoint()
    looked = done = 0
    for thing in things:
        looked += 1
        if when is None or when(thing):
            do(thing)
            done += 1
        if looked >= LOOKED_AT_ONCE or done >= at_once:
            await trio.lowlevel.checkpoint()
            looked = done = 0
