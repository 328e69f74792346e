"""Chromium, which reaches nothing but the public port of a tunnel under a foreign domain.

Names under .localhost hide what dev servers check: most let them pass. So the tunnels of these
tests are under `tunnel.test`, which only this browser knows, and only at the server's own port:
every other name, address and port does not exist for it. An app that sends it anywhere else, to
the dev server's port on localhost for instance, fails its test.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import trio
import trustme

from tests.needs import needs
from tests.patience import PATIENCE
from tests.programs import Address, Programs, Tunnel

DOMAIN = "tunnel.test"
STEP_MS = 30_000 * PATIENCE  # one thing to be seen in the browser
# A root's browser has no sandbox; the others keep it from looking for the world outside.
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


async def foreign_tunnel(programs: Programs, app: int, *flags: str, name: str = "app") -> Tunnel:
    """Share the app at this port as NAME.tunnel.test, with these flags of the client."""
    server, port = await programs.server("--domain", DOMAIN, "--open")
    client = await programs.client(app, port, "--subdomain", name, *flags)
    ready = await client.event("ready")
    assert ready["url"] == f"http://{name}.{DOMAIN}:{port}"
    return Tunnel(server, client, Address(port, f"{name}.{DOMAIN}"))


async def foreign_https_tunnel(programs: Programs, app: int, *, name: str) -> Tunnel:
    """The same by https, with a certificate of a CA that only the client knows."""
    ca = trustme.CA()
    pem = {kind: str(programs.folder / f"{kind}.pem") for kind in ("ca", "cert", "key")}
    issued = ca.issue_cert("localhost", f"*.{DOMAIN}")
    ca.cert_pem.write_to_path(pem["ca"])
    issued.cert_chain_pems[0].write_to_path(pem["cert"])
    issued.private_key_pem.write_to_path(pem["key"])
    tls = ("--tls-cert", pem["cert"], "--tls-key", pem["key"])
    server, port = await programs.server("--domain", DOMAIN, "--open", *tls)
    trust = ("--server-ca", pem["ca"], "--subdomain", name)
    client = await programs.client(app, f"https://localhost:{port}", *trust)
    ready = await client.event("ready")
    assert ready["url"] == f"https://{name}.{DOMAIN}:{port}"
    return Tunnel(server, client, Address(port, f"{name}.{DOMAIN}", ssl.create_default_context()))


@dataclass
class Visit:
    """A page in the browser, and what it did.

    Attributes:
        page: of playwright.
        origin: the public one.
        sockets: the URLs of its WebSockets, in order.
        loaded: the status of each page that was loaded, in order.
        errors: what was thrown and not caught.
    """

    page: Any
    origin: str
    sockets: list[str] = field(default_factory=list)
    loaded: list[int] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.set_default_timeout(STEP_MS)
        self.page.on("websocket", lambda socket: self.sockets.append(socket.url))
        self.page.on("response", self._note)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda message: print(f"console: {message.text}"))

    def open(self, path: str = "/") -> None:
        self.page.goto(self.origin + path)

    def sees(self, selector: str, text: str) -> None:
        """Wait until this is the text there."""
        self.page.wait_for_function(
            "([selector, text]) => document.querySelector(selector)?.textContent === text",
            arg=[selector, text],
        )

    def counts(self, selector: str) -> None:
        """Click this button until it counts: the clicks before the page hydrates are lost."""
        self.page.wait_for_function(
            """(selector) => {
                const button = document.querySelector(selector)
                button.click()
                return button.textContent !== '0'
            }""",
            arg=selector,
        )

    def mark(self) -> None:
        """So that `is_marked` tells whether the page was loaded again."""
        self.page.evaluate("window.sameAsBefore = true")

    @property
    def is_marked(self) -> bool:
        return self.page.evaluate("window.sameAsBefore") is True

    @property
    def socket_hosts(self) -> set[str]:
        return {urlsplit(socket).netloc for socket in self.sockets}

    def _note(self, response: Any) -> None:
        if response.request.is_navigation_request():
            self.loaded.append(response.status)


async def in_chromium(tunnel: Tunnel, steps: Callable[[Visit], None]) -> Visit:
    """Run these steps in a new browser, in a thread. SCREENSHOTS=FOLDER keeps how they ended."""
    return await trio.to_thread.run_sync(partial(_visit, tunnel.address, steps))


def resolver_rules(address: Address) -> str:
    """For everything but localhost and a name under it, which a browser finds by itself."""
    if address.host == "localhost" or address.host.endswith(".localhost"):
        return f"MAP * ~NOTFOUND, EXCLUDE {address.host}"
    return f"MAP {address.authority} 127.0.0.1:{address.port}, MAP * ~NOTFOUND"


def _visit(address: Address, steps: Callable[[Visit], None]) -> Visit:
    (chromium,) = needs("chromium")
    # Of the extra e2e: without it this file is still read, by mypy and by pytest.
    playwright_api: Any = import_module("playwright.sync_api")
    flags = [*CHROMIUM_FLAGS, f"--host-resolver-rules={resolver_rules(address)}"]
    with playwright_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=flags)
        try:
            scheme = "https" if address.tls else "http"
            page = browser.new_page(ignore_https_errors=True)  # no test is about a certificate
            visit = Visit(page, f"{scheme}://{address.authority}")
            try:
                steps(visit)
            finally:
                if folder := os.environ.get("SCREENSHOTS"):
                    visit.page.screenshot(path=Path(folder) / f"{address.host}.png")
            return visit
        finally:
            browser.close()
