"""Two owners and one name, again and again: at one server, and while one replaces another.

    python -m tests.system.name_races RACES HANDOVERS

Real clients and servers, with real sockets and a store on disk, in one process, so that thousands
of rounds take minutes. In each round two owners ask for a name that was nobody's, at the same time.
One of them must get it and the other be told; and who got it must have it in the next server, too,
live and kept.
"""

from __future__ import annotations

import random
import sys
import tempfile
from collections import Counter
from functools import partial
from itertools import count
from pathlib import Path

import trio

from protocol.drivers.stream import TunnelStream
from tests.patience import PATIENCE
from tunnel_client.observing.events import ClientEvent, TunnelReady, TunnelRefused
from tunnel_client.settings.addresses import ServerUrl
from tunnel_client.settings.config import ClientConfig
from tunnel_client.settings.target import Target
from tunnel_client.uplink.agent import Agent
from tunnel_server.admin.commands import Commands
from tunnel_server.admin.control_socket import ControlSocket, control_place
from tunnel_server.app import Server, _note_of
from tunnel_server.listening.handover import meeting_point_of
from tunnel_server.listening.sockets import bind, with_address_of
from tunnel_server.listening.takeover import Takeover, take_over
from tunnel_server.observing.output import Output
from tunnel_server.owners.authenticator import KEY, Authenticator
from tunnel_server.owners.store import FILE_NAME, open_store
from tunnel_server.owners.tokens import digest_of
from tunnel_server.settings.config import ServerConfig
from tunnel_server.tunnels.assembly import build_directory
from tunnel_server.tunnels.succession import Succession
from tunnel_server.visitors.edge import Edge
from tunnel_server.visitors.revoking import end_what_passes
from tunnel_server.visitors.sweeping import sweep

ROUND_S = 30 * PATIENCE
OWNERS = ("ti_ann", "ti_bob")
# A client has its name some 10 ms after it was started, here.
LEAD_S = 0.03
DICE = random.Random(12)


class NeverStopped:
    """Signals of which none comes."""

    def __aiter__(self) -> NeverStopped:
        return self

    async def __anext__(self) -> int:
        await trio.sleep_forever()
        raise AssertionError


class Running:
    """A server, as `app` puts one together, until another replaces it."""

    def __init__(self, config: ServerConfig, takeover: Takeover | None) -> None:
        sockets = bind(config) if takeover is None else takeover.sockets
        self.config = with_address_of(config, sockets)
        self.ended = trio.Event()
        self._takeover = takeover
        self._sockets = sockets
        store = open_store(config.state_dir / FILE_NAME)
        authenticator = Authenticator(None, everybody=True)
        self.directory, self._writer = build_directory(self.config, authenticator, store)

    def __repr__(self) -> str:
        return f"<Running {self.directory!r}>"

    async def run(self) -> None:
        succession = Succession(self.directory, self._writer, _note_of(self.config))
        succession.expect_names()
        if self._takeover is not None:
            succession.takes_over()
        edge = Edge(self.directory, port=self.config.bind_port)
        end = partial(end_what_passes, edge)
        shares = edge.crowd.shares
        commands = Commands(*(self.directory, shares, edge.port, self._writer, end, lambda: None))
        control = ControlSocket(
            control_place(self.config.state_dir, self.config.bind), commands.answer
        )
        assert self._writer is not None
        async with trio.open_nursery() as connections:
            connections.start_soon(sweep, edge)
            connections.start_soon(self._writer.run)
            output = Output(self.config, "1", lambda _: None)
            rest = (connections, output, succession, control)
            server = Server(edge, None, self._sockets, *rest)
            await server.run(self._takeover, NeverStopped(), trio.Event())
            connections.cancel_scope.cancel()
        self.ended.set()


class Rival:
    """A client of one owner that asks for a name, and what it was told last."""

    def __init__(self, port: int, token: str, name: str) -> None:
        self.owner = f"{KEY}{digest_of(token).hex()}"
        self.refused = ""
        self.ready_at = 0  # so many times
        self.news = trio.Event()
        self.agent = Agent(
            ClientConfig(
                target=Target.parse("1"),
                server_url=ServerUrl("http", "127.0.0.1", port),
                token=token,
                subdomain=name,
            ),
            self,
            self._refuse,
            version="1",
            instance=DICE.randbytes(16),
            random=DICE.random,
        )

    def __repr__(self) -> str:
        return f"<Rival {self.owner[:8]} ready {self.ready_at} times, {self.refused!r}>"

    def tell(self, event: ClientEvent) -> None:
        if isinstance(event, TunnelReady):
            self.ready_at += 1
        elif isinstance(event, TunnelRefused):
            self.refused = event.code
        self.news.set()
        self.news = trio.Event()

    @staticmethod
    def _refuse(stream: TunnelStream) -> None:
        stream.cancel("refused")

    async def told(self) -> None:
        """Wait until it is ready or refused."""
        while not (self.ready_at or self.refused):
            await self.news.wait()


class Races:
    """Rounds, one after the other.

    Attributes:
        won: how often each owner did.
    """

    def __init__(self, folder: Path, servers: trio.Nursery) -> None:
        self.won: Counter[str] = Counter()
        self._servers = servers
        self._numbers = count()
        self._running = self._start(ServerConfig(bind_port=0, state_dir=folder), None)

    def __repr__(self) -> str:
        return f"<Races {self.won} at {self._running!r}>"

    def _start(self, config: ServerConfig, takeover: Takeover | None) -> Running:
        running = Running(config, takeover)
        self._servers.start_soon(running.run)
        return running

    async def round(self, *, replaced: bool) -> None:
        """Two owners ask for a name at once; meanwhile the server is replaced, or not."""
        name = f"n{next(self._numbers)}"
        rivals = [Rival(self._running.config.bind_port, token, name) for token in OWNERS]
        DICE.shuffle(rivals)
        with trio.fail_after(ROUND_S):
            async with trio.open_nursery() as nursery:
                for rival in rivals:
                    nursery.start_soon(rival.agent.run)
                if replaced:
                    await trio.sleep(DICE.uniform(0, LEAD_S))
                    await self._replace()
                for rival in rivals:
                    await rival.told()
                won, lost = sorted(rivals, key=lambda rival: rival.refused)
                told = (won.refused, lost.refused, lost.ready_at)
                assert told == ("", "name-taken", 0), (name, rivals)
                await self._check(won, name)
                self.won[won.owner] += 1
                await won.agent.stop()
                nursery.cancel_scope.cancel()

    async def _replace(self) -> None:
        old = self._running
        takeover = await take_over(meeting_point_of(old.config))
        assert takeover is not None
        self._running = self._start(old.config, takeover)
        await old.ended.wait()

    async def _check(self, won: Rival, name: str) -> None:
        """The winner has the name where it counts: in the newest server, live and kept."""
        directory = self._running.directory
        while (tunnel := directory.registry.find(name)) is None:
            await won.news.wait()  # it comes back from the server before
        kept = directory.names.get(name)
        assert tunnel.owner == won.owner
        assert kept is not None
        assert kept.owner == won.owner


async def run_rounds(folder: Path, races: int, handovers: int) -> Counter[str]:
    """So many rounds at one server, and so many while one replaces another."""
    async with trio.open_nursery() as servers:
        rounds = Races(folder, servers)
        for number in range(races + handovers):
            await rounds.round(replaced=number >= races)
        servers.cancel_scope.cancel()
    return rounds.won


def main(races: int, handovers: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        won = trio.run(run_rounds, Path(folder), races, handovers)
    print(f"{races} races, {handovers} handovers: one won, the other was told; {[*won.values()]}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
