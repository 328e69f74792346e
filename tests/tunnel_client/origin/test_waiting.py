from __future__ import annotations

import errno
import itertools
import os
import socket
from collections.abc import AsyncIterator

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.clocks import elapsed_s
from tunnel_client.observing.events import OriginCameUp, OriginWentDown
from tunnel_client.origin import dial
from tunnel_client.origin.dial import Dialer, OriginDown, OriginRefused
from tunnel_client.origin.waiting import FIRST_PAUSE_S, LONGEST_PAUSE_S, PatientDialer
from tunnel_client.settings.target import Target

NOBODY = "nothing listens on http://127.0.0.1:3000"


class Machine:
    """Where the app should run: what connects to it, and what was told of it."""

    def __init__(self) -> None:
        self.listening = False
        self.attempts: list[float] = []
        self.news: list[tuple[object, ...]] = []
        self.peers: list[socket.socket] = []

    async def open_tcp_stream(self, host: str, port: int) -> trio.SocketStream:
        await trio.lowlevel.checkpoint()
        self.attempts.append(elapsed_s())
        if not self.listening:
            raise OSError("all attempts failed") from refused()
        ours, theirs = socket.socketpair()
        self.peers.append(theirs)
        return trio.SocketStream(trio.socket.from_stdlib_socket(ours))

    def tell(self, event: OriginWentDown | OriginCameUp) -> None:
        """See Sink."""
        self.news.append(tuple(event) or ("up",))

    def dialer(self, wait_s: float = 3.0) -> PatientDialer:
        return PatientDialer(Target.parse("127.0.0.1:3000"), wait_s=wait_s, sink=self)


def refused() -> OSError:
    return ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))


@pytest.fixture
async def machine(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Machine]:
    machine = Machine()
    monkeypatch.setattr(dial, "connect_tcp", machine.open_tcp_stream)
    yield machine
    for peer in machine.peers:
        peer.close()


class Request:
    """One that wants a connection."""

    def __init__(self, dialer: Dialer, nursery: trio.Nursery) -> None:
        self.opened_at: float | None = None
        self.failed: OriginDown | None = None
        self.over_at = 0.0
        self.scope = trio.CancelScope()
        nursery.start_soon(self._run, dialer)

    async def _run(self, dialer: Dialer) -> None:
        with self.scope:
            try:
                await (await dialer.open()).aclose()
                self.opened_at = elapsed_s()
            except OriginDown as error:
                self.failed = error
        self.over_at = elapsed_s()


# --- one request ---------------------------------------------------------------------------------


async def test_an_app_that_is_there_is_reached_at_once_and_nothing_is_told(
    machine: Machine,
    autojump_clock: MockClock,
) -> None:
    machine.listening = True
    await (await machine.dialer().open()).aclose()
    assert machine.attempts == [0]
    assert machine.news == []


async def test_an_app_that_comes_back_in_time_costs_a_pause(
    machine: Machine, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    request = Request(machine.dialer(), nursery)
    await trio.sleep(1)
    machine.listening = True
    await trio.sleep(LONGEST_PAUSE_S)
    assert request.opened_at == machine.attempts[-1]
    assert machine.news == [(NOBODY, 3.0), ("up",)]


async def test_the_attempts_become_rarer_down_to_two_a_second(
    machine: Machine, autojump_clock: MockClock
) -> None:
    with pytest.raises(OriginDown):
        await machine.dialer(wait_s=20).open()
    times = itertools.pairwise(machine.attempts)
    pauses = [round(later - before, 6) for before, later in times]
    assert pauses[0] == FIRST_PAUSE_S
    assert pauses == sorted(pauses)
    assert set(pauses[10:]) == {LONGEST_PAUSE_S}
    assert len(machine.attempts) < 50


async def test_after_the_wait_it_is_refused_and_says_how_long_it_waited(
    machine: Machine, autojump_clock: MockClock
) -> None:
    with pytest.raises(OriginDown) as caught:
        await machine.dialer(wait_s=2.5).open()
    assert elapsed_s() == 2.5
    assert str(caught.value) == f"{NOBODY} (waited 2.5 s)"
    assert machine.news == [(NOBODY, 2.5)]


async def test_with_a_wait_of_0_it_is_refused_at_once(
    machine: Machine, autojump_clock: MockClock
) -> None:
    with pytest.raises(OriginDown) as caught:
        await machine.dialer(wait_s=0).open()
    assert machine.attempts == [0]
    assert str(caught.value) == NOBODY
    assert machine.news == [(NOBODY, 0.0)]


async def test_it_is_told_once_that_the_app_is_down_and_once_that_it_is_back(
    machine: Machine,
    autojump_clock: MockClock,
) -> None:
    dialer = machine.dialer(wait_s=0)
    for listening in (False, False, True, True, False):
        machine.listening = listening
        try:
            await (await dialer.open()).aclose()
        except OriginDown:
            assert not listening
    assert machine.news == [(NOBODY, 0.0), ("up",), (NOBODY, 0.0)]


@pytest.mark.parametrize(
    "error",
    [
        socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
        OSError(errno.EMFILE, "Too many open files"),
        OSError(errno.EHOSTUNREACH, "No route to host"),
        OSError(errno.ETIMEDOUT, "Connection timed out"),
    ],
)
async def test_what_starting_the_app_would_not_mend_is_not_waited_for(
    machine: Machine, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    async def fail(host: str, port: int) -> trio.SocketStream:
        raise error

    monkeypatch.setattr(dial, "connect_tcp", fail)
    with pytest.raises(OriginRefused) as caught:
        await machine.dialer().open()
    assert not isinstance(caught.value, OriginDown)
    assert elapsed_s() == 0
    assert machine.news == []


# --- many ----------------------------------------------------------------------------------------


async def test_of_many_requests_that_wait_one_knocks_and_the_others_follow(
    machine: Machine, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    dialer = machine.dialer()
    requests = [Request(dialer, nursery) for _ in range(200)]
    await trio.sleep(2)
    assert len([at for at in machine.attempts if at == 0]) == 200  # each its own first attempt
    alone = [at for at in machine.attempts if at > 0]
    assert len(alone) == len(set(alone)) < 10
    assert repr(dialer) == "<PatientDialer http://127.0.0.1:3000 down, 200 wait>"
    machine.listening = True
    await trio.sleep(LONGEST_PAUSE_S)
    assert {request.opened_at for request in requests} == {requests[0].opened_at}
    assert machine.news == [(NOBODY, 3.0), ("up",)]
    assert repr(dialer) == "<PatientDialer http://127.0.0.1:3000 up>"


async def test_when_the_one_that_knocks_goes_away_another_does(
    machine: Machine, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    dialer = machine.dialer()
    requests = [Request(dialer, nursery) for _ in range(3)]
    await trio.sleep(1)
    requests[0].scope.cancel()
    requests[1].scope.cancel()
    await wait_all_tasks_blocked()
    assert [request.over_at for request in requests] == [1, 1, 0]
    machine.listening = True
    await trio.sleep(LONGEST_PAUSE_S)
    assert requests[2].opened_at is not None


async def test_each_waits_for_its_own_time(
    machine: Machine, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    dialer = machine.dialer()
    first = Request(dialer, nursery)
    await trio.sleep(2)
    second = Request(dialer, nursery)
    await trio.sleep(5)
    assert (first.over_at, second.over_at) == (3, 5)
    assert first.failed
    assert second.failed
    assert len(machine.news) == 1


async def test_an_app_that_goes_again_before_the_others_are_let_in_is_waited_for(
    machine: Machine,
    autojump_clock: MockClock,
    nursery: trio.Nursery,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dialer = machine.dialer()
    requests = [Request(dialer, nursery) for _ in range(2)]
    await trio.sleep(1)
    machine.listening = True
    original = machine.open_tcp_stream

    async def only_one(host: str, port: int) -> trio.SocketStream:
        stream = await original(host, port)
        machine.listening = False
        return stream

    monkeypatch.setattr(dial, "connect_tcp", only_one)
    await trio.sleep(1)
    assert sorted(request.opened_at is None for request in requests) == [False, True]
    machine.listening = True
    await trio.sleep(0.5)
    assert all(request.opened_at for request in requests)
    assert [news[0] for news in machine.news] == [NOBODY, "up", NOBODY, "up"]
    assert dialer.lives == 2


async def test_the_programs_end_ends_the_waiting_at_once_and_for_good(
    machine: Machine, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    dialer = machine.dialer()
    requests = [Request(dialer, nursery) for _ in range(3)]
    await trio.sleep(1)
    dialer.give_up()
    await wait_all_tasks_blocked()
    assert [str(request.failed) for request in requests] == [NOBODY] * 3
    with pytest.raises(OriginDown):
        await dialer.open()
    assert elapsed_s() == 1
