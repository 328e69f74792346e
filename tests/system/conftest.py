from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from tests.programs import Address, Programs, Tunnel, open_programs
from tests.system.origin import Origin, serve


@pytest.fixture
async def programs(tmp_path: Path) -> AsyncIterator[Programs]:
    async with open_programs(tmp_path) as programs:
        yield programs


@pytest.fixture
async def origin(nursery: trio.Nursery) -> Origin:
    return await serve(Origin(), nursery)


@pytest.fixture
async def tunnel(programs: Programs, origin: Origin) -> Tunnel:
    return await programs.tunnel(origin.port)


@pytest.fixture
async def patient_tunnel(programs: Programs, origin: Origin) -> Tunnel:
    """One whose programs drain for so long that what ends within STOP_S ends for another reason."""
    patient = ("--drain-timeout", "600")
    server, port = await programs.server(*patient)
    client = await programs.client(origin.port, port, "--subdomain", "app", *patient)
    await client.event("ready")
    return Tunnel(server, client, Address(port, "app.localhost"))


@pytest.fixture
async def address(programs: Programs, origin: Origin) -> Address:
    """Where a visitor finds the origin: through a tunnel.

    DIRECT=1 leaves the tunnel out. A test that fails then has its fault on its own side.
    """
    if os.environ.get("DIRECT") == "1":
        return Address(origin.port, "localhost")
    return (await programs.tunnel(origin.port)).address
