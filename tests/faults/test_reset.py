"""The connection is reset in the middle, by a box on the way, or by it for one of the ends only."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
import trio

from tests.faults.load import everything, let_end, small_ones
from tests.faults.site import Baseline, Site, open_site

# The client waits twice as long each time, up to 4 s before the fourth attempt.
RESETS = 4
# Behind how many bytes: within a header of a frame or a message, and in the middle of bulk.
OFFSETS = {"down": [1, 65_525, 1_000_003], "up": [13, 65_536, 500_009]}


async def nothing_lost(site: Site, before: Baseline) -> None:
    site.ledger.check()
    site.check_posts()
    await before.check()


@pytest.mark.timeout(120)
@pytest.mark.parametrize("way", ["down", "up"])
async def test_a_reset_in_the_middle_of_a_message_loses_nothing(tmp_path: Path, way: str) -> None:
    """May be lost: nothing, at whatever byte the reset comes."""
    async with open_site(tmp_path) as site:
        before = Baseline(site)
        async with trio.open_nursery() as nursery:
            await everything(site, nursery, random := Random(11))
            for number, offset in enumerate(OFFSETS[way], start=2):
                crossing = site.middlebox.only
                pipe = crossing.down if way == "down" else crossing.up
                pipe.after(offset, crossing.reset)
                small_ones(site, nursery, random, 1)
                await site.middlebox.until_accepted(number)
            let_end(site)
        await nothing_lost(site, before)
        assert site.middlebox.accepted == len(OFFSETS[way]) + 1


@pytest.mark.timeout(120)
async def test_resets_without_a_pause_lose_nothing(tmp_path: Path) -> None:
    """May be lost: nothing, also where the next reset comes within the handshake or the resume."""
    async with open_site(tmp_path) as site:
        before = Baseline(site)
        async with trio.open_nursery() as nursery:
            await everything(site, nursery, random := Random(12))
            for number in range(2, RESETS + 2):
                site.middlebox.reset()
                small_ones(site, nursery, random, 1)
                await site.middlebox.until_accepted(number)
                crossing = site.middlebox.only
                crossing.down.after(random.randrange(1, 2_000), crossing.reset)
            let_end(site)
        await nothing_lost(site, before)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("known_by", ["client", "server"])
async def test_a_connection_that_one_end_takes_for_open_loses_nothing(
    tmp_path: Path, known_by: str
) -> None:
    """May be lost: nothing.

    Where the client knows, it resumes a session that the server takes for attached. Where only the
    server does, the client hears nothing until the timeout has passed.
    """
    async with open_site(tmp_path) as site:
        before = Baseline(site)
        async with trio.open_nursery() as nursery:
            await everything(site, nursery, random := Random(13))
            crossing = site.middlebox.only
            crossing.reset_one(crossing.client if known_by == "client" else crossing.server)
            small_ones(site, nursery, random, 5)
            await site.middlebox.until_accepted(2)
            let_end(site)
        await nothing_lost(site, before)
        assert site.middlebox.accepted == 2
