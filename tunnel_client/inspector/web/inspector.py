"""DRIVER. The inspector of one client: never in the way of the tunnel.

Its tasks are children of the client's. A fault in one of them is logged, and ends the inspector;
requests that are under way then, and later ones, notice nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Final

import trio

from protocol.program.observing import Sink
from tunnel_client.inspector.capture.store import CaptureStore
from tunnel_client.inspector.capture.tap import CaptureTap
from tunnel_client.inspector.replaying.replays import ReplayApps, Replays
from tunnel_client.inspector.web.place import InspectorPlace
from tunnel_client.inspector.web.run_facts import ProgramFacts, RunFacts, WatchedProgram
from tunnel_client.observing.events import ClientEvent, TunnelReady, Warned
from tunnel_client.origin.visitor_stream import VisitorStream

log = logging.getLogger(__name__)

_OFF: Final = Warned(
    "inspector-off",
    "the inspector is off after a fault of its own, which the log has; the tunnel goes on",
)


class Inspector:
    """See above. It is a Sink, too: what the client tells passes it on the way to `sink`.

    Attributes:
        is_off: it keeps and shows nothing any more.
        store, replays: see there.
    """

    def __init__(
        self,
        place: InspectorPlace,
        store: CaptureStore,
        program: ProgramFacts,
        sink: Sink[ClientEvent],
    ) -> None:
        self.is_off = False
        self.store = store
        self.replays = Replays(store, sink, place.address)
        self._place = place
        self._facts = RunFacts(program)
        self._sink = sink
        self._ready = trio.Event()

    def __repr__(self) -> str:
        return f"<Inspector {'off' if self.is_off else self._place.url} {self.store!r}>"

    def tell(self, event: ClientEvent) -> None:
        """See Sink. `ready` says where the inspector is; that is when it starts."""
        self._facts.tell(event)
        if isinstance(event, TunnelReady) and not self.is_off:
            event = event._replace(inspector=self._place.url)
        self._sink.tell(event)
        if isinstance(event, TunnelReady):
            self._ready.set()

    def watch(self, running: WatchedProgram, apps: ReplayApps) -> None:
        """Ask this from now on, and send replays by dispatchers of these."""
        self._facts.running = running
        self.replays.apps = apps

    def tap_for(self, stream: VisitorStream) -> CaptureTap | None:
        """Return what keeps a request; None: it is not kept."""
        return None if self.is_off else self.store.tap_for(stream)

    async def run(self) -> None:
        """Keep and show until cancelled. Only Cancelled is raised."""
        try:
            async with trio.open_nursery() as tasks:
                tasks.start_soon(self.store.run)
                tasks.start_soon(self.replays.run)
                await self._ready.wait()
                serve = await trio.to_thread.run_sync(self._load, abandon_on_cancel=True)
                await serve()
        except* Exception:  # a fault here is no reason for the tunnel to end
            log.exception("the inspector has failed")
            self._sink.tell(_OFF)
        finally:
            self.is_off = True
            self._place.sock.close()

    def _load(self) -> Callable[[], Awaitable[None]]:
        """Load the server, in a thread: the loop would stand still for a tenth of a second."""
        from tunnel_client.inspector.web.server import WebServer
        from tunnel_client.inspector.web.view import InspectorView

        view = InspectorView(self.store, self._facts, self.replays)
        return WebServer(self._place, view).run
