"""Keeps the tunnel up: one link after the other, each for one session.

A new connection is made as soon as the server says that it goes away, while the old one serves
what is in flight. The program ends only when a person stops it or the server refuses for good.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import trio

from protocol.drivers.stream import TunnelStream
from protocol.mux.messages import Claimed, Refused, Release
from protocol.program.observing import Sink
from tunnel_client.observing.events import ClientEvent, ProgramStopped, TunnelReady, TunnelRefused
from tunnel_client.observing.lines import duration
from tunnel_client.settings.config import ClientConfig
from tunnel_client.uplink.attempts import EXIT_GAVE_UP, Attempts
from tunnel_client.uplink.link import Link
from tunnel_client.uplink.sleep import watch_for_sleep

EXIT_STOPPED = 0
EXIT_REFUSED = 3


class Agent:
    """One tunnel, for the life of the program.

    Args:
        sink: is told how the tunnel is.
        serve: is given each request's stream, in the session's reader; must neither raise nor
            block.
        instance: 16 random bytes, this process's own.
        random: for the waits between attempts, 0 to 1.
    """

    def __init__(
        self,
        config: ClientConfig,
        sink: Sink[ClientEvent],
        serve: Callable[[TunnelStream], None],
        *,
        version: str,
        instance: bytes,
        random: Callable[[], float],
    ) -> None:
        self._config = config
        self._sink = sink
        self._serve = serve
        self._version = version
        self._instance = instance
        self._attempts = Attempts(
            sink,
            server=str(config.server_url),
            random=random,
            give_up_after_s=config.give_up_after_s,
        )
        self._name = config.subdomain or ""
        self._was_ready = False
        self._stopping = False
        self._links: set[Link] = set()

    def __repr__(self) -> str:
        return f"<Agent {self._name or 'no name yet'}, {len(self._links)} links>"

    async def run(self) -> int:
        """Serve until the server refuses for good, or it gives up; returns the exit code.

        Once `stop` was called it makes no new connection, and waits to be cancelled.
        """
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch_for_sleep, self._woke)
            refused = await self._keep_connected(nursery)
            if refused is not None:
                self._sink.tell(TunnelRefused(refused.code, refused.message))
            # What another session, or one whose name was taken over, still has in flight.
            await self._finish_links()
            nursery.cancel_scope.cancel()
        if refused is not None:
            return EXIT_REFUSED
        self._sink.tell(ProgramStopped(self._attempts.gave_up))  # the last event, whatever happens
        return EXIT_GAVE_UP

    async def stop(self) -> None:
        """Finish what is in flight, to the deadline, and connect no more."""
        self._stopping = True
        await self._finish_links()

    async def end(self) -> None:
        """End everything now, with a Close to the server if it takes one, and connect no more."""
        self._stopping = True
        async with trio.open_nursery() as nursery:
            for link in tuple(self._links):
                nursery.start_soon(link.end)

    async def _keep_connected(self, nursery: trio.Nursery) -> Refused | Release | None:
        """Connect again and again, until the server refuses for good; returns how.

        None: it is time to give up.
        """
        while True:
            link = Link(
                self._config,
                self._version,
                on_stream=self._serve,
                on_claimed=self._on_claimed,
                attempts=self._attempts,
            )
            self._links.add(link)
            nursery.start_soon(self._run_link, link)
            await link.leaving.wait()
            await self._stay_if_stopping()
            refused = link.refused
            if refused is not None and not self._is_for_now(refused):
                return refused
            # To be sent away is no failure, however soon it comes: the next wait is a first one.
            lived_s = math.inf if link.sent_away else link.lived_s()
            if not await self._attempts.pause(lived_s, link.reason):
                return None
            await self._stay_if_stopping()

    async def _stay_if_stopping(self) -> None:
        """`stop` sees to the end; nothing new begins."""
        if self._stopping:
            await trio.sleep_forever()

    def _is_for_now(self, refused: Refused | Release) -> bool:
        """After a first `ready` the name may be held by our own session, not yet missed."""
        return isinstance(refused, Refused) and refused.code == "name-taken" and self._was_ready

    def _woke(self, slept_s: float) -> None:
        """The machine slept; connections from before are not believed in any more."""
        self._attempts.wake()
        for link in self._links:
            link.drop_connection(f"this machine slept for {duration(slept_s)}")

    async def _run_link(self, link: Link) -> None:
        try:
            await link.run(self._name, self._instance, start=not self._was_ready)
        finally:
            self._links.discard(link)

    async def _finish_links(self) -> None:
        async with trio.open_nursery() as nursery:
            for link in tuple(self._links):
                nursery.start_soon(link.finish, self._config.drain_timeout_s)

    def _on_claimed(self, claimed: Claimed) -> None:
        self._name = claimed.name
        self._was_ready = True
        self._sink.tell(TunnelReady(claimed.url, claimed.name, str(self._config.server_url)))
