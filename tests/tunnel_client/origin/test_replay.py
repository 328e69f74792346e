from __future__ import annotations

import contextlib

import pytest
import trio
import trio.testing

from protocol.http.limits import HEAD_MAX_BYTES
from protocol.mux.messages import Head
from tests.origin_fakes import (
    OK,
    App,
    MemoryTunnel,
    RawOrigin,
    a_shared_app,
    broken,
    failure,
    whole,
)
from tunnel_client.origin.relay import LEADS_BACK

MIB = 1024 * 1024


async def exchange(tunnel: MemoryTunnel, origin: RawOrigin, answer: bytes) -> tuple[int, bytes]:
    """A GET that the app answers with these bytes, and closes."""
    stream = tunnel.open()
    app = await origin.accept()
    await app.request()
    await app.send(answer)
    await app.close()
    return await tunnel.answer(stream)


# --- the answer ----------------------------------------------------------------------------------


async def test_an_answer_crosses_with_reason_order_case_and_repeats() -> None:
    async with a_shared_app() as (tunnel, origin):
        stream = tunnel.open()
        app = await origin.accept()
        await app.request()
        await app.send(b"HTTP/1.1 299 So so\r\nb: 1\r\nA: 2\r\nB: 3\r\nContent-Length: 0\r\n\r\n")
        fields = ((b"b", b"1"), (b"A", b"2"), (b"B", b"3"), (b"Content-Length", b"0"))
        assert await stream.receive_head() == Head(299, b"So so", fields, 0)
        assert await whole(stream) == b""


async def test_hop_by_hop_fields_and_tunnel_error_do_not_cross() -> None:
    async with a_shared_app() as (tunnel, origin):
        stream = tunnel.open()
        app = await origin.accept()
        await app.request()
        await app.send(
            b"HTTP/1.1 103 Early Hints\r\nTunnel-Error: a\r\nLink: x\r\n\r\n"
            b"HTTP/1.1 200 OK\r\nTUNNEL-ERROR: b\r\nConnection: X-Hop, close\r\nX-Hop: 1\r\n"
            b"Keep-Alive: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nTunnel-Error: c\r\n\r\n"
        )
        assert await stream.receive_head() == Head(103, b"Early Hints", ((b"Link", b"x"),), None)
        assert await stream.receive_head() == Head(200, b"OK", (), "chunked", closes=True)
        assert await whole(stream) == b""
        assert stream.trailers == ()


@pytest.mark.parametrize(
    ("status", "field", "error"),
    [
        (b"508", b"Tunnel-Error: loop-detected", LEADS_BACK),
        (b"508", b"Tunnel-Error: overloaded", None),
        (b"508", b"X: loop-detected", None),
        (b"200", b"Tunnel-Error: loop-detected", None),
    ],
)
async def test_a_server_behind_it_that_has_seen_a_loop_is_told(
    status: bytes, field: bytes, error: str | None
) -> None:
    async with a_shared_app() as (tunnel, origin):
        answer = b"HTTP/1.1 %s x\r\n%s\r\nContent-Length: 2\r\n\r\nok" % (status, field)
        assert await exchange(tunnel, origin, answer) == (int(status), b"ok")
        await tunnel.all_over()
        assert tunnel.told.requests() == [(int(status), 0, 2, error, 0)]


async def test_what_is_cut_off_is_no_loop() -> None:
    async with a_shared_app() as (tunnel, origin):
        stream = tunnel.open()
        app = await origin.accept()
        await app.request()
        said = b"Tunnel-Error: loop-detected\r\nContent-Length: 2"
        await app.send(b"HTTP/1.1 508 x\r\n%s\r\n\r\n" % said)
        await stream.receive_head()
        await app.close()
        assert (await failure(stream))[0] == "truncated"


async def test_the_form_of_each_body_crosses_and_trailers_do() -> None:
    async with a_shared_app() as (tunnel, origin):
        chunked = (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nX: 1\r\n\r\n"
        )
        stream = tunnel.open()
        app = await origin.accept()
        await app.request()
        await app.send(chunked)
        assert (await stream.receive_head()).body == "chunked"
        assert await whole(stream) == b"ab"
        assert stream.trailers == ((b"X", b"1"),)
        stream = tunnel.open()
        await app.request()
        await app.send(b"HTTP/1.1 200 OK\r\n\r\nuntil")
        assert (await stream.receive_head()).body == "until-close"
        await app.send(b" close")
        await app.close()
        assert await whole(stream) == b"until close"


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        (b"HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
        (b"HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        (b"GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"),
        (b"GET", b"HTTP/1.1 204 No Content\r\n\r\n"),
    ],
)
async def test_an_answer_without_a_body_ends_with_its_head(method: bytes, answer: bytes) -> None:
    async with a_shared_app() as (tunnel, origin):
        stream = tunnel.open(method)
        app = await origin.accept()
        await app.request()
        await app.send(answer)
        head = await stream.receive_head()
        assert head.body is None
        assert await whole(stream) == b""
        # The connection is used again: nothing was taken for a body.
        stream = tunnel.open()
        await app.request()
        await app.send(OK)
        assert await tunnel.answer(stream) == (200, b"ok")


async def test_32_informational_heads_cross_and_33_do_not() -> None:
    early = b"HTTP/1.1 102 Processing\r\n\r\n"
    async with a_shared_app() as (tunnel, origin):
        assert await exchange(tunnel, origin, early * 32 + OK) == (200, b"ok")
        stream = tunnel.open()
        app = await origin.accept()
        await app.request()
        await app.send(early * 33 + OK)
        for _ in range(32):
            assert (await stream.receive_head()).status == 102
        code, message = await failure(stream)
        assert code == "origin-protocol-error"
        assert "informational" in message


async def test_a_100_is_the_apps_own_and_expect_reaches_it() -> None:
    async with a_shared_app() as (tunnel, origin):
        stream = tunnel.open(b"POST", body=2, fields=((b"Expect", b"100-continue"),))
        app = await origin.accept()
        assert b"\r\nExpect: 100-continue\r\n" in await app.request()
        await app.send(b"HTTP/1.1 100 Go on\r\n\r\n")
        assert (await stream.receive_head()).reason == b"Go on"
        await stream.send_all(b"ab")
        stream.send_eof()
        assert await app.exactly(2) == b"ab"
        await app.send(OK)
        assert await tunnel.answer(stream) == (200, b"ok")


async def test_head_body_and_end_that_are_there_leave_in_one_message() -> None:
    async with a_shared_app() as (tunnel, origin):
        stream = tunnel.open()
        app = await origin.accept()
        await app.request()
        sent = tunnel.client.core.sent.count
        message_counts: list[int] = []
        transport = tunnel.client._attachment._transport
        send = transport.send

        async def counting(message: bytes) -> None:
            message_counts.append(tunnel.client.core.sent.count - sent)
            await send(message)

        transport.send = counting  # type: ignore[method-assign]
        await app.send(OK)
        assert await tunnel.answer(stream) == (200, b"ok")
        assert 3 in message_counts  # head, data and end were packed before the first of them left
        assert not {1, 2} & set(message_counts)


# --- no HTTP -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", "no answer in HTTP"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "no answer in HTTP"),
        (b"\0\0\0\4\0\0\0\0\0", "no answer in HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok", "Content-Length"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\nx", "Content-Length"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n", "both"),
        (b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "Transfer-Encoding"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", "Transfer-Encoding"),
        (b"HTTP/1.1 200 OK\nContent-Length : 0\n\n", "NAME: VALUE"),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n", "101"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"a" * HEAD_MAX_BYTES + b"\r\n\r\n", "head of more than"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: 1\r\n" * 257 + b"\r\n", "256 fields"),
    ],
)
async def test_what_is_no_http_is_an_origin_protocol_error_that_says_so(
    answer: bytes, said: str
) -> None:
    async with a_shared_app() as (tunnel, origin):
        stream = tunnel.open()
        app = await origin.accept()
        await app.request()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send_while_it_is_taken, app, answer)
            code, message = await failure(stream)
        assert code == "origin-protocol-error"
        assert said in message
        assert str(origin.target) in message
        assert await app.is_reset()
        await tunnel.all_over()
        assert tunnel.told.requests() == [(502, 0, 0, message, 0)]


async def send_while_it_is_taken(app: App, data: bytes) -> None:
    with contextlib.suppress(trio.BrokenResourceError):
        await app.send(data)


@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 200", b"HTTP/1.1 102 x\r\n\r\n"])
@pytest.mark.parametrize("reset", [False, True])
async def test_an_app_that_closes_before_its_final_head_is_a_protocol_error(
    sent: bytes, reset: bool
) -> None:
    async with a_shared_app() as (tunnel, origin):
        stream = tunnel.open()
        app = await origin.accept()
        await app.request()
        await app.send(sent)
        if b"102" in sent:
            assert (await stream.receive_head()).status == 102
        if reset:
            app.reset()
        else:
            await app.close()
        code, message = await failure(stream)
        assert code == "origin-protocol-error"
        assert "closed the connection" in message


# --- truncation ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "reset"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbegun", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbegun", True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegun\r\n", False),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegun\r\n", True),
        (b"HTTP/1.1 200 OK\r\n\r\nbegun", True),
    ],
)
async def test_a_truncated_answer_is_reset_after_what_came_of_it(
    answer: bytes, reset: bool
) -> None:
    async with a_shared_app() as (tunnel, origin):
        stream = tunnel.open()
        app = await origin.accept()
        await app.request()
        await app.send(answer)
        await stream.receive_head()
        assert await stream.receive_some() == b"begun"
        if reset:
            app.reset()
        else:
            await app.close()
        rest, code, message = await broken(stream)
        assert (rest, code) == (b"", "truncated")
        assert "in the middle of its answer" in message
        await tunnel.all_over()
        assert tunnel.told.requests() == [(200, 0, 5, message, 0)]


async def test_a_reset_that_an_upload_meets_first_truncates_an_until_close_answer() -> None:
    """The kernel tells of a reset once; after the write that met it a read returns an end."""
    async with a_shared_app() as (tunnel, origin):
        stream = tunnel.open(b"POST", body="chunked")
        app = await origin.accept()
        await app.request()
        await app.send(b"HTTP/1.1 200 OK\r\n\r\nbegun")
        await stream.receive_head()
        assert await stream.receive_some() == b"begun"
        await trio.testing.wait_all_tasks_blocked()
        await stream.send_all(b"more")
        app.reset()
        assert (await broken(stream))[1] == "truncated"


async def test_broken_chunked_framing_breaks_the_answer_off() -> None:
    async with a_shared_app() as (tunnel, origin):
        stream = tunnel.open()
        app = await origin.accept()
        await app.request()
        await app.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegun\r\n")
        await stream.receive_head()
        assert await stream.receive_some() == b"begun"
        await app.send(b"x\r\n")
        rest, code, _ = await broken(stream)
        assert (rest, code) == (b"", "origin-protocol-error")
        assert await app.is_reset()


# --- the visitor goes away -----------------------------------------------------------------------


async def test_a_visitor_who_leaves_while_the_answer_is_awaited_resets_the_app() -> None:
    async with a_shared_app() as (tunnel, origin):
        stream = tunnel.open()
        app = await origin.accept()
        await app.request()
        stream.cancel("cancelled")
        assert await app.is_reset()
        await tunnel.all_over()
        assert tunnel.told.requests() == [(None, 0, 0, "the visitor went away", 0)]


async def test_what_a_stopping_server_ends_is_not_told_as_a_visitor_who_left() -> None:
    async with a_shared_app() as (tunnel, origin):
        stream = tunnel.open()
        app = await origin.accept()
        await app.request()
        tunnel.server.goaway("shutting-down", "the server stops", 8)
        stream.cancel("visitor-gone")
        assert await app.is_reset()
        await tunnel.all_over()
        assert tunnel.told.requests() == [(None, 0, 0, "the server is stopping", 0)]


async def test_a_visitor_who_leaves_in_the_middle_of_an_upload_resets_the_app() -> None:
    async with a_shared_app() as (tunnel, origin):
        stream = tunnel.open(b"POST", body="chunked")
        app = await origin.accept()
        await app.request()
        await stream.send_all(bytes(100))
        await app.exactly(100)
        stream.cancel("cancelled")
        assert await app.is_reset()
        await tunnel.all_over()


async def test_a_visitor_who_leaves_while_the_app_takes_nothing_resets_the_app() -> None:
    async with a_shared_app() as (tunnel, origin):
        stream = tunnel.open(b"POST", body="chunked")
        app = await origin.accept()
        await app.request()
        with trio.move_on_after(0.3):
            await stream.send_all(bytes(32 * MIB))  # more than all buffers hold
        stream.cancel("cancelled")
        assert await app.is_reset()
        await tunnel.all_over()


async def test_a_visitor_who_leaves_while_an_answer_waits_for_room_resets_the_app() -> None:
    async with a_shared_app() as (tunnel, origin):
        stream = tunnel.open()
        app = await origin.accept()
        await app.request()
        async with trio.open_nursery() as nursery:
            answer = b"HTTP/1.1 200 OK\r\n\r\n" + bytes(4 * MIB)
            nursery.start_soon(send_while_it_is_taken, app, answer)
            await stream.receive_head()
            await trio.testing.wait_all_tasks_blocked(0.05)
            stream.cancel("cancelled")
        await tunnel.all_over()
        assert tunnel.told.requests()[0][3] == "the visitor went away"


async def test_a_visitor_who_left_before_anything_began_reaches_no_app() -> None:
    async with a_shared_app() as (tunnel, origin):
        stream = tunnel.open()
        stream.cancel("cancelled")
        stream = tunnel.open()
        await trio.testing.wait_all_tasks_blocked()
        app = await origin.accept()
        await app.request()
        await app.send(OK)
        assert await tunnel.answer(stream) == (200, b"ok")
        assert origin.connections == 1


async def test_when_the_session_is_lost_the_app_is_reset() -> None:
    async with a_shared_app() as (tunnel, origin):
        tunnel.open()
        app = await origin.accept()
        await app.request()
        tunnel.client.close("lost")
        assert await app.is_reset()
        await tunnel.dispatcher.wait_quiet()
        assert tunnel.told.requests()[0][3] == "the connection to the server was lost"


# --- time ----------------------------------------------------------------------------------------


async def test_an_app_that_does_not_begin_its_answer_in_time_is_reset(
    mock_clock: trio.testing.MockClock,
) -> None:
    async with a_shared_app(origin_timeout_s=600) as (tunnel, origin):
        stream = tunnel.open()
        app = await origin.accept()
        await app.request()
        mock_clock.jump(599.5)
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert tunnel.dispatcher.busy_count == 1
        mock_clock.jump(2)
        code, message = await failure(stream)
        assert code == "origin-timeout"
        assert "600 s" in message
        assert await app.is_reset()


async def test_an_informational_head_gives_the_app_its_time_again(
    mock_clock: trio.testing.MockClock,
) -> None:
    async with a_shared_app(origin_timeout_s=10) as (tunnel, origin):
        stream = tunnel.open()
        app = await origin.accept()
        await app.request()
        await trio.testing.wait_all_tasks_blocked(0.01)
        mock_clock.jump(9)
        await app.send(b"HTTP/1.1 102 Processing\r\n\r\n")
        await stream.receive_head()
        mock_clock.jump(9)
        await app.send(OK)
        assert await tunnel.answer(stream) == (200, b"ok")


async def test_a_quiet_answer_has_no_limit_also_while_the_request_goes_on(
    mock_clock: trio.testing.MockClock,
) -> None:
    async with a_shared_app(origin_timeout_s=10) as (tunnel, origin):
        stream = tunnel.open(b"POST", body="chunked")
        app = await origin.accept()
        await app.request()
        await app.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
        await stream.receive_head()
        await stream.send_all(b"a")
        await app.exactly(6)
        await trio.testing.wait_all_tasks_blocked(0.01)
        mock_clock.jump(10_000)
        await trio.testing.wait_all_tasks_blocked(0.01)
        stream.send_eof()
        await app.exactly(5)
        await trio.testing.wait_all_tasks_blocked(0.01)
        mock_clock.jump(10_000)
        await trio.testing.wait_all_tasks_blocked(0.01)
        await app.send(b"ok")
        assert await whole(stream) == b"ok"
