"""Visitors come by https, the app speaks http: it is asked as itself, and its URLs are theirs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.e2e import test_asgi, test_rails_like
from tests.e2e.browser import foreign_https_tunnel, in_chromium
from tests.e2e.dev_servers import HERE, dev_server
from tests.programs import open_programs

pytestmark = [pytest.mark.timeout(120), pytest.mark.needs("chromium", "playwright")]


async def test_forms_and_absolute_redirects_work_by_https(tmp_path: Path) -> None:
    async with (
        dev_server(HERE / "rails-like-app", sys.executable, "app.py") as port,
        open_programs(tmp_path) as programs,
    ):
        tunnel = await foreign_https_tunnel(programs, port, name="rails-https")
        visit = await in_chromium(tunnel, test_rails_like.use)
        assert visit.errors == []


@pytest.mark.needs("uvicorn")
async def test_websockets_and_events_work_by_https(tmp_path: Path) -> None:
    async with (
        dev_server(HERE / "asgi-app", *test_asgi.UVICORN) as port,
        open_programs(tmp_path) as programs,
    ):
        tunnel = await foreign_https_tunnel(programs, port, name="asgi-https")
        visit = await in_chromium(tunnel, test_asgi.use)
        assert visit.socket_hosts == {tunnel.address.authority}
        assert all(socket.startswith("wss://") for socket in visit.sockets)
        assert visit.errors == []
