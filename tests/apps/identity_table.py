"""The apps of docs/identity.md's table, and what `--identity auto` says of each."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tests.apps.environments import HERE

E2E = HERE.parent / "e2e"
OWN = HERE / "identity-app"  # the apps, and where those run that need no project
NODE = HERE / "node-app"
PAGES = HERE / "pages-app"

VITE, NEXT = "node_modules/vite/bin/vite.js", "node_modules/next/dist/bin/next"
WEBPACK = "node_modules/webpack/bin/webpack.js"

REFUSED, SCHEME = "refuses its public name", "does not believe X-Forwarded-Proto"
REDIRECTS = "Asked by its public name the app answers 301"
PROXIES = "refuses requests with X-Forwarded-For"


@dataclass(frozen=True)
class Row:
    """An app, and what is said of it.

    Attributes:
        of: an environment, or the folder of a project of Node's; "": this machine's own programs.
        command: its first word is a program of that; `{port}` stands for the port.
        says: the mode.
        hint: a part of the hint; "": there is none.
        path: the first visitor's, where it is not the first page that shows it.
        scheme: the visitors'.
        asks: how many questions it takes; 0: a test does not care.
        needs: other programs of this machine.
    """

    name: str
    of: str | Path
    command: Sequence[str]
    says: str
    hint: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    path: str = "/"
    scheme: str = "https"
    asks: int = 0
    needs: Sequence[str] = ()


def app(of: str | Path, *command: str) -> Any:
    """A function that makes rows of this app: further words are for its environment."""

    def row(name: str, says: str, hint: str = "", **more: Any) -> Row:
        own = ("path", "scheme", "asks", "needs")
        fields = {key: more.pop(key) for key in own if key in more}
        env = {key.upper(): value for key, value in more.items()}
        return Row(name, of, command, says, hint, env, **fields)

    return row


gradio_4, gradio_5, gradio_6 = (app(f"gradio-{n}", "python", "blocks.py") for n in (4, 5, 6))
mounted = app("gradio-6", "python", "mounted.py")
fastapi = app("web", "python", "fastapi_links.py")
flask = app("web", "python", "flask_links.py")
django = app("web", "python", "django_links.py")
pages = app("pages", "python", "pages.py")
express = app(NODE, "node", "express.mjs")
better_auth = app(NODE, "node", "auth.mjs")
rails = app("", "puma", "--bind", "tcp://127.0.0.1:{port}", "rails.ru")
symfony = app("", "php", "-S", "127.0.0.1:{port}", "symfony.php")
registry = app("", "docker-registry", "serve", "registry.yml")
odd = app("", sys.executable, "odd.py")
wordpress = partial(
    app("", sys.executable, "wordpress.py"), needs=("php", "mariadbd", "wp-setup"), asks=2
)

TABLE: Sequence[Row] = (
    gradio_6("Gradio 6", "public", asks=9),
    gradio_6("Gradio 6 with auth", "public", mode="auth"),
    mounted("Gradio 6 mounted", "public", path="/app/", scheme="http"),
    gradio_5("Gradio 5", "public"),
    gradio_4("Gradio 4", "public"),
    fastapi("FastAPI", "public", asks=5),
    fastapi("FastAPI with a root_path", "public", root="/api"),
    fastapi("FastAPI with trusted hosts", "local", REFUSED, trusted="1", asks=2),
    app("web", "datasette", "--port", "{port}", "--memory")("Datasette", "public"),
    flask("Flask", "local", SCHEME, asks=2),
    flask("Flask by http", "public", scheme="http"),
    flask("Flask behind ProxyFix", "public", fix="1"),
    django("Django", "local", REFUSED, asks=2),
    django("Django with any host", "local", SCHEME, hosts="*"),
    django("Django with any host by http", "public", hosts="*", scheme="http"),
    django("Django behind a proxy", "public", hosts="*", proxy="1"),
    django("Django behind a proxy without hosts", "local", REFUSED, proxy="1"),
    rails("Rails in development", "local", REFUSED, rails_env="development", asks=2),
    rails("Rails in production", "public", rails_env="production"),
    rails("Rails with force_ssl", "public", rails_env="production", ssl="1", asks=3),
    express("Express", "local", SCHEME),
    express("Express by http", "public", scheme="http"),
    express("Express with trust proxy and Host", "public", trust="1"),
    express("Express with trust proxy and req.host", "public", trust="1", host_of="proxy"),
    symfony("Symfony", "local", SCHEME),
    symfony("Symfony by http", "public", scheme="http"),
    symfony("Symfony with trusted proxies", "public", trust="1"),
    wordpress("WordPress", "local", REDIRECTS),
    better_auth("better-auth", "public"),
    better_auth("better-auth with a fixed URL", "public", pin="1"),
    app(E2E / "next-app", "node", NEXT, "dev", "--port={port}")("Next dev", "local", asks=1),
    app(E2E / "vite-app", "node", VITE, "--port={port}")("Vite", "local", asks=1),
    app(E2E / "sveltekit-app", "node", VITE, "dev", "--port={port}")("SvelteKit dev", "local"),
    app(E2E / "webpack-6", "node", WEBPACK, "serve", "--port={port}")("webpack", "local", asks=1),
    app(E2E / "socketio-app", "node", "server.js")("Socket.IO", "local", asks=1),
    app(PAGES, "node", "node_modules/astro/bin/astro.mjs", "dev", "--port={port}")(
        "Astro", "local", asks=1
    ),
    app(PAGES, "node", "node_modules/nuxt/bin/nuxt.mjs", "dev", "--port={port}")(
        "Nuxt", "local", asks=1
    ),
    app(PAGES, "node", "node_modules/parcel/lib/bin.js", "serve", "page.html", "--port={port}")(
        "Parcel", "local", asks=1
    ),
    app(PAGES, "node", "node_modules/node-red/red.js", "--port={port}", "--userDir=red")(
        "Node-RED", "local", asks=1
    ),
    app(
        "pages",
        *("streamlit", "run", "--server.port={port}", "--server.headless=true"),
        "streamlit_page.py",
    )("Streamlit", "local", asks=1),
    app(
        "pages",
        *("jupyter-lab", "--allow-root", "--no-browser", "--port={port}"),
        "--IdentityProvider.token=",
    )("JupyterLab", "local"),
    app("pages", "marimo", "run", "--headless", "--port={port}", "--no-token", "notebook.py")(
        "marimo", "local"
    ),
    pages("Dash", "local", mode="dash"),
    pages("NiceGUI", "local", mode="nicegui"),
    pages("Panel", "local", mode="panel"),
    registry("docker-registry", "local", asks=1, registry_http_addr="localhost:{port}"),
    odd("own: 401", "local", mode="unauthorized", asks=1),
    odd("own: SSO", "local", mode="sso", asks=1),
    odd("own: https once", "local", mode="https_once", asks=3),
    odd("own: https and a login", "public", mode="https_login", asks=4),
    odd("own: no proxies", "local", PROXIES, mode="proxies", asks=2),
    odd("own: slow", "local", mode="slow"),
    odd("own: remembers", "local", mode="remembers"),
)
