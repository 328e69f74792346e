"""Accepting connections, and what is done when file descriptors run out.

trio's own loop logs a traceback ten times a second while descriptors are out. This one says once,
and once a minute at most, what is missing and what to do, tries again quietly, and says once that
it goes on. What waits to be
accepted stays in the kernel's queue meanwhile; connections under way know nothing of it.
"""

from __future__ import annotations

import errno
import logging
import math
import os
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import trio

from protocol.program.process import open_files_max

log = logging.getLogger(__name__)

# Of one connection alone, which broke before it was accepted or was forbidden by a firewall.
_PASSED_OVER: Final = frozenset(
    {errno.ECONNABORTED, errno.EPERM, errno.EPROTO, errno.EINTR, errno.ECONNRESET}
)
RETRY_EVERY_S: Final = 0.1  # while nothing can be accepted; it costs one system call
# At the limit each connection that ends lets one in, and the next fails again. So the shortage is
# over, and told so, only when nothing has failed for so long.
CALM_S: Final = 5.0
TOLD_EVERY_S: Final = 60.0  # shortages may come and go as fast as a crowd likes

# Of those that wait. One at a time each of a burst lets everybody have a turn before the next is
# accepted, and a visitor that connects behind 700 of them waits for all those turns. Sixteen take
# 0.3 ms of the processor.
BATCH: Final = 16

Listener = trio.abc.Listener[trio.SocketStream]
Handler = Callable[[trio.SocketStream], Awaitable[None]]


class Shortage:
    """Whether accepting fails for want of descriptors or memory, and what is logged of it."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._failed_at = 0.0
        self._told_at = -math.inf
        self._is_told = False

    def __repr__(self) -> str:
        return f"<Shortage {'none' if self._since is None else f'since {self._since:.1f}'}>"

    @property
    def lasts(self) -> bool:
        """Whether something has failed, and nothing has been said of the end of it."""
        return self._since is not None

    def failed(self, error: OSError, now: float) -> None:
        """Accepting failed; the first time it is logged, and once a minute at most."""
        self._failed_at = now
        if self._since is None:
            self._since = now
        if not self._is_told and now - self._told_at >= TOLD_EVERY_S:
            self._told_at, self._is_told = now, True
            log.error("accepting pauses: %s", _explain(error))

    def look(self, now: float) -> None:
        """Nothing failed just now; when that is so for CALM_S it is over, which is logged, too."""
        if self._since is None or now - self._failed_at < CALM_S:
            return
        if self._is_told:
            log.warning("accepting again, after %.0f s of shortage", self._failed_at - self._since)
        self._since, self._is_told = None, False


class Acceptor:
    """Accepts from some listeners, and serves each connection in a task of its own.

    Args:
        serve: serves one connection to its end; only Cancelled may leave it.
        connections: where these tasks run; they go on when accepting ends.
        may_accept: asked before each accept. While it says no, connections wait in the kernel's
            queue, and it is asked again every RETRY_EVERY_S.

    Attributes:
        open_count: connections that were accepted and have not ended.
    """

    def __init__(
        self,
        serve: Handler,
        connections: trio.Nursery,
        may_accept: Callable[[], bool] = lambda: True,
    ) -> None:
        self.open_count = 0
        self._serve = serve
        self._connections = connections
        self._may_accept = may_accept
        self._shortage = Shortage()

    def __repr__(self) -> str:
        return f"<Acceptor {self.open_count} connections {self._shortage!r}>"

    async def run(self, listeners: Sequence[Listener]) -> None:
        """Accept until cancelled; the listeners are closed then."""
        async with trio.open_nursery() as nursery:
            for listener in listeners:
                nursery.start_soon(self._run_one, listener)

    async def _run_one(self, listener: Listener) -> None:
        async with listener:
            while True:
                stream = await self._accept(listener)
                if stream is not None:
                    self._start(stream)
                    self._start_waiting(listener)

    async def _accept(self, listener: Listener) -> trio.SocketStream | None:
        """The next connection; None: look again, there was none or it broke."""
        if not self._may_accept():
            await trio.sleep(RETRY_EVERY_S)
            return None
        try:
            if not self._shortage.lasts:
                return await listener.accept()
            stream = None
            with trio.move_on_after(CALM_S):  # an accept that waits is a shortage that is over
                stream = await listener.accept()
        except OSError as error:
            if error.errno not in _PASSED_OVER:
                self._shortage.failed(error, trio.current_time())
                await trio.sleep(RETRY_EVERY_S)
            return None
        self._shortage.look(trio.current_time())
        return stream

    def _start_waiting(self, listener: Listener) -> None:
        """Those that wait behind the one that was just accepted, as far as a batch goes."""
        for _ in range(BATCH - 1):
            if not self._may_accept() or (stream := _accept_now(listener)) is None:
                return
            self._start(stream)

    def _start(self, stream: trio.SocketStream) -> None:
        self.open_count += 1
        self._connections.start_soon(self._serve_one, stream)

    async def _serve_one(self, stream: trio.SocketStream) -> None:
        try:
            await self._serve(stream)
        finally:
            self.open_count -= 1
            await trio.aclose_forcefully(stream)


def _accept_now(listener: Listener) -> trio.SocketStream | None:
    """A connection that waits; None: there is none, or it fails, which the next accept tells."""
    if not isinstance(listener, trio.SocketListener):
        return None
    # trio has no accept that does not wait. The descriptor stays the listener's, which does not
    # block.
    same = socket.socket(fileno=listener.socket.fileno())
    try:
        accepted, _ = same.accept()
    except OSError:
        return None
    finally:
        same.detach()
    return trio.SocketStream(trio.socket.from_stdlib_socket(accepted))


def _explain(error: OSError) -> str:
    """Return what happened, the limit, and what to do."""
    text = error.strerror or os.strerror(error.errno or 0)
    if error.errno == errno.EMFILE:
        limit = open_files_max()
        return f"{text}: the limit is {limit}; raise it with ulimit -n, or LimitNOFILE= in systemd"
    if error.errno == errno.ENFILE:
        return f"{text}: the whole system's limit; raise the sysctl fs.file-max"
    return f"{text}; connections wait until it works again"
