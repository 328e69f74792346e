"""webpack-dev-server behind the tunnel, in a real browser: edits arrive, a foreign page gets none.

Version 6 writes its own port into the page, which no tunnel can mend without changing bodies. So
webpack-6/ has the one line that its documentation gives for proxies: `client.webSocketURL`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.browser import Visit, foreign_tunnel, in_chromium
from tests.e2e.dev_servers import edit, install, node_server
from tests.e2e.raw import EVIL, HANDSHAKE, Way, ask, directly, through
from tests.programs import open_programs


async def first_message(way: Way, origin: str) -> bytes:
    """A refusal is a 101 and then a message that says so; both kinds of message are JSON."""
    answer = await ask(way, "/ws", {**HANDSHAKE, "Origin": origin}, until=b"}")
    assert answer.startswith(b"HTTP/1.1 101"), answer
    return answer.partition(b"\r\n\r\n")[2]


@pytest.mark.timeout(300)
@pytest.mark.needs("chromium", "node", "npm", "playwright")
async def test_edits_of_a_webpack_app_reach_the_page_without_a_reload(tmp_path: Path) -> None:
    app = tmp_path / "app"
    await install(app, "webpack-6")
    async with (
        node_server(app, "node_modules/webpack/bin/webpack.js", "serve") as port,
        open_programs(tmp_path) as programs,
    ):
        tunnel = await foreign_tunnel(programs, port, name="webpack")

        def steps(visit: Visit) -> None:
            visit.open()
            visit.sees("h1", "first")
            visit.mark()
            edit(app, "src/greeting.js", "export const greeting = 'second'\n")
            visit.sees("h1", "second")
            assert visit.is_marked

        visit = await in_chromium(tunnel, steps)
        assert visit.socket_hosts == {tunnel.address.authority}
        assert visit.errors == []
        for way in (directly(port), through(tunnel)):
            assert b"Invalid Host/Origin header" in await first_message(way, EVIL)
            assert b"Invalid Host/Origin header" not in await first_message(way, way.origin)
