"""The states of a request on its way to the app: under way, or how that ended.

state      SEND     STOP     CUT
UNDER_WAY  SENT     STOPPED  CUT_OFF
SENT       -        -        -
STOPPED    STOPPED  STOPPED  STOPPED
CUT_OFF    -        -        -
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class SendState(IntEnum):
    """The state of a request on its way; every one but the first is its end."""

    UNDER_WAY = 1
    SENT = 2  # whole
    STOPPED = 3  # the app takes no more of it
    CUT_OFF = 4  # the visitor sends no more of it


class SendEvent(IntEnum):
    """An event that ends a request."""

    SEND = 1  # its last piece has left
    STOP = 2  # a write has failed, or the app has ended its connection
    CUT = 3  # it ended in the middle, or the visitor is gone


SENDING: Final = {
    (SendState.UNDER_WAY, SendEvent.SEND): SendState.SENT,
    (SendState.UNDER_WAY, SendEvent.STOP): SendState.STOPPED,
    (SendState.UNDER_WAY, SendEvent.CUT): SendState.CUT_OFF,
    # It was stopped while a write was under way, which then ends in some way.
    (SendState.STOPPED, SendEvent.SEND): SendState.STOPPED,
    (SendState.STOPPED, SendEvent.STOP): SendState.STOPPED,
    (SendState.STOPPED, SendEvent.CUT): SendState.STOPPED,
}
"""The whole table. A pair that is not in it is a fault of ours: LocalProtocolError, no change."""
