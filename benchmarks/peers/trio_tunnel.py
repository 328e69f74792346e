"""This project's own server and client, as installed beside the Python that runs the benchmark.

`before` is the same of another installation, such as that of an older commit: what changes by a
few hundredths is seen only where both run in the same rounds.
"""

from __future__ import annotations

import sysconfig
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.peers.route import Peer, Route
from benchmarks.programs import running

SCRIPTS = Path(sysconfig.get_path("scripts"))
PROGRAMS = ("tunnel-server", "tunnel-client")


@asynccontextmanager
async def open_tunnel(scripts: Path, backend_port: int, folder: Path) -> AsyncIterator[Route]:
    # No settings or state of the user's: both programs look below these.
    env = {name: str(folder) for name in ("HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME")}
    server_argv = [str(scripts / "tunnel-server"), "--bind", "127.0.0.1:0", "--json"]
    async with running("tunnel-server", server_argv, folder, env) as server:
        url = str((await server.json_line("listening"))["url"])
        client_argv = [str(scripts / "tunnel-client"), "http", str(backend_port)]
        client_argv += ["--server", url, "--subdomain", "bench", "--json"]
        async with running("tunnel-client", client_argv, folder, env) as client:
            public = urlsplit(str((await client.json_line("ready"))["url"]))
            programs = {"server": server.pid, "client": client.pid}
            yield Route(public.port or 80, public.netloc, programs)


def missing(scripts: Path) -> list[str]:
    return [name for name in PROGRAMS if not (scripts / name).exists()]


def installed_in(scripts: Path, name: str) -> Peer:
    """The peer whose two programs stand in this folder."""
    return Peer(name, partial(missing, scripts), partial(open_tunnel, scripts))


TUNNEL = installed_in(SCRIPTS, "trio-tunnel")
