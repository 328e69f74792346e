"""Five hundred visitors of twenty clients, who never read: all of it together has one bound."""

from __future__ import annotations

from contextlib import AsyncExitStack

import pytest
import trio

from tests.memory import MIB, stands_still
from tests.memory_formula import usual_bytes
from tests.programs import Address, Programs
from tests.system.origin import Origin
from tests.system.visitor import fetch, visit

CLIENTS, VISITORS_EACH = 20, 25
ENDLESS_BYTES = 1 << 40
MAX_BYTES = usual_bytes(CLIENTS * VISITORS_EACH, CLIENTS + 1)


@pytest.mark.timeout(240)
async def test_visitors_of_many_clients_that_never_read_keep_to_the_formula(
    programs: Programs, origin: Origin
) -> None:
    server, port = await programs.server()
    addresses = []
    async with trio.open_nursery() as starting:

        async def start(name: str) -> None:
            client = await programs.client(origin.port, port, "--subdomain", name, home=name)
            await client.event("ready")
            addresses.append(Address(port, f"{name}.localhost"))

        for number in range(CLIENTS + 1):
            starting.start_soon(start, f"app{number}")
    *crowded, other = sorted(addresses, key=lambda address: len(address.authority))
    async with AsyncExitStack() as crowd:
        for address in crowded:
            for _ in range(VISITORS_EACH):
                visitor = await crowd.enter_async_context(visit(address))
                await visitor.request(f"/endless?size={ENDLESS_BYTES}")
                await visitor.answer()
        taken = await stands_still(lambda: origin.sent_bytes)
        resident = server.resident_bytes()
        shown = [f"{count / MIB:.0f} MiB" for count in (taken, resident, MAX_BYTES)]
        print("taken, resident, allowed", shown)
        assert resident < MAX_BYTES
        assert (await fetch(other)).status == 200
