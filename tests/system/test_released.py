"""The released 0.2.0, which speaks version 1 of the wire alone, with the programs of today.

It is taken from this repository's history, and runs with today's libraries: what is tried is the
wire, and not an installation.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import pytest
import trio
from wsproto.events import TextMessage

from tests.patience import PATIENCE
from tests.programs import SCRIPTS, Address, Programs, open_programs
from tests.system.origin import Origin, blocks, digest
from tests.system.visitor import SMALL_S, fetch, visit

ROOT = Path(__file__).parents[2]
RELEASED = "23731e8"  # 0.2.0
PACKAGES = ("protocol", "tunnel_client", "tunnel_server")


def git(*arguments: str) -> bytes:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, check=True).stdout


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scripts folder of the release."""
    if git("rev-parse", "--is-shallow-repository").strip() == b"true":
        pytest.skip("needs the whole history of the repository")
    folder = tmp_path_factory.mktemp("released")
    with tarfile.open(fileobj=BytesIO(git("archive", RELEASED, *PACKAGES))) as archive:
        archive.extractall(folder, filter="data")
    for name in ("tunnel-server", "tunnel-client"):
        module = name.replace("-", "_")
        script = folder / name
        script.write_text(
            f'#!/bin/sh\nPYTHONPATH={folder} exec {sys.executable} -m {module} "$@"\n'
        )
        script.chmod(0o755)
    return folder


class Pair(NamedTuple):
    server: Path
    client: Path


@pytest.fixture(params=["released server", "released client"])
async def address(
    request: pytest.FixtureRequest, released: Path, tmp_path: Path, origin: Origin
) -> AsyncIterator[Address]:
    """Where a visitor finds the origin, through one program of each."""
    older = request.param == "released server"
    pair = Pair(released, SCRIPTS) if older else Pair(SCRIPTS, released)
    async with open_programs(tmp_path, pair.server) as servers:
        async with open_programs(tmp_path, pair.client) as clients:
            address = await tunnel(servers, clients, origin)
            yield address
            await fetch(address, "/")  # after all that, it still serves
            said = "".join(program.stderr for program in (*servers.all, *clients.all))
            assert "broke the protocol" not in said


async def tunnel(servers: Programs, clients: Programs, origin: Origin) -> Address:
    _, port = await servers.server("--log-level", "debug")
    client = await clients.client(origin.port, port, "--subdomain", "app")
    await client.event("ready")
    return Address(port, "app.localhost")


async def test_requests_and_bodies_cross(address: Address) -> None:
    async with visit(address) as visitor:
        for target, status in (("/", 200), ("/nowhere", 404), ("/", 200)):
            answer = await visitor.fetch(target)
            assert (answer.status, answer.error) == (status, None)
            visitor.connection.start_next_cycle()
    sent = blocks(7, 3 << 20)
    echoed = await fetch(address, "/echo", "POST", b"".join(sent))
    assert digest([echoed.body]) == digest(sent)


@pytest.mark.timeout(60 * PATIENCE)
async def test_websockets_cross(address: Address) -> None:
    async with visit(address) as visitor:
        with trio.fail_after(SMALL_S):
            socket = await visitor.upgrade("/ws")
            await visitor.stream.send_all(socket.send(TextMessage("hello")))
            received = ""
            while not received:
                socket.receive_data(bytes(await visitor.stream.receive_some()))
                received = "".join(
                    event.data for event in socket.events() if isinstance(event, TextMessage)
                )
    assert received == "hello"
