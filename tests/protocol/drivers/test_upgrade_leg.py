"""The leg alone: the test is the stream on one side and the peer on the other."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from protocol.drivers.upgrade_leg import UpgradeLeg

DATA = b"\x82\x03abc"
MASKED = b"\x82\x83\0\0\0\0abc"
CLOSE = b"\x88\x02\x03\xe8"
MASKED_CLOSE = b"\x88\x82\0\0\0\0\x03\xe8"
PART_OF_A_CLOSE = b"\x88\x02\x03"
AFTER_S = 20.0


class Source:
    """A stream whose other end is the test."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.ended = False
        self.sent = b""
        self._woken = trio.Event()

    @property
    def receive_ended(self) -> bool:
        return self.ended and not self.pieces

    @property
    def is_readable(self) -> bool:
        return bool(self.pieces) or self.ended

    def take_some(self) -> bytes:
        return self.pieces.pop(0) if self.pieces else b""

    async def receive_some(self) -> bytes:
        while not self.is_readable:
            await self.wait_readable()
        return self.take_some()

    async def send_all(self, data: bytes) -> None:
        self.sent += data

    async def wait_readable(self) -> None:
        await self._woken.wait()
        self._woken = trio.Event()

    def wake_reader(self) -> None:
        self._woken.set()

    def bring(self, *pieces: bytes) -> None:
        self.pieces += pieces
        self.wake_reader()

    def end(self) -> None:
        self.ended = True
        self.wake_reader()


class Peer:
    """Takes what is sent, but not before it is let."""

    def __init__(self) -> None:
        self.got = b""
        self.takes = trio.Event()
        self.takes.set()
        self.broken = False

    async def send(self, data: bytes) -> None:
        await self.takes.wait()
        if self.broken:
            raise trio.BrokenResourceError
        self.got += data


class Legs:
    def __init__(
        self, *, framed: bool = True, masked: bool = False, ping_after_s: float = 0.0
    ) -> None:
        self.source, self.peer = Source(), Peer()
        self.leg = UpgradeLeg(
            self.source,
            self.peer.send,
            framed=framed,
            masked=masked,
            ping_after_s=ping_after_s,
        )
        self.taken: list[bytes] = []
        self.returned: bool | None = None

    async def pump(self) -> None:
        self.returned = await self.leg.pump(self.taken.append)


@asynccontextmanager
async def pumping(
    *, framed: bool = True, masked: bool = False, ping_after_s: float = 0.0
) -> AsyncIterator[Legs]:
    legs = Legs(framed=framed, masked=masked, ping_after_s=ping_after_s)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(legs.pump)
        await wait_all_tasks_blocked()
        yield legs
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()


async def test_of_another_protocol_all_crosses_as_it_comes_and_nothing_is_added(
    autojump_clock: MockClock,
) -> None:
    ping_or_close = b"\x89\x02hi", b"\x88\x02\x03\xe8", b"\x89", b"\xff"
    async with pumping(framed=False, masked=True, ping_after_s=1) as legs:
        for piece in ping_or_close:
            legs.source.bring(piece)
            await wait_all_tasks_blocked()
            assert legs.peer.got.endswith(piece)
            assert legs.leg.from_peer.feed(piece) == piece
            assert not legs.leg.at_boundary
        legs.leg.sweep(trio.current_time() + 10)
        await wait_all_tasks_blocked()
        assert legs.peer.got == b"".join(ping_or_close)
    assert not legs.leg.to_peer.closed


async def test_what_the_stream_brings_is_told_and_goes_to_the_peer() -> None:
    async with pumping() as legs:
        legs.source.bring(DATA, DATA)
        await wait_all_tasks_blocked()
        assert (legs.peer.got, legs.taken) == (DATA * 2, [DATA, DATA])
        assert legs.leg.at_boundary


async def test_a_part_of_a_control_frame_is_held_until_the_streams_end() -> None:
    async with pumping() as legs:
        legs.source.bring(DATA + PART_OF_A_CLOSE)
        await wait_all_tasks_blocked()
        assert legs.peer.got == DATA
        assert legs.leg.at_boundary  # the part has not left
        legs.source.end()
        await wait_all_tasks_blocked()
        assert (legs.peer.got, legs.returned) == (DATA + PART_OF_A_CLOSE, True)


async def test_a_stop_wakes_the_pump_and_nothing_more_is_taken() -> None:
    async with pumping() as legs:
        legs.leg.stop()
        legs.source.bring(DATA)
        await wait_all_tasks_blocked()
        assert (legs.peer.got, legs.returned, legs.source.pieces) == (b"", False, [DATA])


async def test_what_is_being_sent_at_a_stop_goes_first() -> None:
    async with pumping() as legs:
        legs.peer.takes = trio.Event()
        legs.source.bring(DATA, DATA)
        await wait_all_tasks_blocked()
        assert legs.leg.sending
        assert not legs.leg.at_boundary
        legs.leg.stop()
        legs.peer.takes.set()
        await wait_all_tasks_blocked()
        assert (legs.peer.got, legs.returned) == (DATA, False)
        assert legs.leg.at_boundary


async def test_after_a_write_that_failed_no_frame_of_ours_may_go() -> None:
    legs = Legs()
    legs.peer.broken = True
    legs.source.bring(DATA)
    with pytest.raises(trio.BrokenResourceError):
        await legs.leg.pump()
    assert legs.leg.sending
    assert not legs.leg.at_boundary


async def test_after_a_write_that_was_cancelled_no_frame_of_ours_may_go() -> None:
    async with pumping() as legs:
        legs.peer.takes = trio.Event()
        legs.source.bring(DATA)
    assert legs.leg.sending
    assert not legs.leg.at_boundary


async def test_in_the_middle_of_a_frame_no_frame_of_ours_may_go() -> None:
    async with pumping() as legs:
        legs.source.bring(DATA[:4])
        await wait_all_tasks_blocked()
        assert not legs.leg.sending
        assert not legs.leg.at_boundary


@pytest.mark.parametrize("masked", [False, True])
async def test_a_close_of_ours_is_masked_as_the_peer_expects(masked: bool) -> None:
    legs = Legs(masked=masked)
    await legs.leg.close_peer(1001)
    assert legs.peer.got[:2] == (b"\x88\x82" if masked else b"\x88\x02")
    assert len(legs.peer.got) == (8 if masked else 4)


@pytest.mark.parametrize("masked", [False, True])
async def test_a_close_of_ours_into_the_stream_is_masked_as_the_other_end_expects(
    masked: bool,
) -> None:
    legs = Legs(masked=masked)
    await legs.leg.close_stream(1001)
    assert legs.source.sent[:2] == (b"\x88\x02" if masked else b"\x88\x82")
    assert len(legs.source.sent) == (4 if masked else 8)


async def test_no_close_of_ours_goes_behind_one_that_has_passed() -> None:
    legs = Legs()
    legs.leg.to_peer.feed(CLOSE)
    await legs.leg.close_peer(1001)
    legs.leg.from_peer.feed(MASKED_CLOSE)
    await legs.leg.close_stream(1001)
    assert (legs.peer.got, legs.source.sent) == (b"", b"")


async def test_what_comes_before_the_close_that_is_awaited_is_dropped() -> None:
    legs = Legs()
    legs.source.bring(DATA, DATA + CLOSE, DATA)
    await legs.leg.await_close()
    assert (legs.peer.got, legs.source.pieces) == (b"", [DATA])
    await legs.leg.await_close()  # it has passed
    assert legs.source.pieces == [DATA]


async def test_no_close_is_awaited_behind_the_streams_end() -> None:
    legs = Legs()
    legs.source.bring(DATA)
    legs.source.end()
    await legs.leg.await_close()
    assert legs.peer.got == b""


async def test_an_idle_peer_is_pinged_once(mock_clock: MockClock) -> None:
    async with pumping(ping_after_s=AFTER_S) as legs:
        mock_clock.jump(AFTER_S - 0.1)
        legs.leg.sweep(trio.current_time())
        await wait_all_tasks_blocked()
        assert legs.peer.got == b""
        mock_clock.jump(0.2)
        for _ in range(2):
            legs.leg.sweep(trio.current_time())
            await wait_all_tasks_blocked()
        assert legs.peer.got[:2] == b"\x89\x10"
        assert len(legs.peer.got) == 18
        pong = b"\x8a" + bytes([0x80 | 16]) + bytes(4) + legs.peer.got[2:]
        assert legs.leg.from_peer.feed(pong + MASKED) == MASKED
        assert legs.taken == []


async def test_what_is_sent_puts_a_ping_off(mock_clock: MockClock) -> None:
    async with pumping(ping_after_s=AFTER_S) as legs:
        mock_clock.jump(AFTER_S - 1)
        legs.source.bring(DATA)
        await wait_all_tasks_blocked()
        mock_clock.jump(AFTER_S - 1)
        legs.leg.sweep(trio.current_time())
        await wait_all_tasks_blocked()
        assert legs.peer.got == DATA


async def test_once_pings_have_ended_none_is_sent(mock_clock: MockClock) -> None:
    async with pumping(ping_after_s=AFTER_S) as legs:
        legs.leg.end_pings()
        mock_clock.jump(AFTER_S * 2)
        legs.leg.sweep(trio.current_time())
        legs.source.wake_reader()
        await wait_all_tasks_blocked()
        assert legs.peer.got == b""


async def test_a_leg_says_in_which_state_it_is() -> None:
    async with pumping() as legs:
        assert "open" in repr(legs.leg)
        legs.peer.takes = trio.Event()
        legs.source.bring(DATA)
        await wait_all_tasks_blocked()
        assert "sending" in repr(legs.leg)
    stopped = Legs().leg
    stopped.stop()
    assert "stopped" in repr(stopped)
