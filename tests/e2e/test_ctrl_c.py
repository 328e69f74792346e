"""Ctrl-C while a page is open in Chromium: Vite's with its WebSocket, Socket.IO's that polls.

A stop has ten minutes here; on a quiet machine it takes less than a second.
"""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
import trio

from tests.e2e.browser import DOMAIN, Visit, in_chromium
from tests.e2e.dev_servers import install, node_server
from tests.programs import Address, Programs, Tunnel, open_programs

VITE = "node_modules/vite/bin/vite.js"
PATIENT = ("--drain-timeout", "600")


async def patient_tunnel(programs: Programs, app: int) -> Tunnel:
    server, port = await programs.server("--domain", DOMAIN, "--open", *PATIENT)
    client = await programs.client(app, port, "--subdomain", "app", *PATIENT)
    await client.event("ready")
    return Tunnel(server, client, Address(port, f"app.{DOMAIN}"))


def stop(tunnel: Tunnel, which: str) -> None:
    """Ctrl-C, by the browser's thread; the program ends while its page is open."""
    program = tunnel.client if which == "client" else tunnel.server
    began = trio.from_thread.run_sync(trio.current_time)
    trio.from_thread.run_sync(program.process.send_signal, signal.SIGINT)
    assert trio.from_thread.run(program.exit_code) == 0
    print(f"{which}: {trio.from_thread.run_sync(trio.current_time) - began:.2f} s")


@pytest.mark.timeout(300)
@pytest.mark.parametrize("which", ["client", "server"])
@pytest.mark.needs("chromium", "node", "npm", "playwright")
async def test_vites_page_holds_up_no_stop(tmp_path: Path, which: str) -> None:
    app = tmp_path / "app"
    await install(app, "vite-app")
    async with node_server(app, VITE) as port, open_programs(tmp_path) as programs:
        tunnel = await patient_tunnel(programs, port)

        def steps(visit: Visit) -> None:
            visit.open()
            visit.sees("h1", "first")
            with visit.page.expect_websocket(lambda socket: True):
                visit.page.reload()
            visit.sees("h1", "first")
            stop(tunnel, which)

        await in_chromium(tunnel, steps)
        if which == "client":
            assert tunnel.client.events[-1]["reason"] == "stopped by the user"


@pytest.mark.timeout(300)
@pytest.mark.parametrize("which", ["client", "server"])
@pytest.mark.needs("chromium", "node", "npm", "playwright")
async def test_a_socketio_page_that_polls_holds_up_no_stop(tmp_path: Path, which: str) -> None:
    app = tmp_path / "app"
    await install(app, "socketio-app")
    async with node_server(app, "server.js") as port, open_programs(tmp_path) as programs:
        tunnel = await patient_tunnel(programs, port)

        def steps(visit: Visit) -> None:
            visit.page.add_init_script("delete window.WebSocket")
            with visit.page.expect_response("**/socket.io/**"):
                visit.open()
            visit.sees("#transports", "polling")
            stop(tunnel, which)

        visit = await in_chromium(tunnel, steps)
        assert visit.sockets == []
