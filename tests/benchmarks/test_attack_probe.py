"""The probe against a server of the test's own, over socket pairs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable

import pytest
import trio
from trio.testing import MockClock

from benchmarks.attacks.app import BODY
from benchmarks.attacks.probe import GETS_PER_S, Probe, Seen
from benchmarks.attacks.ways import Entrance, Way

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 1024\r\n\r\n" + BODY
GETS = 6

Serve = Callable[[trio.SocketStream], Awaitable[None]]


async def seen_of(nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch, serve: Serve) -> Seen:
    async def connect(_entrance: Entrance, _address: str) -> trio.SocketStream:
        ours, theirs = trio.socket.socketpair()

        async def closing() -> None:
            with theirs:
                await serve(trio.SocketStream(theirs))

        nursery.start_soon(closing)
        return trio.SocketStream(ours)

    monkeypatch.setattr(Entrance, "connect", connect)
    async with Probe(Entrance(Way.PEER, "10.77.0.1", 8080, "10.77.0.2")) as probe:
        return await probe.run(GETS / GETS_PER_S)


async def test_every_answer_that_is_whole_counts(
    autojump_clock: MockClock, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def serve(stream: trio.SocketStream) -> None:
        while await stream.receive_some():
            await stream.send_all(OK)

    seen = await seen_of(nursery, monkeypatch, serve)

    assert (len(seen.latencies_s), seen.lost, seen.again) == (GETS, [], 0)


async def test_a_kept_connection_that_was_closed_costs_another_try(
    autojump_clock: MockClock, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def serve(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(OK)

    seen = await seen_of(nursery, monkeypatch, serve)

    assert (len(seen.latencies_s), seen.lost) == (GETS, [])
    assert seen.again == 2  # of the three that go by a kept connection the first finds none


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", "503"),
        (OK[:-1], "closed"),
        (b"", "closed"),
    ],
)
async def test_what_is_not_answered_well_is_lost(
    autojump_clock: MockClock,
    nursery: trio.Nursery,
    monkeypatch: pytest.MonkeyPatch,
    answer: bytes,
    why: str,
) -> None:
    async def serve(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(answer)

    seen = await seen_of(nursery, monkeypatch, serve)

    assert Counter(seen.lost) == {why: GETS}
    assert not seen.latencies_s
