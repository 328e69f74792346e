"""DRIVER. Replays: each goes to an app by a dispatcher of its own, beside that of the visitors.

So it takes the way of a visitor's request, and is in none of the visitors' counts.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, Protocol

import trio

from protocol.errors import ConfigError
from protocol.program.observing import Sink
from tunnel_client.inspector.capture.store import CaptureStore
from tunnel_client.inspector.capture.tap import CaptureTap
from tunnel_client.inspector.replaying.replay_stream import ReplayStream
from tunnel_client.inspector.replaying.replayed_request import ReplayedRequest, ReplayRefused
from tunnel_client.observing.events import (
    ClientEvent,
    RequestEnded,
    RequestOpened,
    WebSocketOpened,
)
from tunnel_client.origin.dispatch import Dispatcher
from tunnel_client.origin.visitor_stream import VisitorStream
from tunnel_client.settings.addresses import Address, is_loopback
from tunnel_client.settings.target import Target

# As many as a browser would have under way: a person looks at one, and endless ones stay until they
# are cancelled.
UNDER_WAY_MAX: Final = 16
# Dispatchers for other apps, each with its idle connections; nobody has more apps at hand.
APPS_MAX: Final = 16
_STARTING: Final = "the inspector is just starting: try again"


class ReplayApps(Protocol):
    """Makes the dispatchers of replays; the program knows how its app is asked."""

    def dispatcher(
        self,
        target: Target | None,
        tasks: trio.Nursery,
        sink: Sink[RequestEnded | RequestOpened | WebSocketOpened],
        tap_for: TapFor,
        *,
        as_written: bool,
    ) -> Dispatcher:
        """Return a dispatcher.

        Args:
            target: None: the app that is shared.
            as_written: the app gets the fields of a request as they are.
        """


class TapFor(Protocol):
    """See Dispatcher."""

    def __call__(self, stream: VisitorStream, /) -> CaptureTap | None: ...


class _ReplaySink:
    """Tells the end of a replay as that of one."""

    def __init__(self, sink: Sink[ClientEvent]) -> None:
        self._sink = sink

    def __repr__(self) -> str:
        return f"<_ReplaySink to {self._sink!r}>"

    def tell(self, event: RequestEnded | RequestOpened | WebSocketOpened) -> None:
        if isinstance(event, RequestEnded):
            self._sink.tell(event._replace(id=None, replay=True))


class Replays:
    """Sends requests again.

    Args:
        store: keeps them, as those of visitors.
        sink: is told of each that is over.
        avoided: where the inspector itself listens.

    Attributes:
        apps: makes the dispatchers; None: nothing runs yet.
    """

    def __init__(self, store: CaptureStore, sink: Sink[ClientEvent], avoided: Address) -> None:
        self.apps: ReplayApps | None = None
        self._store = store
        self._sink = _ReplaySink(sink)
        self._avoided = avoided
        self._tasks: trio.Nursery | None = None
        self._dispatchers: dict[tuple[Target | None, bool], Dispatcher] = {}
        self._numbers: dict[VisitorStream, int] = {}

    def __repr__(self) -> str:
        return f"<Replays {self.under_way} under way, {len(self._dispatchers)} dispatchers>"

    @property
    def under_way(self) -> int:
        """The number of those that are."""
        return sum(dispatcher.busy_count for dispatcher in self._dispatchers.values())

    async def run(self) -> None:
        """Let replays run until this is cancelled, which ends them."""
        async with trio.open_nursery() as tasks:
            self._tasks = tasks
            await trio.sleep_forever()

    def begin(self, request: ReplayedRequest, target: Target | None = None) -> int:
        """Begin to send a request; returns the number of its exchange.

        Args:
            target: see `other_app`; None: the app that is shared.

        Raises:
            ReplayRefused: too many are under way.
        """
        if self.under_way >= UNDER_WAY_MAX:
            raise ReplayRefused(
                f"{UNDER_WAY_MAX} replays are under way: wait for one, or cancel it"
            )
        stream = ReplayStream(request)
        self._dispatcher(target, as_written=request.as_written).serve(stream)
        number = self._numbers.pop(stream, None)
        if number is None:
            raise ReplayRefused("too much is under way to keep this: wait, and send it again")
        return number

    def start(self, run: Callable[[], Awaitable[None]]) -> None:
        """Let a job run, until this ends. Raises ReplayRefused."""
        self._nursery.start_soon(run)

    @property
    def _nursery(self) -> trio.Nursery:
        if self._tasks is None:
            raise ReplayRefused(_STARTING)
        return self._tasks

    def cancel(self, stream: VisitorStream) -> bool:
        """End a replay; False: it is none that is under way."""
        return any(dispatcher.cancel(stream) for dispatcher in self._dispatchers.values())

    def other_app(self, said: str) -> Target:
        """Return the app at a port, or an URL, of this machine. Raises ReplayRefused."""
        try:
            target = Target.parse(said)
        except ConfigError as error:
            raise ReplayRefused(f"to: {error.message}") from None
        if target.unix_path is None and not is_loopback(target.host):
            raise ReplayRefused("to: a replay goes to an app on this machine alone")
        if target.leads_to(self._avoided):
            raise ReplayRefused("to: that is the inspector itself")
        return target

    def _dispatcher(self, target: Target | None, *, as_written: bool) -> Dispatcher:
        found = self._dispatchers.get((target, as_written))
        if found is not None:
            return found
        if self.apps is None:
            raise ReplayRefused(_STARTING)
        if len(self._dispatchers) >= APPS_MAX:
            raise ReplayRefused(f"replays went to {APPS_MAX} apps already: start the client anew")
        tasks = self._nursery
        made = self.apps.dispatcher(target, tasks, self._sink, self._tap_for, as_written=as_written)
        tasks.start_soon(made.sweep)
        self._dispatchers[target, as_written] = made
        return made

    def _tap_for(self, stream: VisitorStream) -> CaptureTap | None:
        tap = self._store.tap_for(stream)
        if tap is not None:
            self._numbers[stream] = tap.number
        return tap
