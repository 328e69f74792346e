"""A name that is given up: the client's side, the test is the server."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from protocol.limits import HANDSHAKE_TIMEOUT_S
from tests.server_fakes import Network, Server, a_config
from tunnel_client.uplink import release as module
from tunnel_client.uplink.release import ReleaseFailed, release_name


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Network:
    network = Network()
    monkeypatch.setattr(module, "open_stream", network.open_stream)
    return network


class Command:
    """`release shop`, until it has ended."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.failed: ReleaseFailed | None = None
        self.said = ""
        self.done = trio.Event()
        nursery.start_soon(self._run)

    async def _run(self) -> None:
        try:
            self.said = await release_name(a_config(), "shop", "1")
        except ReleaseFailed as error:
            self.failed = error
        self.done.set()

    async def failure(self) -> tuple[str, bool]:
        await self.done.wait()
        assert self.failed is not None
        return str(self.failed), self.failed.final


@pytest.fixture
def command(network: Network, nursery: trio.Nursery) -> Command:
    return Command(nursery)


@pytest.fixture
async def server(network: Network, nursery: trio.Nursery, command: Command) -> Server:
    """The server's end of the command's connection."""
    server = await network.accept()
    await server.open(nursery)
    return server


async def test_a_name_is_asked_to_be_released_and_not_claimed(
    server: Server, command: Command
) -> None:
    claim = await server.refuse("name-released", "shop is nobody's now")
    assert (claim.name, claim.start, claim.options) == ("shop", False, {"release": True})
    await command.done.wait()
    assert (command.failed, command.said) == (None, "shop is nobody's now")
    await server.ended.wait()


async def test_a_name_that_is_not_ours_is_not_released(server: Server, command: Command) -> None:
    await server.refuse("name-taken", "shop is another owner's\x1b[2J")
    assert await command.failure() == ("shop is another owner's\\x1b[2J", True)


async def test_a_server_that_keeps_no_names_is_told(server: Server, command: Command) -> None:
    await server.refuse("unknown-option", "this server has no option 'release'")
    said = "http://tunnel.test keeps no names: it is older than this client"
    assert await command.failure() == (said, True)


async def test_a_server_that_gives_the_name_has_not_understood(
    server: Server, command: Command
) -> None:
    await server.claimed("shop")
    failure = ("the server gave the name where it was to take it", False)
    assert await command.failure() == failure


async def test_a_connection_that_is_lost_says_so(server: Server, command: Command) -> None:
    await server.claim_asked()
    await trio.aclose_forcefully(server.stream)
    assert await command.failure() == (
        "the connection to the server was lost before it had answered",
        False,
    )


async def test_a_server_that_stops_is_no_answer(server: Server, command: Command) -> None:
    await server.claim_asked()
    assert server.session is not None
    server.session.goaway("draining", "it is replaced", 8)
    assert await command.failure() == ("the server stops (it is replaced)", False)


async def test_a_server_that_answers_as_it_stops_may_be_asked_again(
    server: Server, command: Command
) -> None:
    await server.refuse("draining", "the server stops")
    assert await command.failure() == ("the server stops", False)


async def test_a_server_that_does_not_answer_is_waited_for_so_long(
    server: Server, command: Command, autojump_clock: MockClock
) -> None:
    failure = await command.failure()
    assert failure == (f"http://tunnel.test did not answer within {HANDSHAKE_TIMEOUT_S} s", False)


async def test_a_server_that_cannot_be_reached_is_told(
    network: Network, nursery: trio.Nursery
) -> None:
    network.down = "cannot reach tunnel.test:80"
    assert await Command(nursery).failure() == ("cannot reach tunnel.test:80", False)


async def test_a_server_that_refuses_is_told(network: Network, nursery: trio.Nursery) -> None:
    command = Command(nursery)
    server = await network.accept()
    await server.answer(
        b"HTTP/1.1 401 Unauthorized\r\nTunnel-Error: unauthorized\r\nContent-Length: 0\r\n\r\n"
    )
    said, final = await command.failure()
    assert final
    assert "unauthorized" in said or "token" in said
