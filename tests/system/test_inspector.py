"""The inspector of the real client: where it says that it is, what it shows, and how it ends."""

from __future__ import annotations

import json
import signal
import socket
import urllib.request
from typing import Any

import h11
import pytest
import trio
from trio_websocket import connect_websocket_url

from tests.inspector_fakes import LivePage
from tests.patience import PATIENCE
from tests.programs import EVENT_S, Programs, Tunnel
from tests.system.origin import Origin
from tests.system.test_client_life import begin_talk
from tests.system.test_stop import the_rest
from tests.system.visitor import SMALL_S, fetch, visit

# Pages have 0.2 s for their last word; the rest is for a machine with other things to do.
PAGES_S = 1.0 * PATIENCE

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


def token_of(programs: Programs) -> str:
    path = programs.folder / "home" / "state" / "trio-tunnel" / "inspector-token"
    return path.read_text().strip()


def inspector_of(tunnel: Tunnel) -> str:
    found = next(each["inspector"] for each in tunnel.client.events if each["event"] == "ready")
    return str(found)


async def listed(url: str, token: str, path: str, *states: str) -> Any:
    """The row of this path, which is awaited in one of these states."""
    with trio.fail_after(EVENT_S):
        while True:
            for row in (await ask(f"{url}/api/exchanges?path={path}", token))["exchanges"]:
                if row["state"] in states:
                    return row


async def ask(url: str, token: str, method: str = "GET") -> Any:
    request = urllib.request.Request(url, method=method)
    request.add_header("Authorization", f"Bearer {token}")

    def read() -> Any:
        with urllib.request.urlopen(request, timeout=EVENT_S) as answer:
            return json.loads(answer.read() or b"null")

    return await trio.to_thread.run_sync(read)


async def test_ready_says_where_it_is_and_the_next_request_is_waited_for(
    programs: Programs, origin: Origin
) -> None:
    tunnel = await programs.tunnel(origin.port, "--inspect", "127.0.0.1:0")
    [ready] = [each for each in tunnel.client.events if each["event"] == "ready"]
    url, token = ready["inspector"], token_of(programs)
    assert token not in json.dumps(tunnel.client.events)
    run = await ask(f"{url}/api/run", token)
    assert run["url"] == ready["url"]
    found: list[Any] = []

    async def wait() -> None:
        found.append(await ask(f"{url}/api/next?path=/fields&after={run['seq']}", token))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await fetch(tunnel.address, "/fields")
    assert (found[0]["method"], found[0]["path"], found[0]["state"]) == ("GET", "/fields", "over")
    assert await tunnel.client.stop() == 0


async def test_a_download_that_is_cancelled_is_cut_and_its_app_loses_the_connection(
    programs: Programs, origin: Origin
) -> None:
    tunnel = await programs.tunnel(origin.port, "--inspect", "127.0.0.1:0")
    url = inspector_of(tunnel)
    token = token_of(programs)
    async with visit(tunnel.address) as visitor, visit(tunnel.address) as other:
        with trio.fail_after(SMALL_S):
            await visitor.request(f"/endless?size={10**12}")
            assert (await visitor.answer()).status == 200
            await anext(visitor.body())
        talk = await begin_talk(other)
        for path, states in (("/endless", ("app", "visitor")), ("/ws", ("open",))):
            found = await listed(url, token, path, *states)
            await ask(f"{url}/api/exchanges/{found['id']}/cancel", token, "POST")
        with pytest.raises((h11.RemoteProtocolError, trio.BrokenResourceError)):
            await the_rest(visitor)
        with pytest.raises((StopAsyncIteration, trio.BrokenResourceError)):
            await talk.hear()
        ended = [await tunnel.client.event("request") for _ in range(2)]
    assert [event["error"] for event in ended] == ["cut off by the user"] * 2
    with trio.fail_after(EVENT_S):
        while origin.aborted < 2:  # noqa: ASYNC110  # the app's tasks tell of nothing
            await trio.sleep(0.01)
    found = await listed(url, token, "/ws", "over")
    assert found["error"] == "cut off by the user"
    assert await tunnel.client.stop() == 0


async def test_in_a_pipe_it_is_off(programs: Programs, origin: Origin) -> None:
    tunnel = await programs.tunnel(origin.port)
    [ready] = [each for each in tunnel.client.events if each["event"] == "ready"]
    assert ready["inspector"] is None
    assert not (programs.folder / "home" / "state" / "trio-tunnel" / "inspector-token").exists()


async def test_an_address_that_is_taken_ends_it_with_1(programs: Programs, origin: Origin) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        _, server = await programs.server()
        client = await programs.client(origin.port, server, "--inspect", f"127.0.0.1:{port}")
        assert await client.exit_code() == 1
    assert f"nothing can listen at 127.0.0.1:{port}" in client.stderr


async def open_page(nursery: trio.Nursery, url: str, token: str) -> LivePage:
    page = LivePage(await connect_websocket_url(nursery, f"ws{url.removeprefix('http')}/api/live"))
    await page.say(token=token)
    await page.news()
    return page


async def unread_page(url: str, token: str) -> trio.SocketStream:
    """A page that has said its token, and takes nothing of what it is told."""
    host = url.removeprefix("http://")
    stream = await trio.open_tcp_stream("127.0.0.1", int(host.rpartition(":")[2]))
    assert isinstance(stream, trio.SocketStream)
    key = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    asked = f"GET /api/live HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\n"
    await stream.send_all(f"{asked}Upgrade: websocket\r\n{key}\r\n".encode())
    head = b""
    while b"\r\n\r\n" not in head:
        head += await stream.receive_some(1)
    said = json.dumps({"token": token}).encode()
    await stream.send_all(bytes([0x81, 0x80 | len(said), *bytes(4)]) + said)
    return stream


async def test_a_stop_takes_no_longer_with_pages_open(programs: Programs, origin: Origin) -> None:
    tunnel = await programs.tunnel(origin.port, "--inspect", "127.0.0.1:0")
    url, token = inspector_of(tunnel), token_of(programs)
    async with trio.open_nursery() as nursery:
        pages = [await open_page(nursery, url, token) for _ in range(8)]
        assert await tunnel.client.stop(within_s=5) == 0
        for page in pages:
            assert await page.close_code() == 1001


async def test_ctrl_c_takes_no_longer_with_pages_of_which_some_read_nothing(
    programs: Programs, origin: Origin
) -> None:
    took_s = []
    for count in (0, 4):
        tunnel = await programs.tunnel(origin.port, "--inspect", "127.0.0.1:0")
        url, token = inspector_of(tunnel), token_of(programs)
        async with trio.open_nursery() as nursery:
            pages = [await open_page(nursery, url, token) for _ in range(count)]
            unread = [await unread_page(url, token) for _ in range(count)]
            for number in range(50):
                await fetch(tunnel.address, f"/?n={number}")
            began = trio.current_time()
            tunnel.client.process.send_signal(signal.SIGINT)
            assert await tunnel.client.exit_code() == 0
            took_s.append(trio.current_time() - began)
            for page in pages:
                assert await page.close_code() == 1001
            for stream in unread:
                await trio.aclose_forcefully(stream)
        await tunnel.server.stop()
    assert took_s[1] <= took_s[0] + PAGES_S, took_s
