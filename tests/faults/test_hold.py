"""A client that stays away for longer than the server holds its session."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
import trio

from tests.faults.exchanges import get
from tests.faults.load import KINDS, everything, small_ones
from tests.faults.site import Baseline, open_site, until
from tests.faults.test_kill import HOLD_S, LOST

OFFLINE = "503 tunnel-offline"


@pytest.mark.timeout(120)
async def test_after_the_hold_streams_end_visibly_and_the_client_starts_anew_by_itself(
    tmp_path: Path,
) -> None:
    """May be lost: what was in the middle, and what waited for the client; each sees it."""
    async with open_site(tmp_path, hold_s=HOLD_S) as site:
        before = Baseline(site)
        async with trio.open_nursery() as nursery:
            await everything(site, nursery, random := Random(41))
            site.middlebox.silence()
            small_ones(site, nursery, random, 3)
        site.ledger.check(may_fail=(*LOST, OFFLINE))
        assert site.ledger.failed() == len(KINDS) + 6
        assert site.ledger.tallies["idle"].failed == {"Close 1014": 1}
        assert site.ledger.tallies["download"].failed == {"cut": 1}
        assert site.ledger.tallies["events"].failed == {"cut": 1}
        site.middlebox.restore()
        await site.client.event("ready")
        await get(site, random)
        assert site.ledger.answered("get") == 1
        await until("1001 to the app", lambda: 1001 in site.app.closes)
        await before.check()


@pytest.mark.timeout(120)
async def test_after_the_hold_the_name_is_its_owners_still(tmp_path: Path) -> None:
    """May be lost: what waited. Not the name."""
    async with open_site(tmp_path, hold_s=HOLD_S) as site:
        site.middlebox.silence()
        await get(site, Random(42))  # fails when the hold ends
        site.ledger.check(may_fail=(*LOST, OFFLINE))
        site.box = None  # the stranger's way is another
        stranger = await site.start_client(home="stranger")
        assert (await stranger.event("refused"))["code"] == "name-taken"


@pytest.mark.timeout(120)
async def test_where_names_are_not_kept_it_is_anybodys_after_the_hold(tmp_path: Path) -> None:
    """May be lost: the name, to whoever asks for it first."""
    async with open_site(tmp_path, "--keep-names", "0", hold_s=HOLD_S) as site:
        site.middlebox.silence()
        away = site.client
        await get(site, Random(42))  # fails when the hold ends
        site.ledger.check(may_fail=(*LOST, OFFLINE))
        site.box = None  # the stranger's way is another
        stranger = await site.start_client(home="stranger")
        await stranger.event("ready")
        await get(site, Random(43))
        assert site.ledger.answered("get") == 1
        assert away.process.returncode is None
