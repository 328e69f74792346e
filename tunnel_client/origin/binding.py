"""Workers whose connection to the app is for one connection of a visitor alone.

NTLM and Negotiate authenticate a connection: another visitor's request on it would be answered as
the first one's. So a worker on whose connection a credential or a challenge has passed is parked
here and not among the others, under the visitor's connection that it came from. It ends with that.
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Final

from protocol.drivers.bonds import VisitorConnection
from tunnel_client.origin.worker import Worker

# The server closes a visitor's connection that is idle for 75 s, and says so. What it says may be
# lost with a line.
BOUND_IDLE_S: Final = 90.0
# Browsers open six connections a host: this is forty of them at once.
BOUND_MAX: Final = 256


class BoundWorkers:
    """The parked ones; the one that was parked last stands last."""

    def __init__(self) -> None:
        self._workers: dict[VisitorConnection, Worker] = {}
        self._visitors: dict[VisitorConnection, str] = {}  # whose each is, in the same order

    def __repr__(self) -> str:
        return f"<BoundWorkers {len(self._workers)}>"

    def __bool__(self) -> bool:
        return bool(self._workers)

    def put(self, connection: VisitorConnection, visitor: str, worker: Worker) -> None:
        """Park a worker until the visitor's connection has its next request, or ends.

        One too many lets the one go that is parked longest, of the visitor that has most: a
        challenge binds as well, and costs a stranger one request.
        """
        self._drop(connection)  # two requests of one connection may have crossed
        self._workers[connection] = worker
        self._visitors[connection] = visitor
        if not connection.bind(partial(self._drop, connection)):
            self._drop(connection)
        elif len(self._workers) > BOUND_MAX:
            heaviest = Counter(self._visitors.values()).most_common(1)[0][0]
            self._drop(next(one for one, of in self._visitors.items() if of == heaviest))

    def take(self, connection: VisitorConnection | None) -> Worker | None:
        """Return the worker for the next request of this connection, if it is still good."""
        if connection is None or connection not in self._workers:
            return None
        if self._workers[connection].is_stale:
            self._drop(connection)
            return None
        connection.unbind()
        del self._visitors[connection]
        return self._workers.pop(connection)

    def sweep(self, now: float) -> None:
        """End those that are of no use."""
        for connection, worker in tuple(self._workers.items()):
            if worker.is_stale or now - worker.idle_since > BOUND_IDLE_S:
                self._drop(connection)

    def _drop(self, connection: VisitorConnection) -> None:
        worker = self._workers.pop(connection, None)
        if worker is not None:
            del self._visitors[connection]
            connection.unbind()
            worker.assign(None)
