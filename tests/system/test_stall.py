"""Both directions full, at both ends, for ten seconds: no flow stands still while another moves.

A reader that waits for its own writer stops for good here: the writer waits for the peer's reader,
which waits for the peer's writer. (Two WebSocket libraries stop within a second or two.)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable

import pytest
import trio

from tests.programs import Address
from tests.system.origin import BLOCK_BYTES, blocks
from tests.system.peer import READ_BYTES
from tests.system.visitor import SMALL_S, Visitor, fetch, visit

SECONDS = 10
# Enough of each kind that every buffer between here and the app is full.
FLOWS_OF_A_KIND = 3
# So much one flow may move while another stands still. Linux lets 4 + 6 MiB (here and there 4 + 32)
# stand between two sockets, which move in one go once there is room, and there are two such hops.
PASSED_MAX_BYTES = 64 << 20
CHUNKED = [("Transfer-Encoding", "chunked")]


class Flow:
    """One direction of one request, among others."""

    def __init__(self, name: str, flows: list[Flow]) -> None:
        self.name = name
        self.moved_bytes = 0
        self._passed_bytes: Counter[str] = Counter()  # by each other one, while it stood still
        self._flows = flows
        self._news = trio.Event()

    def __repr__(self) -> str:
        return f"<{self.name}: {self.moved_bytes} bytes>"

    def moved(self, count_bytes: int) -> None:
        """Some bytes have moved. Raises AssertionError: another flow stands still meanwhile."""
        self.moved_bytes += count_bytes
        self._passed_bytes.clear()
        self._news.set()
        self._news = trio.Event()
        for other in self._flows:
            if other is not self and other.moved_bytes:
                other._passed_bytes[self.name] += count_bytes
                passed_bytes = other._passed_bytes[self.name]
                assert passed_bytes <= PASSED_MAX_BYTES, f"{other} stands still, not {self}"

    async def moves(self) -> None:
        """Wait until it has moved once more."""
        await self._news.wait()


async def send_without_end(visitor: Visitor, flow: Flow) -> None:
    block = blocks(1, BLOCK_BYTES)[0][:READ_BYTES]
    while True:
        await visitor.send(block)
        flow.moved(len(block))


async def receive_without_end(visitor: Visitor, flow: Flow) -> None:
    await visitor.answer()
    async for data in visitor.body():
        flow.moved(len(data))
    raise AssertionError(f"{flow} ended")


async def apart(address: Address, up: Flow, down: Flow) -> None:
    async with visit(address) as visitor, visit(address) as other, trio.open_nursery() as nursery:
        await visitor.request("/sink", "POST", CHUNKED)
        nursery.start_soon(send_without_end, visitor, up)
        await other.request(f"/endless?size={1 << 40}")
        nursery.start_soon(receive_without_end, other, down)


async def echo(address: Address, up: Flow, down: Flow) -> None:
    async with visit(address) as visitor, trio.open_nursery() as nursery:
        await visitor.request("/echo", "POST", CHUNKED)
        nursery.start_soon(send_without_end, visitor, up)
        nursery.start_soon(receive_without_end, visitor, down)


KINDS: list[Callable[[Address, Flow, Flow], Awaitable[None]]] = [apart, echo]


async def all_move(flows: list[Flow]) -> None:
    """Each of them, once more from now: what finds the stop of all. `Flow` finds that of some."""
    with trio.move_on_after(SMALL_S):
        async with trio.open_nursery() as nursery:
            for flow in flows:
                nursery.start_soon(flow.moves)
        return
    raise AssertionError(f"one stands still: {flows}")


@pytest.mark.timeout(90)
async def test_with_both_directions_full_no_flow_stands_still_while_another_moves(
    address: Address,
) -> None:
    flows: list[Flow] = []
    async with trio.open_nursery() as nursery:
        for kind in KINDS * FLOWS_OF_A_KIND:
            flows += (
                (up := Flow(f"up {len(flows)}", flows)),
                (down := Flow(f"down {len(flows)}", flows)),
            )
            nursery.start_soon(kind, address, up, down)
        for _ in range(SECONDS):
            await all_move(flows)
            await trio.sleep(1)
        await all_move(flows)
        assert (await fetch(address)).body == b"hello"  # and a small one overtakes them
        nursery.cancel_scope.cancel()
    assert (await fetch(address)).body == b"hello"
    print(*flows, sep="\n")


def test_a_flow_that_stands_still_while_another_moves_is_found() -> None:
    flows: list[Flow] = []
    flows += Flow("a", flows), Flow("b", flows)
    still, moving = flows
    still.moved(1)
    moving.moved(PASSED_MAX_BYTES)
    still.moved(1)
    moving.moved(PASSED_MAX_BYTES)
    with pytest.raises(AssertionError, match="<a: 2 bytes> stands still"):
        moving.moved(1)
