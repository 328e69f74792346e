"""What visitors do under a fault: each checks every byte that it gets, and tells the ledger.

They take a `Place`, so that the same goes over loopback and over a line between namespaces.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager, suppress
from random import Random
from typing import Protocol

import trio

from tests.faults.ledger import FailedVisibly, GivenUp, Ledger
from tests.patience import PATIENCE
from tests.system.origin import blocks, digest
from tests.system.visitor import Answer, Visitor

# No fault of the suite lasts longer than this, with the heartbeat that it takes to notice it.
# An exchange without an end is wrong.
STUCK_S = 60 * PATIENCE
PIECE_BYTES = 16 << 10

Rest = Callable[[], Awaitable[object]]
SMALL_BYTES_MAX = 20_000


class Place(Protocol):
    """Where visitors come from, and who notes what they saw."""

    ledger: Ledger

    def visit(self, name: str = ...) -> AbstractAsyncContextManager[Visitor]:
        """A new connection to the server, for the app of this name."""


async def good(visitor: Visitor) -> Answer:
    """The head of a 200; an error of the tunnel's own is a failure that is told."""
    answer = await visitor.answer()
    if answer.error is not None:
        raise FailedVisibly(f"{answer.status} {answer.error}")
    assert answer.status == 200, answer
    return answer


async def get(place: Place, random: Random, name: str = "app") -> None:
    """A small page."""
    seed, size = random.randrange(1 << 30), random.randrange(SMALL_BYTES_MAX)
    progress = Progress()
    with place.ledger.exchange("get"), patience(progress):
        async with place.visit(name) as visitor:
            await visitor.request(f"/bytes?seed={seed}&size={size}")
            await whole(place.ledger, visitor, "get", seed, size, progress)


async def download(place: Place, random: Random, *, size_bytes: int, gated: bool = False) -> None:
    """A large one; if it is gated, the app keeps the last part of it until its gate is open."""
    seed = random.randrange(1 << 30)
    progress = Progress()
    with place.ledger.exchange("download"), patience(progress):
        async with place.visit() as visitor:
            gate = "&gated=1" if gated else ""
            await visitor.request(f"/bytes?seed={seed}&size={size_bytes}{gate}")
            await whole(place.ledger, visitor, "download", seed, size_bytes, progress)


@contextmanager
def patience(progress: Progress) -> Iterator[None]:
    """STUCK_S for the block; then AssertionError says how far it came."""
    with trio.move_on_after(STUCK_S) as scope:
        yield
    assert not scope.cancelled_caught, f"stuck at {progress!r}"


class Progress:
    """How far a download came, and since when it stands."""

    def __init__(self) -> None:
        self.count_bytes = 0
        self._began_at = self._moved_at = trio.current_time()

    def __repr__(self) -> str:
        now = trio.current_time()
        came = f"{self.count_bytes} bytes in {self._moved_at - self._began_at:.0f} s"
        return f"{came}, then nothing for {now - self._moved_at:.0f} s"

    def moved(self, count_bytes: int) -> None:
        self.count_bytes += count_bytes
        self._moved_at = trio.current_time()


async def whole(
    ledger: Ledger, visitor: Visitor, kind: str, seed: int, size: int, progress: Progress
) -> None:
    await good(visitor)
    seen = hashlib.sha256()
    async for data in visitor.body():
        seen.update(data)
        progress.moved(len(data))
        ledger.moved(kind, len(data))
    count = progress.count_bytes
    assert count == size, f"{count} bytes of {size}, and a proper end"
    assert seen.hexdigest() == digest(blocks(seed, size)), f"other bytes, seed {seed}"
    ledger.checked_bytes += size


async def upload(
    place: Place,
    random: Random,
    *,
    size_bytes: int,
    kind: str = "upload",
    rest: Rest = trio.lowlevel.checkpoint,
) -> None:
    """A POST, which rests before its last part; the app answers with the digest of what it got."""
    seed, number = random.randrange(1 << 30), f"{random.randrange(1 << 60):x}"
    body = blocks(seed, size_bytes)
    with place.ledger.exchange(kind), trio.fail_after(STUCK_S):
        async with place.visit() as visitor:
            length = [("Content-Length", str(size_bytes))]
            await visitor.request(f"/post?id={number}", "POST", length)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(send, place.ledger, visitor, body, kind, rest)
                await good(visitor)
                got = b"".join([data async for data in visitor.body()])
                nursery.cancel_scope.cancel()
        assert got.decode() == digest(body), f"other bytes, seed {seed}"
        place.ledger.checked_bytes += size_bytes


async def send(ledger: Ledger, visitor: Visitor, body: list[bytes], kind: str, rest: Rest) -> None:
    with suppress(trio.BrokenResourceError):  # whoever reads the answer is told how it ended
        for number, block in enumerate(body, start=1):
            if number == len(body):
                await rest()
            for start in range(0, len(block), PIECE_BYTES):
                piece = block[start : start + PIECE_BYTES]
                await visitor.send(piece)
                ledger.moved(kind, len(piece))
        await visitor.end()


async def post(place: Place, random: Random) -> None:
    """A small one, which the app must never see twice."""
    await upload(place, random, size_bytes=random.randrange(1, SMALL_BYTES_MAX), kind="post")


async def events(
    place: Place,
    random: Random,
    *,
    count: int,
    every_ms: int,
    name: str = "app",
    gated: bool = False,
) -> None:
    """A stream of server-sent events, with their numbers; if gated, as in `download`."""
    with place.ledger.exchange("events"), trio.fail_after(STUCK_S):
        async with place.visit(name) as visitor:
            gate = "&gated=1" if gated else ""
            await visitor.request(f"/count?events={count}&every_ms={every_ms}{gate}")
            await good(visitor)
            expected = 0
            async for event in lines(visitor):
                assert event == b"id: %d\ndata: %d" % (expected, expected), (event, expected)
                expected += 1
                place.ledger.moved("events")
            assert expected == count, f"{expected} events of {count}, and a proper end"


async def lines(visitor: Visitor) -> AsyncIterator[bytes]:
    rest = b""
    async for data in visitor.body():
        *whole_ones, rest = (rest + data).split(b"\n\n")
        for event in whole_ones:
            yield event
    assert not rest, f"{rest!r}, and a proper end"


async def gated(place: Place, name: str) -> None:
    """An answer in two halves, of which the second comes when the gate of the app is opened."""
    with place.ledger.exchange("gated"), trio.fail_after(STUCK_S):
        async with place.visit(name) as visitor:
            await visitor.request("/gate")
            await good(visitor)
            assert await anext(visitor.body()) == b"first,"
            place.ledger.moved("gated")
            assert b"".join([data async for data in visitor.body()]) == b"second"


async def give_up(place: Place, random: Random) -> None:
    """A visitor who leaves in the middle of a request or of an answer."""
    size = random.randrange(1, 600_000)
    with place.ledger.exchange("given up"), trio.fail_after(STUCK_S):
        async with place.visit() as visitor:
            if random.random() < 0.5:
                length = [("Content-Length", str(size))]
                await visitor.request("/sink", "POST", length)
                await visitor.send(bytes(random.randrange(size)))
            else:
                await visitor.request(f"/bytes?seed=1&size={size}")
                await read_some(visitor, random.randrange(size))
            if random.random() < 0.5:
                visitor.abort()
            raise GivenUp


async def read_some(visitor: Visitor, left: int) -> None:
    if left % 3 == 0:
        return  # not even the head
    await good(visitor)
    with trio.move_on_after(STUCK_S):
        async for data in visitor.body():
            left -= len(data)
            if left <= 0:
                return
