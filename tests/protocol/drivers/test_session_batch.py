"""Heads that are queued together leave in batches, and a stuck line holds nobody up."""

from __future__ import annotations

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from protocol.drivers.session import Session
from protocol.drivers.stream import TunnelStream
from protocol.limits import HEADS_A_BATCH_MAX
from protocol.mux.control import Heartbeat
from protocol.mux.core import Core
from protocol.mux.wire import FrameType
from tests.fakes import MemoryTransport, transport_pair
from tests.protocol.mux.pair import GET, OK, kinds_of


def sessions() -> tuple[Session, Session, MemoryTransport, MemoryTransport]:
    ends = transport_pair(capacity=100)
    cores = [Core(is_server=is_server, heartbeat=Heartbeat(15, 30)) for is_server in (True, False)]
    server, client = map(Session, cores, ends)
    return server, client, *ends


def counts(transport: MemoryTransport, kind: FrameType) -> list[int]:
    """How many frames of a kind each message had that had any."""
    found = [kinds_of(message).count(kind) for message in transport.sent]
    return [count for count in found if count]


async def open_one(session: Session) -> None:
    await session.wait_for_batch()
    session.open(GET).send_eof()


async def test_streams_that_are_opened_together_do_not_leave_all_at_once(
    autojump_clock: MockClock,
) -> None:
    server, client, line, _ = sessions()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.run)
        nursery.start_soon(client.run)
        await wait_all_tasks_blocked()
        async with trio.open_nursery() as visitors:
            for _ in range(3 * HEADS_A_BATCH_MAX):
                visitors.start_soon(open_one, server)
        await wait_all_tasks_blocked()
        opened = counts(line, FrameType.OPEN)
        nursery.cancel_scope.cancel()
    assert sum(opened) == 3 * HEADS_A_BATCH_MAX
    assert opened[0] == HEADS_A_BATCH_MAX  # the writer has its turn before the ninth


async def test_answers_that_begin_together_do_not_leave_all_at_once(
    autojump_clock: MockClock,
) -> None:
    server, client, _, line = sessions()
    begin = trio.Event()

    async def answer(stream: TunnelStream) -> None:
        await begin.wait()
        await stream.send_head(OK)

    async with trio.open_nursery() as nursery:
        client._on_stream = lambda stream: nursery.start_soon(answer, stream)
        nursery.start_soon(server.run)
        nursery.start_soon(client.run)
        for _ in range(3 * HEADS_A_BATCH_MAX):
            server.open(GET).send_eof()
        await wait_all_tasks_blocked()
        begin.set()
        await wait_all_tasks_blocked()
        heads = counts(line, FrameType.HEAD)
        nursery.cancel_scope.cancel()
    assert sum(heads) == 3 * HEADS_A_BATCH_MAX
    assert heads[0] == HEADS_A_BATCH_MAX


async def test_nobody_waits_for_a_writer_that_is_stuck(autojump_clock: MockClock) -> None:
    server, client, line, _ = sessions()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.run)
        nursery.start_soon(client.run)
        await wait_all_tasks_blocked()
        line.stall()
        for _ in range(4 * HEADS_A_BATCH_MAX):
            await open_one(server)
            await wait_all_tasks_blocked()
        assert server.stream_count == 4 * HEADS_A_BATCH_MAX
        assert not server.batch_is_full
        nursery.cancel_scope.cancel()


async def test_nobody_waits_for_a_session_that_is_closed() -> None:
    server, *_ = sessions()
    for _ in range(HEADS_A_BATCH_MAX):
        server.open(GET)
    assert server.batch_is_full
    server.close("over")
    with trio.fail_after(1):
        await server.wait_for_batch()
