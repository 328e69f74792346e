"""This project's own server and client, as installed beside the Python that runs the benchmark."""

from __future__ import annotations

import sysconfig
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.peers.route import Peer, Route
from benchmarks.programs import running

SCRIPTS = Path(sysconfig.get_path("scripts"))
SERVER = SCRIPTS / "tunnel-server"
CLIENT = SCRIPTS / "tunnel-client"


@asynccontextmanager
async def open_tunnel(backend_port: int, folder: Path) -> AsyncIterator[Route]:
    # No settings or state of the user's: both programs look below these.
    env = {name: str(folder) for name in ("HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME")}
    server_argv = [str(SERVER), "--bind", "127.0.0.1:0", "--json"]
    async with running("tunnel-server", server_argv, folder, env) as server:
        url = str((await server.json_line("listening"))["url"])
        client_argv = [str(CLIENT), "http", str(backend_port)]
        client_argv += ["--server", url, "--subdomain", "bench", "--json"]
        async with running("tunnel-client", client_argv, folder, env) as client:
            public = urlsplit(str((await client.json_line("ready"))["url"]))
            programs = {"server": server.pid, "client": client.pid}
            yield Route(public.port or 80, public.netloc, programs)


def missing() -> list[str]:
    return [str(path.name) for path in (SERVER, CLIENT) if not path.exists()]


TUNNEL = Peer("trio-tunnel", missing, open_tunnel)
