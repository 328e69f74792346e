"""`--identity auto` with apps that nobody here wrote: what it says of each.

An app that makes its links from the name it is asked by is to be asked by its public name, unless
it refuses that, or gets the scheme wrong; every other app as itself.
"""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from tests.apps.environments import environment, node_project
from tests.apps.identity_table import NEXT, OWN, REFUSED, TABLE, Row, odd
from tests.apps.running import running
from tests.e2e import test_next
from tests.e2e.browser import DOMAIN, Visit, foreign_https_tunnel, foreign_tunnel, in_chromium
from tests.e2e.dev_servers import INSTALL_S, install, node_server
from tests.e2e.raw import Way, ask, status, through
from tests.needs import needs
from tests.patience import PATIENCE
from tests.programs import Programs, Tunnel
from tunnel_client.identity.verdicts import ASK_AGAIN_S

pytestmark = pytest.mark.timeout(600)  # the first one of an environment installs it
NAVIGATION = {"Accept": "text/html,*/*;q=0.8"}


async def place_of(row: Row, tmp_path: Path) -> tuple[Path, list[str]]:
    """The folder in which it runs, and its command."""
    program, *arguments = row.command
    if isinstance(row.of, Path):
        return await node_project(row.of), [*needs(program), *arguments]
    folder = tmp_path / "app"
    shutil.copytree(OWN, folder)  # some write where they run
    found = [str(await environment(row.of) / program)] if row.of else needs(program)
    return folder, [*found, *arguments]


@asynccontextmanager
async def an_app(row: Row, tmp_path: Path) -> AsyncIterator[int]:
    folder, command = await place_of(row, tmp_path)
    async with running(folder, command, row.env) as port:
        yield port


async def tunnel_of(programs: Programs, row: Row, port: int) -> Tunnel:
    if row.scheme == "https":
        return await foreign_https_tunnel(programs, port, name="app")
    return await foreign_tunnel(programs, port, name="app")


def needed(row: Row) -> pytest.MarkDecorator:
    """The programs of this machine that it is started with."""
    if isinstance(row.of, Path):
        return pytest.mark.needs("node", "npm")
    return pytest.mark.needs(*([] if row.of else row.command[:1]), *row.needs)


@pytest.mark.parametrize(
    "row", [pytest.param(row, id=row.name, marks=needed(row)) for row in TABLE]
)
async def test_auto_says(programs: Programs, tmp_path: Path, row: Row) -> None:
    async with an_app(row, tmp_path) as port:
        tunnel = await tunnel_of(programs, row, port)
        said = await tunnel.client.event("identity")
        if row.path != "/":
            assert said["mode"] == "local"
            await status(through(tunnel), row.path, NAVIGATION)
            said = await tunnel.client.event("identity")
    print(said)
    assert (said["mode"], said["path"][: len(row.path)]) == (row.says, row.path)
    assert row.hint in (said["hint"] or "")
    if row.path == "/":
        assert bool(said["hint"]) is bool(row.hint)
    assert row.asks in (0, said["asks"])


BY_NAME = {row.name: row for row in TABLE}


@pytest.mark.needs("chromium", "playwright")
@pytest.mark.parametrize(
    "name",
    [
        "Django",
        "Django behind a proxy",
        "Flask behind ProxyFix",
        "Rails in development",
        "Rails in production",
        "Rails with force_ssl",
    ],
)
async def test_a_form_works_by_https(programs: Programs, tmp_path: Path, name: str) -> None:
    """Each of them compares the Origin of its form with what it takes its own to be."""

    def use(visit: Visit) -> None:
        visit.open()
        visit.page.click("button")
        visit.sees("h1", "left")
        assert visit.page.url == f"{visit.origin}/left"
        if BY_NAME[name].says == "public":
            visit.open()
            visit.page.click("a")
            visit.sees("h1", "left")
            assert visit.page.url == f"{visit.origin}/left"

    async with an_app(BY_NAME[name], tmp_path) as port:
        tunnel = await foreign_https_tunnel(programs, port, name="app")
        await tunnel.client.event("identity", mode=BY_NAME[name].says)
        visit = await in_chromium(tunnel, use)
        assert visit.errors == []


async def test_an_app_that_names_itself_in_every_second_answer_is_asked_as_itself(
    programs: Programs, tmp_path: Path
) -> None:
    async with an_app(odd("", "", mode="every_second"), tmp_path) as port:
        tunnel = await foreign_tunnel(programs, port)
        verdict = await tunnel.client.event("identity")
        assert (verdict["mode"], verdict["asks"]) == ("local", 2)
        assert await status(through(tunnel), "/", {}) == "200"


async def test_a_pinned_origin_is_a_wrong_verdict_and_the_flag_is_named_once(
    programs: Programs, tmp_path: Path
) -> None:
    async with an_app(odd("", "", mode="pinned"), tmp_path) as port:
        tunnel = await foreign_tunnel(programs, port)
        way = through(tunnel)
        await tunnel.client.event("identity", mode="public", hint=None)
        for _ in range(2):
            assert await post(way, way.origin) == "403"
        said = await tunnel.client.event("identity", mode="public", asks=0)
        assert said["hint"] == (
            "POST /f was refused (403). If it works on localhost: --identity local."
        )
        as_itself = await programs.client(
            *(port, way.port, "--subdomain", "itself", "--identity", "local")
        )
        assert (await as_itself.event("ready"))["identity"] == "local"
        own = Way(way.port, f"itself.{DOMAIN}:{way.port}")
        assert await post(own, own.origin) == "200"
        kinds = [event["event"] for program in programs.all for event in program.events]
        assert kinds.count("identity") == 2


async def post(way: Way, origin: str) -> str:
    return await status(way, "/f", {"Origin": origin}, method="POST", body="name=x")


@pytest.mark.needs(*BY_NAME["WordPress"].needs)
async def test_wordpress_leads_to_the_public_origin_in_all_its_fields(
    programs: Programs, tmp_path: Path
) -> None:
    async with an_app(BY_NAME["WordPress"], tmp_path) as port:
        tunnel = await foreign_tunnel(programs, port)
        way = through(tunnel)
        fields = await fields_of(way, "/?p=1")
        assert fields["x-pingback"] == [f"{way.origin}/xmlrpc.php"]
        assert fields["link"] == [
            f'<{way.origin}/index.php?rest_route=/>; rel="https://api.w.org/"',
            f"<{way.origin}/index.php?rest_route=/wp/v2/posts/1>;"
            ' rel="alternate"; type="application/json"',
            f"<{way.origin}/?p=1>; rel=shortlink",
        ]
        (login,) = (await fields_of(way, "/wp-admin"))["location"]
        assert login.startswith(f"{way.origin}/wp-login.php?")
        (canonical,) = (await fields_of(way, "/index.php"))["location"]  # redirect_canonical
        assert canonical == f"{way.origin}/"


async def fields_of(way: Way, target: str) -> dict[str, list[str]]:
    """Those of the answer to a GET, by their names in lower case."""
    head = (await ask(way, target, {})).partition(b"\r\n\r\n")[0].decode()
    fields: dict[str, list[str]] = {}
    for line in head.split("\r\n")[1:]:
        name, _, value = line.partition(": ")
        fields.setdefault(name.lower(), []).append(value)
    return fields


async def test_vite_in_the_place_of_gradio_is_served_within_10_s(
    programs: Programs, tmp_path: Path
) -> None:
    """By the name that Gradio is asked by, Vite answers 403 to everything."""
    vite = BY_NAME["Vite"]
    folder, command = await place_of(vite, tmp_path)
    async with an_app(BY_NAME["Gradio 6"], tmp_path) as port:
        tunnel = await foreign_tunnel(programs, port)
        await tunnel.client.event("identity", mode="public")
    async with running(folder, command, port=port):
        with trio.fail_after(ASK_AGAIN_S * PATIENCE):
            while await status(through(tunnel), "/", NAVIGATION) != "200":
                pass  # each time it is asked anew
        await tunnel.client.event("identity", mode="local")


@pytest.mark.needs("chromium", "node", "npm", "playwright")
async def test_next_that_shows_its_url_is_itself_in_dev_and_public_when_built(
    programs: Programs, tmp_path: Path
) -> None:
    """Its page would do by the public name; what is under /_next would be refused.

    Built, the same app refuses nothing, and is asked by its public name.
    """
    app = tmp_path / "app"
    await install(app, "next-app", "../apps/next-headers-app")
    async with node_server(app, NEXT, "dev") as port:
        tunnel = await foreign_tunnel(programs, port, name="next")
        said = await tunnel.client.event("identity")
        assert (said["mode"], REFUSED in said["hint"]) == ("local", True)
        assert "/_next/" in said["hint"]
        visit = await in_chromium(tunnel, lambda visit: test_next.use(visit, app))
        assert visit.socket_hosts == {tunnel.address.authority}
        assert visit.errors == []
    with trio.fail_after(INSTALL_S):
        await trio.run_process([*needs("node"), NEXT, "build"], cwd=app)
    async with running(app, [*needs("node"), NEXT, "start", "--port={port}"]) as port:
        tunnel = await foreign_https_tunnel(programs, port, name="built")
        await tunnel.client.event("identity", mode="public", asks=9)
        visit = await in_chromium(tunnel, use_built)
        assert visit.errors == []


def use_built(visit: Visit) -> None:
    visit.open()
    visit.counts("#count")
    visit.page.fill("input[name=name]", "Ada")
    visit.page.click("#remember")
    visit.sees("#names", "Ada")
    visit.sees("#own", visit.origin)
    visit.page.click("#own")
    visit.sees("h1", "left")
    assert visit.page.url == f"{visit.origin}/left"
