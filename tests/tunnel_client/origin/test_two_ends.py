"""An answer that ends does not end its request (RFC 9112 9.3, 9.6)."""

from __future__ import annotations

import hashlib

import pytest
import trio
import trio.testing

from protocol.drivers.bonds import Bonds, VisitorConnection
from protocol.drivers.sockets import is_readable
from protocol.drivers.stream import TunnelStream
from protocol.errors import StreamStopped
from protocol.http.fields import BodyForm
from tests.memory_streams import MemoryStream, a_dispatcher, an_open
from tests.origin_fakes import (
    OK,
    App,
    MemoryTunnel,
    PatientDialer,
    RawOrigin,
    a_shared_app,
    a_tunnel,
    failure,
    listen,
    whole,
)
from tunnel_client.origin.connection import OriginConnection
from tunnel_client.origin.replay import STALLED_S
from tunnel_client.origin.request import SENT_AT_ONCE_BYTES

MIB = 1024 * 1024
ACCEPTED = b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\nok"
CLOSES = ACCEPTED.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
CHUNKED = b"HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
REFUSED = b"HTTP/1.1 413 No\r\nContent-Length: 2\r\n\r\nno"
OLD = b"HTTP/1.0 202 Accepted\r\nContent-Length: 2\r\n\r\nok"


async def begun(stream: TunnelStream, app: App, answer: bytes) -> None:
    """The app has a part of the body, and its answer has come whole."""
    await app.request()
    await stream.send_all(b"begun")
    await app.exactly(5)
    await app.send(answer)
    await stream.receive_head()
    await whole(stream)
    await trio.testing.wait_all_tasks_blocked(0.01)


@pytest.mark.parametrize("answer", [ACCEPTED, CLOSES, CHUNKED, REFUSED, OLD])
async def test_the_upload_goes_on_behind_an_answer_that_has_ended(answer: bytes) -> None:
    body = hashlib.sha256(b"a body").digest() * (4 * MIB // 32)
    async with a_shared_app() as (tunnel, origin):
        stream = tunnel.open(b"POST", body=len(body))
        app = await origin.accept()
        await app.request()
        await app.send(answer)
        assert await whole_answer(stream) in (b"ok", b"no")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send, stream, body)
            assert await app.exactly(len(body)) == body
        await tunnel.all_over()
        assert stopped(stream) is None
        assert tunnel.told.requests()[0][1:] == (len(body), 2, None, 0)


def stopped(stream: TunnelStream) -> str | None:
    """Asked anew each time, which mypy does not know of a property."""
    return stream.stopped


async def whole_answer(stream: TunnelStream) -> bytes:
    await stream.receive_head()
    return await whole(stream)


async def send(stream: TunnelStream, body: bytes) -> None:
    await stream.send_all(body)
    stream.send_eof()


@pytest.mark.parametrize(
    ("answer", "closes"), [(ACCEPTED, False), (CHUNKED, False), (CLOSES, True), (OLD, True)]
)
async def test_the_connection_serves_nobody_else_once_both_have_ended(
    answer: bytes, closes: bool
) -> None:
    """Who has answered without the body may take that for the next request."""
    async with a_shared_app() as (tunnel, origin):
        stream = tunnel.open(b"POST", body="chunked")
        app = await origin.accept()
        await app.request()
        await app.send(answer)
        assert (await stream.receive_head()).closes is closes
        await whole(stream)
        await send(stream, b"later")
        assert await app.exactly(15) == b"5\r\nlater\r\n0\r\n\r\n"
        await tunnel.all_over()
        await comes_by_a_new_one(tunnel, origin)
        assert await app.rest() == b""  # closed, and not reset


async def comes_by_a_new_one(tunnel: MemoryTunnel, origin: RawOrigin) -> None:
    stream = tunnel.open()
    app = await origin.accept()
    await app.request()
    await app.send(OK)
    assert await tunnel.answer(stream) == (200, b"ok")


EVIL = b"GET /evil HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.mark.parametrize("at_once", [True, False])
async def test_a_body_that_the_app_takes_for_a_request_answers_nobody_else(at_once: bool) -> None:
    """An app that reads no bodies: what a visitor sends as one is answered in its place."""
    async with a_shared_app() as (tunnel, origin):
        stream = tunnel.open(b"POST", body=len(EVIL))
        if at_once:
            await send(stream, EVIL)
        app = await origin.accept()
        await app.request()
        await app.send(ACCEPTED)
        assert await whole_answer(stream) == b"ok"
        if not at_once:
            await send(stream, EVIL)
        assert await app.request() == EVIL
        await tunnel.all_over()
        await comes_by_a_new_one(tunnel, origin)


async def test_a_connection_that_ntlm_has_bound_goes_on_behind_an_early_answer() -> None:
    """It is the same visitor's, whose log-in takes three requests on one connection."""
    challenge = b"HTTP/1.1 401 x\r\nWWW-Authenticate: NTLM\r\nContent-Length: 2\r\n\r\nno"
    async with a_shared_app() as (tunnel, origin):
        stream = tunnel.open(b"POST", body=10, connection=1)
        app = await origin.accept()
        await begun(stream, app, challenge)
        await send(stream, b"ended")
        assert await app.exactly(5) == b"ended"
        await tunnel.all_over()
        again = tunnel.open(b"POST", connection=1)
        await app.request()
        await app.send(OK)
        assert await tunnel.answer(again) == (200, b"ok")


async def test_another_request_is_not_sent_there_before() -> None:
    async with a_shared_app() as (tunnel, origin):
        stream = tunnel.open(b"POST", body=10)
        app = await origin.accept()
        await begun(stream, app, ACCEPTED)
        tunnel.open()
        assert (await (await origin.accept()).request()).startswith(b"GET ")
        assert origin.connections == 2


async def test_the_next_of_a_visitors_connection_comes_behind_the_end_of_the_one_before() -> None:
    """Pipelined, it may be here before that; the app sees them in their order, as on one wire."""
    async with a_shared_app() as (tunnel, origin):
        first = tunnel.open(b"POST", body=10, connection=1)
        app = await origin.accept()
        await begun(first, app, ACCEPTED)
        second = tunnel.open(connection=1)
        other = tunnel.open(connection=2)
        another = await origin.accept()
        await another.request()
        await another.send(OK)
        assert await tunnel.answer(other) == (200, b"ok")
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert not is_readable(another.stream)
        assert not origin.is_asked
        await send(first, b"ended")
        assert await app.rest() == b"ended"
        await another.request()
        await another.send(OK)
        assert await tunnel.answer(second) == (200, b"ok")
        await tunnel.all_over()


async def test_so_does_one_with_a_body_and_what_comes_behind_that() -> None:
    async with a_shared_app() as (tunnel, origin):
        first = tunnel.open(b"POST", body=10, connection=1)
        app = await origin.accept()
        await begun(first, app, ACCEPTED)
        second = await opened_behind(tunnel, origin)
        await app.send_eof()
        app = await origin.accept()
        assert (await app.request(2)).endswith(b"so")
        await app.send(REFUSED)
        await whole_answer(second)
        third = await opened_behind(tunnel, origin)
        await send(second, b"on")
        assert await app.rest() == b"on"
        app = await origin.accept()
        assert (await app.request(2)).endswith(b"so")
        await app.send(REFUSED)
        await whole_answer(third)
        await send(third, b"on")
        await tunnel.all_over()
        assert [status for status, *_ in tunnel.told.requests()] == [202, 413, 413]


async def opened_behind(tunnel: MemoryTunnel, origin: RawOrigin) -> TunnelStream:
    """One that the app gets nothing of as long as there is another before it."""
    stream = tunnel.open(b"POST", body=4, connection=1)
    await stream.send_all(b"so")
    await trio.testing.wait_all_tasks_blocked(0.01)
    assert not origin.is_asked
    return stream


@pytest.mark.parametrize("lost", [False, True])
async def test_one_that_waits_for_that_ends_with_its_visitor(lost: bool) -> None:
    async with a_shared_app() as (tunnel, origin):
        first = tunnel.open(b"POST", body=10, connection=1)
        app = await origin.accept()
        await begun(first, app, ACCEPTED)
        second = tunnel.open(b"POST", body=5, connection=1)
        await trio.testing.wait_all_tasks_blocked(0.01)
        if lost:
            tunnel.client.close("lost")
            await tunnel.dispatcher.wait_quiet()
            why = "the connection to the server was lost"
            assert {error for *_, error, _ in tunnel.told.requests()} == {why}
            return
        second.cancel("visitor-gone")
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert tunnel.told.requests() == [(None, 0, 0, "the visitor went away", 1)]
        third = tunnel.open(connection=1)  # the first one is awaited still
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert not origin.is_asked
        await send(first, b"ended")
        assert await app.rest() == b"ended"
        app = await origin.accept()
        await app.request()
        await app.send(OK)
        assert await tunnel.answer(third) == (200, b"ok")
        await tunnel.all_over()


async def test_so_does_one_that_is_given_up_before_its_task_has_begun() -> None:
    async with a_dispatcher() as (dispatcher, origin, told):
        connection = VisitorConnection(Bonds(), 1)
        upload = MemoryStream(an_open("http", b"POST", 10), ended=False)
        given_up = MemoryStream(an_open("http", b"GET", None))
        upload.visitor_connection = given_up.visitor_connection = connection
        dispatcher.serve(upload)
        await origin.accept()
        dispatcher.serve(given_up)
        given_up.stop()
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert dispatcher.busy_count == 1
        assert told.requests() == [(None, 0, 0, "the visitor went away", 1)]


@pytest.mark.parametrize("answer", [ACCEPTED, CLOSES, CHUNKED, REFUSED])
@pytest.mark.parametrize("reset", [False, True])
async def test_an_app_that_ends_its_connection_stops_the_upload(answer: bytes, reset: bool) -> None:
    async with a_shared_app() as (tunnel, origin):
        stream = tunnel.open(b"POST", body=100)
        app = await origin.accept()
        await begun(stream, app, answer)
        assert stopped(stream) is None
        if reset:
            app.reset()
        else:
            await app.send_eof()
        await tunnel.all_over()
        assert stopped(stream) == "no-error"
        if not reset:
            assert await app.is_reset()
        tunnel.open()
        await origin.accept()
        assert tunnel.told.requests()[0][3] is None


async def test_an_answer_until_close_that_ends_stops_the_upload() -> None:
    async with a_shared_app() as (tunnel, origin):
        stream = tunnel.open(b"POST", body=100)
        app = await origin.accept()
        await app.request()
        await app.send(b"HTTP/1.0 202 Accepted\r\n\r\nok")
        assert (await stream.receive_head()).closes
        await stream.send_all(b"begun")
        await app.exactly(5)
        assert stopped(stream) is None
        await app.send_eof()
        assert await whole(stream) == b"ok"
        await tunnel.all_over()
        assert stopped(stream) == "no-error"


@pytest.mark.parametrize("how", ["end", "reset", "close"])
async def test_what_was_answered_before_the_app_stopped_the_upload_comes_first(how: str) -> None:
    size = 3 * MIB
    async with a_shared_app() as (tunnel, origin):
        stream = tunnel.open(b"POST", body=100 * MIB)
        app = await origin.accept()
        head = b"HTTP/1.1 413 No\r\nContent-Length: %d\r\n\r\n" % size
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send_while_wanted, stream)
            await app.request()
            nursery.start_soon(answer_and_leave, app, head + bytes(size), how)
            assert (await stream.receive_head()).status == 413
            assert len(await whole(stream)) == size
        await tunnel.all_over()


async def answer_and_leave(app: App, answer: bytes, how: str) -> None:
    await app.send(answer)
    await trio.testing.wait_all_tasks_blocked(0.05)  # a reset would drop what is not read
    if how == "end":
        await app.send_eof()
    elif how == "reset":
        app.reset()
    else:
        await app.close()  # with unread bytes: a reset


async def send_while_wanted(stream: TunnelStream) -> None:
    with pytest.raises(StreamStopped, match="no-error"):
        await stream.send_all(bytes(100 * MIB))


async def test_what_the_app_says_behind_its_answer_does_not_stop_the_upload() -> None:
    """But the connection is not used again: it would be the next request's answer."""
    async with a_shared_app() as (tunnel, origin):
        stream = tunnel.open(b"POST", body=10)
        app = await origin.accept()
        await begun(stream, app, ACCEPTED)
        await app.send(b"HTTP/1.1 400 What\r\nContent-Length: 0\r\n\r\n")
        await send(stream, b"ended")
        assert await app.exactly(5) == b"ended"
        await tunnel.all_over()
        assert stopped(stream) is None
        tunnel.open()
        await origin.accept()


@pytest.mark.parametrize("code", ["visitor-gone", "cancelled"])
@pytest.mark.parametrize("takes", [False, True])
async def test_a_visitor_who_leaves_behind_the_answer_resets_the_app(
    code: str, takes: bool
) -> None:
    """Also where the app takes nothing of the body, and nobody reads what comes."""
    async with a_shared_app() as (tunnel, origin):
        stream = tunnel.open(b"POST", body=100 * MIB)
        app = await origin.accept()
        await begun(stream, app, ACCEPTED)
        if not takes:
            with trio.move_on_after(0.3):
                await stream.send_all(bytes(32 * MIB))
        stream.cancel(code)
        assert await app.is_reset()
        await tunnel.all_over()
        assert tunnel.told.requests()[0][3] == "the visitor went away"


async def test_a_server_of_version_1_gives_up_what_is_left_and_that_is_no_error() -> None:
    async with a_shared_app() as (tunnel, origin):
        stream = tunnel.open(b"POST", body=100)
        app = await origin.accept()
        await begun(stream, app, ACCEPTED)
        stream.cancel("no-error")
        assert await app.is_reset()
        await tunnel.all_over()
        assert tunnel.told.requests() == [(202, 5, 2, None, 0)]
        tunnel.open()
        await origin.accept()


async def test_a_visitor_who_ends_in_the_middle_behind_the_answer_is_seen_to() -> None:
    async with a_shared_app() as (tunnel, origin):
        stream = tunnel.open(b"POST", body=100)
        app = await origin.accept()
        await begun(stream, app, ACCEPTED)
        stream.reset("truncated", "the visitor ended the request in the middle")
        assert await app.rest() == b""  # FIN, and no reset
        await tunnel.all_over()
        assert "cut off" in str(tunnel.told.requests()[0][3])
        tunnel.open()
        await origin.accept()


async def test_a_session_that_is_lost_behind_the_answer_resets_the_app() -> None:
    async with a_shared_app() as (tunnel, origin):
        stream = tunnel.open(b"POST", body=100)
        app = await origin.accept()
        await begun(stream, app, ACCEPTED)
        tunnel.client.close("lost")
        assert await app.is_reset()
        await tunnel.dispatcher.wait_quiet()
        assert tunnel.told.requests()[0][3] == "the connection to the server was lost"


async def test_behind_the_answer_the_apps_time_does_not_run(
    mock_clock: trio.testing.MockClock,
) -> None:
    async with a_shared_app(origin_timeout_s=10) as (tunnel, origin):
        stream = tunnel.open(b"POST", body=10)
        app = await origin.accept()
        await begun(stream, app, ACCEPTED)
        mock_clock.jump(10_000)
        await trio.testing.wait_all_tasks_blocked(0.01)
        await send(stream, b"ended")
        assert await app.exactly(5) == b"ended"
        await tunnel.all_over()


@pytest.mark.parametrize("body", [10, "chunked"])
async def test_a_request_that_is_kept_in_memory_goes_on_as_well(body: BodyForm) -> None:
    async with a_dispatcher() as (dispatcher, origin, _):
        stream = MemoryStream(an_open("http", b"POST", body), b"begun", ended=False)
        dispatcher.serve(stream)
        app = await origin.accept()
        await app.request()
        await app.send(ACCEPTED)
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert stream.end == "end"
        stream.bring(b"ended", end=True)
        await dispatcher.wait_quiet()
        assert b"ended" in await app.exactly(10 if body == 10 else 20)


# --- time ----------------------------------------------------------------------------------------


async def test_an_app_that_has_answered_and_reads_nothing_more_stops_the_upload_in_the_end(
    mock_clock: trio.testing.MockClock,
) -> None:
    async with a_shared_app() as (tunnel, origin):
        stream = tunnel.open(b"POST", body=64 * MIB)
        app = await origin.accept()
        await begun(stream, app, ACCEPTED)
        async with trio.open_nursery() as nursery:

            async def send_on() -> None:
                with pytest.raises(StreamStopped):
                    await stream.send_all(bytes(63 * MIB))

            nursery.start_soon(send_on)
            await trio.testing.wait_all_tasks_blocked(0.05)  # nothing more fits anywhere
            mock_clock.jump(STALLED_S - 1)
            await trio.testing.wait_all_tasks_blocked(0.01)
            assert stopped(stream) is None
            mock_clock.jump(2)
        await tunnel.all_over()
        assert stopped(stream) == "no-error"
        error = tunnel.told.requests()[0][3]
        assert error == "the app took no more of the request for 300 s"


def full_at(monkeypatch: pytest.MonkeyPatch, end: bytes) -> None:
    """A write that ends so finds no room at the app, which no test can bring about by itself."""
    send = OriginConnection.send

    async def send_or_wait(self: OriginConnection, data: bytes) -> None:
        if data.endswith(end):
            await trio.sleep_forever()
        await send(self, data)

    monkeypatch.setattr(OriginConnection, "send", send_or_wait)


@pytest.mark.parametrize("behind_the_answer", [False, True])
async def test_an_app_that_takes_all_but_the_last_chunk_has_as_long(
    monkeypatch: pytest.MonkeyPatch, mock_clock: trio.testing.MockClock, behind_the_answer: bool
) -> None:
    full_at(monkeypatch, b"0\r\n\r\n")
    async with a_shared_app(origin_timeout_s=10) as (tunnel, origin):
        stream = tunnel.open(b"POST", body="chunked")
        app = await origin.accept()
        await app.request()
        if behind_the_answer:
            await app.send(ACCEPTED)
            await whole_answer(stream)
        await send(stream, b"begun")
        assert await app.exactly(10) == b"5\r\nbegun\r\n"
        await trio.testing.wait_all_tasks_blocked(0.01)
        mock_clock.jump(STALLED_S - 1 if behind_the_answer else 9)
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert tunnel.told.requests() == []
        mock_clock.jump(3)
        assert await app.is_reset()
        if not behind_the_answer:
            assert (await failure(stream))[0] == "origin-timeout"
        await tunnel.all_over()
        [(_, _, _, error, _)] = tunnel.told.requests()
        assert str(error).startswith("the app took no more") is behind_the_answer


async def test_an_app_that_answers_and_takes_nothing_of_a_body_that_was_there_has_as_long(
    monkeypatch: pytest.MonkeyPatch, mock_clock: trio.testing.MockClock
) -> None:
    """Of more than leaves at once the first piece is written by the task of the rest."""
    full_at(monkeypatch, bytes(100))
    origin = await listen()
    async with a_tunnel(PatientDialer(origin.target)) as tunnel:
        stream = tunnel.open(b"POST", body=SENT_AT_ONCE_BYTES + 1)
        await send(stream, bytes(SENT_AT_ONCE_BYTES + 1))
        app = await origin.accept()
        await app.send(ACCEPTED)
        await whole_answer(stream)
        await trio.testing.wait_all_tasks_blocked(0.01)
        mock_clock.jump(STALLED_S + 2)
        assert await app.is_reset()
        await tunnel.all_over()
    await origin.end()
