"""The stop of a client, where its visitors are: those that read no more do not hold it up.

Of all that a client waits for, this the server alone knows: it has the visitors' sockets.
"""

from __future__ import annotations

import logging
from functools import partial

import trio

from protocol.drivers.portions import in_portions
from protocol.drivers.session import Session
from protocol.http.stopping import VISITOR_STUCK, Pace, Verdict, verdict
from tunnel_server.visitors.draining import IDLE_CHECK_EVERY_S
from tunnel_server.visitors.edge import LOOKED_AT_ONCE, Edge, Swept

log = logging.getLogger(__name__)


async def look_after_leaving(edge: Edge) -> None:
    """For ever: help clients that stop. What is under way for each is looked at until it ends."""
    async with trio.open_nursery() as nursery:
        while True:
            session = await edge.directory.leaving.next()
            nursery.start_soon(_help, edge, session)


async def _help(edge: Edge, session: Session) -> None:
    """End the answers of a session whose visitors have stopped; nothing new begins there."""
    left: list[Swept] = []

    def find(connection: Swept) -> None:
        if _is_under_way(connection, session):
            connection.hurry()
            left.append(connection)

    await edge.look_at_all(find)
    while left and session in edge.directory.sessions:
        left = [connection for connection in left if _is_under_way(connection, session)]
        is_due, cut = partial(_is_stuck, session), partial(_cut, session)
        await in_portions(tuple(left), cut, at_once=LOOKED_AT_ONCE, when=is_due)
        await trio.sleep(IDLE_CHECK_EVERY_S)


def _is_under_way(connection: Swept, session: Session) -> bool:
    return connection.under_way is not None and connection.holds_up(session)


def _is_stuck(session: Session, connection: Swept) -> bool:
    """Whether the table cuts its exchange for its visitor's sake; all else is its client's."""
    under_way = connection.under_way
    if under_way is None or not connection.holds_up(session):
        return False
    pace = connection.pace(trio.current_time())
    return pace is Pace.STUCK and verdict(under_way, pace, 0.0) is Verdict.CUT


def _cut(session: Session, connection: Swept) -> None:
    session.log.by(log).debug("its client stops, and a visitor has stopped reading: cut off")
    connection.stop(Verdict.CUT, VISITOR_STUCK)
