"""`ulimit -n`: a server that has no descriptors left waits for some, and nobody else notices."""

from __future__ import annotations

from contextlib import AsyncExitStack

import trio

from tests.programs import Address, Programs
from tests.system.origin import Origin
from tests.system.visitor import fetch, visit

LIMIT = 40
LIMITED = ("sh", "-c", f'ulimit -n {LIMIT} && exec "$@"', "sh")


async def test_running_out_of_descriptors_pauses_accepting_and_nothing_else(
    programs: Programs, origin: Origin
) -> None:
    server, port = await programs.server("--max-connections", "1000", by=LIMITED)
    assert f"only {LIMIT} file descriptors" in server.stderr
    assert "--max-connections 1,000: 1,080 file descriptors are needed" in server.stderr
    client = await programs.client(origin.port, port, "--subdomain", "app")
    await client.event("ready")
    address = Address(port, "app.localhost")
    async with visit(address) as kept, AsyncExitStack() as crowd:
        await kept.fetch("/")
        for _ in range(LIMIT):
            await crowd.enter_async_context(visit(address))
        await server.says("accepting pauses: Too many open files: the limit is 40")
        assert server.open_files() == LIMIT
        for _ in range(20):  # who is in is served as ever
            kept.connection.start_next_cycle()
            assert (await kept.fetch("/")).body == b"hello"
        async with trio.open_nursery() as nursery:
            answers = []

            async def ask() -> None:
                answers.append(await fetch(address))

            nursery.start_soon(ask)  # this one waits
            kept.connection.start_next_cycle()
            assert (await kept.fetch("/")).body == b"hello"
            assert not answers
            await crowd.aclose()
        assert [answer.body for answer in answers] == [b"hello"]
    await server.says("accepting again")
    assert server.stderr.count("accepting pauses") == 1
    assert client.process.returncode is None
    assert len([event for event in client.events if event["event"] == "ready"]) == 1
