from __future__ import annotations

import ssl

import pytest
import trio
import trio.testing
import trustme

from tests.origin_fakes import App, RawOrigin, listen
from tunnel_client.origin.connection import OriginClosed, OriginConnection
from tunnel_client.origin.dial import Dialer


async def connected(origin: RawOrigin) -> tuple[OriginConnection, App]:
    stream = await Dialer(origin.target).open()
    return OriginConnection(stream), await origin.accept()


async def test_bytes_cross_both_ways_and_the_apps_end_is_an_end() -> None:
    origin = await listen()
    connection, app = await connected(origin)
    await connection.send(b"abc")
    assert await app.exactly(3) == b"abc"
    await app.send(b"de")
    assert await connection.receive() == b"de"
    await app.send_eof()
    assert await connection.receive() == b""
    await connection.send_eof()
    assert await app.rest() == b""
    await connection.aclose(1)
    await connection.aclose(1)
    await origin.end()


async def test_a_plain_connection_is_closed_without_a_wait_or_a_scope() -> None:
    origin = await listen()
    connection, app = await connected(origin)
    with trio.testing.assert_no_checkpoints():
        await connection.aclose(1)
    assert await app.rest() == b""
    await origin.end()


async def test_a_reset_is_no_end() -> None:
    origin = await listen()
    connection, app = await connected(origin)
    app.reset()
    with pytest.raises(OriginClosed):
        await connection.receive()
    await connection.aclose(1)
    await origin.end()


async def test_a_reset_that_a_write_met_is_no_end_for_the_next_read_either() -> None:
    origin = await listen()
    connection, app = await connected(origin)
    await app.send(b"last words")
    app.reset()
    with pytest.raises(OriginClosed):
        await connection.send(b"x")
    assert await connection.receive() == b"last words"
    with pytest.raises(OriginClosed):
        await connection.receive()
    await connection.aclose(1)
    await origin.end()


async def test_an_app_that_ended_its_direction_before_it_reset_has_ended_it() -> None:
    origin = await listen()
    connection, app = await connected(origin)
    await app.send(b"whole")
    await app.close()
    await connection.send(b"meets no error yet")
    with pytest.raises(OriginClosed):
        await connection.send(b"x")
    assert await connection.receive() == b"whole"
    assert await connection.receive() == b""
    await connection.aclose(1)
    await origin.end()


@pytest.mark.parametrize("reset", [False, True])
async def test_a_drop_wakes_who_reads_with_an_error(reset: bool) -> None:
    origin = await listen()
    connection, app = await connected(origin)

    async def read() -> None:
        with pytest.raises(OriginClosed):
            await connection.receive()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        await trio.testing.wait_all_tasks_blocked()
        connection.drop(reset=reset)
    assert await app.is_reset() is reset
    assert connection.is_stale
    with pytest.raises(OriginClosed):
        await connection.send(b"x")
    await connection.aclose(1)
    await origin.end()


async def test_an_idle_connection_is_stale_when_anything_came() -> None:
    origin = await listen()
    connection, app = await connected(origin)
    seen = [connection.is_stale]
    await app.send(b"x")
    seen.append(connection.is_stale)
    connection.answers.feed(await connection.receive())
    seen.append(connection.is_stale)
    connection.answers.take_rest()
    seen.append(connection.is_stale)
    await app.send_eof()
    seen.append(connection.is_stale)
    assert seen == [False, True, True, False, True]
    await connection.aclose(1)
    await origin.end()


async def connected_by_tls(origin: RawOrigin) -> tuple[OriginConnection, App]:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(tls)
    made: list[OriginConnection] = []

    async def connect() -> None:
        made.append(OriginConnection(await Dialer(origin.target, insecure=True).open()))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(connect)
        app = await origin.accept(tls)
        assert isinstance(app.stream, trio.SSLStream)
        await app.stream.do_handshake()
    return made[0], app


async def test_under_tls_what_the_app_said_is_read_after_a_write_has_failed() -> None:
    origin = await listen("https")
    connection, app = await connected_by_tls(origin)
    await app.send(b"last words")
    app.reset()
    with pytest.raises(OriginClosed):
        await connection.send(b"x")
    assert await connection.receive() == b"last words"
    with pytest.raises(OriginClosed):
        await connection.receive()
    await connection.aclose(1)
    await origin.end()


async def test_under_tls_an_end_is_sent_by_the_task_that_receives() -> None:
    origin = await listen("https")
    connection, app = await connected_by_tls(origin)
    received: list[bytes] = []

    async def receive() -> None:
        while data := await connection.receive():
            received.append(data)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(receive)
        await app.send(b"before")
        await connection.send(b"all")
        await connection.send_eof()
        assert await app.rest() == b"all"
        await app.send(b"behind")
        await app.close()
    assert b"".join(received) == b"beforebehind"
    await connection.aclose(1)
    await origin.end()


async def test_under_tls_an_end_is_sent_by_the_close_where_no_task_receives() -> None:
    origin = await listen("https")
    connection, app = await connected_by_tls(origin)
    await connection.send(b"all")
    await connection.send_eof()
    await connection.aclose(1)
    assert await app.rest() == b"all"
    await origin.end()
