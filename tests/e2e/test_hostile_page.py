"""A page that a developer visits, and the server on the same machine that it must not reach."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.e2e.browser import Visit, in_chromium
from tests.e2e.dev_servers import dev_server
from tests.programs import Address, Tunnel, open_programs

_OPEN = """(url) => new Promise((resolve) => {
    const socket = new WebSocket(url, 'trio-tunnel.2')
    socket.onopen = () => resolve('open')
    socket.onerror = () => resolve('refused')
})"""


@pytest.mark.timeout(120)
@pytest.mark.needs("chromium", "playwright")
async def test_a_page_of_another_port_gets_no_session(tmp_path: Path) -> None:
    page = tmp_path / "page"
    page.mkdir()
    (page / "index.html").write_text("<p>Hello")
    serve = (sys.executable, "-u", "-m", "http.server", "--bind", "127.0.0.1", "0")
    async with dev_server(page, *serve) as port, open_programs(tmp_path) as programs:
        server, server_port = await programs.server()
        found: list[str] = []

        def attack(visit: Visit) -> None:
            visit.open()
            url = f"ws://localhost:{server_port}/_tunnel/control"
            found.append(visit.page.evaluate(_OPEN, url))

        client = await programs.client(port, server_port)  # one without a browser is served
        await client.event("ready")
        visit = await in_chromium(Tunnel(server, client, Address(port, "localhost")), attack)
        assert found == ["refused"]
        assert visit.socket_hosts == {f"localhost:{server_port}"}
        await server.says("control handshake refused: forbidden")
