from __future__ import annotations

import gc
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from protocol.mux.messages import Open
from tests.memory_streams import MemoryStream, a_dispatcher, an_open
from tests.origin_fakes import KEY, SWITCHED, App, RawOrigin
from tests.switched_apps import HELLO, MASKED
from tests.turns import short_turns
from tunnel_client.inspector.capture import store as store_module
from tunnel_client.inspector.capture.body import NO_LONGER_KEPT, NOT_CAPTURED, PIECES_MAX, TOO_LONG
from tunnel_client.inspector.capture.exchange import KeptExchange
from tunnel_client.inspector.capture.sorting import Sorter
from tunnel_client.inspector.capture.store import CaptureStore
from tunnel_client.inspector.capture.tap import BODY_MAX_BYTES, CaptureTap, Kind
from tunnel_client.origin.dispatch import Dispatcher

MIB = 1024 * 1024
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
EPOCH = 1_800_000_000.0


def a_store(
    memory_bytes: int = 32 * MIB, *, most: int = 10_000, bodies: bool = True
) -> CaptureStore:
    return CaptureStore(
        memory_bytes=memory_bytes,
        bodies=bodies,
        exchanges_max=most,
        clock=trio.current_time,
        now=lambda: EPOCH,
    )


@asynccontextmanager
async def captured(store: CaptureStore) -> AsyncIterator[tuple[Dispatcher, RawOrigin]]:
    async with a_dispatcher(tap_for=store.tap_for) as (dispatcher, origin, _):
        yield dispatcher, origin


def opened_tap(store: CaptureStore, opened: Open | None = None) -> CaptureTap:
    tap = store.tap_for(MemoryStream(opened or an_open("http", b"GET", None)))
    assert tap is not None
    return tap


def got(store: CaptureStore, body: bytes = b"ok") -> CaptureTap:
    """A GET that is over."""
    tap = opened_tap(store)
    tap.asked(b"GET /a?b HTTP/1.1\r\n\r\n")
    tap.head(OK)
    tap.body_out(body)
    tap.ended(None)
    return tap


async def only(store: CaptureStore) -> KeptExchange:
    await store.sort()
    [exchange] = store.newest(2)
    return exchange


async def test_a_post_is_kept_as_the_app_got_it_and_answered_it() -> None:
    store = a_store()
    async with captured(store) as (dispatcher, origin):
        stream = MemoryStream(an_open("http", b"POST", 6), b"ab", b"cdef")
        dispatcher.serve(stream)
        app = await origin.accept()
        request = await app.request(body_bytes=6)
        hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
        await app.send(hints + OK + b"ok")
        await dispatcher.wait_quiet()
    exchange = await only(store)
    assert exchange.id == 1
    assert exchange.opened == stream.opened
    assert EPOCH - 60 < exchange.began <= EPOCH
    assert exchange.request.head == request[:-6]
    assert exchange.request.body is not None
    assert exchange.request.body.data() == b"abcdef"
    assert exchange.informational == [hints]
    assert exchange.answer.head == OK
    assert exchange.answer.body is not None
    assert exchange.answer.body.data() == b"ok"
    assert exchange.answer.body.is_whole
    assert (exchange.state, exchange.status, exchange.error) == ("over", 200, None)
    marks = exchange.marks
    assert not marks.reused
    assert not marks.retried
    times = [*marks[:6], marks.ended]
    assert all(time is not None for time in times)
    assert times == sorted(times, key=lambda time: time or 0.0)


async def test_trailers_are_kept_both_ways() -> None:
    store = a_store()
    async with captured(store) as (dispatcher, origin):
        stream = MemoryStream(an_open("http", b"POST", "chunked"), b"ab")
        dispatcher.serve(stream)
        app = await origin.accept()
        await app.request(body_bytes=len(b"2\r\nab\r\n0\r\nX-Checksum: 1\r\n\r\n"))
        chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        await app.send(chunked + b"1\r\nx\r\n0\r\nX-Sum: 2\r\n\r\n")
        await dispatcher.wait_quiet()
    exchange = await only(store)
    assert exchange.request.trailers == ((b"X-Checksum", b"1"),)
    assert exchange.answer.trailers == ((b"X-Sum", b"2"),)


async def asked_app(origin: RawOrigin) -> App:
    app = await origin.accept()
    await app.request()
    return app


async def test_a_connection_that_was_closed_under_a_get_is_a_retry() -> None:
    store = a_store()
    async with captured(store) as (dispatcher, origin):
        dispatcher.serve(MemoryStream(an_open("http", b"GET", None)))
        first = await asked_app(origin)
        await first.send(OK + b"ok")
        await dispatcher.wait_quiet()
        dispatcher.serve(MemoryStream(an_open("http", b"GET", None)))
        await first.request()
        await first.close()
        second = await asked_app(origin)
        await second.send(OK + b"ok")
        await dispatcher.wait_quiet()
    await store.sort()
    fresh, again = reversed(store.newest(2))
    assert (fresh.marks.reused, fresh.marks.retried) == (False, False)
    assert (again.marks.reused, again.marks.retried) == (True, True)
    assert again.status == 200


async def test_an_exchange_is_there_while_it_is_under_way_and_says_who_is_waited_for() -> None:
    store = a_store()
    async with captured(store) as (dispatcher, origin):
        stream = MemoryStream(an_open("http", b"POST", 4), b"ab", ended=False)
        dispatcher.serve(stream)
        exchange = await only(store)
        assert exchange.state == "tunnel"
        app = await origin.accept()
        await app.request(body_bytes=2)
        assert (await only(store)).state == "visitor"
        stream.bring(b"cd", end=True)
        await app.exactly(2)
        assert (await only(store)).state == "app"
        stream.detached = True
        assert (await only(store)).state == "tunnel"
        stream.detached = False
        await app.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nok")
        await trio.testing.wait_all_tasks_blocked()
        stream.unsent_bytes = 2
        assert (await only(store)).state == "visitor"
        assert (await only(store)).status == 200
        stream.unsent_bytes = 0
        await app.send(b"ok")
        await dispatcher.wait_quiet()
    before = store.seq
    assert (await only(store)).state == "over"
    assert exchange.seq > before
    assert store.stream_of(1) is None


async def test_a_request_that_fails_says_why() -> None:
    store = a_store()
    async with captured(store) as (dispatcher, _):
        dispatcher.serve(MemoryStream(an_open("tcp", b"GET", None)))
    exchange = await only(store)
    assert exchange.error == "this client serves no streams of kind tcp"
    assert (exchange.status, exchange.request.head, exchange.answer.head) == (None, None, None)


async def test_a_websocket_is_kept_as_frames() -> None:
    store = a_store()
    async with captured(store) as (dispatcher, origin):
        opened = an_open("websocket", b"GET", None, (b"Sec-WebSocket-Key", KEY))
        stream = MemoryStream(opened, ended=False)
        dispatcher.serve(stream)
        app = await asked_app(origin)
        await app.send(SWITCHED + HELLO)
        stream.bring(MASKED)
        await app.exactly(len(MASKED))
        await trio.testing.wait_all_tasks_blocked()
        assert (await only(store)).state == "open"
        stream.bring(end=True)
        assert await app.rest() == b""
        await app.close()
        await dispatcher.wait_quiet()
    exchange = await only(store)
    frames = exchange.frames
    assert frames is not None
    assert sorted(row.sender for row in frames.rows(0, 10)) == ["app", "visitor"]
    assert frames.messages == [1, 1]
    assert exchange.answer.body is None
    assert exchange.sizes_bytes == (len(MASKED), len(HELLO))
    assert (exchange.ended_by, frames.ended_how) == ("visitor", "end")


async def test_while_a_websocket_is_open_its_bytes_are_counted() -> None:
    store = a_store()
    tap = opened_tap(store, an_open("websocket", b"GET", None))
    tap.head(SWITCHED)
    tap.body_out(HELLO)
    exchange = await only(store)
    assert (exchange.state, exchange.sizes_bytes) == ("open", (0, len(HELLO)))
    tap.body_in(MASKED)
    assert (await only(store)).sizes_bytes == (len(MASKED), len(HELLO))
    assert (exchange.ended_by, exchange.frames and exchange.frames.ended_how) == (None, None)


async def test_without_bodies_frames_have_rows_and_nothing_of_what_they_say() -> None:
    store = a_store(bodies=False)
    tap = opened_tap(store, an_open("websocket", b"GET", None))
    tap.head(SWITCHED)
    secret = b"a secret"
    tap.body_out(bytes([0x81, len(secret)]) + secret)
    tap.body_in(bytes([0x81, 0x80 | len(secret)]) + b"\0\0\0\0" + secret)
    large = secret * 1000  # goes by the ring
    tap.body_out(b"\x02\x7e" + len(large).to_bytes(2, "big") + large)
    tap.body_out(b"\x89\x08" + secret)
    tap.body_out(b"\x88\x0a\x03\xe8" + secret)
    exchange = await only(store)
    frames = exchange.frames
    assert frames is not None
    rows = frames.rows(0, 9)
    assert [(row.sender, row.opcode, row.size_bytes, row.is_final, row.text) for row in rows] == [
        *[("app", 1, 8, True, ""), ("visitor", 1, 8, True, ""), ("app", 2, 8000, False, "")],
        *[("app", 9, 8, True, ""), ("app", 8, 10, True, "")],
    ]
    assert [row.close for row in rows] == [*[None] * 4, (1000, "")]
    assert all(row.problem is None for row in rows)
    assert not [segment for segment in store._ring._segments if secret in bytes(segment)]


async def test_without_bodies_only_their_sizes_are_kept() -> None:
    store = a_store(bodies=False)
    got(store)
    exchange = await only(store)
    body = exchange.answer.body
    assert body is not None
    assert (body.size_bytes, body.data(), body.why_not) == (2, b"", NOT_CAPTURED)


@pytest.mark.parametrize("piece_bytes", [1000, 65536])
@pytest.mark.parametrize("more", [0, 1])
async def test_of_a_body_its_first_mib_is_kept(piece_bytes: int, more: int) -> None:
    store = a_store()
    tap = opened_tap(store)
    whole = bytes(range(256)) * (BODY_MAX_BYTES // 256) + b"x" * more
    for at in range(0, len(whole), piece_bytes):
        tap.body_out(whole[at : at + piece_bytes])
    exchange = await only(store)
    body = exchange.answer.body
    assert body is not None
    assert body.size_bytes == len(whole)
    assert body.data() == whole[:BODY_MAX_BYTES]
    assert body.why_not == (TOO_LONG if more else None)


async def test_a_piece_that_is_larger_than_a_segment_is_kept_whole() -> None:
    store = a_store(2 * MIB)
    tap = opened_tap(store)
    whole = bytes(range(250)) * 4000
    tap.body_in(whole)
    exchange = await only(store)
    assert exchange.request.body is not None
    assert exchange.request.body.data() == whole


async def test_bodies_give_way_to_newer_ones_and_heads_stay() -> None:
    store = a_store(8 * MIB)
    for _ in range(12):
        got(store, b"x" * BODY_MAX_BYTES)
        await store.sort()
    oldest = store.get(1)
    newest = store.get(12)
    assert oldest is not None
    assert newest is not None
    assert oldest.answer.head == OK
    assert oldest.answer.body is not None
    assert (oldest.answer.body.why_not, oldest.answer.body.data()) == (NO_LONGER_KEPT, b"")
    assert newest.answer.body is not None
    assert newest.answer.body.is_whole


async def test_what_a_page_shows_is_kept_while_it_shows_it() -> None:
    store = a_store(8 * MIB)
    body = b"y" * (MIB // 2)
    got(store, body)
    exchange = await only(store)
    before = store.counts.used_bytes
    with store.keep_open(1), store.keep_open(1), store.keep_open(99):
        assert store.counts.used_bytes == before + len(body)
        for _ in range(12):
            got(store, b"x" * BODY_MAX_BYTES)
            await store.sort()
        assert exchange.answer.body is not None
        assert exchange.answer.body.data() == body
        assert store.counts.used_bytes <= 8 * MIB
    assert exchange.answer.body.data() == b""


async def test_so_many_are_kept_open_and_no_more() -> None:
    store = a_store()
    for _ in range(store_module.KEPT_OPEN_MAX + 1):
        got(store, b"y" * 5000)
    await store.sort()
    before = store.counts.used_bytes
    blocks = [store.keep_open(number + 1) for number in range(store_module.KEPT_OPEN_MAX + 1)]
    for block in blocks:
        block.__enter__()
    assert store.counts.used_bytes == before + 5000 * store_module.KEPT_OPEN_MAX
    for block in blocks:
        block.__exit__(None, None, None)
    assert store.counts.used_bytes == before


@pytest.mark.parametrize("more", [0, 1])
async def test_the_oldest_exchanges_give_way_and_are_counted(more: int) -> None:
    store = a_store(most=5)
    open_one = opened_tap(store)
    for _ in range(4 + more):
        got(store)
        await store.sort()
    assert [exchange.id for exchange in store.newest(9)] == [*range(5 + more, 1 + more, -1), 1]
    assert (store.counts.kept, store.counts.dropped) == (5, more)
    open_one.ended(None)
    await store.sort()
    assert store.first == 1


async def test_so_many_under_way_and_the_next_is_passed_over() -> None:
    store = a_store(most=3)
    for _ in range(2):
        opened_tap(store)
    await store.sort()
    opened_tap(store)
    assert store.tap_for(MemoryStream(an_open("http", b"GET", None))) is None
    assert store.counts.dropped == 1


async def test_heads_have_a_share_of_the_budget() -> None:
    store = a_store(MIB)
    for _ in range(40):
        tap = opened_tap(store)
        tap.asked(b"x" * 30_000)
        tap.ended(None)
        await store.sort()
        assert store.counts.used_bytes <= MIB
    assert 20 <= store.counts.kept < 27


async def test_informational_heads_have_a_limit() -> None:
    store = a_store()
    tap = opened_tap(store)
    for _ in range(300):
        tap.head(b"HTTP/1.1 103 Early Hints\r\nLink: " + b"x" * 1000 + b"\r\n\r\n")
    tap.head(OK)
    exchange = await only(store)
    assert 200 < len(exchange.informational) < 256
    assert exchange.answer.head == OK


async def test_what_waits_has_a_limit_and_what_is_beyond_is_counted() -> None:
    store = a_store(MIB)
    tap = opened_tap(store)
    for _ in range(200):
        tap.body_out(b"x" * 1000)
    exchange = await only(store)
    body = exchange.answer.body
    assert body is not None
    assert body.size_bytes == 200_000
    assert body.data() == b"x" * (1000 * (MIB // 8 // 1096 + 1))
    assert body.why_not == "too much came at once"
    assert store.counts.dropped_pieces == 1
    assert store._intake.waiting_bytes == 0


async def test_changes_are_told_in_order_and_each_exchange_once() -> None:
    store = a_store()
    first = opened_tap(store)
    second = opened_tap(store)
    await store.sort()
    seen = store.seq
    second.asked(b"GET")
    await store.sort()
    first.asked(b"GET")
    await store.sort()
    assert [exchange.id for exchange in store.changed_since(seen, 9)] == [2, 1]
    assert [exchange.id for exchange in store.changed_since(seen, 1)] == [2]
    assert store.changed_since(store.seq, 9) == []


async def test_who_waits_for_a_change_is_woken(autojump_clock: trio.testing.MockClock) -> None:
    store = a_store()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(store.run)
        await trio.testing.wait_all_tasks_blocked()
        got(store)
        await store.changed()
        assert store.newest(1)[0].state == "over"
        tap = opened_tap(store)
        await store.changed()
        tap.head(OK)
        await store.changed()
        nursery.cancel_scope.cancel()


async def test_an_idle_store_does_not_wake_up(autojump_clock: trio.testing.MockClock) -> None:
    store = a_store()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(store.run)
        got(store)
        await store.changed()
        await trio.sleep(1)
        statistics = trio.lowlevel.current_statistics()
        assert statistics.seconds_to_next_deadline == float("inf")
        nursery.cancel_scope.cancel()


async def test_clear_leaves_what_is_under_way() -> None:
    store = a_store()
    got(store)
    opened_tap(store)
    await store.sort()
    seen = store.seq
    store.clear()
    assert [exchange.id for exchange in store.newest(9)] == [2]
    assert store.seq > seen
    assert store.get(1) is None


async def test_a_fault_costs_its_exchange_alone(caplog: pytest.LogCaptureFixture) -> None:
    store = a_store()
    tap = opened_tap(store)
    tap.notes.append("a fault")
    got(store)
    await store.sort()
    assert "what was noted of request 1 cannot be sorted" in caplog.text
    assert store.newest(1)[0].status == 200
    assert store._intake.waiting_bytes <= 0


@pytest.mark.slow
async def test_turns_are_short() -> None:
    store = a_store()
    async with trio.open_nursery() as nursery:
        with short_turns():
            nursery.start_soon(store.run)
            for _ in range(5000):
                got(store)
            taps = [opened_tap(store, an_open("websocket", b"GET", None)) for _ in range(3)]
            for tap in taps:
                tap.head(SWITCHED)
                for _ in range(10):
                    tap.body_out(HELLO * 3000)
                    tap.body_in(MASKED * 2000)
            while store.counts.kept < 5003 or any(tap.notes for tap in taps):
                await store.changed()
        nursery.cancel_scope.cancel()
    assert store.counts.dropped_pieces == 0
    frames = store.newest(1)[0].frames
    assert frames is not None
    assert frames.count == 50_000


@pytest.mark.slow
async def test_ten_thousand_cost_the_collector_little() -> None:
    """It looks at whatever may be part of a circle, while everybody waits."""
    store = a_store(64 * MIB)
    for _ in range(10_000):
        got(store)
        if len(store._intake.opened) == 1000:
            await store.sort()
    assert store.counts.kept == 10_000
    gc.collect()
    began = time.thread_time()
    gc.collect()
    with_store_s = time.thread_time() - began
    del store
    gc.collect()
    began = time.thread_time()
    gc.collect()
    assert with_store_s - (time.thread_time() - began) < 0.030


async def test_a_fault_in_sorting_ends_no_transfer(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Nor does a store that is full, and drops what comes."""
    body = bytes(range(256)) * 8000
    store = a_store(MIB)
    async with captured(store) as (dispatcher, origin):
        stream = MemoryStream(an_open("http", b"GET", None))
        dispatcher.serve(stream)
        app = await asked_app(origin)
        await store.sort()
        monkeypatch.setattr(Sorter, "sort", None)
        await app.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
        for at in range(0, len(body), 65536):
            await app.send(body[at : at + 65536])
            await store.sort()
        await dispatcher.wait_quiet()
        await store.sort()
    assert stream.body == body
    assert "cannot be sorted" in caplog.text
    assert store.counts.used_bytes <= MIB


async def test_informational_heads_without_end_have_a_limit_in_all() -> None:
    store = a_store()
    tap = opened_tap(store)
    for _ in range(40):
        for _ in range(100):
            tap.head(b"HTTP/1.1 103 Early Hints\r\nLink: " + b"x" * 1000 + b"\r\n\r\n")
        await store.sort()
    tap.head(OK)
    exchange = await only(store)
    assert len(exchange.informational) < 512
    assert exchange.answer.head == OK


@pytest.mark.parametrize("more", [0, 1])
async def test_a_body_that_trickles_is_joined(more: int) -> None:
    store = a_store()
    tap = opened_tap(store)
    whole = bytes(n % 251 for n in range(PIECES_MAX + more))
    for at in range(len(whole)):
        tap.body_out(whole[at : at + 1])
        await store.sort()
    exchange = await only(store)
    body = exchange.answer.body
    assert body is not None
    assert body.data() == whole
    assert len(body._pieces) == (1 if more else PIECES_MAX)
    assert exchange.taken_bytes < (5_000 if more else 250_000)
    assert store.counts.used_bytes < 2 * MIB


async def test_gaps_of_both_directions_stay_few_while_nobody_takes_them_away() -> None:
    store = a_store(MIB)
    tap = opened_tap(store, an_open("websocket", b"GET", None))
    tap.head(SWITCHED)
    while store._intake.waiting_bytes <= store._intake.waiting_max_bytes:
        tap.body_in(b"x" * 20)
    before = len(tap.notes)
    for _ in range(1000):
        tap.body_in(b"x" * 20)
        tap.body_out(b"y" * 30)
    assert tap.notes[before::3] == [Kind.GAP_IN.value, Kind.GAP_OUT.value]
    assert tap.notes[before + 2 :: 3] == [(1000 * 20,), (1000 * 30,)]
    await store.sort()
    assert store.counts.dropped_pieces == 2
    assert store._intake.waiting_bytes == 0
