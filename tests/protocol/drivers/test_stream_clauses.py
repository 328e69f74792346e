"""What a cancelled writer leaves behind."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from protocol.drivers.session import Session
from protocol.drivers.stream import TunnelStream
from protocol.errors import StreamReset
from protocol.mux.control import Heartbeat
from protocol.mux.core import Core
from tests.fakes import transport_pair
from tests.protocol.mux.pair import post


async def test_a_cancelled_send_all_has_sent_a_prefix(autojump_clock: MockClock) -> None:
    ends = here, _ = transport_pair()
    say_opened, opened = trio.open_memory_channel[TunnelStream](1)
    cores = [Core(is_server=is_server, heartbeat=Heartbeat(15, 30)) for is_server in (True, False)]
    server, client = map(Session, cores, ends)
    client._on_stream = say_opened.send_nowait
    data = bytes(range(251)) * 4_000  # more than a first window and a queue hold
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.run)
        nursery.start_soon(client.run)
        stream = server.open(post("chunked"))
        other = await opened.receive()
        await trio.sleep(1)
        here.stall()
        with trio.move_on_after(1) as scope:
            await stream.send_all(data)
        assert scope.cancelled_caught
        here.resume()
        received = await other.receive_some()
        with trio.move_on_after(1):
            while True:
                received += await other.receive_some()
        assert 0 < len(received) < len(data)
        assert received == data[: len(received)]
        stream.cancel("cancelled")  # as the caller must
        with pytest.raises(StreamReset, match="cancelled"):
            await other.receive_some()
        nursery.cancel_scope.cancel()
