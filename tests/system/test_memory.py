"""A reader that stops reading holds up its own sender, and costs neither program any memory."""

from __future__ import annotations

import hashlib

import pytest
import trio

from tests.memory import MIB, TAKEN_MAX_BYTES, WARM_BYTES, Memory, stands_still
from tests.programs import Address, Tunnel
from tests.system.origin import BLOCK_BYTES, Origin, blocks
from tests.system.peer import READ_BYTES
from tests.system.visitor import Visitor, fetch, visit

OFFERED_BYTES = 200 * MIB


async def warm(address: Address) -> None:
    body = b"".join(blocks(5, WARM_BYTES))
    for _ in range(2):
        assert len((await fetch(address, "/echo", "POST", body)).body) == WARM_BYTES


@pytest.mark.timeout(120)
async def test_a_visitor_that_stops_reading_keeps_memory_flat_and_later_gets_all(
    tunnel: Tunnel, origin: Origin
) -> None:
    await warm(tunnel.address)
    memory = Memory(tunnel)
    async with visit(tunnel.address) as visitor:
        await visitor.request(f"/endless?size={OFFERED_BYTES}")
        await visitor.answer()
        taken = await stands_still(lambda: origin.sent_bytes)
        print(f"taken from the app: {taken / MIB:.1f} MiB")
        memory.check()
        assert taken < TAKEN_MAX_BYTES
        await others_are_served(tunnel.address)
        memory.check()
        assert sum([len(data) async for data in visitor.body()]) == OFFERED_BYTES
    memory.check()


async def others_are_served(address: Address) -> None:
    body = b"".join(blocks(6, 16 * MIB))
    assert (await fetch(address, "/echo", "POST", body)).body == body


@pytest.mark.timeout(120)
async def test_an_app_that_stops_reading_keeps_memory_flat_and_later_gets_all(
    tunnel: Tunnel, origin: Origin
) -> None:
    await warm(tunnel.address)
    memory = Memory(tunnel)
    sent = Upload()
    async with visit(tunnel.address) as visitor, trio.open_nursery() as nursery:
        await visitor.request("/unread", "POST", [("Content-Length", str(OFFERED_BYTES))])
        nursery.start_soon(sent.run, visitor)
        await origin.arrived.wait()
        taken = await stands_still(lambda: sent.count_bytes)
        print(f"taken from the visitor: {taken / MIB:.1f} MiB")
        memory.check()
        assert taken < TAKEN_MAX_BYTES
        await others_are_served(tunnel.address)
        origin.gate.set()
        await visitor.answer()
        body = b"".join([data async for data in visitor.body()])
    assert body.decode() == sent.hash.hexdigest()
    memory.check()


class Upload:
    """Sends OFFERED_BYTES."""

    def __init__(self) -> None:
        self.count_bytes = 0
        self.hash = hashlib.sha256()

    async def run(self, visitor: Visitor) -> None:
        block = blocks(7, BLOCK_BYTES)[0]
        while self.count_bytes < OFFERED_BYTES:
            start = self.count_bytes % BLOCK_BYTES
            piece = block[start : start + READ_BYTES]
            await visitor.send(piece)
            self.count_bytes += len(piece)
            self.hash.update(piece)
        await visitor.end()
