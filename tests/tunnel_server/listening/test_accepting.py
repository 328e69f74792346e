"""The accept loop on listeners of the test's own, which fail as the kernel does."""

from __future__ import annotations

import errno
import os
import resource
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.clocks import elapsed_s
from tests.edge_fakes import logged
from tunnel_server.listening.accepting import (
    BATCH,
    CALM_S,
    RETRY_EVERY_S,
    TOLD_EVERY_S,
    Acceptor,
    Shortage,
)

OUT = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS)
ONE_CONNECTION = (errno.ECONNABORTED, errno.EPERM, errno.EPROTO, errno.EINTR, errno.ECONNRESET)


def failure(number: int) -> OSError:
    return OSError(number, os.strerror(number))


class FakeListener(trio.abc.Listener[trio.SocketStream]):
    """Gives what the test puts in: connections and errors; or fails for as long as it says."""

    def __init__(self) -> None:
        self.asked_at: list[float] = []
        self.fails: OSError | None = None
        self.closed = False
        self.put, self._next = trio.open_memory_channel[trio.SocketStream | OSError](100)

    async def accept(self) -> trio.SocketStream:
        self.asked_at.append(elapsed_s())
        await trio.lowlevel.checkpoint()
        given = self.fails or await self._next.receive()
        if isinstance(given, OSError):
            raise given
        return given

    async def aclose(self) -> None:
        self.closed = True
        self.put.close()
        self._next.close()
        await trio.lowlevel.checkpoint()


class Served:
    """Serves connections until the test lets them end."""

    def __init__(self) -> None:
        self.count = 0
        self.end = trio.Event()

    async def __call__(self, stream: trio.SocketStream) -> None:
        self.count += 1
        await self.end.wait()


def connection() -> trio.SocketStream:
    ours, theirs = socket.socketpair()
    theirs.close()
    return trio.SocketStream(trio.socket.from_stdlib_socket(ours))


def accept(
    nursery: trio.Nursery,
    served: Served,
    *listeners: FakeListener,
    may_accept: Callable[[], bool] = lambda: True,
) -> Acceptor:
    acceptor = Acceptor(served, nursery, may_accept)
    nursery.start_soon(acceptor.run, listeners)
    return acceptor


async def test_each_connection_has_a_task_and_is_counted_until_it_ends(
    nursery: trio.Nursery,
) -> None:
    served, listeners = Served(), [FakeListener(), FakeListener()]
    acceptor = accept(nursery, served, *listeners)
    streams = [connection() for _ in range(3)]
    for stream, listener in zip(streams, [*listeners, listeners[0]], strict=True):
        listener.put.send_nowait(stream)
    await wait_all_tasks_blocked()
    assert (served.count, acceptor.open_count) == (3, 3)
    served.end.set()
    await wait_all_tasks_blocked()
    assert acceptor.open_count == 0
    assert [stream.socket.fileno() for stream in streams] == [-1, -1, -1]


async def test_connections_go_on_when_accepting_ends(nursery: trio.Nursery) -> None:
    served, listener = Served(), FakeListener()
    acceptor = Acceptor(served, nursery)
    async with trio.open_nursery() as accepting:
        accepting.start_soon(acceptor.run, [listener])
        listener.put.send_nowait(connection())
        await wait_all_tasks_blocked()
        accepting.cancel_scope.cancel()
    assert listener.closed
    assert acceptor.open_count == 1
    served.end.set()
    await wait_all_tasks_blocked()
    assert acceptor.open_count == 0


@pytest.mark.parametrize("number", ONE_CONNECTION)
async def test_an_error_of_one_connection_is_passed_over_at_once(
    nursery: trio.Nursery,
    autojump_clock: MockClock,
    caplog: pytest.LogCaptureFixture,
    number: int,
) -> None:
    served, listener = Served(), FakeListener()
    accept(nursery, served, listener)
    listener.put.send_nowait(failure(number))
    listener.put.send_nowait(connection())
    await wait_all_tasks_blocked()
    assert served.count == 1
    assert elapsed_s() == 0
    assert not caplog.records
    served.end.set()


@pytest.mark.parametrize("number", OUT)
async def test_a_shortage_pauses_with_one_line_and_goes_on_with_another(
    nursery: trio.Nursery,
    autojump_clock: MockClock,
    caplog: pytest.LogCaptureFixture,
    number: int,
) -> None:
    served, listener = Served(), FakeListener()
    accept(nursery, served, listener)
    listener.fails = failure(number)
    listener.put.send_nowait(connection())  # what is there already is accepted
    await trio.sleep(60)
    assert len(caplog.records) == 1
    assert caplog.messages[0].startswith(f"accepting pauses: {os.strerror(number)}")
    assert caplog.records[0].exc_info is None
    # No busy loop, and no connection is kept waiting for much longer than the shortage.
    assert len(listener.asked_at) <= 60 / RETRY_EVERY_S + 2
    listener.fails = None
    listener.put.send_nowait(connection())
    await trio.sleep(2 * RETRY_EVERY_S)
    assert served.count == 2
    assert len(caplog.records) == 1
    await trio.sleep(3 * CALM_S)
    assert caplog.messages[1:] == ["accepting again, after 60 s of shortage"]
    served.end.set()


async def test_connections_under_way_are_not_disturbed_by_a_shortage(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    served, listener = Served(), FakeListener()
    acceptor = accept(nursery, served, listener)
    listener.put.send_nowait(connection())
    await wait_all_tasks_blocked()
    listener.fails = failure(errno.EMFILE)
    listener.put.send_nowait(connection())
    await trio.sleep(10)
    assert acceptor.open_count == 2
    served.end.set()
    await wait_all_tasks_blocked()
    assert acceptor.open_count == 0


async def test_a_shortage_of_all_listeners_is_one_line(
    nursery: trio.Nursery, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    listeners = [FakeListener(), FakeListener()]
    for listener in listeners:
        listener.fails = failure(errno.EMFILE)
    accept(nursery, Served(), *listeners)
    await trio.sleep(10)
    assert len(caplog.records) == 1


async def test_at_the_limit_each_end_lets_one_in_without_a_line(
    nursery: trio.Nursery, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """One connection ends every second: one comes in, and the next accept fails."""
    served, listener = Served(), FakeListener()
    accept(nursery, served, listener)
    for _ in range(60):
        listener.put.send_nowait(connection())
        listener.put.send_nowait(failure(errno.EMFILE))
        await trio.sleep(1)
    assert served.count == 60
    assert len(caplog.records) == 1
    served.end.set()


async def test_an_error_that_nobody_knows_pauses_too(
    nursery: trio.Nursery, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    served, listener = Served(), FakeListener()
    accept(nursery, served, listener)
    listener.put.send_nowait(failure(errno.EREMOTEIO))
    listener.put.send_nowait(connection())
    await trio.sleep(1)
    assert served.count == 1
    assert logged(caplog.records) == [
        "accepting pauses: Remote I/O error; connections wait until it works again"
    ]
    served.end.set()


async def test_nothing_is_accepted_while_it_may_not_be(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    served, listener = Served(), FakeListener()
    full = True
    accept(nursery, served, listener, may_accept=lambda: not full)
    listener.put.send_nowait(connection())
    await trio.sleep(60)
    assert not listener.asked_at
    full = False
    await trio.sleep(2 * RETRY_EVERY_S)
    assert served.count == 1
    served.end.set()


# --- those that wait ------------------------------------------------------------------------------


class Batches(trio.abc.Instrument):
    """How many connections each turn of the loop has accepted."""

    def __init__(self, acceptor: Acceptor) -> None:
        self.sizes: list[int] = []
        self._acceptor = acceptor
        self._before = 0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self._before = self._acceptor.open_count

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        if taken := self._acceptor.open_count - self._before:
            self.sizes.append(taken)


@asynccontextmanager
async def waiting(count: int) -> AsyncIterator[trio.SocketListener]:
    """A listener of the kernel's with so many connections in its queue."""
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    with ExitStack() as stack:
        for _ in range(count):
            stack.enter_context(socket.create_connection(listener.socket.getsockname()))
        yield listener


@pytest.mark.parametrize(
    ("count", "sizes"),
    [(1, [1]), (BATCH, [BATCH]), (BATCH + 1, [BATCH, 1]), (3 * BATCH, [BATCH] * 3)],
)
async def test_those_that_wait_are_accepted_in_batches(count: int, sizes: list[int]) -> None:
    served = Served()
    async with waiting(count) as listener, trio.open_nursery() as nursery:
        acceptor = Acceptor(served, nursery)
        batches = Batches(acceptor)
        trio.lowlevel.add_instrument(batches)
        nursery.start_soon(acceptor.run, [listener])
        await wait_all_tasks_blocked()
        trio.lowlevel.remove_instrument(batches)
        assert batches.sizes == sizes
        assert served.count == acceptor.open_count == count
        nursery.cancel_scope.cancel()


async def test_it_is_asked_before_each_of_a_batch(autojump_clock: MockClock) -> None:
    served = Served()
    async with waiting(5) as listener, trio.open_nursery() as nursery:
        acceptor = Acceptor(served, nursery, lambda: acceptor.open_count < 3)
        nursery.start_soon(acceptor.run, [listener])
        await trio.sleep(60)
        assert served.count == 3
        served.end.set()
        await trio.sleep(2 * RETRY_EVERY_S)
        assert served.count == 5
        nursery.cancel_scope.cancel()


async def test_what_fails_in_a_batch_is_told_by_the_next_accept(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    served, before = Served(), resource.getrlimit(resource.RLIMIT_NOFILE)
    async with waiting(5) as listener, trio.open_nursery() as nursery:
        acceptor = Acceptor(served, nursery)
        nursery.start_soon(acceptor.run, [listener])
        free = [os.dup(0) for _ in range(3)]  # the lowest that nobody has
        for descriptor in free:
            os.close(descriptor)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (free[-1] + 1, before[1]))
            await trio.sleep(1)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
        assert acceptor.open_count == 3
        assert [line[:16] for line in caplog.messages] == ["accepting pauses"]
        await trio.sleep(1)
        assert acceptor.open_count == 5
        nursery.cancel_scope.cancel()


# --- what is said of a shortage ------------------------------------------------------------------


def test_the_line_has_the_limit_and_what_to_do(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 4096))
    Shortage().failed(failure(errno.EMFILE), 0)
    Shortage().failed(failure(errno.ENFILE), 0)
    assert logged(caplog.records) == [
        "accepting pauses: Too many open files: the limit is 1024; "
        "raise it with ulimit -n, or LimitNOFILE= in systemd",
        "accepting pauses: Too many open files in system: "
        "the whole system's limit; raise the sysctl fs.file-max",
    ]


def test_a_shortage_is_over_when_nothing_has_failed_for_a_while(
    caplog: pytest.LogCaptureFixture,
) -> None:
    shortage = Shortage()
    shortage.look(0)
    shortage.failed(failure(errno.EMFILE), 10)
    shortage.failed(failure(errno.EMFILE), 12)
    lasts = []
    for now in (12 + CALM_S - 0.1, 12 + CALM_S):
        shortage.look(now)
        lasts.append(shortage.lasts)
    assert lasts == [True, False]
    assert caplog.messages[1:] == ["accepting again, after 2 s of shortage"]
    shortage.look(100)
    shortage.failed(failure(errno.EMFILE), 101)
    assert len(caplog.records) == 3


def test_shortages_that_come_and_go_are_told_once_a_minute(
    caplog: pytest.LogCaptureFixture,
) -> None:
    shortage = Shortage()
    for now in range(0, 59, 8):  # each is over when the next begins
        shortage.failed(failure(errno.EMFILE), now)
        shortage.look(now + CALM_S)
    assert [line[:15] for line in caplog.messages] == ["accepting pause", "accepting again"]
    shortage.failed(failure(errno.EMFILE), TOLD_EVERY_S - 1)
    assert len(caplog.records) == 2
    shortage.failed(failure(errno.EMFILE), TOLD_EVERY_S)  # one that lasts is told then
    shortage.failed(failure(errno.EMFILE), TOLD_EVERY_S + 70)
    shortage.look(TOLD_EVERY_S + 70 + CALM_S)
    assert caplog.messages[2].startswith("accepting pauses: ")
    assert caplog.messages[3:] == ["accepting again, after 71 s of shortage"]
