"""Starlette on uvicorn, in a real browser: a WebSocket, events, an absolute redirect."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.e2e.browser import Visit, foreign_tunnel, in_chromium
from tests.e2e.dev_servers import HERE, dev_server
from tests.e2e.raw import EVIL, HANDSHAKE, directly, status, through
from tests.programs import open_programs

UVICORN = (sys.executable, "-m", "uvicorn", "app:app", "--port", "0")


def use(visit: Visit) -> None:
    visit.open()
    visit.sees("#echoed", "grüße, localhost")
    visit.page.wait_for_selector("#events li:nth-child(3)")
    visit.open("/folder")  # redirected to an absolute URL made of Host
    assert visit.page.url == f"{visit.origin}/folder/"


@pytest.mark.timeout(120)
@pytest.mark.needs("chromium", "uvicorn", "playwright")
async def test_websockets_and_events_of_an_asgi_app_work(tmp_path: Path) -> None:
    async with (
        dev_server(HERE / "asgi-app", *UVICORN) as port,
        open_programs(tmp_path) as programs,
    ):
        tunnel = await foreign_tunnel(programs, port, name="asgi")
        visit = await in_chromium(tunnel, use)
        assert visit.socket_hosts == {tunnel.address.authority}
        assert visit.errors == []
        for way in (directly(port), through(tunnel)):  # it leaves the Origin to the app
            assert await status(way, "/echo", {**HANDSHAKE, "Origin": EVIL}) == "101"
