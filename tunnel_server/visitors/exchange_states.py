"""The states of a request and of its answer, as two tables: how far each of them is.

What is not in a table cannot happen, and is an error of ours. The reading task moves the request,
the writing task the answer.

    request    END     BREAK    FOLLOW
    COMING     WHOLE   BROKEN   -
    WHOLE      -       BROKEN   FOLLOWED
    FOLLOWED   -       BROKEN   FOLLOWED
    BROKEN     BROKEN  BROKEN   -

    answer     KEEP   LAST   UNSAID  CUT   UNSAID_CUT  SWITCH    FINISH
    AWAITED    KEPT   LAST   LAST    CUT   CUT         -         -
    KEPT       -      -      -       -     -           -         OVER
    LAST       -      -      -       -     -           -         CLOSING
    CUT        -      -      -       -     -           SWITCHED  CLOSING
    SWITCHED   -      -      -       -     -           -         CLOSING
    OVER       -      -      -       -     -           -         -
    CLOSING    -      -      -       -     -           -         -
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class RequestState(IntEnum):
    """The state of a request: how far it is read."""

    COMING = 1  # something of it is still to come
    WHOLE = 2
    FOLLOWED = 3  # whole, and something came behind it that waits for the answer
    BROKEN = 4  # the rest of it will not come, or is not wanted


class RequestEvent(IntEnum):
    """An event of a request."""

    END = 1
    BREAK = 2
    FOLLOW = 3


class AnswerState(IntEnum):
    """The state of an answer: how far it is written. From SWITCHED on the reader may go on."""

    AWAITED = 1
    KEPT = 2  # it has begun, and the connection is kept for another request
    LAST = 3  # it has begun, and closes the connection
    CUT = 4  # it has begun, and only the end of the connection ends it
    SWITCHED = 5  # a 101 has left
    OVER = 6  # it has ended, well or badly, and another request may follow
    CLOSING = 7  # it has ended, well or badly, and nothing follows


class AnswerEvent(IntEnum):
    """An event of an answer."""

    KEEP = 1
    LAST = 2
    UNSAID = 3  # the last one, and its head does not say so
    CUT = 4
    UNSAID_CUT = 5  # the same, and its head does not say so
    SWITCH = 6
    FINISH = 7


_R, _RE, _A, _AE = RequestState, RequestEvent, AnswerState, AnswerEvent

REQUEST: Final = {
    (_R.COMING, _RE.END): _R.WHOLE,
    (_R.COMING, _RE.BREAK): _R.BROKEN,
    (_R.WHOLE, _RE.BREAK): _R.BROKEN,  # its deadline passed as its end came
    (_R.WHOLE, _RE.FOLLOW): _R.FOLLOWED,
    (_R.FOLLOWED, _RE.BREAK): _R.BROKEN,
    (_R.FOLLOWED, _RE.FOLLOW): _R.FOLLOWED,
    (_R.BROKEN, _RE.BREAK): _R.BROKEN,  # it broke off, and its deadline passed as it did
    (_R.BROKEN, _RE.END): _R.BROKEN,  # the app stopped it as its end came
}
ANSWER: Final = {
    (_A.AWAITED, _AE.KEEP): _A.KEPT,
    (_A.AWAITED, _AE.LAST): _A.LAST,
    (_A.AWAITED, _AE.UNSAID): _A.LAST,
    (_A.AWAITED, _AE.CUT): _A.CUT,
    (_A.AWAITED, _AE.UNSAID_CUT): _A.CUT,
    (_A.KEPT, _AE.FINISH): _A.OVER,
    (_A.LAST, _AE.FINISH): _A.CLOSING,
    (_A.CUT, _AE.SWITCH): _A.SWITCHED,
    (_A.CUT, _AE.FINISH): _A.CLOSING,
    (_A.SWITCHED, _AE.FINISH): _A.CLOSING,
}

# Each request asks for it, and a global costs a third of an enum's member.
COMING: Final = RequestState.COMING
