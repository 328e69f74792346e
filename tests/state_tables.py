"""Walks a table of states and events, and compares it with a drawing of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import TypeVar

import pytest

from protocol.errors import LocalProtocolError

State = TypeVar("State", bound=IntEnum)
Happening = TypeVar("Happening", bound=IntEnum)


def drawn(text: str) -> dict[tuple[str, str], str]:
    """(state, event) -> next state, from a drawing: a row a state, a column an event.

    `.` is a pair that may not be.
    """
    head, *rows = (line.split() for line in text.strip().splitlines())
    return {
        (state, event): after
        for state, *cells in rows
        for event, after in zip(head, cells, strict=True)
        if after != "."
    }


def walk(
    table: Mapping[tuple[State, Happening], State],
    drawing: str,
    begin: Callable[[State], tuple[Callable[[Happening], object], Callable[[], State]]],
    states: type[State],
    events: type[Happening],
) -> None:
    """Try every event in every state: the drawing says what comes of it.

    A pair that may not be raises LocalProtocolError, which names both, and changes nothing.

    Args:
        begin: makes an object in this state; returns what gives it an event, and what tells the
            state that it is in.
    """
    expected = drawn(drawing)
    assert {(s.name, e.name): after.name for (s, e), after in table.items()} == expected
    for state in states:
        for event in events:
            happen, state_of = begin(state)
            after = expected.get((state.name, event.name))
            if after is None:
                said = f"^{event.name} of .* that is {state.name}$"
                with pytest.raises(LocalProtocolError, match=said):
                    happen(event)
            else:
                happen(event)
            assert state_of() is states[after or state.name]
