"""The server is started anew under a load of 1,000 requests, many of which abort by themselves."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import trio

from tests.faults.ledger import Ledger
from tests.faults.load import Mixed
from tests.faults.site import Baseline, Site, open_site

ACROSS, BEFORE, AFTER = 800, 250, 200  # and so many of those across before it ends
# Nobody listens, or the client is not back yet, or it was in the middle.
RESTARTED = (
    *("cut", "end without Close", "Close 1012", "Close 1014"),
    *("502 tunnel-lost", "503 tunnel-offline", "503 draining", "404 tunnel-not-found"),
)


async def restart(site: Site, how: str) -> None:
    if how == "killed":
        await site.server.kill()
    else:
        assert await site.server.stop() == 0
    await site.start_server()
    await site.client.event("ready")


@pytest.mark.timeout(180)
@pytest.mark.parametrize("how", ["killed", "stopped"])
async def test_1000_requests_across_a_restart_are_answered_or_fail_visibly(
    tmp_path: Path, how: str
) -> None:
    """May be lost: what is in the middle when it dies, and what comes until the client is back."""
    async with open_site(tmp_path, "--drain-timeout", "1", rate=math.inf) as site:
        before = Baseline(site)
        mixed = Mixed(site, seed=51)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(mixed.run, ACROSS)
            await site.ledger.until_ended(BEFORE)
            assert site.ledger.failed() == 0
            done = site.ledger.ended()
            await restart(site, how)
            came = mixed.started
        site.show()
        site.ledger.check(may_fail=RESTARTED)
        assert site.ledger.ended() == ACROSS
        assert site.ledger.failed() <= came - done
        site.check_posts()
        await all_is_well(site)
        await before.check()


async def all_is_well(site: Site) -> None:
    """Nothing of what comes afterwards fails."""
    site.ledger = Ledger()
    await Mixed(site, seed=52).run(AFTER)
    site.ledger.check()
    assert site.ledger.ended() == AFTER
