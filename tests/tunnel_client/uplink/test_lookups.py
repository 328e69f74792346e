from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import trio
import trio.testing

from tests.clocks import elapsed_s
from tunnel_client.settings.addresses import ServerUrl
from tunnel_client.uplink import lookups as lookups_module
from tunnel_client.uplink.connect import STEP_TIMEOUT_S, ConnectFailed, open_stream
from tunnel_client.uplink.lookups import LOOKUP_TIMEOUT_S, LOOKUPS_MAX, Lookups

NAME = b"tunnel.example.com"


class System:
    """The system's resolver: it answers, fails, or says nothing until `end`."""

    gaierror = socket.gaierror
    EAI_AGAIN = socket.EAI_AGAIN

    def __init__(self) -> None:
        self.addresses: list[str] = []
        self.asked: list[tuple[object, ...]] = []
        self.hangs = False
        self._end = threading.Event()

    def getaddrinfo(self, *question: object) -> list[Any]:
        self.asked.append(question)
        if self.hangs:
            assert self._end.wait(50)
        if not self.addresses:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        found = (self.addresses.pop(0), question[1])
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", found)]

    def getnameinfo(self, sockaddr: Any, flags: int) -> tuple[str, str]:
        return "name", str(sockaddr[1])

    def end(self) -> None:
        self._end.set()


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch) -> Iterator[System]:
    system = System()
    monkeypatch.setattr(lookups_module, "socket", system)
    yield system
    system.end()  # no thread is left behind


async def connect(port: int = 443) -> None:
    server = ServerUrl("http", NAME.decode(), port)
    await trio.aclose_forcefully(await open_stream(server, None, None))


async def failure(port: int = 443) -> str:
    with pytest.raises(ConnectFailed) as caught:
        await connect(port)
    return str(caught.value)


async def test_the_system_is_asked_with_what_was_asked(system: System) -> None:
    system.addresses = ["192.0.2.1"]
    question = (NAME, 443, socket.AF_INET, socket.SOCK_STREAM, 0, 0)
    [answer] = await Lookups().getaddrinfo(*question)
    assert answer[4] == ("192.0.2.1", 443)
    assert system.asked == [question]
    assert await Lookups().getnameinfo(("192.0.2.1", 443), 0) == ("name", "443")


async def test_the_system_itself_is_asked() -> None:
    found = await Lookups().getaddrinfo(b"127.0.0.1", 443, socket.AF_INET, socket.SOCK_STREAM)
    assert [answer[4] for answer in found] == [("127.0.0.1", 443)]


async def test_a_failure_of_the_system_is_passed_on(system: System) -> None:
    with pytest.raises(socket.gaierror, match="not known"):
        await Lookups().getaddrinfo(NAME, 443)


async def test_a_server_whose_address_changes_is_found_at_the_next_attempt(
    system: System,
) -> None:
    trio.socket.set_custom_hostname_resolver(Lookups())
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listener.socket.getsockname()[1]
    async with listener:
        system.addresses = ["127.0.0.2", "127.0.0.1"]
        assert "connection refused" in await failure(port)
        await connect(port)
    assert len(system.asked) == 2


async def test_a_lookup_that_hangs_ends_at_its_deadline_and_is_told_as_such(
    system: System, autojump_clock: trio.testing.MockClock
) -> None:
    trio.socket.set_custom_hostname_resolver(Lookups())
    system.hangs = True
    assert await failure() == (
        "cannot reach tunnel.example.com:443: the name cannot be resolved (no answer within 10 s)"
    )
    assert elapsed_s() == LOOKUP_TIMEOUT_S < STEP_TIMEOUT_S


async def test_a_lookup_can_be_cancelled(system: System) -> None:
    system.hangs = True
    with trio.CancelScope() as scope:
        scope.cancel()
        await Lookups().getaddrinfo(NAME, 443)
    assert scope.cancelled_caught


async def ask(lookups: Lookups) -> None:
    with pytest.raises(socket.gaierror, match="no answer within 10 s"):
        await lookups.getaddrinfo(NAME, 443)


@pytest.mark.parametrize("count", [LOOKUPS_MAX, LOOKUPS_MAX + 1])
async def test_lookups_that_hang_take_so_many_threads_and_no_more(
    system: System, autojump_clock: trio.testing.MockClock, count: int
) -> None:
    system.hangs = True
    lookups = Lookups()
    async with trio.open_nursery() as nursery:
        for _ in range(count):
            nursery.start_soon(ask, lookups)
    assert elapsed_s() == LOOKUP_TIMEOUT_S
    assert repr(lookups) == f"<Lookups {LOOKUPS_MAX} under way>"
    free = trio.to_thread.current_default_thread_limiter().available_tokens
    assert free == trio.to_thread.current_default_thread_limiter().total_tokens


async def test_a_lookup_that_ends_after_all_makes_room_for_the_next(system: System) -> None:
    system.hangs = True
    lookups = Lookups()
    async with trio.open_nursery() as nursery:
        for _ in range(LOOKUPS_MAX):
            nursery.start_soon(lookups.getaddrinfo, NAME, 443)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    system.hangs = False
    system.addresses = ["192.0.2.1"] * (LOOKUPS_MAX + 1)
    system.end()
    [answer] = await lookups.getaddrinfo(NAME, 443)
    assert answer[4] == ("192.0.2.1", 443)
