"""The phases of a visitor's connection, beside its exchange, as a table.

    phase      HEAD      BEGIN     EXPIRE    LEAVE     LINGER      CONTROL
    IDLE       HEAD      IDLE      EXPIRED   LEAVING   LINGERING   CONTROL
    HEAD       -         IDLE      LATE      LEAVING   LINGERING   CONTROL
    EXPIRED    LATE      EXPIRED   EXPIRED   LEAVING   LINGERING   CONTROL
    LATE       LATE      EXPIRED   LATE      -         LINGERING   CONTROL
    LEAVING    LEAVING   LEAVING   LEAVING   LEAVING   LEAVING     CONTROL
    LINGERING  -         -         LINGERING -         -           -
    CONTROL    -         -         -         -         -           -

EXPIRED, LATE and LEAVING have cancelled the reading. What was read in the same moment still moves
them, and changes nothing.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class Phase(IntEnum):
    """The phase that a connection is in."""

    IDLE = 1  # no head has begun; an exchange may be under way
    HEAD = 2  # a part of a request's head is there
    EXPIRED = 3  # the visitor let a deadline pass
    LATE = 4  # the same, within a head: it is told so
    LEAVING = 5  # the server stops, and nothing was under way but half a head
    LINGERING = 6  # our direction has ended, and what still comes is dropped
    CONTROL = 7  # it carries a session, and is no visitor's


class PhaseEvent(IntEnum):
    """An event of a connection."""

    HEAD = 1  # the first bytes of a head
    BEGIN = 2  # an exchange begins
    EXPIRE = 3
    LEAVE = 4
    LINGER = 5
    CONTROL = 6


_P, _E = Phase, PhaseEvent

PHASES: Final = {
    (_P.IDLE, _E.HEAD): _P.HEAD,
    (_P.IDLE, _E.BEGIN): _P.IDLE,
    (_P.IDLE, _E.EXPIRE): _P.EXPIRED,
    (_P.IDLE, _E.LEAVE): _P.LEAVING,
    (_P.IDLE, _E.LINGER): _P.LINGERING,
    (_P.IDLE, _E.CONTROL): _P.CONTROL,
    (_P.HEAD, _E.BEGIN): _P.IDLE,
    (_P.HEAD, _E.EXPIRE): _P.LATE,
    (_P.HEAD, _E.LEAVE): _P.LEAVING,
    (_P.HEAD, _E.LINGER): _P.LINGERING,
    (_P.HEAD, _E.CONTROL): _P.CONTROL,
    (_P.EXPIRED, _E.HEAD): _P.LATE,
    (_P.EXPIRED, _E.BEGIN): _P.EXPIRED,
    (_P.EXPIRED, _E.EXPIRE): _P.EXPIRED,
    (_P.EXPIRED, _E.LEAVE): _P.LEAVING,
    (_P.EXPIRED, _E.LINGER): _P.LINGERING,
    (_P.EXPIRED, _E.CONTROL): _P.CONTROL,
    (_P.LATE, _E.HEAD): _P.LATE,
    (_P.LATE, _E.BEGIN): _P.EXPIRED,
    (_P.LATE, _E.EXPIRE): _P.LATE,
    (_P.LATE, _E.LINGER): _P.LINGERING,
    (_P.LATE, _E.CONTROL): _P.CONTROL,
    (_P.LEAVING, _E.HEAD): _P.LEAVING,
    (_P.LEAVING, _E.BEGIN): _P.LEAVING,
    (_P.LEAVING, _E.EXPIRE): _P.LEAVING,
    (_P.LEAVING, _E.LEAVE): _P.LEAVING,
    (_P.LEAVING, _E.LINGER): _P.LEAVING,
    (_P.LEAVING, _E.CONTROL): _P.CONTROL,
    (_P.LINGERING, _E.EXPIRE): _P.LINGERING,
}
