"""What an app writes beside the strict grammar crosses as if it had been strict, and once."""

from __future__ import annotations

import pytest
import trio

from protocol.http.fields import Fields
from tests.origin_fakes import OK, SWITCHED, a_shared_app, broken, failure, whole

LOOSE_OK = OK.replace(b"\r\n", b"\n")
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
NTLM: Fields = ((b"Authorization", b"NTLM TlRMTVNTUAADAAAA"),)


@pytest.mark.parametrize(
    "answer",
    [
        LOOSE_OK,
        OK.replace(b"Length: 2", b"Length: 2, 2"),
        OK.replace(b"\r\n\r\n", b"\r\nContent-Length: 2\r\n\r\n"),
        OK.replace(b"\r\n\r\n", b"\r\nX : y\r\n\r\n"),
        b"HTTP/1.1 103 Early Hints\nLink: </a>\n\n" + OK,
        CHUNKED + b"2 \r\nok\r\n0\r\n\r\n",
        CHUNKED + b"2\r\nok\r\n0\n\r\n",
        CHUNKED + b"2\r\nok\r\n0\r\nA : b\r\n\r\n",
    ],
)
async def test_after_a_lenient_answer_the_next_request_comes_by_another_connection(
    answer: bytes,
) -> None:
    async with a_shared_app() as (tunnel, origin):
        stream = tunnel.open()
        app = await origin.accept()
        await app.request()
        await app.send(answer)
        head = await stream.receive_head()
        if head.status == 103:
            head = await stream.receive_head()
        assert (head.status, await whole(stream)) == (200, b"ok")
        assert not head.closes  # the app has not said so, and the visitor's connection lives on
        with trio.fail_after(5):
            assert await app.rest() == b""
        stream = tunnel.open()
        app = await origin.accept()
        await app.request()
        await app.send(OK)
        assert await tunnel.answer(stream) == (200, b"ok")


async def test_one_length_crosses_and_no_space() -> None:
    async with a_shared_app() as (tunnel, origin):
        stream = tunnel.open()
        app = await origin.accept()
        await app.request()
        await app.send(b"HTTP/1.1 200 OK\nA : b\ncontent-length: 2\nContent-Length: 2, 02\n\nok")
        head = await stream.receive_head()
        assert head.fields == ((b"A", b"b"), (b"content-length", b"2"))
        assert (head.body, await whole(stream)) == (2, b"ok")


async def test_a_refused_upgrade_may_be_lenient_and_a_101_may_not() -> None:
    async with a_shared_app() as (tunnel, origin):
        stream = tunnel.open_websocket()
        app = await origin.accept()
        await app.request()
        await app.send(LOOSE_OK)
        assert await tunnel.answer(stream) == (200, b"ok")
        stream = tunnel.open_websocket()
        app = await origin.accept()
        await app.request()
        await app.send(SWITCHED.replace(b"\r\n", b"\n"))
        code, _ = await failure(stream)
        assert code == "origin-protocol-error"


async def test_a_loose_line_that_has_two_readings_cuts_the_answer_off() -> None:
    async with a_shared_app() as (tunnel, origin):
        stream = tunnel.open()
        app = await origin.accept()
        await app.request()
        await app.send(CHUNKED + b"2 \r\nok")
        await stream.receive_head()
        await app.send(b"\n3\r\nbad\r\n")
        data, code, _ = await broken(stream)
        assert (data, code) == (b"ok", "origin-protocol-error")
        assert await app.is_reset()


async def test_a_bound_connection_is_not_used_again_either() -> None:
    async with a_shared_app() as (tunnel, origin):
        stream = tunnel.open(fields=NTLM, connection=1)
        app = await origin.accept()
        await app.request()
        await app.send(LOOSE_OK)
        head = await stream.receive_head()
        assert head.bound
        assert await whole(stream) == b"ok"
        assert await app.rest() == b""
        tunnel.open(connection=1)
        await origin.accept()


async def test_an_upload_goes_on_behind_a_lenient_answer() -> None:
    async with a_shared_app() as (tunnel, origin):
        stream = tunnel.open(b"POST", body=5)
        app = await origin.accept()
        await app.request()
        await app.send(LOOSE_OK)
        head = await stream.receive_head()
        assert not head.closes
        assert await whole(stream) == b"ok"
        await stream.send_all(b"later")
        stream.send_eof()
        assert await app.exactly(5) == b"later"
        await tunnel.all_over()
        assert await app.rest() == b""
