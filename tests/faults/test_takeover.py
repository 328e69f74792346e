"""The same owner starts another client while the first one is cut off, or serves."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
import trio

from tests.faults.exchanges import get
from tests.faults.load import everything, let_end, small_ones
from tests.faults.site import Site, no_stream, open_site
from tests.programs import Program

TAKEN_OVER = 3  # the exit code of a client whose name is another's

# Who loses its name finishes what it had, for 8 s unless it was told otherwise; what `everything`
# has left may take longer on a machine that is busy.
PATIENT = ("--drain-timeout", "120")
# The middlebox and the server are two servers to a client, and an install key two owners.
OWNER = ("--token", "one-owner")


async def second_client(site: Site) -> Program:
    """One more of the same owner, which reaches the server without the middlebox."""
    box, site.box = site.box, None
    try:
        return await site.start_client(*OWNER)
    finally:
        site.box = box


@pytest.mark.timeout(120)
async def test_a_client_that_is_cut_off_loses_its_name_to_a_start_and_nothing_else(
    tmp_path: Path,
) -> None:
    """May be lost: the name. The first client comes back, finishes what it had, and ends."""
    async with open_site(tmp_path, client_flags=(*PATIENT, *OWNER)) as site:
        first = site.client
        async with trio.open_nursery() as nursery:
            await everything(site, nursery, random := Random(101))
            site.middlebox.silence()
            await site.until_held()
            second = await second_client(site)
            await second.event("ready")
            small_ones(site, nursery, random, 5)
            await site.ledger.until_ended(10, "get", "post")
            let_end(site)
            site.middlebox.restore()
        site.ledger.check()
        site.check_posts()
        assert (await first.event("refused"))["code"] == "taken-over"
        assert await first.exit_code() == TAKEN_OVER
        await no_stream(site)
        assert second.process.returncode is None


@pytest.mark.timeout(120)
async def test_two_live_clients_of_one_owner_do_not_take_the_name_from_one_another(
    tmp_path: Path,
) -> None:
    """May be lost: the name, once. What the first one had goes on there."""
    async with open_site(tmp_path, client_flags=(*PATIENT, *OWNER)) as site:
        first = site.client
        async with trio.open_nursery() as nursery:
            await everything(site, nursery, Random(102))
            second = await second_client(site)
            await second.event("ready")
            await first.event("refused", code="taken-over")
            let_end(site)
        assert await first.exit_code() == TAKEN_OVER
        site.middlebox.reset()
        await get(site, Random(103))
        site.ledger.check()
        assert [event["event"] for event in second.events].count("ready") == 1
        assert "reconnecting" not in [event["event"] for event in first.events]
