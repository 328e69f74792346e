"""A name that is given up: the client's side, the test is the server."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from protocol.errors import StreamReset
from protocol.limits import HANDSHAKE_TIMEOUT_S
from protocol.mux.events import GoingAway, Released
from protocol.mux.messages import Claimed, Release
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
        self.done = trio.Event()
        nursery.start_soon(self._run)

    async def _run(self) -> None:
        try:
            await release_name(a_config(), "shop", "1")
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


async def test_a_name_is_claimed_as_by_a_reconnect_and_released_for_good(
    server: Server, command: Command
) -> None:
    claim = await server.claimed("shop")
    assert (claim.name, claim.start, claim.default) == ("shop", False, "")
    released = await server.event()
    assert isinstance(released, Released)
    assert released.release == Release(1, "name-released", "nobody is to keep it")
    assert isinstance(await server.event(), GoingAway)
    await command.done.wait()
    assert command.failed is None
    await server.ended.wait()


async def test_it_is_not_done_before_the_server_has_read_it(
    server: Server, command: Command
) -> None:
    server.answer_goaway = False
    await server.claimed("shop")
    await wait_all_tasks_blocked()
    assert not command.done.is_set()
    assert server.session is not None
    server.session.goaway("no-error", "", 0)
    await command.done.wait()
    assert command.failed is None


async def test_a_name_that_is_not_given_is_not_released(server: Server, command: Command) -> None:
    await server.refuse("name-taken", "shop is in use by another client\x1b[2J")
    said = "shop: shop is in use by another client\\x1b[2J"
    assert await command.failure() == (said, True)


async def test_a_visitor_of_that_moment_is_turned_away(server: Server, command: Command) -> None:
    claim = await server.claim_asked()
    stream = server.request()
    with pytest.raises(StreamReset, match="refused"):
        await stream.receive_head()
    assert server.session is not None
    server.session.answer_claim(Claimed(claim.claim, "shop", "http://shop.tunnel.test"))
    await command.done.wait()
    assert command.failed is None


async def test_a_connection_that_is_lost_says_so(server: Server, command: Command) -> None:
    await server.claim_asked()
    await trio.aclose_forcefully(server.stream)
    assert await command.failure() == (
        "the connection to the server was lost before it had answered",
        False,
    )


async def test_one_that_is_lost_after_the_claim_does_too(server: Server, command: Command) -> None:
    server.answer_goaway = False
    await server.claimed("shop")
    await server.event()
    await trio.aclose_forcefully(server.stream)
    assert "was lost before it had answered" in (await command.failure())[0]


async def test_a_server_that_stops_is_no_answer(server: Server, command: Command) -> None:
    await server.claim_asked()
    assert server.session is not None
    server.session.goaway("draining", "it is replaced", 8)
    assert await command.failure() == ("the server stops (it is replaced)", False)


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
