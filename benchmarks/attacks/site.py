"""A server alone on one processor, and beside it an honest app that an honest client shares."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import trio

from benchmarks.attacks.catalogue import OWNERS
from benchmarks.attacks.network import Network
from benchmarks.attacks.tenants import token_of
from benchmarks.attacks.visitors import DOMAIN
from benchmarks.attacks.ways import Entrance, Way, address_of
from benchmarks.peers.trio_tunnel import SCRIPTS
from benchmarks.programs import Program, path_of, running
from protocol.limits import READ_BYTES
from tunnel_server.owners.tokens import digest_of

ROOT = Path(__file__).parents[2]
CLIENT = address_of(2)
SERVER_CORE = 0
CLIENTS_START_S = 180.0  # forty of them, on one processor that others share


@dataclass(frozen=True)
class Site:
    server: Program
    entrance: Entrance
    folder: Path


def keep_off_the_servers_core() -> int:
    """This process, and what it starts, on all processors but the server's; how many those are."""
    others = os.sched_getaffinity(0) - {SERVER_CORE}
    if others:
        os.sched_setaffinity(0, others)
    return len(others)


def make_state(folder: Path) -> None:
    """A state folder in which every owner has a token, and a file with that of the client."""
    folder.mkdir(mode=0o700, parents=True)
    lines = [f"{owner} sha256:{digest_of(token_of(owner)).hex()}\n" for owner in OWNERS]
    for name, text in (("tokens", "".join(lines)), ("token", token_of("honest") + "\n")):
        (folder / name).touch(mode=0o600)
        (folder / name).write_text(text)


def env_of(folder: Path) -> dict[str, str]:
    """No settings or state of the user's: both programs look below these."""
    return {name: str(folder) for name in ("HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME")}


@asynccontextmanager
async def open_server(
    name: str, folder: Path, network: Network, entrance: Entrance, flags: Sequence[str] = ()
) -> AsyncIterator[tuple[Program, Entrance]]:
    """A server alone on its processor, with the state in the folder, and its port."""
    argv = [str(SCRIPTS / "tunnel-server"), "--bind", f"{entrance.host}:{entrance.port}", "--json"]
    argv += ["--domain", DOMAIN, "--state-dir", str(folder), *entrance.flags, *flags]
    argv = network.of_server([path_of("taskset"), "-c", str(SERVER_CORE), *argv])
    async with running(name, argv, folder, env_of(folder)) as server:
        bound = str((await server.json_line("listening"))["bind"])
        yield server, replace(entrance, port=int(bound.rpartition(":")[2]))


@asynccontextmanager
async def open_site(
    folder: Path,
    network: Network,
    way: Way,
    flags: Sequence[str] = (),
    tunnels: Sequence[str] = ("honest",),
) -> AsyncIterator[Site]:
    """A server with its flags, and honest clients that started at once and are ready."""
    make_state(folder)
    entrance = Entrance(way, network.server_ip, 0, network.our_ip)
    async with AsyncExitStack() as stack:
        server, entrance = await stack.enter_async_context(
            open_server("tunnel-server", folder, network, entrance, flags)
        )
        app_argv = [sys.executable, "-m", "benchmarks.attacks.app"]
        path = {"PYTHONPATH": str(ROOT)}
        app = await stack.enter_async_context(running("app", app_argv, folder, path))
        app_port = (await app.json_line("port"))["port"]
        url = await stack.enter_async_context(way_for_clients(entrance))
        argv = [str(SCRIPTS / "tunnel-client"), "http", str(app_port), "--server", url, "--json"]
        argv += ["--token-file", str(folder / "token"), "--insecure-server", "--subdomain"]
        clients = [
            await stack.enter_async_context(running(name, [*argv, name], folder, env_of(folder)))
            for name in tunnels
        ]
        for client in clients:
            await client.line('"ready"', CLIENTS_START_S)
        yield Site(server, entrance, folder)


@asynccontextmanager
async def way_for_clients(entrance: Entrance) -> AsyncIterator[str]:
    """The URL for the real client, which cannot write PROXY headers: those are a relay's."""
    if entrance.way is not Way.PROXY:
        yield f"http://{entrance.host}:{entrance.port}"
        return
    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        handler = partial(relay, entrance)
        nursery.start_soon(trio.serve_listeners, handler, listeners)
        yield f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        nursery.cancel_scope.cancel()


async def relay(entrance: Entrance, client: trio.SocketStream) -> None:
    """One connection of a client, with a PROXY header in front."""
    try:
        async with client, await entrance.connect(CLIENT) as server:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(pump, client, server)
                await pump(server, client)
                nursery.cancel_scope.cancel()
    except* (OSError, trio.BrokenResourceError, trio.ClosedResourceError):
        pass  # either end has gone


async def pump(source: trio.SocketStream, sink: trio.SocketStream) -> None:
    while data := await source.receive_some(READ_BYTES):
        await sink.send_all(data)
    await sink.send_eof()
