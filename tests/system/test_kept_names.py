"""Names that stay their owner's, with real programs: over restarts, until somebody frees them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.programs import Address, Program, Programs
from tests.system.origin import Origin
from tests.system.visitor import SMALL_S, fetch
from tunnel_server.owners.store import FILE_NAME
from tunnel_server.tunnels.directory import EXPECT_S

NAME = "shop"


async def done(programs: Programs, program: str, *arguments: str, home: str = "home") -> str:
    """What a command prints, which must exit with 0."""
    return (await ended(programs, program, *arguments, home=home))[1]


async def ended(
    programs: Programs, program: str, *arguments: str, home: str = "home", code: int = 0
) -> tuple[str, str]:
    """What a command says on stderr and on stdout, and which must exit with this code."""
    run = await programs.start(program, *arguments, home=home)
    assert await run.exit_code() == code, run.stderr
    said = "\n".join(run.stray)
    run.stray.clear()  # a command prints what was asked for, and no events
    return run.stderr, said


async def server_command(programs: Programs, *arguments: str) -> Any:
    return json.loads(await done(programs, "tunnel-server", *arguments, "--json"))


async def client_of(programs: Programs, origin: Origin, port: int, home: str) -> Program:
    """A client that asks for NAME. Those with another `home` have an install key of their own."""
    return await programs.client(origin.port, port, "--subdomain", NAME, home=home)


async def offline(address: Address) -> tuple[int, str | None]:
    # A server that has just started waits for the client of a name that was live before it.
    answer = await fetch(address, small_s=EXPECT_S + SMALL_S)
    return answer.status, answer.fields.get("tunnel-error")


async def test_a_name_stays_its_owners_over_a_restart_until_it_is_released(
    programs: Programs, origin: Origin
) -> None:
    server, port = await programs.server()
    ann = await client_of(programs, origin, port, "ann")
    await ann.event("ready")
    assert await ann.stop() == 0
    assert await server.stop() == 0

    server, port = await programs.server(bind=f"127.0.0.1:{port}")
    address = Address(port, f"{NAME}.localhost")
    assert await offline(address) == (503, "tunnel-offline")
    bob = await client_of(programs, origin, port, "bob")
    assert (await bob.event("refused"))["code"] == "name-taken"
    assert await bob.exit_code() == 3
    await server.says(f"{NAME} is kept for key:")

    release = ("release", NAME, "--server", f"http://127.0.0.1:{port}")
    refused, _ = await ended(programs, "tunnel-client", *release, home="bob", code=3)
    assert "another owner's" in refused
    said = await done(programs, "tunnel-client", *release, home="ann")
    assert said == f"{NAME} is nobody's now"
    assert await offline(address) == (404, "tunnel-not-found")
    bob = await client_of(programs, origin, port, "bob")
    await bob.event("ready")

    in_use, _ = await ended(programs, "tunnel-client", *release, home="bob", code=3)
    assert f"a client of yours serves under {NAME}" in in_use
    assert (await fetch(address)).status == 200


async def test_the_operator_sees_whose_names_are_and_says_whose_they_shall_be(
    programs: Programs, origin: Origin
) -> None:
    _, port = await programs.server()
    ann = await client_of(programs, origin, port, "ann")
    await ann.event("ready")
    status = await server_command(programs, "status")
    assert (status["bind"], status["sessions"], status["names"]) == (f"127.0.0.1:{port}", 1, 1)
    (name,) = (await server_command(programs, "name", "list"))["names"]
    assert (name["name"], name["live"], name["chosen"]) == (NAME, True, True)

    assert await ann.stop() == 0
    (name,) = (await server_command(programs, "name", "list"))["names"]
    assert not name["live"]
    given = await server_command(programs, "name", "give", NAME, "bob")
    assert given == {"owner": "bob", "held_by": None, "known": False, "store": "ok"}
    ann = await client_of(programs, origin, port, "ann")
    assert (await ann.event("refused"))["code"] == "name-taken"
    released = await server_command(programs, "name", "release", NAME)
    assert released == {"owner": "bob", "held_by": None, "store": "ok"}
    ann = await client_of(programs, origin, port, "ann")
    await ann.event("ready")
    assert NAME in await done(programs, "tunnel-server", "name", "list")
    assert f"listens on 127.0.0.1:{port}" in await done(programs, "tunnel-server", "status")


async def test_the_socket_goes_from_one_server_to_the_next(
    programs: Programs, origin: Origin
) -> None:
    old, port = await programs.server()
    before = await server_command(programs, "name", "give", NAME, "bob")
    assert before["store"] == "ok"
    await programs.server("--replace", bind=f"127.0.0.1:{port}")
    assert await old.exit_code() == 0
    (name,) = (await server_command(programs, "name", "list"))["names"]
    assert (name["name"], name["owner"]) == (NAME, "bob")
    assert (await server_command(programs, "status"))["bind"] == f"127.0.0.1:{port}"


def damage(programs: Programs) -> None:
    folder = programs.folder / "home" / "state" / "trio-tunnel"
    folder.mkdir(parents=True, mode=0o700)
    (folder / FILE_NAME).write_bytes(b"this was a database, once")


async def test_with_a_damaged_store_no_server_starts(programs: Programs) -> None:
    """With an empty one in its place everybody's names would be free."""
    damage(programs)
    said, _ = await ended(programs, "tunnel-server", "--bind", "127.0.0.1:0", code=1)
    assert len(said.splitlines()) == 1
    assert "put a backup in its place" in said


@pytest.mark.parametrize("command", [("status",), ("name", "list")])
async def test_without_a_server_and_a_store_it_says_so(
    programs: Programs, command: tuple[str, ...]
) -> None:
    refused, _ = await ended(programs, "tunnel-server", *command, code=1)
    assert "no server runs with the state folder" in refused
