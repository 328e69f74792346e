"""Socket.IO, server and client as they are, in a real browser: it polls, then it upgrades."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.browser import Visit, foreign_tunnel, in_chromium
from tests.e2e.dev_servers import install, node_server
from tests.e2e.raw import EVIL, directly, status, through
from tests.programs import open_programs

POLL = "/socket.io/?EIO=4&transport=polling"


def use(visit: Visit) -> None:
    visit.open()
    visit.sees("#echoed", "grüße 0,255")
    visit.sees("#transports", "pollingwebsocket")


@pytest.mark.timeout(300)
@pytest.mark.needs("chromium", "node", "npm", "playwright")
async def test_socketio_begins_with_polling_and_upgrades(tmp_path: Path) -> None:
    app = tmp_path / "app"
    await install(app, "socketio-app")
    async with node_server(app, "server.js") as port, open_programs(tmp_path) as programs:
        tunnel = await foreign_tunnel(programs, port, name="socketio")
        visit = await in_chromium(tunnel, use)
        assert visit.socket_hosts == {tunnel.address.authority}
        assert visit.errors == []
        for way in (directly(port), through(tunnel)):  # it leaves the Origin to the browser
            assert await status(way, POLL, {"Origin": EVIL}) == "200"
