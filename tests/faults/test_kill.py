"""A program dies by kill -9, with everything in the middle."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
import trio

from tests.faults.app import app_program
from tests.faults.exchanges import get
from tests.faults.load import KINDS, everything, small_ones
from tests.faults.site import Baseline, open_site, until

HOLD_S = 2
# What a visitor sees where the server died: nobody is left to send a Close.
DEAD_SERVER = ("cut", "end without Close")
# And where the session behind the server has ended.
LOST = ("cut", "502 tunnel-lost", "Close 1014")


@pytest.mark.timeout(120)
async def test_a_server_that_is_killed_loses_what_was_in_the_middle_and_the_client_comes_back(
    tmp_path: Path,
) -> None:
    """May be lost: what was in the middle; each visitor sees it. The name is back by itself."""
    async with open_site(tmp_path) as site:
        before = Baseline(site)
        async with trio.open_nursery() as nursery:
            await everything(site, nursery, Random(31))
            await site.server.kill()
        site.ledger.check(may_fail=DEAD_SERVER)
        assert site.ledger.failed() == len(KINDS)
        await site.start_server()
        await site.client.event("ready")
        await get(site, Random(32))
        assert site.ledger.answered("get") == 1
        await until("1001 to the app", lambda: 1001 in site.app.closes)
        await before.check()


@pytest.mark.timeout(120)
async def test_a_client_that_is_killed_and_started_anew_has_its_name_at_once(
    tmp_path: Path,
) -> None:
    """May be lost: what was in the middle, visibly, when the hold ends.

    Requests that came in between wait, and the new client has them.
    """
    async with open_site(tmp_path, hold_s=HOLD_S) as site:
        async with trio.open_nursery() as nursery:
            await everything(site, nursery, random := Random(33))
            await site.client.kill()
            await site.until_held()
            small_ones(site, nursery, random, 5)
            site.client = await site.start_client()
            await site.client.event("ready")
            await site.ledger.until_ended(10, "get", "post")
        site.ledger.check(may_fail=LOST)
        assert site.ledger.answered("get") == site.ledger.answered("post") == 5
        assert site.ledger.failed() == len(KINDS)
        site.check_posts()
        assert (await site.status())["streams"] == 0


@pytest.mark.timeout(120)
async def test_the_name_of_a_killed_client_is_held_from_others_until_the_hold_ends(
    tmp_path: Path,
) -> None:
    """May be lost: what was in the middle, visibly, when the hold ends; where no names are kept."""
    async with open_site(tmp_path, "--keep-names", "0", hold_s=HOLD_S) as site:
        async with trio.open_nursery() as nursery:
            await everything(site, nursery, Random(34))
            await site.client.kill()
            stranger = await site.start_client(home="stranger")
            assert (await stranger.event("refused"))["code"] == "name-taken"
            assert site.ledger.failed() == 0
        site.ledger.check(may_fail=LOST)
        assert site.ledger.failed() == len(KINDS)
        site.client = await site.start_client(home="stranger")
        await site.client.event("ready")
        await get(site, Random(35))
        assert site.ledger.answered("get") == 1


@pytest.mark.timeout(120)
async def test_an_app_that_is_killed_loses_what_it_was_asked_and_the_tunnel_stays(
    tmp_path: Path,
) -> None:
    """May be lost: what was in the middle. Requests that come next wait for the app to be back."""
    patient = ["--origin-wait", "30"]
    async with (
        app_program() as (app, port),
        open_site(tmp_path, target=port, client_flags=patient) as site,
    ):
        async with trio.open_nursery() as nursery:
            await everything(site, nursery, random := Random(36))
            app.kill()
            await app.wait()
            await until("failures", lambda: site.ledger.failed() == len(KINDS))
            small_ones(site, nursery, random, 5)
            async with app_program(port):
                await site.ledger.until_ended(10, "get", "post")
        site.ledger.check(may_fail=("cut", "end without Close", "502 origin-protocol-error"))
        assert site.ledger.answered("get") == site.ledger.answered("post") == 5
        assert site.middlebox.accepted == 1
