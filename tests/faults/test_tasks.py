"""Both ends in this process, so that their tasks can be counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio
import trio.testing

from tests.edge_fakes import make_edge
from tests.faults.agents import Agents
from tests.faults.app import App
from tests.faults.ledger import Ledger
from tests.faults.load import Mixed
from tests.faults.middlebox import Middlebox
from tests.faults.site import until
from tests.programs import Address
from tests.system.origin import serve
from tests.system.visitor import Visitor
from tunnel_server.tunnels.control import ControlEndpoint
from tunnel_server.visitors.serving import serve_visitor
from tunnel_server.visitors.sweeping import sweep

VISITORS = 250
RESETS = 3


class InProcess:
    """A place for visitors whose server runs here, for the tunnel `app-0`."""

    def __init__(self, port: int) -> None:
        self.ledger = Ledger()
        self._port = port

    def __repr__(self) -> str:
        return f"<InProcess :{self._port}>"

    @asynccontextmanager
    async def visit(self, name: str = "app-0") -> AsyncIterator[Visitor]:
        async with await trio.open_tcp_stream("127.0.0.1", self._port) as stream:
            yield Visitor(stream, Address(self._port, "app-0.localhost"))


def tasks() -> Counter[str]:
    """The product's, by name, in this run.

    Workers of the client are not among them: each keeps a connection to the app for a minute.
    """
    found: Counter[str] = Counter()
    left = [trio.lowlevel.current_root_task()]
    while left:
        if task := left.pop():
            found[task.name] += 1
            left.extend(child for nursery in task.child_nurseries for child in nursery.child_tasks)
    ours = ("protocol.", "tunnel_")
    return Counter({n: c for n, c in found.items() if n.startswith(ours) and ".worker." not in n})


@pytest.mark.timeout(120)
async def test_after_resets_under_load_there_are_the_tasks_that_there_were_before(
    nursery: trio.Nursery,
) -> None:
    """May be lost: nothing; and nobody goes on with what has ended."""
    edge = make_edge()
    handle = partial(serve_visitor, edge, ControlEndpoint(edge.directory), None)
    serving = partial(trio.serve_tcp, handle, 0, host="127.0.0.1")
    port = (await nursery.start(serving))[0].socket.getsockname()[1]
    nursery.start_soon(sweep, edge)
    box = await Middlebox(partial(trio.open_tcp_stream, "127.0.0.1", port)).serve(nursery)
    app = await serve(App(), nursery)
    agents = Agents(box.port, app.port, seed=91)
    await agents.start(nursery, 1)
    await trio.testing.wait_all_tasks_blocked()
    before = tasks()
    place = InProcess(port)
    async with trio.open_nursery() as visitors:
        visitors.start_soon(Mixed(place, seed=92).run, VISITORS)
        for number in range(1, RESETS + 1):
            await place.ledger.until_ended(number * 50)
            box.reset()
            await box.until_accepted(number + 1)
    place.ledger.check()
    await until(f"{before}", lambda: tasks() == before)
    await agents.stop()
    nursery.cancel_scope.cancel()
