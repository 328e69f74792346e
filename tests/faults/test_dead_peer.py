"""A peer that is there and says nothing: stopped, behind a line that is silent, or not reading."""

from __future__ import annotations

import signal
from pathlib import Path
from random import Random

import pytest
import trio

from tests.faults.app import app_program
from tests.faults.load import everything, let_end, small_ones
from tests.faults.site import TIMEOUT_S, Baseline, Site, open_site

SILENCE_S = TIMEOUT_S + 2


async def nothing_lost(site: Site, before: Baseline) -> None:
    site.ledger.check()
    site.check_posts()
    await before.check()


@pytest.mark.timeout(120)
async def test_a_connection_on_which_nothing_passes_is_given_up_and_nothing_is_lost(
    tmp_path: Path,
) -> None:
    """May be lost: nothing. Both ends notice within the timeout."""
    async with open_site(tmp_path) as site:
        before = Baseline(site)
        async with trio.open_nursery() as nursery:
            await everything(site, nursery, random := Random(21))
            site.middlebox.silence()
            small_ones(site, nursery, random, 5)
            await site.middlebox.until_accepted(2)
            let_end(site)
            site.middlebox.restore()
        await nothing_lost(site, before)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("way", ["up", "down"])
async def test_a_connection_that_passes_one_way_only_is_given_up_and_nothing_is_lost(
    tmp_path: Path, way: str
) -> None:
    """May be lost: nothing.

    The end that sends into nowhere hears the other one all the time, which never answers it.
    """
    async with open_site(tmp_path) as site:
        before = Baseline(site)
        async with trio.open_nursery() as nursery:
            await everything(site, nursery, random := Random(22))
            crossing = site.middlebox.only
            (crossing.up if way == "up" else crossing.down).stand()
            small_ones(site, nursery, random, 5)
            await site.middlebox.until_accepted(2)
            let_end(site)
        await nothing_lost(site, before)
        assert site.middlebox.accepted == 2


@pytest.mark.timeout(120)
@pytest.mark.parametrize("stopped", ["client", "server"])
async def test_a_program_that_is_stopped_and_goes_on_has_lost_nothing(
    tmp_path: Path, stopped: str
) -> None:
    """May be lost: nothing. It stands for longer than the timeout, so the other end gave it up."""
    async with open_site(tmp_path) as site:
        before = Baseline(site)
        program = site.client if stopped == "client" else site.server
        async with trio.open_nursery() as nursery:
            await everything(site, nursery, random := Random(23))
            program.process.send_signal(signal.SIGSTOP)
            try:
                small_ones(site, nursery, random, 5)
                if stopped == "client":
                    await site.until_held()
                else:
                    await site.client.event("reconnecting")
                let_end(site)
            finally:
                program.process.send_signal(signal.SIGCONT)
        await nothing_lost(site, before)


@pytest.mark.timeout(120)
async def test_an_app_that_is_stopped_and_goes_on_has_lost_nothing(tmp_path: Path) -> None:
    """May be lost: nothing. The tunnel waits for the app, and its own connection stays."""
    async with app_program() as (app, port), open_site(tmp_path, target=port) as site:
        async with trio.open_nursery() as nursery:
            await everything(site, nursery, random := Random(24))
            app.send_signal(signal.SIGSTOP)
            small_ones(site, nursery, random, 5)
            await trio.sleep(SILENCE_S)
            let_end(site)
            app.send_signal(signal.SIGCONT)
            assert app.stdin is not None
            await app.stdin.aclose()  # the gate of this app
        site.ledger.check()
        assert site.middlebox.accepted == 1


@pytest.mark.timeout(120)
async def test_a_reset_while_the_server_is_stopped_loses_nothing(tmp_path: Path) -> None:
    """May be lost: nothing, whichever of the server's tasks sees the reset first."""
    async with open_site(tmp_path) as site:
        before = Baseline(site)
        async with trio.open_nursery() as nursery:
            await everything(site, nursery, random := Random(25))
            site.server.process.send_signal(signal.SIGSTOP)
            try:
                small_ones(site, nursery, random, 20)
                site.middlebox.reset()
                await site.client.event("reconnecting")
                let_end(site)
            finally:
                site.server.process.send_signal(signal.SIGCONT)
        await nothing_lost(site, before)
