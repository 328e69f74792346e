"""The states of a link to the server, as a table."""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class LinkState(IntEnum):
    """The state of a link between its first connection and its end."""

    CONNECTING = 1  # or it waits to, for the first time or again
    OPEN = 2  # a session runs on a connection
    SENT_AWAY = 3  # the server stops, and still serves what is in flight
    FINISHING = 4  # we do, likewise
    FINISHING_DETACHED = 5  # and have no connection
    ENDED = 6


class LinkEvent(IntEnum):
    """An event that changes the state of a link."""

    OPENED = 1
    LOST = 2  # the connection, or the attempt to make one
    GOAWAY = 3
    FINISH = 4
    END = 5


TRANSITIONS: Final = {
    (LinkState.CONNECTING, LinkEvent.OPENED): LinkState.OPEN,
    (LinkState.CONNECTING, LinkEvent.LOST): LinkState.CONNECTING,
    (LinkState.CONNECTING, LinkEvent.FINISH): LinkState.FINISHING_DETACHED,
    (LinkState.OPEN, LinkEvent.LOST): LinkState.CONNECTING,
    (LinkState.OPEN, LinkEvent.GOAWAY): LinkState.SENT_AWAY,
    (LinkState.OPEN, LinkEvent.FINISH): LinkState.FINISHING,
    # Another link has taken its place by then: that it was sent away stays true.
    (LinkState.SENT_AWAY, LinkEvent.OPENED): LinkState.SENT_AWAY,
    (LinkState.SENT_AWAY, LinkEvent.LOST): LinkState.SENT_AWAY,
    (LinkState.SENT_AWAY, LinkEvent.GOAWAY): LinkState.SENT_AWAY,
    (LinkState.SENT_AWAY, LinkEvent.FINISH): LinkState.FINISHING,
    (LinkState.FINISHING, LinkEvent.LOST): LinkState.FINISHING_DETACHED,
    (LinkState.FINISHING, LinkEvent.GOAWAY): LinkState.FINISHING,  # the answer to ours
    (LinkState.FINISHING_DETACHED, LinkEvent.OPENED): LinkState.FINISHING,
    (LinkState.FINISHING_DETACHED, LinkEvent.LOST): LinkState.FINISHING_DETACHED,
    **{(state, LinkEvent.END): LinkState.ENDED for state in LinkState},
}
"""The whole table. A pair that is not in it is a fault of ours: LocalProtocolError, no change."""

FINISHING: Final = (LinkState.FINISHING, LinkState.FINISHING_DETACHED)
