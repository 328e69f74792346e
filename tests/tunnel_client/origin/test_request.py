from __future__ import annotations

import pytest
import trio
import trio.testing

from protocol.drivers.stream import TunnelStream
from protocol.errors import StreamStopped
from protocol.http.fields import BodyForm
from tests.origin_fakes import (
    OK,
    PatientDialer,
    a_shared_app,
    a_tunnel,
    failure,
    host_line,
    listen,
    whole,
)
from tunnel_client.origin.connection import OriginClosed, OriginConnection
from tunnel_client.origin.request import SENT_AT_ONCE_BYTES

MIB = 1024 * 1024


# --- the request as the app sees it --------------------------------------------------------------


async def test_a_request_reaches_the_app_as_it_came_in_http_1_1() -> None:
    async with a_shared_app() as (tunnel, origin):
        fields = ((b"x-A", b"1"), (b"X-a", b"2"))
        stream = tunnel.open(b"PURGE", b"/a%2F?b", fields=fields)
        app = await origin.accept()
        expected = b"PURGE /a%2F?b HTTP/1.1\r\n" + host_line(origin) + b"x-A: 1\r\nX-a: 2\r\n\r\n"
        assert await app.request() == expected
        await app.send(OK)
        assert await tunnel.answer(stream) == (200, b"ok")


async def test_te_trailers_is_written_anew_for_the_app() -> None:
    async with a_shared_app() as (tunnel, origin):
        tunnel.open(fields=((b"TE", b"trailers"),))
        app = await origin.accept()
        head = await app.request()
        assert b"Connection: TE\r\nTE: trailers\r\n" in head
        assert head.count(b"TE: ") == 1


async def test_a_body_that_is_there_leaves_in_one_write_with_the_head() -> None:
    async with a_shared_app() as (tunnel, origin):
        stream = tunnel.open(b"POST", body=3)
        await stream.send_all(b"abc")
        stream.send_eof()
        app = await origin.accept()
        read = bytes(await app.stream.receive_some())
        assert read == b"POST / HTTP/1.1\r\n" + host_line(origin) + b"Content-Length: 3\r\n\r\nabc"
        await app.send(OK)
        assert await tunnel.answer(stream) == (200, b"ok")


async def test_a_body_that_comes_later_is_sent_as_it_comes() -> None:
    async with a_shared_app() as (tunnel, origin):
        stream = tunnel.open(b"POST", body=6)
        app = await origin.accept()
        await app.request()
        await stream.send_all(b"abc")
        assert await app.exactly(3) == b"abc"
        await stream.send_all(b"def")
        stream.send_eof()
        assert await app.exactly(3) == b"def"
        await app.send(OK)
        assert await tunnel.answer(stream) == (200, b"ok")
        await tunnel.all_over()
        assert tunnel.told.requests() == [(200, 6, 2, None, 0)]


async def test_a_chunked_body_and_its_trailers_reach_the_app_chunked() -> None:
    async with a_shared_app() as (tunnel, origin):
        stream = tunnel.open(b"POST", body="chunked")
        app = await origin.accept()
        assert b"\r\nTransfer-Encoding: chunked\r\n" in await app.request()
        await stream.send_all(b"hello")
        assert await app.exactly(10) == b"5\r\nhello\r\n"
        stream.send_eof(((b"X-Sum", b"7"), (b"Host", b"evil")))
        expected = b"0\r\nX-Sum: 7\r\n\r\n"
        assert await app.exactly(len(expected)) == expected
        await app.send(OK)
        assert await tunnel.answer(stream) == (200, b"ok")


async def test_a_large_body_and_a_large_answer_cross_at_the_same_time() -> None:
    size = 6 * MIB
    async with a_shared_app() as (tunnel, origin):
        stream = tunnel.open(b"POST", body=size)
        app = await origin.accept()
        await app.request()
        await app.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        head = await stream.receive_head()
        assert head.body == "chunked"

        async def visitor() -> None:
            for _ in range(size // MIB):
                await stream.send_all(bytes(MIB))
            stream.send_eof()

        async def echo() -> None:
            left = size
            while left:
                data = await app.exactly(min(left, 64 * 1024))
                left -= len(data)
                await app.send(b"%x\r\n%b\r\n" % (len(data), data))
            await app.send(b"0\r\n\r\n")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(visitor)
            nursery.start_soon(echo)
            assert len(await whole(stream)) == size
        await tunnel.all_over()
        assert tunnel.told.requests() == [(200, size, size, None, 0)]


@pytest.mark.parametrize("more", [0, 1])
@pytest.mark.parametrize("chunked", [False, True])
async def test_of_a_body_at_most_16_kib_are_sent_before_the_answer_is_awaited(
    monkeypatch: pytest.MonkeyPatch, more: int, chunked: bool
) -> None:
    senders: list[str] = []
    send = OriginConnection.send

    async def seen(connection: OriginConnection, data: bytes) -> None:
        senders.append(trio.lowlevel.current_task().name.rpartition(".")[2])
        await send(connection, data)

    monkeypatch.setattr(OriginConnection, "send", seen)
    framing = len(b"3ff3\r\n\r\n0\r\n\r\n") if chunked else 0
    size = SENT_AT_ONCE_BYTES + more - framing
    origin = await listen()
    async with a_tunnel(PatientDialer(origin.target)) as tunnel:
        stream = tunnel.open(b"POST", body="chunked" if chunked else size)
        await stream.send_all(bytes(size))
        stream.send_eof()
        app = await origin.accept()
        await app.request(size + framing)
        await app.send(OK)
        assert await tunnel.answer(stream) == (200, b"ok")
        assert senders == [["run", "_send_rest"][more]]
        assert await app.rest() == b""  # sent whole in both cases
    await origin.end()


async def test_an_app_that_answers_first_and_reads_later_does_not_stop_anything() -> None:
    async with a_shared_app() as (tunnel, origin):
        size = 4 * MIB
        stream = tunnel.open(b"POST", body=size)
        app = await origin.accept()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stream.send_all, bytes(size))
            head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (2 * size)
            nursery.start_soon(app.send, head + bytes(2 * size))
            assert (await stream.receive_head()).status == 200
            left = size
            while left > 0:
                left -= len(await stream.receive_some())
            await app.request(size)
            assert len(await whole(stream)) == size + left


async def test_bytes_that_are_no_http_request_are_the_other_ends_fault() -> None:
    async with a_shared_app() as (tunnel, origin):
        stream = tunnel.open(target=b"/a b")
        code, message = await failure(stream)
        assert code == "bad-request"
        assert "target" in message
        await tunnel.all_over()
        assert origin.connections == 0


# --- early answers -------------------------------------------------------------------------------


async def test_an_early_answer_is_read_although_the_app_took_nothing_and_closed() -> None:
    async with a_shared_app() as (tunnel, origin):
        size = 4 * MIB
        stream = tunnel.open(b"POST", body=size)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send_while_wanted, stream, size)
            app = await origin.accept()
            await app.send(b"HTTP/1.1 413 No\r\nContent-Length: 2\r\n\r\nno")
            await app.close()  # with unread bytes: a reset
            assert await tunnel.answer(stream) == (413, b"no")
        await tunnel.all_over()


async def send_while_wanted(stream: TunnelStream, size: int) -> None:
    with pytest.raises(StreamStopped, match="no-error"):
        await stream.send_all(bytes(size))


async def test_an_answer_is_not_early_when_all_of_a_long_body_was_sent() -> None:
    async with a_shared_app() as (tunnel, origin):
        stream = tunnel.open(b"POST", body=50_000)
        await stream.send_all(bytes(50_000))
        app = await origin.accept()
        await app.request(50_000)
        await app.send(OK)  # the end of the request has not come
        assert await tunnel.answer(stream) == (200, b"ok")
        stream.send_eof()
        await tunnel.all_over()
        assert stream.stopped is None
        assert await app.rest() == b""  # closed in good order


class Sends:
    """Stands in for OriginConnection.send: the first so many are real, the others fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, real: int) -> None:
        self._left = real
        self._send = OriginConnection.send
        monkeypatch.setattr(OriginConnection, "send", lambda *args: self._one(*args))

    async def _one(self, connection: OriginConnection, data: bytes) -> None:
        self._left -= 1
        if self._left < 0:
            await trio.lowlevel.checkpoint()
            raise OriginClosed
        await self._send(connection, data)


@pytest.mark.parametrize("body", [None, 3, "chunked"])
async def test_an_answer_is_read_although_the_head_could_not_be_sent(
    monkeypatch: pytest.MonkeyPatch, body: BodyForm
) -> None:
    Sends(monkeypatch, 0)
    async with a_shared_app() as (tunnel, origin):
        stream = tunnel.open(b"POST", body=body)
        app = await origin.accept()
        await app.send(OK)
        assert await tunnel.answer(stream) == (200, b"ok")
        assert await app.is_reset()  # not to be used again


async def test_an_answer_is_read_although_the_body_could_not_be_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Sends(monkeypatch, 1)
    async with a_shared_app() as (tunnel, origin):
        stream = tunnel.open(b"POST", body=30)
        app = await origin.accept()
        await app.request()
        await stream.send_all(b"begun")
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert stream.stopped == "no-error"
        await app.send(OK)
        assert await tunnel.answer(stream) == (200, b"ok")
        assert await app.is_reset()


async def test_an_answer_that_overtakes_the_news_of_the_last_write_is_not_early(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    send, receive = OriginConnection.send, OriginConnection.receive
    answer_came = trio.Event()

    async def late_send(connection: OriginConnection, data: bytes) -> None:
        await send(connection, data)
        if data == b"abc":
            await answer_came.wait()

    async def telling_receive(connection: OriginConnection, max_bytes: int) -> bytes:
        data = await receive(connection, max_bytes)
        answer_came.set()
        return data

    monkeypatch.setattr(OriginConnection, "send", late_send)
    monkeypatch.setattr(OriginConnection, "receive", telling_receive)
    async with a_shared_app() as (tunnel, origin):
        stream = tunnel.open(b"POST", body=3)
        app = await origin.accept()
        await app.request()
        await stream.send_all(b"abc")
        await app.exactly(3)
        await app.send(OK)
        assert await tunnel.answer(stream) == (200, b"ok")
        stream.send_eof()
        await tunnel.all_over()
        assert stream.stopped is None
        assert await app.rest() == b""  # closed in good order


# --- cut off -------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [100, "chunked"])
async def test_a_request_that_is_cut_off_ends_in_the_middle_and_its_answer_crosses(
    body: BodyForm,
) -> None:
    async with a_shared_app() as (tunnel, origin):
        stream = tunnel.open(b"POST", body=body)
        app = await origin.accept()
        await app.request()
        await stream.send_all(b"begun")
        stream.reset("truncated", "the visitor ended the request in the middle")
        assert await app.rest() == (b"begun" if body == 100 else b"5\r\nbegun\r\n")
        await app.send(b"HTTP/1.1 400 Short\r\nContent-Length: 0\r\n\r\n")
        assert await tunnel.answer(stream) == (400, b"")
        await tunnel.all_over()
        assert "cut off" in str(tunnel.told.requests()[0][3])
        tunnel.open()
        await origin.accept()  # and not the old connection


async def test_a_request_that_is_cut_off_and_not_answered_is_the_visitors_fault() -> None:
    async with a_shared_app() as (tunnel, origin):
        stream = tunnel.open(b"POST", body=100)
        app = await origin.accept()
        await app.request()
        stream.reset("truncated", "the visitor ended the request in the middle")
        await app.rest()
        await app.close()
        code, message = await failure(stream)
        assert code == "bad-request"
        assert "the visitor ended" in message


# --- time ----------------------------------------------------------------------------------------


async def test_the_apps_time_begins_anew_while_an_upload_moves_and_stands_while_it_stalls(
    mock_clock: trio.testing.MockClock,
) -> None:
    async with a_shared_app(origin_timeout_s=10) as (tunnel, origin):
        stream = tunnel.open(b"POST", body=3)
        app = await origin.accept()
        await app.request()
        await trio.testing.wait_all_tasks_blocked(0.01)
        mock_clock.jump(100)  # the visitor owes us
        for sent in (b"a", b"b", b"c"):
            await stream.send_all(sent)
            assert await app.exactly(1) == sent
            await trio.testing.wait_all_tasks_blocked(0.01)
            mock_clock.jump(9)
        stream.send_eof()
        mock_clock.jump(2)
        assert (await failure(stream))[0] == "origin-timeout"
