from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from protocol.drivers.stream import TunnelStream
from protocol.http.fields import BodyForm
from protocol.mux.messages import Head
from tests.edge_fakes import (
    HELLO,
    HELLO_AND_CLOSE,
    App,
    World,
    answer,
    get,
    head,
    hello,
    open_world,
    tunnel_error,
)

POST = b"POST / HTTP/1.1\r\nHost: app.localhost\r\n"
OLD = b"GET / HTTP/1.0\r\nHost: app.localhost\r\n"


def says(said: Head, *pieces: bytes) -> App:
    """An app that gives this answer to everything."""

    async def app(stream: TunnelStream) -> None:
        await answer(stream, said, *pieces)

    return app


def breaks_off(said: Head, *pieces: bytes, code: str = "truncated") -> App:
    """An app whose answer is cut off."""

    async def app(stream: TunnelStream) -> None:
        await stream.send_head(said)
        for piece in pieces:
            await stream.send_all(piece)
        stream.reset(code)
        stream.stop_sending(code)

    return app


async def asked(world: World, app: App, sent: bytes) -> bytes:
    """All that comes for these bytes, with the visitor's direction still open."""
    await world.client(app)
    visitor = world.visit()
    await visitor.send(sent)
    raw = await visitor.rest()
    await visitor.end()
    await visitor.done.wait()
    await world.nothing_is_left()
    return raw


# --- errors of ours ------------------------------------------------------------------------------


def refuses(code: str = "origin-refused") -> App:
    async def app(stream: TunnelStream) -> None:
        stream.reset(code, "nothing listens on http://localhost:3000")
        stream.stop_sending(code)

    return app


async def test_what_came_with_post_gets_a_page_that_does_not_ask_again(world: World) -> None:
    fields = (b"Accept: text/html", b"Connection: close")
    assert b"<script>" in await asked(world, refuses(), get(b"/", *fields))
    posted = await asked(world, refuses(), get(b"/", *fields).replace(b"GET", b"POST"))
    assert b"<script>" not in posted
    assert b'<a href="">' in posted


async def test_a_ping_of_an_older_vite_gets_no_answer_at_all_instead_of_an_error(
    world: World,
) -> None:
    ping = b"GET / HTTP/1.1\r\nHost: app.localhost\r\nAccept: text/x-vite-ping\r\n\r\n"
    assert await asked(world, refuses(), ping) == b""
    unknown = ping.replace(b"app.", b"unknown.")
    assert await asked(world, refuses(), unknown) == b""


async def test_a_ping_gets_no_answer_from_a_server_that_is_not_ready(world: World) -> None:
    ping = b"GET /_tunnel/ready HTTP/1.1\r\nHost: localhost\r\nAccept: text/x-vite-ping\r\n\r\n"
    visitor = world.visit()
    await visitor.send(ping)
    assert (await visitor.head()).startswith(b"HTTP/1.1 200")  # no error yet
    world.directory.draining = True
    visitor = world.visit()
    await visitor.send(ping)
    assert await visitor.rest() == b""


async def test_a_ping_of_an_older_vite_gets_the_apps_own_answer(world: World) -> None:
    ping = b"GET / HTTP/1.1\r\nHost: app.localhost\r\nAccept: text/x-vite-ping\r\n"
    said = await asked(world, hello, ping + b"Connection: close\r\n\r\n")
    assert said == HELLO_AND_CLOSE


# --- when a head leaves --------------------------------------------------------------------------


async def test_head_body_and_end_that_are_ready_leave_in_one_write(world: World) -> None:
    writes: list[bytes] = []
    await world.client(says(head(body="chunked"), b"hello"))
    visitor = world.visit()

    await wait_all_tasks_blocked()
    (connection,) = world.edge.connections
    original = connection.send  # type: ignore[attr-defined]

    async def send(data: bytes) -> None:
        writes.append(data)
        await original(data)

    connection.send = send  # type: ignore[attr-defined]
    await visitor.send(get())
    expected = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    await visitor.expect(expected)
    assert writes == [expected]


async def test_a_head_leaves_before_its_body_comes(world: World) -> None:
    go = trio.Event()

    async def app(stream: TunnelStream) -> None:
        await stream.send_head(head(body=5))
        await go.wait()
        await stream.send_all(b"hello")
        stream.send_eof()

    await world.client(app)
    visitor = world.visit()
    await visitor.send(get())
    await visitor.expect(HELLO.removesuffix(b"hello"))
    await visitor.nothing_comes()
    go.set()
    await visitor.expect(b"hello")


# --- trailers ------------------------------------------------------------------------------------


async def test_trailers_cross_to_1_1_but_those_that_belong_in_a_head(world: World) -> None:
    async def app(stream: TunnelStream) -> None:
        await stream.send_head(head(body="chunked"))
        await stream.send_all(b"x")
        stream.send_eof(((b"X-Sum", b"1"), (b"Set-Cookie", b"a"), (b"Tunnel-Error", b"x")))

    await world.client(app)
    visitor = world.visit()
    await visitor.send(get())
    await visitor.expect(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX-Sum: 1\r\n\r\n"
    )


async def test_trailers_do_not_cross_to_1_0(world: World) -> None:
    async def app(stream: TunnelStream) -> None:
        await stream.send_head(head(body="chunked"))
        await stream.send_all(b"x")
        stream.send_eof(((b"X-Sum", b"1"),))

    raw = await asked(world, app, OLD + b"\r\n")
    assert raw == b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nx"


# --- early answers -------------------------------------------------------------------------------


async def early(stream: TunnelStream) -> None:
    """An app that refuses an upload without taking it."""
    await answer(stream, head(413, b"Too Large", body=4), b"stop")
    stream.stop_sending("no-error")


EARLY = b"HTTP/1.1 413 Too Large\r\nContent-Length: 4\r\nConnection: close\r\n\r\nstop"


@pytest.mark.parametrize("body", [b"", b"x" * 100, b"x" * 500_000])
async def test_an_early_answer_closes_and_is_followed_by_fin(world: World, body: bytes) -> None:
    raw = await asked(world, early, POST + b"Content-Length: 1000000\r\n\r\n" + body)
    assert raw == EARLY


@pytest.mark.parametrize("tunnelled", [True, False])
async def test_no_reset_eats_an_early_answer(tunnelled: bool) -> None:
    """A visitor that sends 900,000 bytes before it reads: closing with unread ones would reset."""
    async with open_world() as world:
        if tunnelled:
            await world.client(early)
        visitor = await world.visit_by_tcp()
        size = 900_000
        await visitor.send(POST + b"Content-Length: %d\r\n\r\n" % size + bytes(size))
        await visitor.end()
        raw = await visitor.rest()
        assert raw == EARLY if tunnelled else tunnel_error(raw) == (404, "tunnel-not-found")
        await visitor.done.wait()


# --- answers that break off ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "form", "expected"),
    [
        (get(), 10, b"Content-Length: 10\r\n\r\nhello"),
        (get(), "chunked", b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"),
        (get(), "until-close", b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"),
    ],
)
@pytest.mark.parametrize("lost", [False, True])
async def test_a_broken_answer_that_has_framing_closes_without_the_rest(
    sent: bytes, form: BodyForm, expected: bytes, lost: bool
) -> None:
    """By FIN: nothing of what came before is lost."""
    async with open_world() as world:
        client = await world.client(breaks_off(head(body=form), b"hello"))
        if lost:
            client = await world.client(begins(head(body=form), b"hello"))
        visitor = await world.visit_by_tcp()
        await visitor.send(sent)
        await visitor.expect(b"HTTP/1.1 200 OK\r\n" + expected)
        if lost:
            client.session.close("gone")
        assert await visitor.rest() == b""
        await visitor.done.wait()
        await world.nothing_is_left()


def begins(said: Head, *pieces: bytes) -> App:
    async def app(stream: TunnelStream) -> None:
        await stream.send_head(said)
        for piece in pieces:
            await stream.send_all(piece)

    return app


@pytest.mark.parametrize("form", ["chunked", "until-close"])
@pytest.mark.parametrize("lost", [False, True])
async def test_a_broken_answer_that_ends_with_the_connection_is_reset(
    form: BodyForm, lost: bool
) -> None:
    go = trio.Event()

    async def app(stream: TunnelStream) -> None:
        await begins(head(body=form), b"hello")(stream)
        await go.wait()
        stream.reset("truncated")

    async with open_world() as world:
        client = await world.client(app)
        visitor = await world.visit_by_tcp()
        await visitor.send(OLD + b"\r\n")
        await visitor.expect(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello")
        if lost:
            client.session.close("gone")
        else:
            go.set()
        with pytest.raises(trio.BrokenResourceError):
            await visitor.rest()
        await visitor.done.wait()
        await world.nothing_is_left()


async def test_trailers_that_break_the_rules_cut_the_answer_off(world: World) -> None:
    async def app(stream: TunnelStream) -> None:
        await stream.send_head(head(body="chunked"))
        await stream.send_all(b"x")
        stream.send_eof(((b"X", b"a\r\nb"),))

    raw = await asked(world, app, get())
    assert not raw.endswith(b"0\r\n\r\n")


# --- errors instead of an answer -----------------------------------------------------------------


def fails(code: str, message: str = "") -> App:
    async def app(stream: TunnelStream) -> None:
        stream.reset(code, message)
        stream.stop_sending(code)

    return app


@pytest.mark.parametrize(
    ("code", "status", "expected"),
    [
        ("origin-refused", 502, "origin-refused"),
        ("origin-untrusted", 502, "origin-untrusted"),
        ("origin-timeout", 504, "origin-timeout"),
        ("origin-protocol-error", 502, "origin-protocol-error"),
        ("overloaded", 503, "overloaded"),
        ("refused", 502, "tunnel-lost"),
        ("unsupported", 502, "tunnel-lost"),
        ("no-such-code", 502, "tunnel-lost"),
    ],
)
async def test_a_stream_that_is_reset_becomes_an_error_of_its_code(
    world: World, code: str, status: int, expected: str
) -> None:
    await world.client(fails(code, "the app at 10.1.2.3"))
    visitor = world.visit()
    for _ in range(2):  # and the connection lives on
        await visitor.send(get(b"/", b"Accept: application/json"))
        raw = await visitor.head()
        assert tunnel_error(raw) == (status, expected)
        length = int(raw.partition(b"Content-Length: ")[2].partition(b"\r\n")[0])
        # The client's words are for its own terminal: they may name what is inside.
        assert b"10.1.2.3" not in await visitor.receive(length)


async def test_an_error_after_informational_answers_is_an_error(world: World) -> None:
    async def app(stream: TunnelStream) -> None:
        await stream.send_head(head(103, b"Early Hints"))
        stream.reset("origin-refused")
        stream.stop_sending("origin-refused")

    await world.client(app)
    visitor = world.visit()
    await visitor.send(get())
    await visitor.expect(b"HTTP/1.1 103 Early Hints\r\n\r\n")
    assert tunnel_error(await visitor.head()) == (502, "origin-refused")


async def test_an_error_to_head_has_no_body(world: World) -> None:
    await world.client(fails("origin-refused"))
    visitor = world.visit()
    await visitor.send(b"HEAD / HTTP/1.1\r\nHost: app.localhost\r\n\r\n")
    assert tunnel_error(await visitor.head()) == (502, "origin-refused")
    await visitor.nothing_comes()


@pytest.mark.parametrize("body", [b"", b"hel", b"hello" + get(b"/smuggled")])
@pytest.mark.parametrize("host", [b"app.localhost", b"nobody.example", b"localhost"])
async def test_an_answer_of_ours_to_a_request_that_has_not_ended_closes(
    world: World, host: bytes, body: bytes
) -> None:
    visitor = world.visit()
    await visitor.send(b"POST / HTTP/1.1\r\nHost: %b\r\nContent-Length: 5\r\n\r\n" % host + body)
    assert b"\r\nConnection: close\r\n" in await visitor.head()
    assert b"HTTP/1.1" not in await visitor.rest()


async def test_an_error_in_the_middle_of_an_upload_closes(world: World) -> None:
    raw = await asked(world, fails("origin-refused"), POST + b"Content-Length: 5\r\n\r\nx")
    assert tunnel_error(raw) == (502, "origin-refused")
    assert b"\r\nConnection: close\r\n" in raw


@pytest.mark.parametrize("sent", [get(), POST + b"Content-Length: 5\r\n\r\nx"])
async def test_a_tunnel_that_is_lost_before_the_head_is_a_502(world: World, sent: bytes) -> None:
    async def never(stream: TunnelStream) -> None:
        await trio.sleep_forever()

    client = await world.client(never)
    visitor = world.visit()
    await visitor.send(sent)
    await wait_all_tasks_blocked()
    client.session.close("gone")
    assert tunnel_error(await visitor.head()) == (502, "tunnel-lost")


async def test_a_tunnel_that_is_lost_behind_a_whole_answer_does_no_harm(world: World) -> None:
    client = await world.client(hello)
    visitor = world.visit()
    await visitor.send(get())
    await wait_all_tasks_blocked()
    client.session.close("gone")
    await visitor.expect(HELLO)
    await visitor.send(get())
    assert tunnel_error(await visitor.head()) == (503, "tunnel-offline")


# --- a visitor who does not read -----------------------------------------------------------------


async def test_a_visitor_who_takes_nothing_for_5_minutes_is_dropped(
    world: World, autojump_clock: MockClock
) -> None:
    size = 10_000_000

    async def app(stream: TunnelStream) -> None:
        await answer(stream, head(body=size), *[bytes(100_000)] * 100)

    await world.client(app)
    visitor = world.visit(lockstep=True)
    await visitor.send(get())
    await visitor.head()
    for _ in range(3):
        await trio.sleep(299)
        assert await visitor.receive(65536)
    began = trio.current_time()
    await visitor.done.wait()
    assert 295 <= trio.current_time() - began <= 302
    await world.nothing_is_left()


async def test_an_app_is_held_back_by_a_visitor_who_does_not_read(
    world: World, autojump_clock: MockClock
) -> None:
    sent = 0

    async def app(stream: TunnelStream) -> None:
        nonlocal sent
        await stream.send_head(head(body="chunked"))
        for _ in range(1000):
            await stream.send_all(bytes(10_000))
            sent += 10_000
        stream.send_eof()

    await world.client(app)
    visitor = world.visit(lockstep=True)
    await visitor.send(get())
    await trio.sleep(100)
    assert sent < 600_000


# --- a server that stops -------------------------------------------------------------------------


async def test_while_the_server_stops_every_answer_closes(world: World) -> None:
    go = trio.Event()

    async def app(stream: TunnelStream) -> None:
        await go.wait()
        await hello(stream)

    await world.client(app)
    visitor, stranger = world.visit(), world.visit()
    await visitor.send(get())
    await stranger.send(b"GET / HTTP/1.1\r\nHost: ")
    await wait_all_tasks_blocked()
    world.directory.draining = True
    go.set()
    assert await visitor.rest() == HELLO_AND_CLOSE
    await stranger.send(b"nowhere.localhost\r\n\r\n")
    raw = await stranger.rest()
    assert tunnel_error(raw) == (404, "tunnel-not-found")
    assert b"\r\nConnection: close\r\n" in raw


async def test_a_truncated_answer_of_a_server_that_is_cancelled_is_reset() -> None:
    async with open_world() as world:
        await world.client(begins(head(body="until-close"), b"hello"))
        visitor = await world.visit_by_tcp()
        await visitor.send(OLD + b"\r\n")
        await visitor.expect(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello")
        world.tasks.cancel_scope.cancel()
        with trio.CancelScope(shield=True), pytest.raises(trio.BrokenResourceError):
            await visitor.rest()


# --- TLS -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [5, "until-close"])
async def test_under_tls_a_last_answer_ends_with_a_close_notify(
    world: World, form: BodyForm
) -> None:
    await world.client(says(head(body=form), b"hello"))
    visitor = await world.visit_by_tls()
    await visitor.send(OLD + b"\r\n")
    assert (await visitor.rest()).endswith(b"\r\n\r\nhello")
    await visitor.stream.aclose()
    await visitor.done.wait()
    await world.nothing_is_left()


async def test_under_tls_a_truncated_answer_ends_without_a_close_notify(world: World) -> None:
    go = trio.Event()

    async def app(stream: TunnelStream) -> None:
        await begins(head(body="until-close"), b"hello")(stream)
        await go.wait()
        stream.reset("truncated")

    await world.client(app)
    visitor = await world.visit_by_tls()
    await visitor.send(OLD + b"\r\n")
    await visitor.expect(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello")
    go.set()
    with pytest.raises(trio.BrokenResourceError):
        await visitor.rest()
    await visitor.done.wait()


async def test_under_tls_requests_share_a_connection_and_may_be_pipelined(world: World) -> None:
    await world.client(hello)
    visitor = await world.visit_by_tls()
    await visitor.send(get() + get())
    await visitor.expect(HELLO * 2)
    await visitor.send(get())
    await visitor.expect(HELLO)
