"""The way that the WebSocket cases go: both programs' code, between two real sockets."""

from __future__ import annotations

import select
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import trio

from tests.edge_fakes import hello, open_world
from tests.origin_fakes import Told
from tunnel_client.identity.rewriting import Identity
from tunnel_client.origin.dial import Dialer
from tunnel_client.origin.dispatch import Dispatcher
from tunnel_client.settings.target import Target
from tunnel_server.visitors.serving import serve_visitor


class LoopbackWay:
    """From a port of a proxy to a listener of ours, both on 127.0.0.1."""

    def __init__(self, port: int, listener: trio.SocketListener, *, exact: bool) -> None:
        self.exact = exact
        self.port = port
        self.listener = listener

    def __repr__(self) -> str:
        return f"<LoopbackWay exact={self.exact} port={self.port}>"

    async def visit(self) -> trio.SocketStream:
        return await trio.open_tcp_stream("127.0.0.1", self.port)

    async def accept(self) -> trio.SocketStream:
        return await self.listener.accept()

    def has_another(self) -> bool:
        return bool(select.select([self.listener.socket], [], [], 0)[0])

    async def drain(self) -> None:
        """Close what nobody accepted."""
        while self.has_another():
            await (await self.accept()).aclose()


async def listen() -> tuple[trio.SocketListener, int]:
    """For an app, and its port."""
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    return listener, listener.socket.getsockname()[1]


@asynccontextmanager
async def through_the_tunnel() -> AsyncIterator[LoopbackWay]:
    """Both programs' parts in this process; in the end no stream and no connection is left."""
    listener, port = await listen()
    async with listener, open_world() as world:
        target = Target.parse(f"http://127.0.0.1:{port}")
        identity = Identity(target, "public")  # so that every field crosses
        dispatcher = Dispatcher(
            Dialer(target), Told(), world.tasks, origin_timeout_s=600, identity=identity
        )
        client = await world.client(hello)
        client.session._on_stream = dispatcher.serve
        handler = partial(serve_visitor, world.edge, world.control, None)
        serve = partial(trio.serve_tcp, handler, 0, host="127.0.0.1")
        [public] = await world.tasks.start(serve)
        yield LoopbackWay(public.socket.getsockname()[1], listener, exact=True)
        with trio.fail_after(5):
            await dispatcher.wait_quiet()
            while world.edge.connections:  # the last task of a connection ends it
                await trio.testing.wait_all_tasks_blocked(0.01)
        await world.nothing_is_left()
