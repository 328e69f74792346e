"""The end of what passes by sessions that have ended, for whoever waits for that end.

A visitor's tasks are told that the session is gone, write what had come before, and end. One that
reads slowly would have that go on for long.
"""

from __future__ import annotations

from typing import Final

import trio

from protocol.http.stopping import Verdict
from tunnel_server.visitors.edge import Edge, Swept

# For what was told to end by itself, which takes a turn of its task or two.
ENDS_S: Final = 0.2


async def end_what_passes(edge: Edge) -> None:
    """Return when nothing passes any more by a session that has ended: what still does is cut.

    Cancellation: at any time; what is not cut ends by itself.
    """
    found: list[Swept] = []
    await edge.end_all(found.append, when=_passes)
    if found:
        await trio.sleep(ENDS_S)
        await edge.end_all(_cut, when=_passes)


def _passes(connection: Swept) -> bool:
    session = connection.carried_by
    has_ended = session is not None and session.closed_reason is not None
    return has_ended and connection.under_way is not None


def _cut(connection: Swept) -> None:
    connection.stop(Verdict.CUT)
