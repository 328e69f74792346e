from __future__ import annotations

import errno
import logging
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from protocol.drivers.sockets import is_readable
from protocol.drivers.stream import TunnelStream
from protocol.drivers.tcp import SocketAddress, TcpStream
from protocol.http.fields import BodyForm
from protocol.limits import START_WINDOW_BYTES
from tests.origin_fakes import (
    KEY,
    OK,
    SWITCHED,
    App,
    MemoryTunnel,
    RawOrigin,
    Told,
    a_shared_app,
    a_tunnel,
    failure,
    listen,
    whole,
)
from tunnel_client.origin import dial, near
from tunnel_client.origin.dial import Dialer, OriginStream
from tunnel_client.origin.idle import CLOSING_MAX
from tunnel_client.origin.replay import Replay
from tunnel_client.origin.replay_states import ReplayEvent
from tunnel_client.origin.waiting import LONGEST_PAUSE_S, PatientDialer
from tunnel_client.origin.worker import APP_CLOSES_S
from tunnel_client.settings.target import Target


async def a_used_connection(
    tunnel: MemoryTunnel, origin: RawOrigin, answer: bytes = OK, method: bytes = b"GET"
) -> App:
    """The app's end of a connection that has carried one request."""
    stream = tunnel.open(method)
    app = await origin.accept()
    await app.request()
    await app.send(answer)
    await stream.receive_head()
    await whole(stream)
    await tunnel.all_over()
    return app


async def next_on(app: App, tunnel: MemoryTunnel, method: bytes = b"GET") -> None:
    """The next request comes on this connection and is answered."""
    stream = tunnel.open(method)
    await app.request()
    await app.send(OK)
    assert await tunnel.answer(stream) == (200, b"ok")


async def next_on_a_fresh_one(
    tunnel: MemoryTunnel, origin: RawOrigin, method: bytes = b"GET"
) -> App:
    stream = tunnel.open(method)
    app = await origin.accept()
    await app.request()
    await app.send(OK)
    assert await tunnel.answer(stream) == (200, b"ok")
    return app


# --- what may be used again ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        OK,
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
    ],
)
async def test_a_connection_is_used_again_after_a_whole_answer(answer: bytes) -> None:
    async with a_shared_app() as (tunnel, origin):
        app = await a_used_connection(tunnel, origin, answer)
        await next_on(app, tunnel)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ],
)
async def test_a_connection_that_the_app_means_to_close_is_closed_and_not_reset(
    answer: bytes,
) -> None:
    async with a_shared_app() as (tunnel, origin):
        app = await a_used_connection(tunnel, origin, answer)
        assert await app.rest() == b""
        await next_on_a_fresh_one(tunnel, origin)


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        (b"GET", OK + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"),
        (b"HEAD", OK),
        (b"GET", b"HTTP/1.1 204 No Content\r\n\r\nx"),
        (b"GET", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nx"),
    ],
)
async def test_bytes_left_over_behind_an_answer_are_never_the_next_ones(
    method: bytes, answer: bytes
) -> None:
    async with a_shared_app() as (tunnel, origin):
        app = await a_used_connection(tunnel, origin, answer, method)
        await next_on_a_fresh_one(tunnel, origin)
        await app.is_reset()


async def test_bytes_that_come_while_the_connection_is_idle_are_never_an_answer() -> None:
    async with a_shared_app() as (tunnel, origin):
        app = await a_used_connection(tunnel, origin)
        await app.send(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
        await next_on_a_fresh_one(tunnel, origin)


async def test_a_connection_that_the_app_has_closed_is_not_used_again() -> None:
    async with a_shared_app() as (tunnel, origin):
        app = await a_used_connection(tunnel, origin)
        await app.close()
        await next_on_a_fresh_one(tunnel, origin, b"POST")


async def test_a_refused_upgrade_leaves_the_connection_to_the_next_request() -> None:
    async with a_shared_app() as (tunnel, origin):
        stream = tunnel.open_websocket()
        app = await origin.accept()
        head = await app.request()
        assert b"Connection: Upgrade\r\nUpgrade: websocket\r\n" in head
        assert b"Sec-WebSocket-Key: " + KEY in head
        await app.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
        assert await tunnel.answer(stream) == (403, b"no")
        stream.send_eof()  # as the edge does once it is refused
        await tunnel.all_over()
        await next_on(app, tunnel)


@pytest.mark.parametrize(
    ("method", "body", "again"),
    [(b"POST", 0, True), (b"POST", 1, False), (b"GET", 1, False), (b"PUT", "chunked", False)],
)
async def test_behind_a_body_it_is_not_used_again(
    method: bytes, body: BodyForm, again: bool
) -> None:
    """Whether the app has read that is not known, and else it reads it as the next request."""
    async with a_shared_app() as (tunnel, origin):
        stream = tunnel.open(method, body=body)
        if body:
            await stream.send_all(b"x")
        stream.send_eof()
        app = await origin.accept()
        await app.request({0: 0, 1: 1, "chunked": 11}[body or 0])
        await app.send(OK)
        assert await tunnel.answer(stream) == (200, b"ok")
        await tunnel.all_over()
        if again:
            await next_on(app, tunnel)
        else:
            await next_on_a_fresh_one(tunnel, origin)
            assert await app.rest() == b""


# --- again on a fresh connection -----------------------------------------------------------------


async def closed_under_a_request(tunnel: MemoryTunnel, app: App, begun: bytes = b"") -> None:
    """The app closes an idle connection in the moment in which a request comes on it."""
    await app.request()
    await app.send(begun)
    await app.close()


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE"])
async def test_an_idempotent_request_goes_once_more_when_a_used_connection_closes(
    method: bytes,
) -> None:
    async with a_shared_app() as (tunnel, origin):
        app = await a_used_connection(tunnel, origin)
        stream = tunnel.open(method)
        await closed_under_a_request(tunnel, app)
        app = await origin.accept()
        assert (await app.request()).startswith(method)
        await app.send(b"HTTP/1.1 204 No Content\r\n\r\n")
        assert await tunnel.answer(stream) == (204, b"")
        await tunnel.all_over()
        assert len(tunnel.told.requests()) == 2


async def test_it_goes_once_more_and_no_third_time() -> None:
    async with a_shared_app() as (tunnel, origin):
        app = await a_used_connection(tunnel, origin)
        stream = tunnel.open()
        await closed_under_a_request(tunnel, app)
        await closed_under_a_request(tunnel, await origin.accept())
        assert (await failure(stream))[0] == "origin-protocol-error"
        assert origin.connections == 2


async def test_a_request_on_a_fresh_connection_goes_once() -> None:
    async with a_shared_app() as (tunnel, origin):
        stream = tunnel.open()
        await closed_under_a_request(tunnel, await origin.accept())
        assert (await failure(stream))[0] == "origin-protocol-error"
        assert origin.connections == 1


@pytest.mark.parametrize("method", [b"POST", b"PATCH", b"UNKNOWN"])
async def test_a_request_that_is_not_idempotent_never_goes_again(method: bytes) -> None:
    async with a_shared_app() as (tunnel, origin):
        stream = tunnel.open(method)
        await closed_under_a_request(tunnel, await origin.accept())
        assert (await failure(stream))[0] == "origin-protocol-error"
        assert origin.connections == 1


async def test_a_request_whose_body_was_begun_never_goes_again() -> None:
    async with a_shared_app() as (tunnel, origin):
        stream = tunnel.open(b"PUT", body=5)
        await stream.send_all(b"begun")
        await closed_under_a_request(tunnel, await origin.accept())
        assert (await failure(stream))[0] == "origin-protocol-error"
        assert origin.connections == 1


@pytest.mark.parametrize(
    ("method", "body"), [(b"POST", None), (b"PATCH", None), (b"UNKNOWN", None), (b"PUT", 5)]
)
async def test_what_cannot_be_sent_again_goes_on_a_new_connection_and_a_used_one_is_closed(
    method: bytes, body: int | None
) -> None:
    async with a_shared_app() as (tunnel, origin):
        used = await a_used_connection(tunnel, origin)
        stream = tunnel.open(method, body=body)
        if body is not None:
            await stream.send_all(bytes(body))
            stream.send_eof()
        app = await origin.accept()
        await app.request(body or 0)
        assert await used.rest() == b""
        await app.send(OK)
        assert await tunnel.answer(stream) == (200, b"ok")
        await tunnel.all_over()
        if body is None:
            await next_on(app, tunnel)
        else:
            await next_on_a_fresh_one(tunnel, origin)


async def test_an_upgrade_goes_on_a_new_connection_and_a_used_one_is_closed() -> None:
    async with a_shared_app() as (tunnel, origin):
        used = await a_used_connection(tunnel, origin)
        stream = tunnel.open_websocket()
        app = await origin.accept()
        await app.request()
        assert await used.rest() == b""
        await app.send(SWITCHED)
        assert (await stream.receive_head()).status == 101


async def test_after_a_byte_of_an_answer_nothing_goes_again() -> None:
    async with a_shared_app() as (tunnel, origin):
        app = await a_used_connection(tunnel, origin)
        stream = tunnel.open()
        await closed_under_a_request(tunnel, app, b"H")
        assert (await failure(stream))[0] == "origin-protocol-error"
        assert origin.connections == 1


async def test_a_request_whose_visitor_left_does_not_go_again() -> None:
    async with a_shared_app() as (tunnel, origin):
        app = await a_used_connection(tunnel, origin)
        stream = tunnel.open()
        await app.request()
        stream.cancel("cancelled")
        assert await app.is_reset()
        await tunnel.all_over()
        assert origin.connections == 1


# --- an app that says that it closes -------------------------------------------------------------

CLOSES = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"


async def ended_yet(app: App) -> bool:
    """Whether the client has ended the connection by now."""
    await trio.testing.wait_all_tasks_blocked(0.01)
    return is_readable(app.stream)


async def test_an_app_that_says_that_it_closes_has_a_moment_to_do_so_first(
    mock_clock: trio.testing.MockClock,
) -> None:
    async with a_shared_app() as (tunnel, origin):
        app = await a_used_connection(tunnel, origin, CLOSES)
        mock_clock.jump(APP_CLOSES_S - 0.01)
        assert not await ended_yet(app)
        await app.send_eof()
        assert await app.rest() == b""


async def test_after_that_moment_it_is_closed_here(mock_clock: trio.testing.MockClock) -> None:
    async with a_shared_app() as (tunnel, origin):
        app = await a_used_connection(tunnel, origin, CLOSES)
        assert not await ended_yet(app)
        mock_clock.jump(APP_CLOSES_S)
        assert await app.rest() == b""


async def test_what_it_says_behind_its_answer_ends_the_moment(
    mock_clock: trio.testing.MockClock,  # time stands still
) -> None:
    async with a_shared_app() as (tunnel, origin):
        app = await a_used_connection(tunnel, origin, CLOSES)
        await app.send(b"more")
        assert await ended_yet(app)


async def test_64_such_moments_are_at_once_and_more_connections_are_closed_at_once(
    mock_clock: trio.testing.MockClock,
) -> None:
    async with a_shared_app() as (tunnel, origin):
        apps = [await a_used_connection(tunnel, origin, CLOSES) for _ in range(CLOSING_MAX)]
        assert not await ended_yet(apps[0])
        assert not await ended_yet(apps[-1])
        more = await a_used_connection(tunnel, origin, CLOSES)
        assert await ended_yet(more)
        await apps[0].send_eof()
        assert await ended_yet(apps[0])
        assert not await ended_yet(await a_used_connection(tunnel, origin, CLOSES))
        assert await ended_yet(await a_used_connection(tunnel, origin, CLOSES))
        mock_clock.jump(APP_CLOSES_S)
        for app in apps[1:]:
            assert await ended_yet(app)


# --- no connection -------------------------------------------------------------------------------


async def test_an_app_that_is_not_there_is_origin_refused_and_says_where() -> None:
    origin = await listen()
    await origin.stop_listening()
    async with a_tunnel(Dialer(origin.target)) as tunnel:
        code, message = await failure(tunnel.open(b"POST", body="chunked"))
        assert code == "origin-refused"
        assert message == f"nothing listens on {origin.target}"
        await tunnel.all_over()
        assert tunnel.told.requests() == [(502, 0, 0, message, 0)]


async def test_a_machine_without_ports_has_a_code_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    error = OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")

    async def without_ports(host: str, port: int) -> trio.SocketStream:
        raise error

    def without_ports_at_once(family: int, address: SocketAddress) -> TcpStream:
        raise error

    async with a_shared_app() as (tunnel, _):
        monkeypatch.setattr(dial, "connect_tcp", without_ports)
        monkeypatch.setattr(near, "connect_at_once", without_ports_at_once)
        code, message = await failure(tunnel.open(b"POST"))
        assert code == "no-ports"
        assert "this machine has no port left" in message


class SlowDialer(Dialer):
    """Never gets there."""

    def __init__(self) -> None:
        super().__init__(Target.parse("9"))
        self.dialling = trio.Event()
        self.cancelled = trio.Event()

    async def open(self) -> OriginStream:
        self.dialling.set()
        try:
            await trio.sleep_forever()
        finally:
            self.cancelled.set()


@pytest.mark.parametrize("lost", [False, True])
async def test_a_visitor_who_leaves_while_the_app_is_dialled_ends_that_at_once(lost: bool) -> None:
    dialer = SlowDialer()
    async with a_tunnel(dialer) as tunnel:
        stream = tunnel.open()
        await dialer.dialling.wait()
        if lost:
            tunnel.client.close("lost")
        else:
            stream.cancel("cancelled")
        await dialer.cancelled.wait()
        await tunnel.all_over()
        assert len(tunnel.told.requests()) == 1


def leave_at_once(tunnel: MemoryTunnel) -> None:
    """The next visitor leaves before anybody has begun to serve him."""

    def serve(stream: TunnelStream) -> None:
        tunnel.client._on_stream = tunnel.dispatcher.serve
        tunnel.dispatcher.serve(stream)
        assert stream.on_stopped is not None
        stream.on_stopped()

    tunnel.client._on_stream = serve


async def test_for_a_visitor_who_has_left_already_nobody_goes_on_dialling() -> None:
    dialer = SlowDialer()
    async with a_tunnel(dialer) as tunnel:
        leave_at_once(tunnel)
        tunnel.open()
        await dialer.cancelled.wait()
        await tunnel.all_over()


async def test_for_a_visitor_who_has_left_already_nothing_reaches_the_app() -> None:
    async with a_shared_app() as (tunnel, origin):
        app = await a_used_connection(tunnel, origin)
        leave_at_once(tunnel)
        tunnel.open()
        await trio.testing.wait_all_tasks_blocked(0.01)
        with pytest.raises(trio.BrokenResourceError):
            await app.exactly(1)
        await next_on_a_fresh_one(tunnel, origin)


# --- an app that is not there yet ----------------------------------------------------------------


class DownApp:
    """Holds its port, and does not listen yet."""

    def __init__(self, bound: trio.socket.SocketType) -> None:
        self.target = Target.parse(f"127.0.0.1:{bound.getsockname()[1]}")
        self._bound = bound
        self._listening: RawOrigin | None = None

    async def comes_back(self, clock: trio.testing.MockClock) -> App:
        await trio.testing.wait_all_tasks_blocked(0.01)
        self._bound.listen()
        clock.jump(LONGEST_PAUSE_S)
        self._listening = RawOrigin(trio.SocketListener(self._bound), self.target)
        return await self._listening.accept()

    async def end(self) -> None:
        if self._listening is not None:
            await self._listening.end()


@asynccontextmanager
async def an_app_that_is_down(
    origin_timeout_s: float = 600.0,
) -> AsyncIterator[tuple[MemoryTunnel, DownApp]]:
    with trio.socket.socket() as bound:
        await bound.bind(("127.0.0.1", 0))
        origin = DownApp(bound)
        dialer = PatientDialer(origin.target, wait_s=3, sink=Told())
        async with a_tunnel(dialer, origin_timeout_s=origin_timeout_s) as tunnel:
            yield tunnel, origin
        await origin.end()


async def test_a_held_request_goes_to_the_app_that_is_back_and_its_clock_starts_then(
    mock_clock: trio.testing.MockClock,
) -> None:
    async with an_app_that_is_down(origin_timeout_s=1) as (tunnel, origin):
        stream = tunnel.open(b"POST", body=4)
        await stream.send_all(b"body")
        stream.send_eof()
        for _ in range(4):
            await trio.testing.wait_all_tasks_blocked(0.01)
            mock_clock.jump(0.6)
        app = await origin.comes_back(mock_clock)
        assert (await app.request(4)).endswith(b"\r\n\r\nbody")
        await trio.testing.wait_all_tasks_blocked(0.01)
        mock_clock.jump(0.9)
        await app.send(OK)
        assert await tunnel.answer(stream) == (200, b"ok")


async def test_of_a_held_requests_body_no_more_comes_than_its_window(
    mock_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    async with an_app_that_is_down() as (tunnel, origin):
        size = 3 * START_WINDOW_BYTES
        stream = tunnel.open(b"POST", body=size)
        nursery.start_soon(stream.send_all, bytes(size))
        held = None
        while held is None or held.receiving.length.carried < START_WINDOW_BYTES:
            await trio.testing.wait_all_tasks_blocked(0.01)  # a real socket takes what it takes
            held = next(iter(tunnel.client.core.streams.values()), None)
        await trio.testing.wait_all_tasks_blocked(0.01)  # what is too much would come now
        assert held.receiving.length.carried == START_WINDOW_BYTES
        app = await origin.comes_back(mock_clock)
        await app.request(size)
        await app.send(OK)
        assert await tunnel.answer(stream) == (200, b"ok")


async def test_a_held_upgrade_gets_its_101_from_the_app(
    mock_clock: trio.testing.MockClock,
) -> None:
    async with an_app_that_is_down() as (tunnel, origin):
        stream = tunnel.open_websocket()
        app = await origin.comes_back(mock_clock)
        await app.request()
        await app.send(SWITCHED)
        assert (await stream.receive_head()).status == 101


async def test_an_app_that_does_not_come_back_is_origin_refused(
    mock_clock: trio.testing.MockClock,
) -> None:
    async with an_app_that_is_down() as (tunnel, origin):
        stream = tunnel.open()
        await trio.testing.wait_all_tasks_blocked(0.01)
        mock_clock.jump(3)
        said = f"nothing listens on {origin.target} (waited 3 s)"
        assert await failure(stream) == ("origin-refused", said)


@pytest.mark.parametrize("lost", [False, True])
async def test_a_visitor_who_leaves_ends_the_waiting_at_once(
    lost: bool, mock_clock: trio.testing.MockClock
) -> None:
    async with an_app_that_is_down() as (tunnel, _):
        stream = tunnel.open()
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert tunnel.dispatcher.busy_count == 1
        if lost:
            tunnel.client.close("lost")
        else:
            stream.cancel("cancelled")
        await tunnel.all_over()  # and time stands still


# --- faults and ends of our own ------------------------------------------------------------------


async def test_a_fault_of_ours_ends_one_request_and_is_logged_with_its_number(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with a_shared_app() as (tunnel, origin):
        with monkeypatch.context() as patched:
            patched.setattr(Replay, "head", lambda self, **_: 1 / 0)
            code, _ = await failure(tunnel.open())
        assert code == "internal"
        assert [record.message for record in caplog.records] == ["request 1 failed"]
        assert caplog.records[0].levelno == logging.ERROR
        assert caplog.records[0].__dict__["ids"] == "session 4f1c9a03: "
        await next_on_a_fresh_one(tunnel, origin)


async def test_a_state_that_may_not_be_is_our_fault_and_not_the_apps(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with a_shared_app() as (tunnel, _):
        monkeypatch.setattr(Replay, "head", lambda self, **_: self.happened(ReplayEvent.FINAL_HEAD))
        code, _ = await failure(tunnel.open())
        assert code == "internal"
        assert "FINAL_HEAD of a replay that is ASKED" in caplog.text


async def test_when_the_program_ends_a_request_under_way_is_reset_and_an_idle_one_closed() -> None:
    origin = await listen()
    async with a_tunnel(Dialer(origin.target)) as tunnel:
        idle = await a_used_connection(tunnel, origin)
        tunnel.open()
        await idle.request()
        tunnel.open()
        busy = await origin.accept()
        await busy.request()
        await idle.send(OK)
        await trio.testing.wait_all_tasks_blocked(0.01)
    assert await busy.is_reset()
    assert await idle.rest() == b""
    await origin.end()


# --- the price of a request ----------------------------------------------------------------------


class Spawned(trio.abc.Instrument):
    """Counts new tasks."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def task_spawned(self, task: trio.lowlevel.Task) -> None:
        self.names.append(task.name)


async def test_a_request_on_a_used_connection_costs_no_task_scope_or_nursery(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bought: list[str] = []

    def priced(name: str) -> Callable[..., object]:
        real = getattr(trio, name)

        def buy(*args: object, **options: object) -> object:
            if sys._getframe(1).f_globals["__name__"].startswith("tunnel_client"):
                bought.append(name)
            return real(*args, **options)

        return buy

    async with a_shared_app() as (tunnel, origin):
        spawned = Spawned()
        trio.lowlevel.add_instrument(spawned)
        for name in ("CancelScope", "open_nursery", "move_on_after", "fail_after"):
            monkeypatch.setattr(trio, name, priced(name))
        app = await a_used_connection(tunnel, origin)
        assert spawned.names  # a first one may cost something
        assert bought
        spawned.names.clear()
        bought.clear()
        for _ in range(3):
            await next_on(app, tunnel)
        trio.lowlevel.remove_instrument(spawned)
        assert (spawned.names, bought) == ([], [])
