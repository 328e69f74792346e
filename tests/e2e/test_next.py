"""An unmodified Next app under `next dev`, in a real browser.

It hydrates, edits arrive without a reload, and Server Actions work. Next refuses a foreign Origin
for all that is under /_next, for the chunks of the page too: so a page that did not hydrate would
look right. It refuses an upgrade with bytes that are no HTTP.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.e2e.browser import Visit, foreign_tunnel, in_chromium
from tests.e2e.dev_servers import edit, install, node_server
from tests.e2e.raw import EVIL, HANDSHAKE, Way, ask, directly, status, through
from tests.programs import Tunnel, open_programs

NEXT = "node_modules/next/dist/bin/next"


def use(visit: Visit, app: Path) -> None:
    page = visit.page
    visit.open()
    visit.sees("h1", "first")
    visit.counts("#count")
    visit.mark()
    edit(app, "app/greeting.js", "export const greeting = 'second'\n")
    visit.sees("h1", "second")
    page.fill("input[name=name]", "Ada")
    page.click("#remember")
    visit.sees("#names", "Ada")
    page.click("#leave")
    visit.sees("h1", "left")
    assert page.url == f"{visit.origin}/left"
    assert visit.is_marked
    visit.open("/redirect")
    visit.sees("h1", "left")
    assert page.url == f"{visit.origin}/left"


async def check_origins(port: int, tunnel: Tunnel, hmr: str) -> None:
    for way in (directly(port), through(tunnel)):
        assert await status(way, hmr, {**HANDSHAKE, "Origin": way.origin}) == "101"
        assert await status(way, "/_next/x.js", {"Origin": way.origin}) == "404"
        assert await status(way, "/_next/x.js", {"Origin": EVIL}) == "403"
        assert await action(way, way.origin) == "409"  # allowed, but there is no such action
        assert await action(way, EVIL) == "500"
    refusal = {**HANDSHAKE, "Origin": EVIL}
    assert await ask(directly(port), hmr, refusal) == b"Unauthorized"
    answer = await ask(through(tunnel), hmr, refusal, until=b"origin-protocol-error")
    assert answer.startswith(b"HTTP/1.1 502 ")


async def action(way: Way, origin: str) -> str:
    fields = {
        "Origin": origin,
        "Next-Action": "40" + 40 * "0",
        "Content-Type": "text/plain;charset=UTF-8",
    }
    return await status(way, "/", fields, method="POST", body="[]")


@pytest.mark.timeout(300)
@pytest.mark.needs("chromium", "node", "npm", "playwright")
async def test_a_next_app_hydrates_and_its_edits_and_server_actions_work(tmp_path: Path) -> None:
    app = tmp_path / "app"
    await install(app, "next-app")
    async with node_server(app, NEXT, "dev") as port, open_programs(tmp_path) as programs:
        tunnel = await foreign_tunnel(programs, port, name="next")
        visit = await in_chromium(tunnel, lambda visit: use(visit, app))
        assert visit.socket_hosts == {tunnel.address.authority}
        assert visit.errors == []
        socket = urlsplit(visit.sockets[0])
        await check_origins(port, tunnel, f"{socket.path}?{socket.query}")
