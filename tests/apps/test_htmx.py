"""htmx in a real browser: where the app names its own URLs, the page stays with its visitor."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.apps.environments import HERE
from tests.e2e.browser import Visit, foreign_https_tunnel, foreign_tunnel, in_chromium
from tests.e2e.dev_servers import dev_server, install
from tests.programs import Programs, Tunnel


def use(visit: Visit, own: str) -> None:
    visit.open("/page")  # its script is there at all: the policy allows its own host alone
    visit.page.click("#current")
    visit.sees("#said", f"{own}/page")
    visit.page.click("#push")
    visit.sees("#said", "pushed")
    assert visit.page.url == f"{visit.origin}/pushed"
    visit.page.click("#location")
    visit.sees("#said", "there")
    visit.page.click("#redirect")
    visit.sees("#path", "/redirected")
    assert visit.page.url == f"{visit.origin}/redirected"


@pytest.mark.timeout(300)
@pytest.mark.needs("chromium", "npm", "playwright")
@pytest.mark.parametrize("tunnel_of", [foreign_tunnel, foreign_https_tunnel])
async def test_a_page_with_htmx_stays_with_its_visitor(
    programs: Programs, tmp_path: Path, tunnel_of: Callable[..., Awaitable[Tunnel]]
) -> None:
    app = tmp_path / "app"
    await install(app, str(HERE / "htmx-app"))
    async with dev_server(app, sys.executable, "serve.py") as port:
        tunnel = await tunnel_of(programs, port, name="htmx")
        visit = await in_chromium(tunnel, lambda visit: use(visit, f"http://localhost:{port}"))
    assert visit.errors == []
