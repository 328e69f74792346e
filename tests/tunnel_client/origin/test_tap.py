from __future__ import annotations

from tests.memory_streams import MemoryStream, a_dispatcher, an_open
from tests.origin_fakes import KEY, SWITCHED
from tests.switched_apps import HELLO, MASKED
from tunnel_client.origin.tap import OriginTap, PlainTap
from tunnel_client.origin.visitor_stream import VisitorStream


class Kept:
    """A tap that keeps all it is shown."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, bytes | str | None]] = []

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


def test_the_plain_tap_counts_and_hands_on() -> None:
    kept = Kept()
    tap = PlainTap(0.0, kept)
    tap.asked(b"GET")
    tap.body_in(b"ab")
    tap.head(b"200")
    tap.body_out(b"cde")
    tap.body_out(b"f")
    tap.ended("why")
    assert (tap.bytes_in, tap.bytes_out) == (2, 4)
    assert [name for name, _ in kept.seen] == [
        *("asked", "body_in", "head", "body_out", "body_out", "ended")
    ]


def test_the_plain_tap_needs_no_other() -> None:
    tap: OriginTap = (plain := PlainTap(0.0))
    tap.asked(b"GET")
    tap.body_in(b"ab")
    tap.head(b"200")
    tap.body_out(b"cde")
    tap.ended(None)
    assert (plain.bytes_in, plain.bytes_out, plain.status, plain.error) == (2, 3, None, None)


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
        *[("asked", request[:-6]), ("body_in", b"ab"), ("body_in", b"cdef")],
        *[("head", hints), ("head", final), ("body_out", b"yes"), ("ended", None)],
    ]


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


async def test_a_request_may_be_passed_over() -> None:
    asked: list[VisitorStream] = []

    def none_for(stream: VisitorStream) -> None:
        asked.append(stream)

    async with a_dispatcher(tap_for=none_for) as (dispatcher, _, told):
        stream = MemoryStream(an_open("tcp", b"GET", None))
        dispatcher.serve(stream)
        assert asked == [stream]
        assert told.requests()[0][0] == 502
