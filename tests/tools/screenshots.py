"""Makes the README's pictures in docs/pictures: `make screenshots`.

The inspector is a real one that shows a made-up shop; the terminal is that of a real client, drawn
as a page. Tests compare texts and boxes, never these pictures: whoever makes them looks at them.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import tempfile
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import trio

from protocol.mux.messages import Open
from tests.e2e.browser import CHROMIUM_FLAGS
from tests.inspector_fakes import EPOCH, TOKEN, RunningInspector, an_inspector
from tests.needs import needs
from tests.programs import Address, Programs, open_programs
from tests.system.on_terminal import OnPty, client_command, on_pty
from tests.system.visitor import fetch, visit
from tests.terminals import Terminal
from tunnel_client.inspector.capture.importing import (
    ImportedBody,
    ImportedExchange,
    ImportedMessage,
    ImportedTimes,
    add_imported,
)
from tunnel_client.observing.events import TunnelReady

FOLDER: Final = Path(__file__).parents[2] / "docs" / "pictures"
MAX_BYTES: Final = 150_000  # of one picture: a README is read on the way, too
SIZE: Final = {"width": 1200, "height": 640}
URL: Final = "https://brisk-otter-k3v9q2mz.tunnel.example.com"
HOST: Final = URL.partition("://")[2]
COLUMNS, ROWS = 88, 20

ORDER: Final = {
    "type": "payment.succeeded",
    "order": 1042,
    "amount": 38.5,
    "customer": {"name": "Ada", "api_key": "sk-4f9a1c7be2d3"},
    "items": ["tea", "cups"],
}
# Method, target, status, media type, bytes of the answer, milliseconds.
PASSED: Final = (
    ("GET", "/", 200, "text/html; charset=utf-8", 4210, 12),
    ("GET", "/static/shop.css", 200, "text/css", 9200, 3),
    ("GET", "/static/shop.js", 200, "text/javascript", 48211, 6),
    ("GET", "/static/logo.svg", 304, "", 0, 2),
    ("GET", "/api/products?page=1", 200, "application/json", 2310, 34),
    ("GET", "/api/cart?token=9b2f6c11d0aa", 200, "application/json", 412, 18),
    ("POST", "/api/cart", 201, "application/json", 98, 41),
    ("GET", "/favicon.ico", 404, "text/plain", 9, 1),
    ("POST", "/login", 302, "", 0, 63),
    ("GET", "/orders", 200, "text/html", 3120, 22),
    ("GET", "/api/reports/2027", 500, "text/plain", 1733, 1840),
    ("GET", "/products/7", 200, "text/html", 5032, 19),
    ("PUT", "/api/cart/7", 200, "application/json", 131, 27),
)


def exchange(at: int, *said: Any, posted: bytes = b"", body: bytes | None = None) -> Any:
    method, target, status, media_type, size, ms = said
    fields = [f"Host: {HOST}", "User-Agent: Mozilla/5.0", "Accept: */*"]
    if posted:
        fields += [
            "Content-Type: application/json",
            f"Content-Length: {len(posted)}",
            "Stripe-Signature: t=1800000000,v1=5257a869e7ecebeda32affa62cdca3fa51cad7e77a0e56ff",
        ]
    asked = "\r\n".join([f"{method} {target} HTTP/1.1", *fields, "", ""]).encode()
    typed = [f"Content-Type: {media_type}"] if media_type else []
    head = "\r\n".join([f"HTTP/1.1 {status} Said", *typed, "Cache-Control: no-store", "", ""])
    data = b"x" * size if body is None else body
    times = (ms / 1000 * part for part in (0.02, 0.06, 0.06, 0.1, 0.85, 1.0))
    return ImportedExchange(
        EPOCH + at * 0.7,
        Open(
            *("http", 1, method.encode(), target.encode(), b"1.1", (), None, "https", HOST),
            *("203.0.113.7", 0),
        ),
        asked,
        ImportedBody(posted, len(posted)),
        head.encode(),
        ImportedBody(data, len(data)),
        ImportedTimes(*times),
        [],
    )


def a_socket(at: int) -> ImportedExchange:
    plain = exchange(at, "GET", "/live", 101, "", 0, 60_000)
    messages = [
        ImportedMessage(number * 0.4, number % 3 == 0, 1, json.dumps({"n": number}).encode())
        for number in range(48)
    ]
    opened = plain.opened._replace(kind="websocket")
    found: ImportedExchange = plain._replace(
        opened=opened, messages=messages, answered=ImportedBody()
    )
    return found


async def fill(running: RunningInspector) -> None:
    """What a shop's visitors asked, and a webhook that failed in the end."""
    store = running.store
    for at, said in enumerate(PASSED):
        add_imported(store, exchange(at, *said))
    add_imported(store, a_socket(len(PASSED)))
    said = ("POST", "/hook", 500, "application/json", 0, 103)
    answer = json.dumps({"error": "order 1042 is paid already", "retry": False}).encode()
    hook = exchange(len(PASSED) + 1, *said, posted=json.dumps(ORDER).encode(), body=answer)
    add_imported(store, hook)
    await running.until_sorted()


def show_hook(port: int, page: Any) -> None:
    page.goto(f"http://127.0.0.1:{port}/#t={TOKEN}")
    page.locator("#grid .pad [role=row]", has_text="/hook").click()
    page.locator(".half[aria-label=Answer] .tree").wait_for()
    page.locator(".half[aria-label=Request] .tree").wait_for()


async def draw(name: str, steps: Callable[[Any], None], **settings: Any) -> None:
    """Make one picture, in a thread."""
    await trio.to_thread.run_sync(_draw, name, steps, {"viewport": SIZE} | settings)


def _draw(name: str, steps: Callable[[Any], None], settings: dict[str, Any]) -> None:
    (chromium,) = needs("chromium")
    playwright_api: Any = import_module("playwright.sync_api")
    with playwright_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_FLAGS)
        try:
            page = browser.new_context(**settings).new_page()
            steps(page)
            path = FOLDER / f"{name}.png"
            page.screenshot(path=path)
            size = path.stat().st_size
            print(f"{path.name}: {size} bytes")
            assert size < MAX_BYTES, f"{path.name} has {size} bytes"
        finally:
            browser.close()


async def draw_inspector() -> None:
    for scheme in ("light", "dark"):
        async with an_inspector(ready=False) as running:
            running.inspector.tell(TunnelReady(URL, "app", "https://tunnel.example.com"))
            await fill(running)
            steps = partial(show_hook, running.port)
            await draw(f"inspector-{scheme}", steps, color_scheme=scheme, timezone_id="UTC")


# --- the terminal ---

_COLOURS: Final = {
    "default": "#d6dbe1",
    "red": "#ff7b72",
    "green": "#5fcf94",
    "brown": "#f0ab55",
    "blue": "#80b5ff",
    "magenta": "#d2a8ff",
    "cyan": "#76d9e6",
    "white": "#d6dbe1",
    "brightblack": "#8b949e",
}
_PAGE: Final = """<!doctype html><meta charset="utf-8"><style>
body {{ margin: 0; padding: 18px 22px; background: #14181d; color: #d6dbe1; }}
pre {{ margin: 0; font: 14px/1.5 "DejaVu Sans Mono", Menlo, Consolas, monospace; }}
b {{ font-weight: 600; }} i {{ font-style: normal; opacity: .72; }}
</style><pre>{text}</pre>"""


async def app(stream: trio.SocketStream) -> None:
    """The shop, as far as a terminal shows it: statuses, sizes and a WebSocket."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        data = await stream.receive_some()
        if not data:
            return
        head += bytes(data)
    method, target = head.split(b" ", 2)[:2]
    if key := re.search(rb"(?i)sec-websocket-key: (\S+)", head):
        accept = hashlib.sha1(key[1] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
        await stream.send_all(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + base64.b64encode(accept) + b"\r\n\r\n"
        )
        await trio.sleep_forever()
    answers = {b"/favicon.ico": (404, 9), b"/hook": (500, 87), b"/static/logo.svg": (304, 0)}
    status, size = answers.get(target, (201 if method == b"POST" else 200, 1200))
    length = b"" if status == 304 else b"Content-Length: %d\r\n" % size
    answer = b"HTTP/1.1 %d Said\r\n%bConnection: close\r\n\r\n" % (status, length)
    await stream.send_all(answer + b"x" * size)
    await stream.aclose()


async def pass_by(here: Address) -> None:
    for target in ("/", "/static/shop.css", "/static/logo.svg", "/api/cart?token=9b2f6c11d0aa"):
        await fetch(here, target)
    await fetch(here, "/api/cart", method="POST")
    await fetch(here, "/favicon.ico")
    await fetch(here, "/hook", method="POST")


async def draw_terminal() -> None:
    async with trio.open_nursery() as nursery:
        [listener] = await nursery.start(partial(trio.serve_tcp, app, 0, host="127.0.0.1"))
        port = listener.socket.getsockname()[1]
        with tempfile.TemporaryDirectory() as folder:
            async with open_programs(Path(folder), shows=False) as programs:
                await draw_client(programs, port, Path(folder))
        nursery.cancel_scope.cancel()


async def draw_client(programs: Programs, app_port: int, folder: Path) -> None:
    _, port = await programs.server()
    here = Address(port, "app.localhost")
    command = client_command(app_port, port)
    async with on_pty(folder, command, COLUMNS, ROWS, {"FORCE_COLOR": "1"}) as client:
        await client.shows("0 requests, 0 open")
        await pass_by(here)
        async with visit(here) as visitor:
            await visitor.upgrade("/live")
            await client.shows("8 requests, 1 open")
            await draw_screen(client)
        await client.stop()


async def draw_screen(client: OnPty) -> None:
    page_text = _PAGE.format(text=as_html(client.terminal))
    size = {"width": COLUMNS * 8.43 + 44, "height": ROWS * 21 + 36}
    viewport = {name: round(pixels) for name, pixels in size.items()}
    await draw("terminal", lambda page: page.set_content(page_text), viewport=viewport)


def as_html(terminal: Terminal) -> str:
    """A terminal's screen, with its colours; the token of an inspector that is gone is left out."""
    buffer = terminal.screen.buffer
    rows = []
    for row in range(terminal.screen.lines):
        cells = [buffer[row][column] for column in range(terminal.screen.columns)]
        rows.append("".join(_cell(cell) for cell in cells).rstrip())
    return re.sub(r"(?<=#t=)[\w-]+", "\u2026", "\n".join(rows))


def _cell(cell: Any) -> str:
    text = html.escape(cell.data)
    if cell.fg == "default" and not cell.bold:
        return text
    colour = _COLOURS.get(cell.fg, f"#{cell.fg}")
    return f'<span style="color:{colour}{";font-weight:600" if cell.bold else ""}">{text}</span>'


async def main() -> None:
    """Make all of them."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    await draw_inspector()
    await draw_terminal()


if __name__ == "__main__":
    trio.run(main)
