"""The states of a replay: how far its answer is, or why that is not wanted any more.

state      BYTES      FINAL_HEAD  ANSWER_END  TIMEOUT    ABORT
ASKED      ANSWERING  -           -           OVERDUE    ABORTED
ANSWERING  ANSWERING  ANSWERED    -           OVERDUE    ABORTED
ANSWERED   -          -           FINISHING   -          ABORTED
FINISHING  -          -           -           FINISHING  ABORTED
OVERDUE    -          OVERDUE     OVERDUE     -          OVERDUE
ABORTED    -          ABORTED     ABORTED     -          ABORTED
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class ReplayState(IntEnum):
    """The state of a replay: how far the answer is, or why it is not wanted any more."""

    ASKED = 1  # no byte of an answer has come
    ANSWERING = 2  # some have, but no final head
    ANSWERED = 3  # the final head has come
    FINISHING = 4  # the answer has ended, and its request goes on
    OVERDUE = 5  # the app said nothing for too long, and its connection was reset
    ABORTED = 6  # the visitor is gone, or the session; likewise


class ReplayEvent(IntEnum):
    """An event that changes the state of a replay."""

    BYTES = 1
    FINAL_HEAD = 2
    ANSWER_END = 3
    TIMEOUT = 4
    ABORT = 5


TRANSITIONS: Final = {
    (ReplayState.ASKED, ReplayEvent.BYTES): ReplayState.ANSWERING,
    (ReplayState.ASKED, ReplayEvent.TIMEOUT): ReplayState.OVERDUE,
    (ReplayState.ASKED, ReplayEvent.ABORT): ReplayState.ABORTED,
    (ReplayState.ANSWERING, ReplayEvent.BYTES): ReplayState.ANSWERING,
    (ReplayState.ANSWERING, ReplayEvent.FINAL_HEAD): ReplayState.ANSWERED,
    (ReplayState.ANSWERING, ReplayEvent.TIMEOUT): ReplayState.OVERDUE,
    (ReplayState.ANSWERING, ReplayEvent.ABORT): ReplayState.ABORTED,
    (ReplayState.ANSWERED, ReplayEvent.ANSWER_END): ReplayState.FINISHING,
    (ReplayState.ANSWERED, ReplayEvent.ABORT): ReplayState.ABORTED,
    # The app has stopped its request, in a way; its answer is whole.
    (ReplayState.FINISHING, ReplayEvent.TIMEOUT): ReplayState.FINISHING,
    (ReplayState.FINISHING, ReplayEvent.ABORT): ReplayState.ABORTED,
    # What had been read before the connection was reset may still be a head, or a whole answer. The
    # first reason stands.
    (ReplayState.OVERDUE, ReplayEvent.FINAL_HEAD): ReplayState.OVERDUE,
    (ReplayState.OVERDUE, ReplayEvent.ANSWER_END): ReplayState.OVERDUE,
    (ReplayState.OVERDUE, ReplayEvent.ABORT): ReplayState.OVERDUE,
    (ReplayState.ABORTED, ReplayEvent.FINAL_HEAD): ReplayState.ABORTED,
    (ReplayState.ABORTED, ReplayEvent.ANSWER_END): ReplayState.ABORTED,
    (ReplayState.ABORTED, ReplayEvent.ABORT): ReplayState.ABORTED,
}
"""The whole table. A pair that is not in it is a fault of ours: LocalProtocolError, no change."""
