"""Many clients in one process: 200 programs would take 8 GB and minutes to start."""

from __future__ import annotations

from random import Random

import trio

from tests.origin_fakes import Told
from tunnel_client.observing.events import ClientEvent, TunnelReady
from tunnel_client.origin.dial import Dialer
from tunnel_client.origin.dispatch import Dispatcher
from tunnel_client.settings.addresses import ServerUrl
from tunnel_client.settings.config import ClientConfig
from tunnel_client.settings.target import Target
from tunnel_client.uplink.agent import Agent

TOKEN = "ti_" + "a" * 43  # an install key, the same for all, so that they are one owner's


class Ready(Told):
    """Counts how often its client was ready: once for each session."""

    def __init__(self) -> None:
        super().__init__()
        self.sessions = 0
        self._news = trio.Event()

    def tell(self, event: ClientEvent) -> None:
        super().tell(event)
        if not isinstance(event, TunnelReady):
            return
        self.sessions += 1
        self._news.set()
        self._news = trio.Event()

    async def until_sessions(self, count: int) -> None:
        while self.sessions < count:
            await self._news.wait()


class Agents:
    """Clients of one server, which share one app as `app-0`, `app-1` and so on.

    Args:
        seed: of their waits between attempts, and of their instance numbers.
    """

    def __init__(self, server_port: int, app_port: int, seed: int) -> None:
        self.names: list[str] = []
        self._told: list[Ready] = []
        self._agents: list[Agent] = []
        self._server = ServerUrl("http", "127.0.0.1", server_port)
        self._target = Target.parse(str(app_port))
        self._random = Random(seed)

    def __repr__(self) -> str:
        return f"<Agents {len(self.names)}>"

    async def start(self, nursery: trio.Nursery, count: int) -> None:
        """Start so many, one after the other; they run until the nursery is cancelled."""
        for number in range(count):
            told = Ready()
            self.names.append(f"app-{number}")
            nursery.start_soon(self._run, self.names[-1], told)
            self._told.append(told)
            await told.until_sessions(1)

    async def until_sessions(self, count: int) -> None:
        """Wait until each has had so many sessions."""
        for told in self._told:
            await told.until_sessions(count)

    async def stop(self) -> None:
        """As a signal does: each says goodbye, and connects no more."""
        async with trio.open_nursery() as nursery:
            for agent in self._agents:
                nursery.start_soon(agent.stop)

    async def _run(self, name: str, told: Ready) -> None:
        config = ClientConfig(
            target=self._target, server_url=self._server, token=TOKEN, subdomain=name
        )
        async with trio.open_nursery() as tasks:
            dispatcher = Dispatcher(Dialer(self._target), told, tasks, origin_timeout_s=600)
            tasks.start_soon(dispatcher.sweep)
            agent = Agent(
                *(config, told, dispatcher.serve),
                version="storm",
                instance=self._random.randbytes(16),
                random=self._random.random,
            )
            self._agents.append(agent)
            await agent.run()
