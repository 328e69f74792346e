"""The table of a stop: what becomes of an exchange that is under way, in both programs.

A person who presses Ctrl-C waits for what ends by itself, and for nothing else. So an exchange is
ended by what it is and how it moves; `VERDICTS` is the whole table.

    under way  MOVING  STILL   STUCK
    QUESTION   WAIT    REFUSE  REFUSE
    ORDER      WAIT    WAIT    WAIT
    SIZED      WAIT    WAIT    CUT
    UNSIZED    WAIT    CUT     CUT
    ENDLESS    CUT     CUT     CUT
    WEBSOCKET  CLOSE   CLOSE   CLOSE
    UPGRADE    RESET   RESET   RESET

WAIT is for `--drain-timeout` at most, and in that time an exchange may come to another cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Final

from protocol.http.fields import BodyForm, Fields

# A page that is made while it is sent pauses for less. A person hardly notices a second: the rest
# of it is for a look, for the answer that is sent then, and for the end of the program.
STILL_S: Final = 0.8
# Sockets of a slow visitor take some hundred KB at a time: at 100 kB/s it pauses for seconds.
STUCK_S: Final = 5.0
# A visitor that was quick and has closed its window: one that reads is away for less, even while
# its machine does something else.
CLOSED_S: Final = 0.5
# At a stop the system takes what its buffer still holds. While that goes on no window is looked at:
# of a visitor that is slow it may take the whole rest.
TAKEN_S: Final = 0.2
# What is on its way fills a window first, and the last of that leaves 0.2 s later (RFC 9293
# 3.8.6.2.1), however quick the visitor is: those do not count.
FILLING_S: Final = 0.25
# A system opens its window again when a part of its buffer has been read. Of visitors that read
# steadily, steps of up to 320 KB were seen.
WINDOW_STEP_BYTES: Final = 384 * 1024
# For the answer to a Close of a stop, and as long for what another upgrade has still on its way: a
# round trip of the slowest lines.
STOP_ANSWER_S: Final = 0.5

# The code of a cancel by which the server tells a client that stops what the server alone can know:
# the visitor has stopped reading.
VISITOR_STUCK: Final = "visitor-stuck"

# Answers that have no end by their very purpose, in lower case.
ENDLESS_TYPES: Final = frozenset(
    {b"text/event-stream", b"multipart/x-mixed-replace", b"application/x-ndjson"}
)
_ASKING: Final = frozenset({b"GET", b"HEAD"})


class UnderWay(IntEnum):
    """The kind of an exchange that is under way."""

    QUESTION = 1  # a GET or HEAD that waits for its head, as a long poll does
    ORDER = 2  # any other request that waits for it, or that goes on behind its answer
    SIZED = 3  # an answer with a length
    UNSIZED = 4  # one that is ended by a last chunk, or by the connection's end
    ENDLESS = 5  # the same, of one of the ENDLESS_TYPES
    WEBSOCKET = 6  # after its 101
    UPGRADE = 7  # the same, of any other protocol


class Pace(IntEnum):
    """The time for which nothing of an exchange has moved, and the side that it waits for."""

    MOVING = 1  # something has, within STILL_S
    STILL = 2
    STUCK = 3  # its visitor has taken nothing of what is there for STUCK_S, or its `patience_s`


class Verdict(IntEnum):
    """The thing that a stop does with an exchange."""

    WAIT = 1
    REFUSE = 2  # 503 `draining`: it may be asked again
    CUT = 3  # what has been sent ends visibly in the middle
    CLOSE = 4  # a Close both ways, STOP_ANSWER_S for the answers, then FIN; within a frame RST
    RESET = 5  # RST both ways, after STOP_ANSWER_S


_U, _P, _E = UnderWay, Pace, Verdict

VERDICTS: Final = {
    (_U.QUESTION, _P.MOVING): _E.WAIT,
    (_U.QUESTION, _P.STILL): _E.REFUSE,
    (_U.QUESTION, _P.STUCK): _E.REFUSE,
    **{(_U.ORDER, pace): _E.WAIT for pace in Pace},
    (_U.SIZED, _P.MOVING): _E.WAIT,
    (_U.SIZED, _P.STILL): _E.WAIT,
    (_U.SIZED, _P.STUCK): _E.CUT,
    (_U.UNSIZED, _P.MOVING): _E.WAIT,
    (_U.UNSIZED, _P.STILL): _E.CUT,
    (_U.UNSIZED, _P.STUCK): _E.CUT,
    **{(_U.ENDLESS, pace): _E.CUT for pace in Pace},
    **{(_U.WEBSOCKET, pace): _E.CLOSE for pace in Pace},
    **{(_U.UPGRADE, pace): _E.RESET for pace in Pace},
}
"""The whole table; `docs/closing.md` has it in words."""


def asked(method: bytes, *, has_body: bool) -> UnderWay:
    """Return the kind of a request that waits for its head."""
    return _U.QUESTION if method in _ASKING and not has_body else _U.ORDER


def answered(body: BodyForm, fields: Fields) -> UnderWay:
    """Return the kind of an answer that begins, by its head. One with a length does end."""
    if not isinstance(body, str):
        return _U.SIZED
    return _U.ENDLESS if _type_of(fields) in ENDLESS_TYPES else _U.UNSIZED


def switched(kind: str) -> UnderWay:
    """Return the kind of a stream's upgrade after its 101."""
    return _U.WEBSOCKET if kind == "websocket" else _U.UPGRADE


def patience_s(taken_bytes: int, taking_s: float) -> float:
    """Return how long a visitor that has closed its window is believed to read on.

    As long as a step of its window has taken it so far: a slow one reads for seconds before it
    opens that again, and is known by what came before. Whoever was fast, or has just begun, and
    then opens nothing has stopped.

    Args:
        taken_bytes: what it has taken, over the life of its connection.
        taking_s: for how long it has, in seconds.
    """
    if not taken_bytes:
        return STUCK_S
    slow_s = WINDOW_STEP_BYTES * (taking_s - FILLING_S) / taken_bytes
    return min(max(CLOSED_S, slow_s), STUCK_S)


def pace(still_s: float, *, held_up: bool, patience_s: float = STUCK_S) -> Pace:
    """Return the pace of an exchange of which nothing has moved for so long.

    Args:
        still_s: seconds.
        held_up: something is there that its visitor has not taken.
        patience_s: for how long that is waited for.
    """
    if held_up and still_s >= patience_s:
        return _P.STUCK
    return _P.STILL if still_s >= STILL_S else _P.MOVING


def verdict(under_way: UnderWay, pace: Pace, stopped_for_s: float) -> Verdict:
    """Return what a stop does now with an exchange, so long after its signal."""
    found = VERDICTS[under_way, pace]
    return _E.WAIT if found is _E.RESET and stopped_for_s < STOP_ANSWER_S else found


def is_waited_for(under_way: UnderWay) -> bool:
    """Whether a person is told that the stop waits for such an exchange.

    For STOP_ANSWER_S an upgrade has WAIT as well: it does not end by itself in that time.
    """
    return VERDICTS[under_way, _P.MOVING] is _E.WAIT


def is_cut_off(under_way: UnderWay, how: Verdict) -> bool:
    """Whether an exchange that a stop ends so counts as one that it has cut off.

    A WebSocket is no request that somebody misses the rest of, and most of its pages come back.
    """
    return how in (_E.CUT, _E.RESET) and under_way is not _U.WEBSOCKET


def _type_of(fields: Sequence[tuple[bytes, bytes]]) -> bytes:
    """The media type of an answer without its parameters (RFC 9110 8.3), in lower case."""
    for name, value in fields:
        if name.lower() == b"content-type":
            return value.partition(b";")[0].strip().lower()
    return b""
