from __future__ import annotations

import math

from tunnel_server.visitors.crowd import Crowd
from tunnel_server.visitors.deadlines import Deadlines


def test_none_runs_at_first() -> None:
    deadlines = Deadlines(5.0)
    assert (deadlines.read, deadlines.write) == (math.inf, math.inf)
    assert repr(deadlines) == "<Deadlines read inf write inf>"


def test_they_move_on_while_they_stand_still() -> None:
    deadlines = Deadlines(5.0)
    deadlines.read, deadlines.write = 10.0, 20.0
    deadlines.sweep(6.0, stand_still=False)
    assert (deadlines.read, deadlines.write) == (10.0, 20.0)
    deadlines.sweep(7.5, stand_still=True)
    assert (deadlines.read, deadlines.write) == (11.5, 21.5)
    deadlines.leave_crowd()  # it has no place


def test_the_crowd_counts_it_while_the_visitor_is_to_send() -> None:
    crowd = Crowd(4)
    place = crowd.enter("a", lambda: None)
    deadlines = Deadlines(0.0, place)
    counted = []
    for deadline in (10.0, math.inf, 10.0):
        deadlines.read = deadline
        counted.append(repr(crowd))
    deadlines.leave_crowd()
    counted.append(repr(crowd))
    assert counted == [
        "<Crowd 1 of 4, 1 pending>",
        "<Crowd 1 of 4, 0 pending>",
        "<Crowd 1 of 4, 1 pending>",
        "<Crowd 0 of 4, 0 pending>",
    ]
