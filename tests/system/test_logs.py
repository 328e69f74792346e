"""The logs of both programs: one id finds a session in both, and no level tells a secret."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
import trio

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


# Some six lines a request: more than the pipe (64 KiB) and the queue (10,000 lines) hold together.
REQUESTS = 2_500
LINE = re.compile(r" FRAMES protocol\.drivers\.attachment: |: GET 200, ")
DROPPED = re.compile(r"(\d+) lines of this log were dropped")


async def test_a_log_that_nobody_reads_holds_up_nobody_and_counts_what_it_lost(
    programs: Programs, origin: Origin, tmp_path: Path
) -> None:
    pipe = tmp_path / "log"
    os.mkfifo(pipe)
    by = ("sh", "-c", 'exec "$@" 2<>"$0"', str(pipe))  # open for both, so that nobody waits
    server, port = await programs.server("--log-level", "frames", by=by)
    client = await programs.client(origin.port, port, "--subdomain", "app", "--log-level", "frames")
    await client.event("ready")
    async with visit(Address(port, "app.localhost")) as visitor:
        for _ in range(REQUESTS):
            assert (await visitor.fetch("/")).status == 200
            visitor.connection.start_next_cycle()
    log = ""
    async with await trio.open_file(pipe) as reader, trio.open_nursery() as nursery:
        nursery.start_soon(server.stop)
        nursery.start_soon(client.stop)
        log = await reader.read()  # to its end, when the server has ended
    assert server.process.returncode == client.process.returncode == 0
    # A frame and a request are a line at both ends, so the server dropped what only the client has;
    # but for a few of goodbye, which one end sends and the other does not live to read.
    lost = sum(int(match[1]) for match in DROPPED.finditer(log))
    assert lost > 0
    assert abs(len(LINE.findall(log)) + lost - len(LINE.findall(client.stderr))) < 10
