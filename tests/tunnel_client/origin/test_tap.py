from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from protocol.http.fields import Fields
from protocol.http.stopping import Verdict
from tests.memory_streams import MemoryStream, a_dispatcher, an_open
from tests.origin_fakes import KEY, SWITCHED
from tests.switched_apps import HELLO, MASKED
from tunnel_client.origin.tap import OriginTap, PlainTap
from tunnel_client.origin.visitor_stream import VisitorStream

GOING_AWAY = bytes([0x88, 2]) + (1001).to_bytes(2, "big")


class Kept:
    """A tap that keeps all it is shown."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, object]] = []

    def connecting(self) -> None:
        self.seen.append(("connecting", None))

    def connected(self) -> None:
        self.seen.append(("connected", None))

    def request_sent(self) -> None:
        self.seen.append(("request_sent", None))

    def request_trailers(self, fields: Fields) -> None:
        self.seen.append(("request_trailers", fields))

    def answer_trailers(self, fields: Fields) -> None:
        self.seen.append(("answer_trailers", fields))

    def own_frame(self, frame: bytes, to_app: bool) -> None:
        self.seen.append(("own_to_app" if to_app else "own_to_visitor", frame))

    def asked(self, head: bytes) -> None:
        self.seen.append(("asked", head))

    def body_in(self, data: bytes) -> None:
        self.seen.append(("body_in", data))

    def head(self, raw: bytes) -> None:
        self.seen.append(("head", raw))

    def body_out(self, data: bytes) -> None:
        self.seen.append(("body_out", data))

    def ended(self, error: str | None) -> None:
        self.seen.append(("ended", error))


def tell_all(tap: OriginTap) -> None:
    tap.connecting()
    tap.connected()
    tap.asked(b"GET")
    tap.body_in(b"ab")
    tap.request_trailers(())
    tap.request_sent()
    tap.head(b"200")
    tap.body_out(b"cde")
    tap.body_out(b"f")
    tap.answer_trailers(())
    tap.own_frame(b"", True)
    tap.ended("why")


def test_the_plain_tap_counts_and_hands_on() -> None:
    kept = Kept()
    tap = PlainTap(0.0, kept)
    tell_all(tap)
    assert (tap.bytes_in, tap.bytes_out) == (2, 4)
    assert [name for name, _ in kept.seen] == [
        *("connecting", "connected", "asked", "body_in", "request_trailers", "request_sent"),
        *("head", "body_out", "body_out", "answer_trailers", "own_to_app", "ended"),
    ]


def test_the_plain_tap_needs_no_other() -> None:
    tell_all(plain := PlainTap(0.0))
    assert (plain.bytes_in, plain.bytes_out, plain.status, plain.error) == (2, 4, None, None)


async def test_a_tap_sees_a_request_pass_as_the_app_gets_and_gives_it() -> None:
    kept = Kept()
    async with a_dispatcher(tap_for=lambda stream: kept) as (dispatcher, origin, _):
        stream = MemoryStream(an_open("http", b"POST", 6), b"ab", b"cdef")
        dispatcher.serve(stream)
        app = await origin.accept()
        request = await app.request(body_bytes=6)
        hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
        final = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"
        await app.send(hints + final + b"yes")
        await dispatcher.wait_quiet()
    assert kept.seen == [
        *[("connecting", None), ("connected", None)],
        *[
            ("asked", request[:-6]),
            ("body_in", b"ab"),
            ("body_in", b"cdef"),
            ("request_sent", None),
        ],
        *[("head", hints), ("head", final), ("body_out", b"yes"), ("ended", None)],
    ]


@pytest.mark.parametrize("pieces", [(b"ab",), (b"ab", b"cd")])
@pytest.mark.parametrize("ended", [True, False])
async def test_a_tap_hears_of_the_end_of_chunks_however_they_went(
    pieces: tuple[bytes, ...], ended: bool
) -> None:
    kept = Kept()
    async with a_dispatcher(tap_for=lambda stream: kept) as (dispatcher, origin, _):
        dispatcher.serve(MemoryStream(an_open("http", b"POST", "chunked"), *pieces, ended=ended))
        app = await origin.accept()
        await app.request()
        await wait_all_tasks_blocked(0.01)
        assert kept.seen.count(("request_sent", None)) == ended


async def test_a_tap_sees_the_frames_of_a_websocket() -> None:
    kept = Kept()
    async with a_dispatcher(tap_for=lambda stream: kept) as (dispatcher, origin, _):
        opened = an_open("websocket", b"GET", None, (b"Sec-WebSocket-Key", KEY))
        stream = MemoryStream(opened, ended=False)
        dispatcher.serve(stream)
        app = await origin.accept()
        await app.request()
        await app.send(SWITCHED + HELLO)
        stream.bring(MASKED, end=True)
        assert await app.rest() == MASKED
        await app.close()
        await dispatcher.wait_quiet()
    pieces = [(name, data) for name, data in kept.seen if name.startswith("body")]
    assert sorted(pieces) == [("body_in", MASKED), ("body_out", HELLO)]
    assert kept.seen[-1] == ("ended", None)


async def test_a_tap_sees_the_pings_and_closes_of_the_tunnel(mock_clock: MockClock) -> None:
    kept = Kept()
    shared = a_dispatcher(tap_for=lambda stream: kept, ws_keepalive_s=30.0)
    async with shared as (dispatcher, origin, _):
        opened = an_open("websocket", b"GET", None, (b"Sec-WebSocket-Key", KEY))
        stream = MemoryStream(opened, ended=False)
        dispatcher.serve(stream)
        app = await origin.accept()
        await app.request()
        await app.send(SWITCHED)
        await wait_all_tasks_blocked()
        mock_clock.jump(31)
        [replay] = dispatcher._busy
        replay.sweep(trio.current_time())
        ping = await app.exactly(22)
        replay.stop(Verdict.CLOSE)
        close = await app.exactly(8)
        await app.send(GOING_AWAY)
        stream.bring(close, end=True)
        await app.close()
        await dispatcher.wait_quiet()
    own = [(name, frame) for name, frame in kept.seen if name.startswith("own")]
    assert own[0] == ("own_to_app", ping)
    assert sorted(own[1:]) == [("own_to_app", close), ("own_to_visitor", GOING_AWAY)]


async def test_a_request_may_be_passed_over() -> None:
    asked: list[VisitorStream] = []

    def none_for(stream: VisitorStream) -> None:
        asked.append(stream)

    async with a_dispatcher(tap_for=none_for) as (dispatcher, _, told):
        stream = MemoryStream(an_open("tcp", b"GET", None))
        dispatcher.serve(stream)
        assert asked == [stream]
        assert told.requests()[0][0] == 502
