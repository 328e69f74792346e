"""An unmodified SvelteKit app, in a real browser: edits, and forms with script and without."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from tests.e2e.browser import Visit, foreign_tunnel, in_chromium
from tests.e2e.dev_servers import INSTALL_S, edit, install, node_server
from tests.e2e.raw import EVIL, Way, directly, status, through
from tests.needs import needs
from tests.programs import open_programs

VITE = "node_modules/vite/bin/vite.js"


def use(visit: Visit, app: Path) -> None:
    visit.open()
    visit.sees("h1", "first")
    visit.counts("#count")
    visit.mark()
    edit(app, "src/routes/greeting.js", "export const greeting = 'second'\n")
    visit.sees("h1", "second")
    assert visit.is_marked
    use_forms(visit)


def use_forms(visit: Visit) -> None:
    page = visit.page
    visit.open()
    visit.counts("#count")
    visit.mark()
    page.fill("form:nth-of-type(1) input", "Ada")
    page.click("#remember")
    visit.sees("#names", "Ada")
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
    await install(app, "sveltekit-app")
    async with node_server(app, VITE, "dev") as port, open_programs(tmp_path) as programs:
        tunnel = await foreign_tunnel(programs, port, name="sveltekit")
        visit = await in_chromium(tunnel, lambda visit: use(visit, app))
        assert visit.socket_hosts == {tunnel.address.authority}
        assert visit.errors == []


@pytest.mark.timeout(300)
@pytest.mark.needs("chromium", "node", "npm", "playwright")
async def test_a_built_sveltekit_app_refuses_forms_of_others_only(tmp_path: Path) -> None:
    """It compares Origin with the URL that it makes of Host; `vite dev` does not."""
    app = tmp_path / "app"
    await install(app, "sveltekit-app")
    (node,) = needs("node")
    with trio.fail_after(INSTALL_S):
        await trio.run_process([node, VITE, "build"], cwd=app)
    async with node_server(app, VITE, "preview") as port, open_programs(tmp_path) as programs:
        tunnel = await foreign_tunnel(programs, port, name="sveltekit-preview")
        visit = await in_chromium(tunnel, use_forms)
        assert visit.errors == []
        for way in (directly(port), through(tunnel)):
            assert await post(way, way.origin) == "200"
            assert await post(way, EVIL) == "403"
