"""The states of an upgrade's two directions at the server, as two tables.

What is not in a table cannot happen.

    from the visitor   SEND      AWAIT      END      to the visitor   STOP       CLOSE     END
    HELD               SENDING   AWAITING   ENDED    OPEN             STOPPING   CLOSING   ENDED
    AWAITING           SENDING   AWAITING   ENDED    STOPPING         STOPPING   CLOSING   ENDED
    SENDING            SENDING   AWAITING   ENDED    CLOSING          CLOSING    -         -
    ENDED              -         ENDED      -        ENDED            ENDED      -         -
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class FromVisitor(IntEnum):
    """The state of the visitor's direction: how far what it sends has gone."""

    HELD = 1  # what came behind the handshake has not been passed on yet
    AWAITING = 2  # all that was read has been passed on
    SENDING = 3  # of what was read, a part may have left
    ENDED = 4  # the app was told of the end


class FromVisitorEvent(IntEnum):
    """An event of the visitor's direction; END also comes from the writing task."""

    SEND = 1
    AWAIT = 2
    END = 3


class ToVisitor(IntEnum):
    """The state of the app's direction: how far what it sends has gone."""

    OPEN = 1
    STOPPING = 2  # we are to end it
    CLOSING = 3  # we do
    ENDED = 4  # the app did


class ToVisitorEvent(IntEnum):
    """An event of the app's direction."""

    STOP = 1
    CLOSE = 2
    END = 3


_F, _FE, _T, _TE = FromVisitor, FromVisitorEvent, ToVisitor, ToVisitorEvent

FROM_VISITOR: Final = {
    (_F.HELD, _FE.SEND): _F.SENDING,
    (_F.HELD, _FE.AWAIT): _F.AWAITING,
    (_F.HELD, _FE.END): _F.ENDED,
    (_F.AWAITING, _FE.SEND): _F.SENDING,
    (_F.AWAITING, _FE.AWAIT): _F.AWAITING,
    (_F.AWAITING, _FE.END): _F.ENDED,
    (_F.SENDING, _FE.SEND): _F.SENDING,
    (_F.SENDING, _FE.AWAIT): _F.AWAITING,
    (_F.SENDING, _FE.END): _F.ENDED,
    (_F.ENDED, _FE.AWAIT): _F.ENDED,  # what comes behind our own Close is dropped
}
TO_VISITOR: Final = {
    (_T.OPEN, _TE.STOP): _T.STOPPING,
    (_T.OPEN, _TE.CLOSE): _T.CLOSING,  # the session is gone
    (_T.OPEN, _TE.END): _T.ENDED,
    (_T.STOPPING, _TE.STOP): _T.STOPPING,
    (_T.STOPPING, _TE.CLOSE): _T.CLOSING,
    (_T.STOPPING, _TE.END): _T.ENDED,
    (_T.CLOSING, _TE.STOP): _T.CLOSING,
    (_T.ENDED, _TE.STOP): _T.ENDED,
}
