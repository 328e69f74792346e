"""An unmodified Vite project behind the tunnel, in a real browser: hot module replacement works.

vite-app/ has no configuration at all. It is installed from its lockfile into a copy, and served by
`vite` as it stands; Chromium opens it at its public address and must see each edit without a
reload. (Vite's client, when its WebSocket fails, tries the dev server's own port on localhost. The
browser does not reach that one; all the same the test looks at where the WebSocket went.)
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.e2e.browser import Visit, foreign_tunnel, in_chromium
from tests.e2e.dev_servers import edit, install, node_server
from tests.e2e.raw import EVIL, HANDSHAKE, Way, ask, directly, status, through
from tests.programs import open_programs

VITE = "node_modules/vite/bin/vite.js"


def shows(visit: Visit, text: str, colour: str) -> None:
    visit.page.wait_for_function(
        """([text, colour]) => {
            const heading = document.querySelector('h1')
            return heading.textContent === text && getComputedStyle(heading).color === colour
        }""",
        arg=[text, colour],
    )


async def handshake(way: Way, origin: str) -> str:
    """What Vite answers to a WebSocket of this origin; the page of the way itself has the token."""
    client = await ask(way, "/@vite/client", {}, until=b"wsToken = ")
    token = re.search(rb'const wsToken = "([^"]+)"', client)
    assert token, client
    fields = {**HANDSHAKE, "Sec-WebSocket-Protocol": "vite-hmr", "Origin": origin}
    return await status(way, f"/?token={token[1].decode()}", fields)


@pytest.mark.timeout(300)
@pytest.mark.needs("chromium", "node", "npm", "playwright")
async def test_edits_of_a_vite_app_reach_the_page_without_a_reload(tmp_path: Path) -> None:
    app = tmp_path / "app"
    await install(app, "vite-app")
    async with node_server(app, VITE) as port, open_programs(tmp_path) as programs:
        tunnel = await foreign_tunnel(programs, port, name="vite")

        def steps(visit: Visit) -> None:
            visit.open()
            shows(visit, "first", "rgb(1, 2, 3)")
            visit.mark()
            edit(app, "src/greeting.js", "export const greeting = 'second'\n")
            shows(visit, "second", "rgb(1, 2, 3)")
            edit(app, "src/style.css", "h1 {\n  color: rgb(4, 5, 6);\n}\n")
            shows(visit, "second", "rgb(4, 5, 6)")
            assert visit.is_marked

        visit = await in_chromium(tunnel, steps)
        assert visit.socket_hosts == {tunnel.address.authority}
        assert visit.errors == []
        for way in (directly(port), through(tunnel)):
            fields = {**HANDSHAKE, "Sec-WebSocket-Protocol": "vite-hmr", "Origin": EVIL}
            assert await status(way, "/?token=guessed", fields) == "400"
            assert await handshake(way, way.origin) == "101"
