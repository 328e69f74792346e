"""The checks of a new Rails app, of our own writing since Rails needs Ruby, in a real browser."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.e2e.browser import Visit, foreign_tunnel, in_chromium
from tests.e2e.dev_servers import HERE, dev_server
from tests.e2e.raw import EVIL, Way, directly, status, through
from tests.programs import open_programs


def use(visit: Visit) -> None:
    visit.open()
    visit.page.fill("input[name=name]", "Ada")
    visit.page.click("button")
    visit.sees("#names", "Ada")
    assert visit.page.url == f"{visit.origin}/"
    assert visit.loaded == [200, 302, 200]


async def post(way: Way, origin: str) -> str:
    return await status(way, "/", {"Origin": origin}, method="POST", body="name=x")


@pytest.mark.timeout(120)
@pytest.mark.needs("chromium", "playwright")
async def test_the_forms_of_a_rails_like_app_work(tmp_path: Path) -> None:
    async with (
        dev_server(HERE / "rails-like-app", sys.executable, "app.py") as port,
        open_programs(tmp_path) as programs,
    ):
        tunnel = await foreign_tunnel(programs, port, name="rails")
        visit = await in_chromium(tunnel, use)
        assert visit.errors == []
        for way in (directly(port), through(tunnel)):
            assert await post(way, way.origin) == "302"
            assert await post(way, EVIL) == "422"


@pytest.mark.timeout(120)
@pytest.mark.needs("chromium", "playwright")
async def test_chromium_finds_a_tunnel_under_localhost(tmp_path: Path) -> None:
    async with (
        dev_server(HERE / "rails-like-app", sys.executable, "app.py") as port,
        open_programs(tmp_path) as programs,
    ):
        visit = await in_chromium(await programs.tunnel(port, name="rails"), use)
        assert visit.errors == []
