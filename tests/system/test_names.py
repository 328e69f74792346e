"""Two names on one session, with a real server: each is reached under its own host."""

from __future__ import annotations

import trio

from tests.origin_fakes import Told
from tests.programs import Address
from tests.system.origin import Origin
from tests.system.test_walk import start_server
from tests.system.visitor import visit
from tunnel_client.observing.events import ClientEvent, TunnelReady
from tunnel_client.origin.dial import Dialer
from tunnel_client.origin.dispatch import Dispatcher
from tunnel_client.settings.addresses import ServerUrl
from tunnel_client.settings.config import ClientConfig
from tunnel_client.settings.target import Target
from tunnel_client.uplink.agent import Agent


async def test_two_names_of_one_session_are_served_and_told_apart_by_their_claims(
    nursery: trio.Nursery, origin: Origin
) -> None:
    directory = await start_server(nursery)
    both = trio.Event()
    claims: list[int] = []

    class Ready(Told):
        def tell(self, event: ClientEvent) -> None:
            super().tell(event)
            if isinstance(event, TunnelReady) and event.name == "second":
                both.set()

    told = Ready()
    target = Target.parse(str(origin.port))
    dispatcher = Dispatcher(
        *(Dialer(target), told, nursery),
        origin_timeout_s=60,
        tap_for=lambda stream: claims.append(stream.opened.claim),
    )
    config = ClientConfig(
        target=target, server_url=ServerUrl("http", "127.0.0.1", directory.port), token="a-token"
    )
    agent = Agent(
        *(config, told, dispatcher.serve),
        version="0",
        instance=bytes(16),
        random=lambda: 0.5,
        names=("first", "second"),
    )
    nursery.start_soon(agent.run)
    await both.wait()
    for name in ("first", "second", "first"):
        async with visit(Address(directory.port, f"{name}.localhost")) as visitor:
            assert (await visitor.fetch("/")).status == 200
    assert claims == [1, 2, 1]
    nursery.cancel_scope.cancel()
