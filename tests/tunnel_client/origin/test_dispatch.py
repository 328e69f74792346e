from __future__ import annotations

import logging

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from protocol.drivers.sockets import is_readable
from tests.origin_fakes import OK, App, MemoryTunnel, RawOrigin, a_shared_app, failure
from tunnel_client.origin.reuse import BURST_S, IDLE_MAX, IDLE_S


async def idle_connections(tunnel: MemoryTunnel, origin: RawOrigin, number: int) -> list[App]:
    """So many connections that were used at the same time, parked in this order."""
    streams = []
    apps = []
    for _ in range(number):
        streams.append(tunnel.open())
        apps.append(await origin.accept())
    for stream, app in zip(streams, apps, strict=True):
        await app.request()
        await app.send(OK)
        assert await tunnel.answer(stream) == (200, b"ok")
    await tunnel.all_over()
    return apps


async def test_streams_start_at_once_whatever_the_others_do() -> None:
    async with a_shared_app() as (tunnel, origin):
        for _ in range(20):
            tunnel.open()
            await (await origin.accept()).request()
        assert tunnel.dispatcher.busy_count == 20


async def test_a_request_goes_on_the_connection_that_was_used_last() -> None:
    async with a_shared_app() as (tunnel, origin):
        apps = await idle_connections(tunnel, origin, 3)
        for _ in range(2):
            stream = tunnel.open()
            await apps[2].request()
            await apps[2].send(OK)
            assert await tunnel.answer(stream) == (200, b"ok")


async def test_stale_connections_are_passed_over_and_closed() -> None:
    async with a_shared_app() as (tunnel, origin):
        apps = await idle_connections(tunnel, origin, 3)
        await apps[2].close()
        await apps[1].send(b"nobody asked")
        tunnel.open()
        await apps[0].request()
        assert await apps[1].is_reset()  # what it sent was not even read


async def test_8_idle_connections_are_kept_and_the_oldest_of_9_lasts_for_a_burst(
    mock_clock: MockClock,
) -> None:
    async with a_shared_app() as (tunnel, origin):
        apps = await idle_connections(tunnel, origin, IDLE_MAX)
        mock_clock.jump(BURST_S)
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert not any(map(is_readable, [app.stream for app in apps]))
        streams = [tunnel.open() for _ in range(IDLE_MAX + 1)]
        apps.append(await origin.accept())
        for stream, app in zip(streams, [*reversed(apps[:-1]), apps[-1]], strict=True):
            await app.request()
            await app.send(OK)
            await tunnel.answer(stream)
            await trio.testing.wait_all_tasks_blocked(0.01)
        assert repr(tunnel.dispatcher) == "<Dispatcher 0 busy, 9 idle workers>"
        mock_clock.jump(BURST_S)
        assert await apps[IDLE_MAX - 1].rest() == b""  # it was the first to be parked
        assert repr(tunnel.dispatcher) == "<Dispatcher 0 busy, 8 idle workers>"


async def test_an_idle_connection_is_closed_after_a_second(mock_clock: MockClock) -> None:
    async with a_shared_app() as (tunnel, origin):
        [app] = await idle_connections(tunnel, origin, 1)
        mock_clock.jump(IDLE_S - 0.01)
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert repr(tunnel.dispatcher) == "<Dispatcher 0 busy, 1 idle workers>"
        mock_clock.jump(0.01)
        assert await app.rest() == b""


async def test_the_second_begins_anew_with_each_use(mock_clock: MockClock) -> None:
    async with a_shared_app() as (tunnel, origin):
        [app] = await idle_connections(tunnel, origin, 1)
        for _ in range(3):
            mock_clock.jump(IDLE_S - 0.01)
            await trio.testing.wait_all_tasks_blocked(0.01)
            stream = tunnel.open()
            await app.request()
            await app.send(OK)
            assert await tunnel.answer(stream) == (200, b"ok")
            await tunnel.all_over()
        mock_clock.jump(IDLE_S)
        assert await app.rest() == b""


async def test_a_kind_that_is_not_known_is_reset_with_unsupported_and_reaches_nobody() -> None:
    async with a_shared_app() as (tunnel, origin):
        stream = tunnel.open(kind="tcp")
        assert (await failure(stream))[0] == "unsupported"
        await tunnel.all_over()
        assert origin.connections == 0
        assert "tcp" in str(tunnel.told.requests()[0][3])


async def test_each_request_is_told_with_how_many_others_are_under_way() -> None:
    async with a_shared_app() as (tunnel, origin):
        streams = [tunnel.open(), tunnel.open(b"POST", b"/p", body=2)]
        await streams[1].send_all(b"ab")
        streams[1].send_eof()
        apps = [await origin.accept(), await origin.accept()]
        heads = [await app.request() for app in apps]
        for app in apps if heads[0].startswith(b"GET") else reversed(apps):
            await app.send(OK)
            await trio.testing.wait_all_tasks_blocked(0.01)
        assert tunnel.told.requests() == [(200, 0, 2, None, 1), (200, 2, 2, None, 0)]
        told = [fields for _, fields in tunnel.told.events]
        assert told[1][:3] == (2, b"POST", b"/p")


async def test_wait_quiet_returns_when_the_last_request_is_over() -> None:
    async with a_shared_app() as (tunnel, origin):
        await tunnel.dispatcher.wait_quiet()
        tunnel.open()
        tunnel.open()
        apps = [await origin.accept(), await origin.accept()]
        quiet = trio.Event()

        async def wait() -> None:
            await tunnel.dispatcher.wait_quiet()
            quiet.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            nursery.start_soon(tunnel.dispatcher.wait_quiet)
            for app in apps:
                assert not quiet.is_set()
                await app.request()
                await app.send(OK)
                await trio.testing.wait_all_tasks_blocked(0.01)
        assert quiet.is_set()


# --- the record of a request ---------------------------------------------------------------------

LOGGER = "tunnel_client.origin.dispatch"


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The records, with the session that they are of."""
    found = [record for record in caplog.records if record.name == LOGGER]
    return [f"{vars(record)['ids']}{record.getMessage()}" for record in found]


async def test_at_debug_a_request_is_one_record_without_its_target(
    caplog: pytest.LogCaptureFixture,
    mock_clock: MockClock,  # time stands still
) -> None:
    caplog.set_level(logging.DEBUG, LOGGER)
    async with a_shared_app() as (tunnel, origin):
        stream = tunnel.open(b"POST", b"/?key=hunter2", body=3)
        app = await origin.accept()
        await stream.send_all(b"abc")
        stream.send_eof()
        await app.request(body_bytes=3)
        mock_clock.jump(0.25)
        await app.send(OK)
        await tunnel.answer(stream)
        await tunnel.all_over()
        line = "POST 200, 3 bytes in, 2 bytes out, 250 ms, ended well"
        assert logged(caplog) == [f"session 4f1c9a03: request 1: {line}"]
        assert "hunter2" not in caplog.text


async def test_the_record_of_a_request_says_why_it_failed(
    caplog: pytest.LogCaptureFixture,
    mock_clock: MockClock,  # time stands still
) -> None:
    caplog.set_level(logging.DEBUG, LOGGER)
    async with a_shared_app() as (tunnel, origin):
        stream = tunnel.open()
        app = await origin.accept()
        await app.request()
        stream.cancel("cancelled")
        assert await app.is_reset()
        await tunnel.all_over()
        line = "GET 0, 0 bytes in, 0 bytes out, 0 ms, the visitor went away"
        assert logged(caplog) == [f"session 4f1c9a03: request 1: {line}"]


async def test_above_debug_a_request_has_no_record(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, LOGGER)
    async with a_shared_app() as (tunnel, origin):
        await idle_connections(tunnel, origin, 1)
        assert logged(caplog) == []
