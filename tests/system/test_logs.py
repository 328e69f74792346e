"""The logs of both programs: one id finds a session in both, and no level tells a secret."""

from __future__ import annotations

import re

import pytest

from tests.programs import Address, Program, Programs
from tests.system.origin import Origin
from tests.system.visitor import visit

SECRET = "hunter2hunter2"
FIELDS = [("Authorization", f"Bearer {SECRET}"), ("Cookie", f"id={SECRET}")]


async def logged(programs: Programs, origin: Origin, level: str) -> tuple[Program, Program]:
    """Both programs, ended, after one request that is full of secrets."""
    server, port = await programs.server("--log-level", level)
    client = await programs.client(origin.port, port, "--subdomain", "app", "--log-level", level)
    await client.event("ready")
    async with visit(Address(port, "app.localhost")) as visitor:
        await visitor.request(f"/fields?key={SECRET}", fields=FIELDS)
        assert (await visitor.answer()).status == 200
        assert SECRET.encode() in b"".join([data async for data in visitor.body()])
    assert await client.stop() == 0
    assert await server.stop() == 0
    return server, client


def sessions(program: Program) -> set[str]:
    return set(re.findall(r" session ([0-9a-f]+): ", program.stderr))


@pytest.mark.parametrize("level", ["debug", "frames"])
async def test_both_programs_log_a_session_by_the_same_id_and_no_secret(
    programs: Programs, origin: Origin, level: str
) -> None:
    server, client = await logged(programs, origin, level)
    (session,) = sessions(server)
    assert len(session) == 8
    assert sessions(client) == {session}
    for program in (server, client):
        assert f"DEBUG protocol.drivers.session: session {session}: attached" in program.stderr
        assert f"DEBUG protocol.drivers.session: session {session}: ended: " in program.stderr
        assert "hunter2" not in program.stderr
    request = (
        r"session [0-9a-f]{8}: request 1: GET 200, 0 bytes in, \d+ bytes out, \d+ ms, ended well"
    )
    assert len(re.findall(request, client.stderr)) == 1
    request = r"session [0-9a-f]{8}: app: GET 200, 0 bytes in, \d+ bytes out, \d+ ms, ended by the"
    assert len(re.findall(request, server.stderr)) == 1


async def test_at_level_frames_each_frame_is_a_line_and_a_warning_says_what_that_costs(
    programs: Programs, origin: Origin
) -> None:
    server, client = await logged(programs, origin, "frames")
    frame = r" FRAMES protocol\.drivers\.attachment: session [0-9a-f]{8}: "
    assert re.search(frame + r"-> 1 OPEN \d+ GET\n", server.stderr)
    assert re.search(frame + r"<- 1 OPEN \d+ GET\n", client.stderr)
    assert re.search(frame + r"-> 1 HEAD \d+ 200\n", client.stderr)
    for program in (server, client):
        assert program.stderr.count("every frame is logged, which slows this program down") == 1


async def test_at_level_info_no_frame_is_a_line(programs: Programs, origin: Origin) -> None:
    for program in await logged(programs, origin, "info"):
        assert "OPEN" not in program.stderr
        assert "slows" not in program.stderr
