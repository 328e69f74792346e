"""Gradio, which makes every URL of its page from the name it is asked by, in a real browser.

Calls, their answers and files go to these URLs. Asked as itself it sends all of them to the
visitor's own machine, where nothing is.
"""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.apps.environments import HERE, environment
from tests.apps.running import running
from tests.e2e.browser import Visit, foreign_https_tunnel, foreign_tunnel, in_chromium
from tests.programs import Programs, Tunnel

pytestmark = [pytest.mark.timeout(600), pytest.mark.needs("chromium", "playwright")]
APP = HERE / "identity-app"
LINKS = "it makes its links from the name it is asked by"


def log_in(visit: Visit) -> None:
    page = visit.page
    page.wait_for_selector("input[type=password]")
    page.locator("input").first.fill("ada")
    page.locator("input[type=password]").fill("analytical")
    page.get_by_role("button", name=re.compile("log ?in", re.IGNORECASE)).click()


def use(visit: Visit, path: str, *, login: bool) -> None:
    page = visit.page
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    visit.open(path)
    if login:
        log_in(visit)
    page.get_by_label("said").fill("abc")
    page.get_by_role("button", name="Run").click()
    page.wait_for_function("document.querySelectorAll('textarea')[1].value === 'ABC'")
    page.get_by_role("button", name="Save").click()
    link = page.locator("a[href*='said.txt']").first
    href = link.get_attribute("href")
    assert page.evaluate("async (url) => (await fetch(url)).text()", href) == "file: abc"
    strays = {urlsplit(url).netloc for url in asked if url.startswith("http")}
    # Its fonts; whoever has no network has others.
    strays -= {"fonts.googleapis.com", "fonts.gstatic.com", "cdnjs.cloudflare.com"}
    assert strays == {urlsplit(visit.origin).netloc}


async def verdict(tunnel: Tunnel, path: str) -> dict[str, object]:
    """The last one; where Gradio is below a path, a first visitor has to find it."""
    found = await tunnel.client.event("identity")
    if path != "/":
        assert found["mode"] == "local"
        await in_chromium(tunnel, lambda visit: visit.open(path))
        found = await tunnel.client.event("identity")
    return found


@pytest.mark.parametrize("mode", ["plain", "auth", "mounted"])
@pytest.mark.parametrize("version", ["4", "6"])
async def test_gradio_works_by_https_and_http(
    programs: Programs, tmp_path: Path, version: str, mode: str
) -> None:
    bins = await environment(f"gradio-{version}")
    path = "/app/" if mode == "mounted" else "/"
    command = [str(bins / "python"), str(APP / "blocks.py")]
    async with running(tmp_path, command, {"MODE": mode}) as port:
        for tunnel in (
            await foreign_https_tunnel(programs, port, name="gradio-https"),
            await foreign_tunnel(programs, port, name="gradio-http"),
        ):
            found = await verdict(tunnel, path)
            assert (found["mode"], found["path"], found["reason"]) == ("public", path, LINKS)
            await in_chromium(tunnel, lambda visit: use(visit, path, login=mode == "auth"))
