"""Fifty visitors who never read: they cost what docs/flow-control.md says, and nobody else."""

from __future__ import annotations

from contextlib import AsyncExitStack

import pytest
import trio

from protocol.limits import (
    BUDGET_BYTES,
    FIRST_CREDIT_BYTES,
    KIB,
    STREAM_UNSENT_MAX_BYTES,
    STREAMS_MAX,
)
from tests.memory import MIB, Memory, stands_still
from tests.programs import Address, Tunnel
from tests.system.origin import BLOCK_BYTES, Origin, blocks
from tests.system.visitor import SMALL_S, fetch, health, visit

VISITORS = 50
ENDLESS_BYTES = 1 << 40
TAKEN_BYTES = 64 * KIB  # by the task that waits for its socket, at either end
# A heap that has been busy in other ways than before: see tests/memory.py.
SLACK_BYTES = 16 * MIB
# What is lent over all streams, each stream's own first credit, and what was taken for a socket.
LENT_BYTES = BUDGET_BYTES - STREAMS_MAX * FIRST_CREDIT_BYTES
SERVER_MAX_BYTES = LENT_BYTES + VISITORS * (FIRST_CREDIT_BYTES + TAKEN_BYTES) + SLACK_BYTES
CLIENT_MAX_BYTES = VISITORS * (STREAM_UNSENT_MAX_BYTES + TAKEN_BYTES) + SLACK_BYTES
LATER_MAX_BYTES = 4 * MIB


async def others_are_served(address: Address) -> None:
    body = b"".join(blocks(6, 4 * BLOCK_BYTES))
    for _ in range(4):
        assert (await fetch(address, "/echo", "POST", body)).body == body


async def no_stream_is_left(port: int) -> None:
    while True:
        if (await health(port))["streams"] == 0:
            return
        await trio.sleep(0.05)


@pytest.mark.timeout(120)
async def test_fifty_visitors_that_never_read_cost_flat_memory(
    tunnel: Tunnel, origin: Origin
) -> None:
    await others_are_served(tunnel.address)
    memory = Memory(tunnel)
    async with AsyncExitStack() as crowd:
        for _ in range(VISITORS):
            visitor = await crowd.enter_async_context(visit(tunnel.address))
            await visitor.request(f"/endless?size={ENDLESS_BYTES}")
            await visitor.answer()
        taken = await stands_still(lambda: origin.sent_bytes)
        print(f"taken from the app: {taken / MIB:.1f} MiB")
        full = {program.name: memory.grown_bytes(program) for program in memory.programs}
        print("full", {name: f"{count / MIB:.1f} MiB" for name, count in full.items()})
        assert full["tunnel-server"] < SERVER_MAX_BYTES
        assert full["tunnel-client"] < CLIENT_MAX_BYTES
        assert (await health(tunnel.address.port))["streams"] == VISITORS
        await others_are_served(tunnel.address)
        for program in memory.programs:
            assert memory.grown_bytes(program) < full[program.name] + LATER_MAX_BYTES
    with trio.fail_after(SMALL_S):
        await no_stream_is_left(tunnel.address.port)
    await others_are_served(tunnel.address)
