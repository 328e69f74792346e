"""Keeps the tunnel up: one link after the other, each for one session.

A new connection is made as soon as the server says that it goes away, while the old one serves
what is in flight. The program ends only when a person stops it or the server refuses for good.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import trio

from protocol.backoff import LONGEST_LOCAL_SPAN_S, LONGEST_SPAN_S
from protocol.drivers.stream import TunnelStream
from protocol.mux.messages import Claimed, Refused, Release
from protocol.program.observing import Sink
from protocol.program.process import EXIT_FAILED, EXIT_GAVE_UP, EXIT_REFUSED
from protocol.program.text import duration
from tunnel_client.observing.events import (
    ClientEvent,
    NameSource,
    ProgramStopped,
    TunnelReady,
    TunnelRefused,
)
from tunnel_client.settings.addresses import is_loopback
from tunnel_client.settings.config import ClientConfig
from tunnel_client.uplink.attempts import Attempts
from tunnel_client.uplink.claims import Claims, WantedName
from tunnel_client.uplink.connect import ConnectFailed
from tunnel_client.uplink.link import Link
from tunnel_client.uplink.next_steps import with_next_step
from tunnel_client.uplink.sleep import watch_for_sleep

# For the resets of what is cut off to leave: a round trip of the slowest lines.
CUT_OFF_S: Final = 0.5


class Agent:
    """One tunnel, for the life of the program.

    Args:
        sink: is told how the tunnel is.
        serve: is given each request's stream, in the session's reader; must neither raise nor
            block.
        instance: 16 random bytes, this process's own.
        random: for the waits between attempts, 0 to 1.
        names: to ask for; an empty one is made up by the server. None: the config's only one.
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
        names: Sequence[str] | None = None,
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
            longest_span_s=_longest_span_s(config),
        )
        asked = names or (config.subdomain or "",)
        self._wanted = [
            WantedName(name, default="" if name else config.stable_name) for name in asked
        ]
        self._names = names
        self._stopping = False
        self._links: set[Link] = set()

    def __repr__(self) -> str:
        names = ", ".join(wanted.name or "no name yet" for wanted in self._wanted)
        return f"<Agent {names}, {len(self._links)} links>"

    @property
    def round_trip_s(self) -> float | None:
        """The last one measured on a connection of now; None: there is none, or it is too new."""
        trips = [link.round_trip_s for link in self._links]
        return min((trip for trip in trips if trip is not None), default=None)

    async def run(self) -> int:
        """Serve until the server refuses for good, or it gives up; returns the exit code.

        That is 1 where the first attempts find a mistake that no other attempt can mend.

        Once `stop` was called it makes no new connection, and waits to be cancelled.
        """
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch_for_sleep, self._woke)
            refused = await self._keep_connected(nursery)
            if isinstance(refused, Refused | Release):
                code, has_token = refused.code, self._config.has_token
                text = with_next_step(code, refused.message, has_token=has_token)
                self._sink.tell(TunnelRefused(code, text))
            # What another session, or one whose name was taken over, still has in flight.
            await self._finish_links()
            nursery.cancel_scope.cancel()
        if isinstance(refused, ConnectFailed):
            self._sink.tell(ProgramStopped(f"{refused} (trying again would change nothing)"))
            return EXIT_FAILED
        if refused is not None:
            return EXIT_REFUSED
        self._sink.tell(ProgramStopped(self._attempts.gave_up))  # the last event, whatever happens
        return EXIT_GAVE_UP

    async def stop(self) -> None:
        """Finish what is in flight, to the deadline, and connect no more.

        What is cut off at the deadline has a moment more to be told so to the server.
        """
        self._stopping = True
        await self._finish_links(CUT_OFF_S)

    async def end(self) -> None:
        """End everything now, with a Close to the server if it takes one, and connect no more."""
        self._stopping = True
        async with trio.open_nursery() as nursery:
            for link in tuple(self._links):
                nursery.start_soon(link.end)

    async def _keep_connected(
        self, nursery: trio.Nursery
    ) -> Refused | Release | ConnectFailed | None:
        """Connect again and again, until the server refuses for good; returns how.

        Or, before the first success, until an attempt shows a mistake. None: it is time to give up.
        """
        while True:
            link = Link(
                self._config,
                self._version,
                on_stream=self._serve,
                claims=Claims(self._wanted, self._instance, self._config, self._on_claimed),
                attempts=self._attempts,
            )
            self._links.add(link)
            nursery.start_soon(self._run_link, link)
            await link.leaving.wait()
            await self._wait_for_ever_if_stopping()
            if link.refused is not None:
                return link.refused
            failure = link.failure
            if failure is not None and failure.final and not self._attempts.ever_connected:
                return failure
            self._wanted = link.claims.wanted_next()
            asked_s = None if failure is None else failure.retry_after_s
            if not await self._attempts.pause(
                link.lived_s(), link.reason, asked_s=asked_s, code=link.code
            ):
                return None
            await self._wait_for_ever_if_stopping()

    async def _wait_for_ever_if_stopping(self) -> None:
        """Make no new link while `stop` or `end` is at work; their caller cancels this."""
        if self._stopping:
            await trio.sleep_forever()

    def _woke(self, slept_s: float) -> None:
        """The machine slept; connections from before are not believed in any more."""
        self._attempts.wake()
        for link in self._links:
            link.drop_connection(f"this machine slept for {duration(slept_s)}")

    async def _run_link(self, link: Link) -> None:
        try:
            await link.run()
        finally:
            self._links.discard(link)

    async def _finish_links(self, more_s: float = 0.0) -> None:
        patience_s = self._config.drain_timeout_s + more_s
        async with trio.open_nursery() as nursery:
            for link in tuple(self._links):
                nursery.start_soon(link.finish, patience_s)

    def _on_claimed(self, claimed: Claimed) -> None:
        config = self._config
        source: NameSource = "random"
        if claimed.name in (self._names or (config.subdomain,)):
            source = "chosen"
        elif claimed.name == config.stable_name:
            source = "folder"
        server, identity = str(config.server_url), config.identity
        self._sink.tell(
            TunnelReady(claimed.url, claimed.name, server, identity, source, claimed.note)
        )


def _longest_span_s(config: ClientConfig) -> float:
    is_local = config.proxy is None and is_loopback(config.server_url.host)
    return LONGEST_LOCAL_SPAN_S if is_local else LONGEST_SPAN_S
