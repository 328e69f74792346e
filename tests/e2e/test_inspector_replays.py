"""The inspector's page sends requests again, to an app on a socket."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio

from tests.e2e.inspector_pages import Tab, in_tab
from tests.inspector_fakes import CONFIG, RunningInspector, an_inspector, opened_tap
from tests.memory_streams import an_open
from tunnel_client.identity.rewriting import Identity
from tunnel_client.inspector.replaying.replay_apps import ConfiguredApps
from tunnel_client.origin.dial import Dialer
from tunnel_client.settings.target import Target

pytestmark = [pytest.mark.needs("chromium", "playwright"), pytest.mark.timeout(120)]

TOKEN = b"sk-abcdefgh12345678"


class AskedApp:
    """Answers each request 200, and keeps it.

    Attributes:
        gate: answers wait for it.
    """

    def __init__(self) -> None:
        self.requests: list[bytes] = []
        self.gate = trio.Event()
        self.gate.set()

    async def serve(self, stream: trio.SocketStream) -> None:
        data = b""
        async for piece in stream:
            data += bytes(piece)
            head, end, body = data.partition(b"\r\n\r\n")
            length = [line for line in head.split(b"\r\n") if line.startswith(b"Content-Length: ")]
            if end and (not length or len(body) == int(length[0][16:])):
                self.requests.append(data)
                data = b""
                await self.gate.wait()
                await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


@asynccontextmanager
async def a_running_one() -> AsyncIterator[tuple[RunningInspector, AskedApp, Target]]:
    app = AskedApp()
    async with an_inspector() as running, trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, app.serve, 0, host="127.0.0.1"))
        target = Target.parse(f"127.0.0.1:{listeners[0].socket.getsockname()[1]}")
        apps = ConfiguredApps(CONFIG, Dialer(target), Identity(target), None)
        running.inspector.replays.apps = apps
        yield running, app, target
        nursery.cancel_scope.cancel()


async def kept(running: RunningInspector, method: bytes, path: bytes, body: bytes = b"") -> None:
    fields = ((b"Authorization", b"Bearer " + TOKEN),)
    opened = an_open("http", method, len(body) or None, *fields)._replace(target=path)
    tap = opened_tap(running.store, opened)
    lines = [b"%b: %b" % field for field in opened.fields]
    tap.asked(b"\r\n".join([b"%b %b HTTP/1.1" % (method, path), *lines, b"", b""]))
    if body:
        tap.body_in(body)
    tap.head(b"HTTP/1.1 500 No\r\n\r\n")
    tap.ended(None)
    await running.until_sorted()


async def test_a_key_sends_a_request_again() -> None:
    async with a_running_one() as (running, app, _):
        await kept(running, b"GET", b"/one")

        def steps(tab: Tab) -> None:
            tab.open()
            tab.is_ready()
            tab.has("#count", "1 request")
            tab.press("Home", "Enter", "r")
            tab.has("#notice", "Sent again as request 2.")
            tab.has("#count", "2 requests")
            tab.press("j")
            tab.has("#summary", "replay of request 1")
            tab.keep("replay")

        assert not (await in_tab(running.port, steps)).errors
        (request,) = app.requests
        assert request.startswith(b"GET /one ")
        assert b"Bearer " + TOKEN in request


async def test_what_may_do_harm_is_asked_about_and_may_be_left() -> None:
    async with a_running_one() as (running, app, _):
        await kept(running, b"POST", b"/pay", b"all")

        def steps(tab: Tab) -> None:
            tab.open()
            tab.is_ready()
            tab.has("#count", "1 request")
            tab.press("Home", "Enter", "r")
            tab.has("#dialog-title", "Send POST once more?")
            tab.has("#dialog-content", "may do once more")
            tab.press("Escape")
            tab.is_hidden("#dialog-title")
            tab.press("r")
            tab.page.get_by_role("button", name="Send it again").click()
            tab.has("#count", "2 requests")

        # Chromium notes each answer from 400 on as an error: that to who has not confirmed.
        errors = (await in_tab(running.port, steps)).errors
        assert [error for error in errors if "409" not in error] == []
        (request,) = app.requests
        assert request.endswith(b"\r\n\r\nall")


async def test_an_edited_one_goes_elsewhere_and_keeps_what_is_masked() -> None:
    async with a_running_one() as (running, app, target):
        running.inspector.replays.apps = ConfiguredApps(
            CONFIG, Dialer(Target.parse("1")), Identity(Target.parse("1")), None
        )
        await kept(running, b"PUT", b"/one", b"old")

        def steps(tab: Tab) -> None:
            tab.open()
            tab.is_ready()
            tab.has("#count", "1 request")
            tab.press("Home", "Enter", "e")
            tab.has("#dialog-title", "Change and send again")
            fields, body = (tab.page.locator("#dialog textarea").nth(at) for at in (0, 1))
            _, path, to = (tab.page.locator("#dialog input").nth(at) for at in range(3))
            assert TOKEN.decode() not in fields.input_value()
            fields.fill(fields.input_value() + "\nX-New: 1")
            path.fill("/two")
            body.fill("a new one")
            to.fill(target.authority)
            tab.keep("edit")
            tab.page.get_by_role("button", name="Send", exact=True).click()
            tab.has("#notice", "Sent again as request 2.")

        assert not (await in_tab(running.port, steps)).errors
        (request,) = app.requests
        assert request.startswith(b"PUT /two HTTP/1.1\r\n")
        assert b"\r\nX-New: 1\r\n" in request
        assert b"\r\nAuthorization: Bearer " + TOKEN in request
        assert request.endswith(b"\r\nContent-Length: 9\r\n\r\na new one")


async def test_all_that_match_go_in_order_until_escape() -> None:
    async with a_running_one() as (running, app, _):
        for number in range(3):
            await kept(running, b"GET", b"/hook/%d" % number)
        await kept(running, b"GET", b"/else")
        app.gate = trio.Event()

        def steps(tab: Tab) -> None:
            tab.open()
            tab.is_ready()
            tab.has("#count", "4 requests")
            tab.press("/")
            tab.page.keyboard.type("/hook")
            tab.has("#count", "3")
            tab.page.locator("#replay-all").click()
            tab.has("#dialog-content", "3 requests, in order: 3 GET.")
            tab.page.get_by_role("button", name="Send them").click()
            tab.has("#dialog-title", "Sending")
            tab.keep("replay-all")
            tab.press("Escape")
            tab.has("#notice", "Stopped behind 1 of 3 requests.")
            trio.from_thread.run_sync(app.gate.set)
            tab.page.reload()
            tab.has("#count", "5 requests")

        assert not (await in_tab(running.port, steps)).errors
        assert [request.split()[1] for request in app.requests] == [b"/hook/0"]
