"""The client from its start to its end: what it does while its server is away, and as it stops."""

from __future__ import annotations

import signal

import h11
import pytest
import trio
from wsproto.connection import Connection
from wsproto.events import CloseConnection, Event, TextMessage

from tests.programs import Programs, Tunnel
from tests.system.origin import Exchange, Origin, digest, serve
from tests.system.peer import WsEvents
from tests.system.test_stop import eventually, half_an_answer, the_rest
from tests.system.visitor import SMALL_S, Visitor, fetch, visit


class Talk:
    """A WebSocket that a visitor has opened."""

    def __init__(self, visitor: Visitor, messages: Connection) -> None:
        self._visitor = visitor
        self._messages = messages
        self._events = WsEvents(visitor.stream, messages)

    async def say(self, event: Event) -> None:
        await self._visitor.stream.send_all(self._messages.send(event))

    async def hear(self) -> Event:
        with trio.fail_after(SMALL_S):
            return await anext(self._events)

    async def hear_close(self) -> int:
        """The code of the Close frame that comes next; wsproto does not know all that we send."""
        with trio.fail_after(SMALL_S):
            data = b""
            while len(data) < 4:
                data += bytes(await self._visitor.stream.receive_some())
        assert data[0] == 0x88  # FIN and Close
        return int.from_bytes(data[2:4], "big")

    async def echo(self, text: str) -> None:
        """Say it, and hear it."""
        await self.say(TextMessage(text))
        heard = await self.hear()
        assert isinstance(heard, TextMessage)
        assert heard.data == text


async def begin_upload(visitor: Visitor, origin: Origin) -> None:
    """One half of a body, which has begun to reach the app."""
    origin.arrived = trio.Event()
    await visitor.request("/begun", "POST", [("Content-Length", "10")])
    await visitor.send(b"first")
    with trio.fail_after(SMALL_S):
        await origin.arrived.wait()


async def begin_talk(visitor: Visitor) -> Talk:
    with trio.fail_after(SMALL_S):
        talk = Talk(visitor, await visitor.upgrade("/ws"))
    await talk.echo("before")
    return talk


# --- stopping -----------------------------------------------------------------------------------


async def test_a_download_and_an_upload_end_whole_after_sigterm_and_a_websocket_with_a_close(
    programs: Programs, origin: Origin
) -> None:
    tunnel = await programs.tunnel(origin.port, "--drain-timeout", "60")
    here = tunnel.address
    async with (
        half_an_answer(here, origin) as download,
        visit(here) as upload,
        visit(here) as third,
    ):
        await begin_upload(upload, origin)
        talk = await begin_talk(third)
        tunnel.client.process.send_signal(signal.SIGTERM)
        assert (await eventually(here, 503)).error == "tunnel-offline"
        assert await talk.hear() == CloseConnection(1001, "")
        await talk.say(CloseConnection(1001, ""))
        stopping = await tunnel.client.event("stopping")
        await upload.send(b"2ndly")
        await upload.end()
        with trio.fail_after(SMALL_S):
            assert (await upload.answer()).status == 200
        assert await the_rest(upload) == digest([b"first2ndly"]).encode()
        origin.gate.set()
        assert await the_rest(download) == b"second"
    assert await tunnel.client.exit_code() == 0
    told = [event for event in tunnel.client.events if event["event"] == "request"]
    assert {event["path"] for event in told} >= {"/gate?sized=1", "/begun", "/ws"}
    assert not any(event["error"] for event in told)
    assert (stopping["under_way"], stopping["wait_s"], stopping["method"]) == (2, 60, "GET")
    assert (stopping["bytes_out"], stopping["length_out"]) == (6, 12)
    last = tunnel.client.events[-1]
    assert (last["event"], last["reason"]) == ("stopped", "stopped by the user")


async def test_at_the_drain_timeout_each_of_them_is_visibly_cut_off(
    programs: Programs, origin: Origin
) -> None:
    tunnel = await programs.tunnel(origin.port, "--drain-timeout", "1")
    here = tunnel.address
    async with (
        half_an_answer(here, origin) as download,
        visit(here) as upload,
        visit(here) as third,
    ):
        await begin_upload(upload, origin)
        talk = await begin_talk(third)
        assert await tunnel.client.stop() == 0
        with pytest.raises((h11.RemoteProtocolError, trio.BrokenResourceError)):
            await the_rest(download)
        with trio.fail_after(SMALL_S):
            answer = await upload.answer()
        assert (answer.status, answer.error) == (502, "tunnel-lost")
        assert await talk.hear_close() == 1001
    cut_off = "stopped by the user, 2 requests cut off"
    last = tunnel.client.events[-1]
    assert (last["event"], last["reason"]) == ("stopped", cut_off)


async def test_a_second_client_takes_over_while_the_first_one_finishes(
    programs: Programs, origin: Origin, nursery: trio.Nursery
) -> None:
    async def second(exchange: Exchange) -> None:
        await exchange.answer("the second")

    other = await serve(Origin(), nursery)
    other.routes["/"] = second
    tunnel = await programs.tunnel(origin.port, "--drain-timeout", "60")
    async with half_an_answer(tunnel.address, origin) as visitor:
        tunnel.client.process.send_signal(signal.SIGTERM)
        client = await programs.client(other.port, tunnel.address.port, "--subdomain", "app")
        while not any(event["event"] == "ready" for event in client.events):
            answer = await fetch(tunnel.address)
            assert (answer.status, answer.error) in {(200, None), (503, "tunnel-offline")}
        assert (await fetch(tunnel.address)).body == b"the second"
        origin.gate.set()
        assert await the_rest(visitor) == b"second"
    assert await tunnel.client.exit_code() == 0
    assert (await fetch(tunnel.address)).body == b"the second"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_second_signal_stops_it_at_once_and_the_server_is_told(
    programs: Programs, origin: Origin, number: signal.Signals
) -> None:
    tunnel = await programs.tunnel(origin.port, "--drain-timeout", "3600")
    async with half_an_answer(tunnel.address, origin) as visitor:
        tunnel.client.process.send_signal(number)
        await eventually(tunnel.address, 503)  # the first one has been heard
        tunnel.client.process.send_signal(number)
        assert await tunnel.client.exit_code() == 0
        with pytest.raises((h11.RemoteProtocolError, trio.BrokenResourceError)):
            await the_rest(visitor)
    assert tunnel.client.events[-1]["event"] == "stopped"
    assert await tunnel.server.stop() == 0
    assert "session ended: the WebSocket was closed (1000" in tunnel.server.stderr


# --- giving up ----------------------------------------------------------------------------------


async def test_a_client_that_finds_no_server_gives_up_when_it_was_told_to(
    programs: Programs, origin: Origin
) -> None:
    server, port = await programs.server()
    assert await server.stop() == 0
    client = await programs.client(origin.port, port, "--give-up-after", "1")
    assert await client.exit_code() == 4
    assert client.events[-1]["event"] == "stopped"
    assert client.events[-1]["reason"].startswith(
        f"gave up after 1 s without a connection to http://127.0.0.1:{port}: "
        f"cannot reach 127.0.0.1:{port}: connection refused"
    )
    waits = [event for event in client.events if event["event"] == "reconnecting"]
    assert waits
    assert all(0 <= event["wait_s"] < event["give_up_in_s"] <= 1 for event in waits)


async def test_a_client_whose_server_is_lost_gives_up_so_long_after_that(
    programs: Programs, origin: Origin
) -> None:
    server, port = await programs.server()
    client = await programs.client(origin.port, port, "--give-up-after", "1")
    await client.event("ready")
    await server.kill()
    assert await client.exit_code() == 4
    assert [event["event"] for event in client.events][-1] == "stopped"
    assert f"without a connection to http://127.0.0.1:{port}" in client.events[-1]["reason"]


async def test_a_client_that_was_not_told_to_goes_on(tunnel: Tunnel) -> None:
    await tunnel.server.kill()
    waiting = await tunnel.client.event("reconnecting", attempt=3)
    assert waiting["give_up_in_s"] is None
    assert await tunnel.client.stop() == 0
