"""Requests that arrive at the very moment at which the client is lost."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import trio

from tests.faults.exchanges import STUCK_S, good
from tests.faults.site import Baseline, Site, open_site
from tests.system.visitor import Visitor

AT_ONCE = 40
TIMES = 3


async def answered(site: Site, visitor: Visitor) -> None:
    with site.ledger.exchange("get"), trio.fail_after(STUCK_S):
        await good(visitor)
        assert b"".join([data async for data in visitor.body()]) == b"hello"
        visitor.connection.start_next_cycle()


@pytest.mark.timeout(120)
async def test_requests_at_the_very_moment_of_a_reset_are_answered(tmp_path: Path) -> None:
    """May be lost: nothing, whether a request had begun, was about to, or came just after."""
    async with open_site(tmp_path) as site, AsyncExitStack() as stack:
        before = Baseline(site)
        visitors = [await stack.enter_async_context(site.visit()) for _ in range(AT_ONCE)]
        for _ in range(TIMES):
            for at, visitor in enumerate(visitors):
                if at == AT_ONCE // 2:
                    site.middlebox.reset()
                await visitor.request("/")
            async with trio.open_nursery() as nursery:
                for visitor in visitors:
                    nursery.start_soon(answered, site, visitor)
            site.ledger.check()
        await stack.aclose()
        await before.check()
