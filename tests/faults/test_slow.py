"""Visitors that ask for much and never read."""

from __future__ import annotations

import math
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.faults.ledger import Ledger
from tests.faults.load import Mixed
from tests.faults.site import Baseline, Site, open_site
from tests.memory import GROWTH_MAX_BYTES, MIB, stands_still
from tests.programs import Program

VISITORS = 50
OFFERED_BYTES = 100 * MIB  # to each
OTHERS = 150
# What a session promises at most (protocol/limits.py, BUDGET_BYTES), and Python's own growth.
HELD_MAX_BYTES = 32 * MIB + GROWTH_MAX_BYTES


@pytest.mark.timeout(180)
async def test_50_visitors_that_never_read_cost_no_memory_and_hold_up_no_other(
    tmp_path: Path,
) -> None:
    """May be lost: nothing of the others. What the 50 hold is bounded, and does not grow."""
    async with open_site(tmp_path, rate=math.inf) as site:
        before = Baseline(site)
        programs = (site.server, site.client)
        await others(site, seed=71)  # which make the heaps grow to what a load needs
        first = sizes(programs)
        async with AsyncExitStack() as stack:
            for _ in range(VISITORS):
                visitor = await stack.enter_async_context(site.visit())
                await visitor.request(f"/endless?size={OFFERED_BYTES}")
            taken = await stands_still(lambda: site.app.sent_bytes)
            full = sizes(programs)
            print(f"taken from the app: {taken / MIB:.1f} MiB; {first} MiB, then {full} MiB")
            assert grown(first, full) < HELD_MAX_BYTES
            await others(site, seed=72)
            assert site.app.sent_bytes == taken
            assert grown(full, sizes(programs)) < GROWTH_MAX_BYTES
        await before.check()


async def others(site: Site, seed: int) -> None:
    """Visitors who read; nothing of theirs may fail."""
    site.ledger = Ledger()
    await Mixed(site, seed).run(OTHERS)
    site.ledger.check()


def sizes(programs: tuple[Program, ...]) -> list[float]:
    """In MiB."""
    return [round(program.resident_bytes() / MIB, 1) for program in programs]


def grown(before: list[float], now: list[float]) -> float:
    """The larger growth, in bytes."""
    return max(n - b for b, n in zip(before, now, strict=True)) * MIB
