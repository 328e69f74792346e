"""The line is cut: every packet is lost, without a FIN or a RST, and comes back."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
import trio

from tests.faults.line import needs_a_line
from tests.faults.load import everything, let_end, small_ones
from tests.faults.site import TIMEOUT_S, Baseline, open_line_site

LINE = {"rtt_ms": 10, "up_mbit": 50, "down_mbit": 50}


@pytest.fixture(autouse=True)
def a_line() -> None:
    needs_a_line()


@pytest.mark.timeout(120)
async def test_a_line_cut_until_both_ends_gave_the_connection_up_loses_nothing(
    tmp_path: Path,
) -> None:
    """May be lost: nothing. Requests that come in the gap are answered after it, once each."""
    async with open_line_site(tmp_path, **LINE) as site:
        before = Baseline(site)
        async with trio.open_nursery() as nursery:
            await everything(site, nursery, random := Random(1))
            assert site.line is not None
            site.line.cut()
            small_ones(site, nursery, random, 10)
            await site.client.event("reconnecting")
            small_ones(site, nursery, random, 10)
            await site.until_held()
            let_end(site)
            assert site.ledger.ended("get") == site.ledger.ended("post") == 0
            site.line.restore()
        site.ledger.check()
        site.check_posts()
        await before.check()


@pytest.mark.timeout(120)
async def test_a_line_cut_for_less_than_the_timeout_is_not_even_noticed(tmp_path: Path) -> None:
    """May be lost: nothing; the connection stays, since TCP sends again."""
    async with open_line_site(tmp_path, **LINE, timeout_s=20) as site:
        async with trio.open_nursery() as nursery:
            await everything(site, nursery, random := Random(2))
            assert site.line is not None
            site.line.cut()
            small_ones(site, nursery, random, 5)
            await trio.sleep(TIMEOUT_S)
            let_end(site)
            site.line.restore()
        site.ledger.check()
        site.check_posts()
        assert site.reconnects() == 0


@pytest.mark.timeout(120)
async def test_a_line_cut_again_and_again_loses_nothing(tmp_path: Path) -> None:
    """May be lost: nothing, also where a cut comes while the ends still recover from the last."""
    async with open_line_site(tmp_path, **LINE) as site:
        before = Baseline(site)
        async with trio.open_nursery() as nursery:
            await everything(site, nursery, random := Random(3))
            assert site.line is not None
            for seconds in (TIMEOUT_S + 0.5, 0.5, TIMEOUT_S + 1):
                site.line.cut()
                small_ones(site, nursery, random, 3)
                await trio.sleep(seconds)
                site.line.restore()
                await trio.sleep(random.random())
            let_end(site)
        site.ledger.check()
        site.check_posts()
        await before.check()
