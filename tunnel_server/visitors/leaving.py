"""The stop of a client, where its visitors are: those that read no more do not hold it up.

Of all that a client waits for, this the server alone knows: it has the visitors' sockets. One walk
over them is for all clients that have said so by then, so that many that leave cost no more.
"""

from __future__ import annotations

import logging
from collections.abc import Set
from functools import partial

import trio

from protocol.drivers.portions import in_portions
from protocol.drivers.stream import StreamSession
from protocol.http.stopping import VISITOR_STUCK, Pace, Verdict, verdict
from tunnel_server.visitors.draining import IDLE_CHECK_EVERY_S
from tunnel_server.visitors.edge import LOOKED_AT_ONCE, Edge, Swept

log = logging.getLogger(__name__)


async def look_after_leaving(edge: Edge) -> None:
    """For ever: help clients that stop. What is under way for each is looked at until it ends."""
    left: dict[Swept, StreamSession] = {}
    while True:
        if not left:
            await edge.directory.leaving.wait()
        if sessions := edge.directory.leaving.take():
            await edge.look_at_all(partial(_find, sessions, left))
        await in_portions(
            tuple(left),
            partial(_end, edge, left),
            at_once=LOOKED_AT_ONCE,
            when=lambda connection: _is_to_end(edge, connection, left[connection]),
        )
        await trio.sleep(IDLE_CHECK_EVERY_S)


def _find(sessions: Set[object], left: dict[Swept, StreamSession], connection: Swept) -> None:
    session = connection.held_up
    if session is not None and session in sessions and connection.under_way is not None:
        connection.hurry()
        left[connection] = session


def _is_over(edge: Edge, connection: Swept, session: StreamSession) -> bool:
    """Whether its client waits for it no more; nothing new begins for that client."""
    is_other = connection.under_way is None or connection.held_up is not session
    return is_other or session not in edge.directory.sessions


def _is_to_end(edge: Edge, connection: Swept, session: StreamSession) -> bool:
    """Whether it is over, or the table cuts it for its visitor's sake; all else is its client's."""
    under_way = connection.under_way
    if under_way is None or _is_over(edge, connection, session):
        return True
    pace = connection.pace(trio.current_time())
    return pace is Pace.STUCK and verdict(under_way, pace, 0.0) is Verdict.CUT


def _end(edge: Edge, left: dict[Swept, StreamSession], connection: Swept) -> None:
    session = left.pop(connection)
    if not _is_over(edge, connection, session):
        session.log.by(log).debug("its client stops, and a visitor has stopped reading: cut off")
        connection.stop(Verdict.CUT, VISITOR_STUCK)
