"""Apps that serve one connection at a time, and apps that close without a word."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from protocol.http.fields import BodyForm
from tests.origin_fakes import OK, App, MemoryTunnel, RawOrigin, a_shared_app, whole
from tunnel_client.origin.capacity import Capacity
from tunnel_client.origin.reuse import HELPED_S, IDLE_S, SILENT_S, TOGETHER_S


@asynccontextmanager
async def an_app_that_serves_one() -> AsyncIterator[tuple[MemoryTunnel, RawOrigin, list[bytes]]]:
    """An app that takes its next connection when the one before has ended, and its requests."""
    heads: list[bytes] = []

    async def take_one_by_one(origin: RawOrigin) -> None:
        while True:
            app = await origin.accept()
            while await has_more(app):
                heads.append(await app.request())
                await app.send(OK)
            await app.close()

    async with a_shared_app() as (tunnel, origin), trio.open_nursery() as nursery:
        nursery.start_soon(take_one_by_one, origin)
        yield tunnel, origin, heads
        nursery.cancel_scope.cancel()


async def has_more(app: App) -> bool:
    data = bytes(await app.stream.receive_some())
    app._held += data
    return bool(data)


async def is_answered(tunnel: MemoryTunnel, method: bytes = b"GET") -> None:
    assert await tunnel.answer(tunnel.open(method)) == (200, b"ok")
    await tunnel.all_over()


async def both_are_answered(tunnel: MemoryTunnel, clock: MockClock) -> None:
    """Two at once: the second one finds the app held by the connection of the first one."""
    streams = [tunnel.open(), tunnel.open()]
    answered = 0

    async def answer(number: int) -> None:
        nonlocal answered
        assert await tunnel.answer(streams[number]) == (200, b"ok")
        answered += 1

    async with trio.open_nursery() as nursery:
        for number in range(2):
            nursery.start_soon(answer, number)
        await blocked()
        assert answered == 1
        clock.jump(SILENT_S)
    await tunnel.all_over()


async def blocked() -> None:
    await trio.testing.wait_all_tasks_blocked(0.02)


async def test_an_app_that_closes_without_a_word_loses_no_post() -> None:
    async def serve_once(app: App) -> None:
        await app.request()
        await app.send(OK)
        await has_more(app)  # its end crosses the next request
        await app.close()

    async def serve(origin: RawOrigin, nursery: trio.Nursery) -> None:
        while True:
            nursery.start_soon(serve_once, await origin.accept())

    async with a_shared_app() as (tunnel, origin), trio.open_nursery() as nursery:
        nursery.start_soon(serve, origin, nursery)
        for method in [b"GET", b"POST"] * 5:
            await is_answered(tunnel, method)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("pause_s", [0, 0.5 * IDLE_S, 1.5 * IDLE_S])
async def test_a_post_does_not_wait_for_the_idle_connection_of_a_get(
    pause_s: float, mock_clock: MockClock
) -> None:
    async with an_app_that_serves_one() as (tunnel, _, _):
        for method in (b"GET", b"POST", b"POST", b"GET"):
            await is_answered(tunnel, method)
            mock_clock.jump(pause_s)
            await blocked()


async def test_a_request_straight_to_the_app_waits_a_second_at_most(mock_clock: MockClock) -> None:
    async with an_app_that_serves_one() as (tunnel, origin, heads):
        await is_answered(tunnel)
        curl = App(await trio.open_tcp_stream(origin.target.host, origin.target.port))
        await curl.send(b"GET / HTTP/1.1\r\nHost: app\r\n\r\n")
        await blocked()
        assert len(heads) == 1
        mock_clock.jump(IDLE_S)
        assert await curl.exactly(len(OK)) == OK
        await curl.close()


async def test_of_two_at_once_the_second_waits_for_a_moment_and_then_it_is_known(
    mock_clock: MockClock,
) -> None:
    async with an_app_that_serves_one() as (tunnel, _, heads):
        await both_are_answered(tunnel, mock_clock)
        assert not any(b"Connection:" in head for head in heads)
        heads.clear()
        streams = [tunnel.open() for _ in range(5)]  # time stands still
        for stream in streams:
            assert await tunnel.answer(stream) == (200, b"ok")
        await tunnel.all_over()
        assert all(b"\r\nConnection: close\r\n" in head for head in heads)
        assert repr(tunnel.dispatcher) == "<Dispatcher 0 busy, 0 idle workers>"


async def test_a_step_of_a_log_in_does_not_say_that_its_connection_closes(
    mock_clock: MockClock,
) -> None:
    async with an_app_that_serves_one() as (tunnel, _, heads):
        await both_are_answered(tunnel, mock_clock)
        heads.clear()
        stream = tunnel.open(fields=((b"Authorization", b"NTLM TlRMTVNTUAAB"),))
        assert await tunnel.answer(stream) == (200, b"ok")
        assert b"Connection:" not in heads[0]


@pytest.mark.parametrize("body", [5, "chunked"])
async def test_neither_does_one_with_a_body_so_an_early_answer_lets_that_go_on(
    mock_clock: MockClock, body: BodyForm
) -> None:
    """The app would say it too, and the head would have `closes`: curl then sends no more."""
    async with a_shared_app() as (tunnel, origin):
        tunnel.dispatcher._idle._policy.capacity = Capacity.ONE
        stream = tunnel.open(b"POST", body=body)
        app = await origin.accept()
        assert b"Connection:" not in await app.request()
        await app.send(OK)
        assert not (await stream.receive_head()).closes
        await whole(stream)
        await stream.send_all(b"later")
        stream.send_eof()
        assert b"later" in await app.rest()  # it is closed all the same
        await tunnel.all_over()


async def test_when_the_app_was_away_nothing_is_known_of_it(mock_clock: MockClock) -> None:
    async with an_app_that_serves_one() as (tunnel, _, heads):
        await both_are_answered(tunnel, mock_clock)
        tunnel.dispatcher.dialer.lives += 1
        await is_answered(tunnel)  # it finds that out
        heads.clear()
        await is_answered(tunnel)
        assert b"Connection:" not in heads[0]


async def test_a_slow_request_closes_the_idle_ones_and_says_nothing_of_the_app(
    mock_clock: MockClock,
) -> None:
    async with a_shared_app() as (tunnel, origin):
        first, slow = tunnel.open(), tunnel.open(b"POST", b"/slow")
        apps = [await origin.accept(), await origin.accept()]
        heads = [await app.request() for app in apps]
        quick = heads.index(next(head for head in heads if head.startswith(b"GET")))
        await apps[quick].send(OK)
        assert await tunnel.answer(first) == (200, b"ok")
        await blocked()
        mock_clock.jump(SILENT_S)
        assert await apps[quick].rest() == b""
        mock_clock.jump(HELPED_S)
        await blocked()
        await apps[1 - quick].send(OK)
        assert await tunnel.answer(slow) == (200, b"ok")
        await tunnel.all_over()
        assert repr(tunnel.dispatcher._idle) == (
            "<IdleWorkers <ReusePolicy UNKNOWN 1 idle, 0 on new ones>>"
        )


async def test_an_app_that_was_taken_for_one_shows_that_it_serves_many(
    mock_clock: MockClock,
) -> None:
    async with a_shared_app() as (tunnel, origin):
        policy = tunnel.dispatcher._idle._policy
        policy.capacity = Capacity.ONE
        slow = tunnel.open(target=b"/slow")
        slow_app = await origin.accept()
        await slow_app.request()
        await blocked()
        mock_clock.jump(2 * TOGETHER_S)
        quick = tunnel.open()
        app = await origin.accept()
        await app.request()
        await app.send(OK)
        assert await tunnel.answer(quick) == (200, b"ok")
        await blocked()
        assert policy.capacity is Capacity.MANY
        await slow_app.send(OK)
        assert await tunnel.answer(slow) == (200, b"ok")


@pytest.mark.parametrize("how", ["waits to be read", "has ended"])
async def test_what_has_come_and_was_not_read_yet_says_nothing(how: str) -> None:
    """An app that serves one may have answered both, one after the other, before we look."""
    async with a_shared_app() as (tunnel, origin):
        stream = tunnel.open()
        app = await origin.accept()
        await app.request()
        [replay] = tunnel.dispatcher._busy
        assert replay.is_open
        if how == "has ended":
            await app.send(OK)
            assert await tunnel.answer(stream) == (200, b"ok")
            await tunnel.dispatcher.wait_quiet()
            await app.close()
            await blocked()
        else:
            assert isinstance(app.stream, trio.SocketStream)
            os.write(app.stream.socket.fileno(), OK)  # and no task has its turn
        assert not replay.is_open


def is_looking(tunnel: MemoryTunnel) -> bool:
    return tunnel.dispatcher._idle._looking is not None


async def test_time_passes_in_one_task_while_something_is_due_and_else_in_none(
    mock_clock: MockClock,
) -> None:
    async with a_shared_app() as (tunnel, origin):
        tunnel.open()
        app = await origin.accept()
        await app.request()
        assert not is_looking(tunnel)
        await app.send(OK)
        await tunnel.dispatcher.wait_quiet()
        await blocked()
        assert is_looking(tunnel)
        mock_clock.jump(IDLE_S)
        assert await app.rest() == b""
        assert not is_looking(tunnel)
