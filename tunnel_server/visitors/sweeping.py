"""Once a second all connections and sessions are looked at, a few in each turn."""

from __future__ import annotations

import logging
from typing import Final

import trio

from tunnel_server.visitors.edge import Edge

log = logging.getLogger(__name__)

SWEEP_EVERY_S: Final = 1.0


async def sweep(edge: Edge) -> None:
    """Look at every connection's deadlines, and at every session's right."""
    while True:
        await trio.sleep(SWEEP_EVERY_S)
        await sweep_once(edge, trio.current_time())


async def sweep_once(edge: Edge, now: float) -> None:
    """See `sweep`; the log hears what was closed since it has heard that last."""
    if (news := edge.crowd.news.told(now)) is not None:
        log.warning("%s", news)
    await edge.look_at_all(lambda connection: connection.sweep(now))
    await edge.directory.sweep(now)
    await edge.directory.look_at_owners()
