"""The server has no descriptor left."""

from __future__ import annotations

import resource
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random

import pytest
import trio

from tests.faults.exchanges import get
from tests.faults.site import Baseline, open_site, until

LIMIT = 64  # as ulimit -n has it; the server needs about ten for itself
BEYOND = 100


@pytest.mark.timeout(120)
async def test_a_server_out_of_descriptors_stops_accepting_and_goes_on_when_it_has_some(
    tmp_path: Path,
) -> None:
    """May be lost: nothing. Who comes beyond the limit waits; who is there is served."""
    async with open_site(tmp_path) as site:
        before = Baseline(site)
        resource.prlimit(site.server.process.pid, resource.RLIMIT_NOFILE, (LIMIT, LIMIT))
        async with site.visit() as early, AsyncExitStack() as held:
            assert (await early.fetch("/")).body == b"hello"
            for _ in range(BEYOND):
                await held.enter_async_context(site.visit())
            await until("a pause", lambda: "accepting pauses" in site.server.stderr)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(get, site, Random(61))
                for _ in range(3):
                    early.connection.start_next_cycle()
                    assert (await early.fetch("/")).body == b"hello"
                assert site.ledger.ended() == 0
                await held.aclose()
        site.ledger.check()
        assert site.ledger.answered("get") == 1
        await until("its end", lambda: "accepting again" in site.server.stderr)
        assert site.server.stderr.count("accepting pauses") == 1
        assert site.middlebox.accepted == 1
        await before.check()
