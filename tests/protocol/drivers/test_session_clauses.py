"""One writer: everything that leaves a session is sent by one task, one message after the other."""

from __future__ import annotations

import contextlib

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from protocol.drivers.session import Session
from protocol.drivers.stream import TunnelStream
from protocol.errors import StreamReset, StreamStopped
from protocol.mux.control import Heartbeat
from protocol.mux.core import Core
from tests.fakes import MemoryTransport
from tests.protocol.mux.pair import CLAIM, OK, post


class Watched(MemoryTransport):
    """Notes which tasks send, and how many at once."""

    def __init__(self) -> None:
        super().__init__(1)
        self.senders: set[trio.lowlevel.Task] = set()
        self.most_at_once = 0
        self._at_once = 0

    async def send(self, message: bytes) -> None:
        self.senders.add(trio.lowlevel.current_task())
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            await super().send(message)
        finally:
            self._at_once -= 1


async def echo(stream: TunnelStream) -> None:
    with contextlib.suppress(StreamReset, StreamStopped):  # one of them is cancelled
        await stream.send_head(OK)
        while data := await stream.receive_some():
            await stream.send_all(data)
        stream.send_eof()


async def upload(stream: TunnelStream) -> None:
    with contextlib.suppress(StreamStopped):
        await stream.send_all(bytes(300_000))


async def test_one_task_sends_and_never_two_messages_at_once(autojump_clock: MockClock) -> None:
    ends = here, there = Watched(), Watched()
    here.peer, there.peer = there, here
    async with trio.open_nursery() as nursery:
        cores = [
            Core(is_server=is_server, heartbeat=Heartbeat(15, 30)) for is_server in (True, False)
        ]
        server, client = map(Session, cores, ends)
        client._on_stream = lambda stream: nursery.start_soon(echo, stream)
        nursery.start_soon(server.run)
        nursery.start_soon(client.run)
        client.claim(CLAIM)  # each task here asks for something to be sent
        streams = [server.open(post("chunked")) for _ in range(5)]
        for stream in streams:
            nursery.start_soon(upload, stream)
        await wait_all_tasks_blocked()
        there.stall()
        await trio.sleep(1)
        streams[0].cancel("cancelled")
        client.goaway("shutting-down", "", 8)
        there.resume()
        for stream in streams[1:]:
            await stream.receive_head()
            left = 300_000
            while left:
                left -= len(await stream.receive_some())
        await trio.sleep(60)  # pings, and acks by themselves
        nursery.cancel_scope.cancel()
    for end in ends:
        assert (len(end.senders), end.most_at_once) == (1, 1)
        assert len(end.sent) > 20
