"""A project as `django-admin startproject` makes it, in a real browser: a form, and the admin."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

import pytest
import trio

from tests.e2e.browser import Visit, foreign_tunnel, in_chromium
from tests.e2e.dev_servers import HERE, INSTALL_S, dev_server, free_port
from tests.e2e.raw import EVIL, Way, ask, directly, status, through
from tests.programs import open_programs

ADMIN = {"DJANGO_SUPERUSER_USERNAME": "ada", "DJANGO_SUPERUSER_PASSWORD": "analytical"}
URLS = "\nfrom shop import forms\n\nurlpatterns.append(path('', forms.form))\n"


async def manage(app: Path, *arguments: str) -> None:
    with trio.fail_after(INSTALL_S):
        env = {**os.environ, **ADMIN, "PYTHONWARNINGS": "ignore"}
        await trio.run_process([sys.executable, *arguments], cwd=app, env=env)


async def make_project(app: Path) -> None:
    await trio.Path(app).mkdir()
    await manage(app, "-m", "django", "startproject", "shop", ".")
    add_form(app / "shop")
    await manage(app, "manage.py", "migrate")
    await manage(app, "manage.py", "createsuperuser", "--noinput", "--email", "ada@example.com")


def add_form(project: Path) -> None:
    shutil.copy(HERE / "django-app" / "forms.py", project)
    with (project / "urls.py").open("a") as urls:
        urls.write(URLS)


def use(visit: Visit) -> None:
    page = visit.page
    visit.open()
    page.fill("input[name=name]", "Ada")
    page.click("button")
    visit.sees("#names", "Ada")
    assert page.url == f"{visit.origin}/"
    visit.open("/admin/")
    page.fill("input[name=username]", ADMIN["DJANGO_SUPERUSER_USERNAME"])
    page.fill("input[name=password]", ADMIN["DJANGO_SUPERUSER_PASSWORD"])
    page.click("input[type=submit]")
    page.wait_for_selector("text=Site administration")
    assert page.url == f"{visit.origin}/admin/"


async def post(way: Way, origin: str) -> str:
    """The form, with the token that it asks for."""
    page = await ask(way, "/", {"Connection": "close"})
    token = re.search(rb"csrftoken=([^;]+)", page)
    assert token, page
    fields = {
        "Origin": origin,
        "Cookie": f"csrftoken={token[1].decode()}",
        "Content-Type": "application/x-www-form-urlencoded",
    }
    body = f"name=x&csrfmiddlewaretoken={token[1].decode()}"
    return await status(way, "/", fields, method="POST", body=body)


@pytest.mark.timeout(180)
@pytest.mark.needs("chromium", "django-admin", "playwright")
async def test_the_forms_and_the_admin_of_a_django_project_work(tmp_path: Path) -> None:
    app = tmp_path / "app"
    await make_project(app)
    listen = f"127.0.0.1:{free_port()}"
    async with (
        dev_server(app, sys.executable, "manage.py", "runserver", "--noreload", listen) as port,
        open_programs(tmp_path) as programs,
    ):
        tunnel = await foreign_tunnel(programs, port, name="django")
        visit = await in_chromium(tunnel, use)
        assert visit.errors == []
        for way in (directly(port), through(tunnel)):
            assert await post(way, way.origin) == "302"
            assert await post(way, EVIL) == "403"
