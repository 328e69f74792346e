"""No peer at all: the load talks to the backend, and shows what the two of them can do."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks.peers.route import Peer, Route


@asynccontextmanager
async def open_direct(backend_port: int, _folder: Path) -> AsyncIterator[Route]:
    yield Route(backend_port, f"127.0.0.1:{backend_port}", {})


DIRECT = Peer("direct", missing=list, open=open_direct)
