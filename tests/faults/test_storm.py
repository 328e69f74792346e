"""200 clients lose their connections in the same instant."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from random import Random

import pytest
import trio

from tests.faults.agents import Agents
from tests.faults.echoes import idle
from tests.faults.exchanges import gated, get
from tests.faults.site import Baseline, open_site

CLIENTS = 200
# A reset is noticed at once. Here the pings of 400 ends share two processes, and must not be late.
TIMEOUT_S = 30


@pytest.mark.timeout(180)
async def test_200_clients_that_are_reset_at_once_all_come_back_and_lose_nothing(
    tmp_path: Path,
) -> None:
    """May be lost: nothing. Each name answers again, and what was in the middle goes on."""
    async with open_site(tmp_path, rate=math.inf, timeout_s=TIMEOUT_S) as site:
        before = Baseline(site)
        async with trio.open_nursery() as nursery:
            agents = Agents(site.middlebox.port, site.app.port, seed=81)
            await agents.start(nursery, CLIENTS)
            async with trio.open_nursery() as visitors:
                rest = site.app.gate.wait
                for name in agents.names:
                    visitors.start_soon(gated, site, name)
                    visitors.start_soon(partial(idle, site, Random(name), rest=rest, name=name))
                await site.ledger.until_moved(gated=CLIENTS, idle=CLIENTS)
                assert site.middlebox.reset() == CLIENTS + 1
                assert site.ledger.ended() == 0
                for name in agents.names:
                    visitors.start_soon(get, site, Random(name), name)
                site.app.gate.set()
            site.ledger.check()
            assert site.ledger.ended() == 3 * CLIENTS
            assert site.middlebox.accepted >= 2 * (CLIENTS + 1)
            await agents.stop()
            nursery.cancel_scope.cancel()
        await before.check()


@pytest.mark.timeout(180)
async def test_200_clients_of_a_server_that_is_killed_all_claim_their_names_again(
    tmp_path: Path,
) -> None:
    """May be lost: what was in the middle, visibly. Each name answers again."""
    async with open_site(tmp_path, rate=math.inf, timeout_s=TIMEOUT_S) as site:
        before = Baseline(site)
        async with trio.open_nursery() as nursery:
            agents = Agents(site.middlebox.port, site.app.port, seed=82)
            await agents.start(nursery, CLIENTS)
            async with trio.open_nursery() as visitors:
                for name in agents.names:
                    visitors.start_soon(gated, site, name)
                await site.ledger.until_moved(gated=CLIENTS)
                await site.server.kill()
            site.ledger.check(may_fail=("cut",))
            assert site.ledger.failed() == CLIENTS
            await site.start_server()
            await agents.until_sessions(2)
            async with trio.open_nursery() as visitors:
                for name in agents.names:
                    visitors.start_soon(get, site, Random(name), name)
            assert site.ledger.answered("get") == CLIENTS
            await agents.stop()
            nursery.cancel_scope.cancel()
        await site.client.event("ready")
        await before.check()
