"""An answer that ends does not end its request, as a visitor sees it (RFC 9112 9.3, 9.6)."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from protocol.drivers.stream import TunnelStream
from protocol.errors import StreamReset
from protocol.http.fields import BodyForm
from protocol.mux.messages import Head
from tests.edge_fakes import (
    HELLO,
    Visitor,
    World,
    answer,
    get,
    head,
    open_world,
    tunnel_error,
)
from tunnel_server.visitors.requests import BODY_TIMEOUT_S

POST = b"POST / HTTP/1.1\r\nHost: app.localhost\r\n"
UPLOAD = POST + b"Content-Length: 10\r\n\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
OLD = UPLOAD.replace(b"1.1", b"1.0")
ACCEPTED = b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\nok"
ACCEPTED_AND_CLOSE = ACCEPTED.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")


class EarlyApp:
    """Answers each request at once, and then reads it to its end, and a GET with hello."""

    def __init__(self, said: Head, stops: trio.Event | None = None) -> None:
        self.bodies: list[bytes] = []
        self.resets: list[str] = []
        self._said = said
        self._stops = stops

    async def __call__(self, stream: TunnelStream) -> None:
        if stream.opened.method == b"GET":
            await answer(stream, head(body=5), b"hello")
            return
        await answer(stream, self._said, b"ok")
        if self._stops is not None:
            await self._stops.wait()
            stream.stop_sending("no-error")
            return
        body = b""
        try:
            while data := await stream.receive_some():
                body += data
        except StreamReset as error:
            self.resets.append(error.code)
        self.bodies.append(body)


def accepted(body: BodyForm = 2, *, closes: bool | None = False) -> Head:
    return head(202, b"Accepted", body=body)._replace(closes=closes)


async def leaves(visitor: Visitor) -> None:
    await visitor.end()
    await visitor.done.wait()


@pytest.mark.parametrize(
    ("opening", "rest", "body"),
    [
        (UPLOAD + b"01234", b"56789", b"0123456789"),
        (CHUNKED + b"1\r\n0\r\n", b"1\r\n1\r\n0\r\n\r\n", b"01"),
    ],
)
async def test_the_connection_lives_on_and_the_next_request_begins_behind_the_body(
    world: World, opening: bytes, rest: bytes, body: bytes
) -> None:
    app = EarlyApp(accepted())
    client = await world.client(app)
    visitor = world.visit()
    await visitor.send(opening)
    await visitor.expect(ACCEPTED)
    await visitor.nothing_comes()
    await visitor.send(rest[:1])
    await visitor.nothing_comes()
    await visitor.send(rest[1:] + get())
    await visitor.expect(HELLO)
    assert app.bodies == [body]
    assert len(client.streams) == 2
    await leaves(visitor)
    await world.nothing_is_left()


async def test_a_pipelined_request_behind_the_body_waits_for_both_ends(world: World) -> None:
    app = EarlyApp(accepted())
    await world.client(app)
    visitor = world.visit()
    await visitor.send(UPLOAD + b"0123456789" + get())
    await visitor.expect(ACCEPTED + HELLO)
    assert app.bodies == [b"0123456789"]
    await leaves(visitor)


@pytest.mark.parametrize("asks", [b"", b"Connection: close\r\n"])
async def test_where_the_apps_answer_closes_the_upload_goes_on_and_then_the_connection_ends(
    world: World, asks: bytes
) -> None:
    app = EarlyApp(accepted(closes=True))
    await world.client(app)
    visitor = world.visit()
    await visitor.send(POST + asks + b"Content-Length: 10\r\n\r\n01234")
    await visitor.expect(ACCEPTED_AND_CLOSE)
    await visitor.nothing_comes()
    await visitor.send(b"56789" + get())
    assert await visitor.rest() == b""
    await leaves(visitor)
    assert app.bodies == [b"0123456789"]
    await world.nothing_is_left()


async def test_a_visitor_who_asks_to_close_is_not_told_so_before_its_end(world: World) -> None:
    app = EarlyApp(accepted())
    await world.client(app)
    visitor = world.visit()
    await visitor.send(POST + b"Connection: close\r\nContent-Length: 10\r\n\r\n01234")
    await visitor.expect(ACCEPTED)
    await visitor.nothing_comes()
    await visitor.send(b"56789" + get())
    assert await visitor.rest() == b""
    await leaves(visitor)
    assert app.bodies == [b"0123456789"]


@pytest.mark.parametrize(
    ("form", "closes", "says"),
    [
        (2, False, b""),  # curl would send no more
        (2, True, b"Connection: close\r\n"),
        ("chunked", False, b""),
        ("until-close", True, b"Connection: close\r\n"),
    ],
)
@pytest.mark.parametrize("asks", [b"", b"Connection: keep-alive\r\n"])
async def test_to_http_1_0_our_direction_ends_and_the_other_goes_on(
    world: World, form: BodyForm, closes: bool, says: bytes, asks: bytes
) -> None:
    app = EarlyApp(accepted(form, closes=closes))
    await world.client(app)
    visitor = world.visit()
    await visitor.send(OLD.replace(b"\r\n\r\n", b"\r\n" + asks + b"\r\n") + b"01234")
    length = b"Content-Length: 2\r\n" if form == 2 else b""
    assert await visitor.rest() == b"HTTP/1.1 202 Accepted\r\n" + length + says + b"\r\nok"
    assert app.bodies == []
    await visitor.send(b"56789")
    await leaves(visitor)
    await wait_all_tasks_blocked()
    assert app.bodies == [b"0123456789"]
    await world.nothing_is_left()


async def test_under_tls_http_1_0_has_its_end_once_both_have_ended(world: World) -> None:
    app = EarlyApp(accepted("chunked"))
    await world.client(app)
    visitor = await world.visit_by_tls()
    await visitor.send(OLD + b"01234")
    await visitor.expect(b"HTTP/1.1 202 Accepted\r\n\r\nok")
    await visitor.nothing_comes()
    await visitor.send(b"56789")
    assert await visitor.rest() == b""
    await visitor.stream.aclose()
    await visitor.done.wait()
    assert app.bodies == [b"0123456789"]


async def test_a_client_of_version_1_stops_the_upload_as_before(world: World) -> None:
    app = EarlyApp(accepted())
    await world.client(app, version=1)
    visitor = world.visit()
    await visitor.send(UPLOAD + b"0")
    assert await visitor.rest() == ACCEPTED_AND_CLOSE
    await leaves(visitor)
    await wait_all_tasks_blocked()
    assert (app.bodies, app.resets) == ([b"0"], ["no-error"])
    await world.nothing_is_left()


@pytest.mark.parametrize("more", [b"", b"1234"])
async def test_where_the_app_stops_the_upload_the_connection_ends_at_once(
    world: World, more: bytes
) -> None:
    """Also while the visitor sends nothing."""
    stops = trio.Event()
    await world.client(EarlyApp(accepted(), stops))
    visitor = world.visit()
    await visitor.send(UPLOAD + b"0")
    await visitor.expect(ACCEPTED)
    await visitor.nothing_comes()
    stops.set()
    await wait_all_tasks_blocked()
    await visitor.send(more)
    assert await visitor.rest() == b""
    await leaves(visitor)
    await world.nothing_is_left()


async def test_an_app_that_stops_what_was_read_whole_leaves_the_connection_alone(
    world: World,
) -> None:
    """A part of it still waits for credit; the next request is another matter."""
    stops = trio.Event()
    client = await world.client(EarlyApp(accepted(), stops))
    visitor = world.visit()
    await visitor.send(POST + b"Content-Length: 290000\r\n\r\n")
    await visitor.expect(ACCEPTED)
    await visitor.send(bytes(290_000))  # a window is 256 KiB
    await wait_all_tasks_blocked()
    stops.set()
    await wait_all_tasks_blocked()
    assert client.streams[0].reset_code == "no-error"
    await visitor.send(get())
    await visitor.expect(HELLO)
    await leaves(visitor)
    await world.nothing_is_left()


async def test_an_answer_goes_on_behind_an_upload_that_the_app_has_stopped(world: World) -> None:
    go = trio.Event()

    async def app(stream: TunnelStream) -> None:
        await stream.send_head(accepted(4))
        await stream.send_all(b"ok")
        stream.stop_sending("no-error")
        await go.wait()
        await stream.send_all(b"ok")
        stream.send_eof()

    await world.client(app)
    visitor = world.visit()
    await visitor.send(UPLOAD + b"0")
    await visitor.head()
    await visitor.expect(b"ok")
    await visitor.send(b"1234")
    await visitor.nothing_comes()
    go.set()
    assert await visitor.rest() == b"ok"
    await leaves(visitor)
    await world.nothing_is_left()


async def test_a_body_that_stalls_behind_its_answer_closes_without_a_408(
    world: World, autojump_clock: MockClock
) -> None:
    app = EarlyApp(accepted())
    await world.client(app)
    visitor = world.visit()
    await visitor.send(UPLOAD + b"0")
    await visitor.expect(ACCEPTED)
    began = trio.current_time()
    assert await visitor.rest() == b""
    assert BODY_TIMEOUT_S <= trio.current_time() - began <= BODY_TIMEOUT_S + 2
    await leaves(visitor)
    assert app.resets == ["cancelled"]
    await world.nothing_is_left()


async def test_an_idle_connection_has_its_75_s_from_the_end_of_the_body(
    world: World, autojump_clock: MockClock
) -> None:
    await world.client(EarlyApp(accepted()))
    visitor = world.visit()
    await visitor.send(UPLOAD + b"01234")
    await visitor.expect(ACCEPTED)
    await trio.sleep(200)  # the body has five minutes
    await visitor.send(b"56789")
    began = trio.current_time()
    assert await visitor.rest() == b""
    assert 75 <= trio.current_time() - began <= 77


async def test_a_visitor_who_ends_in_the_middle_behind_the_answer_is_told_nothing(
    world: World,
) -> None:
    app = EarlyApp(accepted())
    await world.client(app)
    visitor = world.visit()
    await visitor.send(UPLOAD + b"01234")
    await visitor.expect(ACCEPTED)
    await visitor.end()
    assert await visitor.rest() == b""
    await visitor.done.wait()
    await wait_all_tasks_blocked()
    assert (app.bodies, app.resets) == ([b"01234"], ["truncated"])
    await world.nothing_is_left()


async def test_a_body_that_is_no_http_behind_the_answer_closes(world: World) -> None:
    app = EarlyApp(accepted())
    await world.client(app)
    visitor = world.visit()
    await visitor.send(CHUNKED + b"1\r\n0\r\n")
    await visitor.expect(ACCEPTED)
    await visitor.send(b"zz\r\n")
    assert await visitor.rest() == b""
    await leaves(visitor)
    await wait_all_tasks_blocked()
    assert app.resets == ["cancelled"]
    await world.nothing_is_left()


async def test_a_visitor_who_resets_behind_the_answer_is_gone() -> None:
    async with open_world() as world:
        app = EarlyApp(accepted())
        await world.client(app)
        visitor = await world.visit_by_tcp()
        await visitor.send(UPLOAD + b"01234")
        await visitor.expect(ACCEPTED)
        await visitor.reset()
        await visitor.done.wait()
        await wait_all_tasks_blocked()
        assert app.resets == ["visitor-gone"]
        await world.nothing_is_left()


async def test_what_is_queued_for_the_app_goes_there_although_the_visitor_has_left(
    world: World,
) -> None:
    """It has its answer, and has sent all: nothing keeps it."""
    size, go = 60_000, trio.Event()
    got: list[int] = []

    async def app(stream: TunnelStream) -> None:
        await answer(stream, accepted(closes=True), b"ok")
        await go.wait()
        body = b""
        while data := await stream.receive_some():
            body += data
        got.append(len(body))

    await world.client(app)
    visitor = world.visit()
    await visitor.send(POST + b"Content-Length: %d\r\n\r\n" % size)
    await visitor.expect(ACCEPTED_AND_CLOSE)
    await visitor.send(bytes(size))
    await leaves(visitor)
    go.set()
    await wait_all_tasks_blocked()
    assert got == [size]
    await world.nothing_is_left()


async def test_a_session_that_is_lost_behind_the_answer_ends_the_connection(world: World) -> None:
    client = await world.client(EarlyApp(accepted()))
    visitor = world.visit()
    await visitor.send(UPLOAD + b"0")
    await visitor.expect(ACCEPTED)
    client.session.close("gone")
    assert await visitor.rest() == b""
    await leaves(visitor)


async def test_a_server_that_stops_waits_for_an_upload_behind_its_answer(world: World) -> None:
    app = EarlyApp(accepted())
    await world.client(app)
    visitor = world.visit()
    await visitor.send(UPLOAD + b"01234")
    await visitor.expect(ACCEPTED)
    await visitor.nothing_comes()
    [connection] = world.edge.connections
    connection.stop_when_idle()
    assert connection.busy
    await visitor.send(b"56789")
    await wait_all_tasks_blocked()
    assert app.bodies == [b"0123456789"]
    await leaves(visitor)


async def test_an_error_of_ours_still_ends_the_upload(world: World) -> None:
    async def app(stream: TunnelStream) -> None:
        await stream.send_head(accepted(None))  # where HTTP has a body
        stream.send_eof()

    client = await world.client(app)
    visitor = world.visit()
    await visitor.send(UPLOAD + b"0")
    assert tunnel_error(await visitor.rest()) == (502, "origin-protocol-error")
    assert client.streams[0].reset_code == "no-error"
    await leaves(visitor)


Ending = Callable[[Visitor], Awaitable[None]]


async def ends_the_body(visitor: Visitor) -> None:
    await visitor.send(b"56789")
    await visitor.end()


async def ends_in_the_middle(visitor: Visitor) -> None:
    await visitor.send(b"5")
    await visitor.end()


@pytest.mark.parametrize(("ending", "size"), [(ends_the_body, 10), (ends_in_the_middle, 6)])
async def test_the_record_is_written_once_when_both_have_ended(
    caplog: pytest.LogCaptureFixture, ending: Ending, size: int
) -> None:
    caplog.set_level(logging.DEBUG, "tunnel_server.visitors.tap")
    async with open_world() as world:
        await world.client(EarlyApp(accepted()))
        visitor = world.visit()
        await visitor.send(UPLOAD + b"01234")
        await visitor.expect(ACCEPTED)
        await visitor.nothing_comes()
        assert caplog.messages == []
        await ending(visitor)
        await visitor.done.wait()
        [said] = caplog.messages
        assert f"POST 202, {size} bytes in, 2 bytes out" in said
