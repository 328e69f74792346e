"""An unmodified SvelteKit app under `vite dev`, in a real browser: forms with script and without."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.browser import Visit, foreign_tunnel, in_chromium
from tests.e2e.dev_servers import install, node_server
from tests.e2e.raw import EVIL, Way, directly, status, through
from tests.programs import open_programs


def use(visit: Visit, app: Path) -> None:
    page = visit.page
    visit.open()
    visit.sees("h1", "first")
    visit.counts("#count")
    visit.mark()
    page.fill("form:nth-of-type(1) input", "Ada")
    page.click("#remember")
    visit.sees("#names", "Ada")
    (app / "src" / "routes" / "greeting.js").write_text("export const greeting = 'second'\n")
    visit.sees("h1", "second")
    assert visit.is_marked
    page.fill("form:nth-of-type(2) input", "Grace")
    page.click("#plain")
    visit.sees("#names", "Ada, Grace")
    page.click("#leave")
    visit.sees("h1", "left")
    assert page.url == f"{visit.origin}/left"


async def post(way: Way, origin: str) -> str:
    fields = {"Origin": origin, "Content-Type": "application/x-www-form-urlencoded"}
    return await status(way, "/?/remember", fields, method="POST", body="name=x")


@pytest.mark.timeout(300)
@pytest.mark.needs("chromium", "node", "npm", "playwright")
async def test_the_forms_of_a_sveltekit_app_work(tmp_path: Path) -> None:
    app = tmp_path / "app"
    await install("sveltekit-app", app)
    async with (
        node_server(app, "node_modules/vite/bin/vite.js", "dev") as port,
        open_programs(tmp_path) as programs,
    ):
        tunnel = await foreign_tunnel(programs, port, name="sveltekit")
        visit = await in_chromium(tunnel, lambda visit: use(visit, app))
        assert visit.socket_hosts == {tunnel.address.authority}
        assert visit.errors == []
        for way in (directly(port), through(tunnel)):
            assert await post(way, way.origin) == "200"
            assert await post(way, EVIL) == "403"
