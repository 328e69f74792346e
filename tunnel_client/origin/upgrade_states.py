"""The states of an upgrade between a stream and the app, as a table.

Each direction may end by itself, well, and then the other one goes on. All else ends both.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class RelayState(IntEnum):
    """The state of an upgrade: which directions go on, and what else ended them."""

    OPEN = 1
    VISITOR_ENDED = 2  # its direction has ended well, and the app may go on
    APP_ENDED = 3  # likewise the other way round
    BOTH_ENDED = 4
    REFUSING = 5  # the app takes no more, but may still have something to say
    LOST = 6  # the session is, and the app is to hear of it
    STOPPING = 7  # this program stops, and both ends are to hear of it
    ABORTED = 8  # reset, in both directions


class RelayEvent(IntEnum):
    """An event that changes the state of a relay."""

    VISITOR_END = 1
    APP_END = 2
    REFUSAL = 3
    LOSS = 4
    STOP = 5
    ABORT = 6


TRANSITIONS: Final = {
    (RelayState.OPEN, RelayEvent.VISITOR_END): RelayState.VISITOR_ENDED,
    (RelayState.OPEN, RelayEvent.APP_END): RelayState.APP_ENDED,
    (RelayState.OPEN, RelayEvent.REFUSAL): RelayState.REFUSING,
    (RelayState.VISITOR_ENDED, RelayEvent.APP_END): RelayState.BOTH_ENDED,
    (RelayState.VISITOR_ENDED, RelayEvent.REFUSAL): RelayState.VISITOR_ENDED,  # of that end
    (RelayState.APP_ENDED, RelayEvent.VISITOR_END): RelayState.BOTH_ENDED,
    (RelayState.APP_ENDED, RelayEvent.REFUSAL): RelayState.BOTH_ENDED,
    (RelayState.BOTH_ENDED, RelayEvent.REFUSAL): RelayState.BOTH_ENDED,
    (RelayState.REFUSING, RelayEvent.APP_END): RelayState.BOTH_ENDED,
    # The session may be lost at any moment, and what else happens then changes nothing.
    **{(state, RelayEvent.LOSS): RelayState.LOST for state in RelayState},
    # So may the program be stopped; a session that is lost meanwhile is no news to the app.
    **{(state, RelayEvent.STOP): RelayState.STOPPING for state in RelayState},
    **{
        (state, event): state
        for state in (RelayState.LOST, RelayState.STOPPING)
        for event in (RelayEvent.VISITOR_END, RelayEvent.APP_END, RelayEvent.REFUSAL)
    },
    (RelayState.LOST, RelayEvent.STOP): RelayState.LOST,
    (RelayState.STOPPING, RelayEvent.LOSS): RelayState.STOPPING,
    # So may either end reset, and that is the last word.
    **{(state, RelayEvent.ABORT): RelayState.ABORTED for state in RelayState},
    **{(RelayState.ABORTED, event): RelayState.ABORTED for event in RelayEvent},
}
"""The whole table. A pair that is not in it is a fault of ours: LocalProtocolError, no change."""

HALF_CLOSED: Final = (RelayState.VISITOR_ENDED, RelayState.APP_ENDED, RelayState.BOTH_ENDED)
TOLD_ALL: Final = (RelayState.VISITOR_ENDED, RelayState.BOTH_ENDED, RelayState.REFUSING)
"""Nothing more can be said to the app."""
OURS: Final = (RelayState.LOST, RelayState.STOPPING)
"""The end is one that we make."""
