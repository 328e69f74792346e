"""The number of connections that the app serves at a time, as far as that can be told from here.

Nobody says it, so it is concluded, and two facts may contradict one another: an answer that comes
as soon as idle connections were closed may have taken just so long. What is seen to serve two at a
time serves many; that cannot be by chance on one machine. Where packets are lost on the way to the
app, the end of an older answer may come behind a later one's beginning: docs/dev-servers.md says
what that costs.

    what is known  TWO_IDLE  HELPED  OVERLAP  AWAY
    UNKNOWN        MANY      ONE     MANY     UNKNOWN
    MANY           MANY      MANY    MANY     UNKNOWN
    ONE            -         -       MANY     UNKNOWN
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from protocol.errors import LocalProtocolError


class Capacity(IntEnum):
    """The number, in words."""

    UNKNOWN = 1
    MANY = 2
    ONE = 3


class CapacityEvent(IntEnum):
    """A fact from which that can be told."""

    TWO_IDLE = 1  # two connections have been answered, and the app has closed neither
    HELPED = 2  # an answer came as soon as idle ones were closed
    OVERLAP = 3  # an answer came while a connection that was made before its own is open
    AWAY = 4  # nobody listened: it may be another app now


TRANSITIONS: Final = {
    (Capacity.UNKNOWN, CapacityEvent.TWO_IDLE): Capacity.MANY,
    (Capacity.UNKNOWN, CapacityEvent.HELPED): Capacity.ONE,
    (Capacity.UNKNOWN, CapacityEvent.OVERLAP): Capacity.MANY,
    (Capacity.UNKNOWN, CapacityEvent.AWAY): Capacity.UNKNOWN,
    (Capacity.MANY, CapacityEvent.TWO_IDLE): Capacity.MANY,
    # It has a few threads or processes, and all of them were held.
    (Capacity.MANY, CapacityEvent.HELPED): Capacity.MANY,
    (Capacity.MANY, CapacityEvent.OVERLAP): Capacity.MANY,
    (Capacity.MANY, CapacityEvent.AWAY): Capacity.UNKNOWN,
    # It takes them in order, so it was one with threads whose answer took as long as ours.
    (Capacity.ONE, CapacityEvent.OVERLAP): Capacity.MANY,
    (Capacity.ONE, CapacityEvent.AWAY): Capacity.UNKNOWN,
}
"""The whole table. A pair that is not in it is a fault of ours."""


def after(capacity: Capacity, event: CapacityEvent) -> Capacity:
    """Return what is known behind this event. Raises LocalProtocolError for an illegal pair."""
    try:
        return TRANSITIONS[capacity, event]
    except KeyError:
        message = f"{event.name} of a capacity that is {capacity.name}"
        raise LocalProtocolError(message) from None
