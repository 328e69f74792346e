"""Ctrl-C ends what would not end by itself at once, and lets all else come whole.

A stop has ten minutes here, and each of these ends in seconds: on a quiet machine in less than one.
"""

from __future__ import annotations

import re
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any

import h11
import pytest
import trio
from wsproto.events import CloseConnection

from tests.programs import EVENT_S, Address, Program, Programs, Tunnel
from tests.system.origin import PAGE_PAUSE_S, PAGE_PIECES, Origin, digest
from tests.system.test_client_life import Talk, begin_talk, begin_upload
from tests.system.visitor import SMALL_S, Visitor, fetch, visit
from tunnel_client.origin.replay import REFUSED, STOPPED, STOPPED_STUCK

BROKEN = (h11.RemoteProtocolError, trio.BrokenResourceError)
GB = 1 << 30
POLL_S = 0.02
AGAIN_S = 0.001

End = Callable[[], Awaitable[None]]
"""Looks at how something has ended."""
Kind = Callable[[Tunnel, Origin, str], AbstractAsyncContextManager[End]]


@pytest.fixture(params=["client", "server"])
def which(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def of(tunnel: Tunnel, which: str) -> Program:
    return tunnel.client if which == "client" else tunnel.server


def address_of(ready: dict[str, Any], port: int) -> Address:
    return Address(port, f"{ready['name']}.localhost")


async def port_of(server: Program) -> int:
    """The port of a server that speaks to people; polled, since its lines are no events."""
    with trio.fail_after(EVENT_S):
        while True:
            found = re.search(r"listens on 127\.0\.0\.1:(\d+)", "".join(server.stray))
            if found:
                return int(found[1])
            await trio.sleep(POLL_S)


async def nothing_is_left(visitor: Visitor) -> None:
    with trio.fail_after(SMALL_S), pytest.raises(BROKEN):
        async for _ in visitor.body():
            pass


# --- what is open when the signal comes ----------------------------------------------------------


@asynccontextmanager
async def a_websocket(tunnel: Tunnel, origin: Origin, which: str) -> AsyncIterator[End]:
    """One as that of a dev server's page: idle, and its visitor answers a Close."""
    async with visit(tunnel.address) as visitor:
        talk = await begin_talk(visitor)

        async def end() -> None:
            await closes(talk, 1001 if which == "client" else 1012)

        yield end


async def closes(talk: Talk, code: int) -> None:
    assert await talk.hear_close() == code
    await talk.say(CloseConnection(code))


@asynccontextmanager
async def an_event_stream(tunnel: Tunnel, origin: Origin, which: str) -> AsyncIterator[End]:
    async with visit(tunnel.address) as visitor:
        await visitor.request("/events")
        await visitor.answer()
        assert b"first" in await anext(visitor.body())

        async def end() -> None:
            await nothing_is_left(visitor)

        yield end


@asynccontextmanager
async def a_long_poll(tunnel: Tunnel, origin: Origin, which: str) -> AsyncIterator[End]:
    async with visit(tunnel.address) as visitor:
        origin.arrived = trio.Event()
        await visitor.request("/unread")
        with trio.fail_after(SMALL_S):
            await origin.arrived.wait()

        async def end() -> None:
            with trio.fail_after(SMALL_S):
                answer = await visitor.answer()
            assert (answer.status, answer.error) == (503, "draining")
            assert int(answer.fields["retry-after"]) > 0

        yield end


@asynccontextmanager
async def one_that_reads_no_more(
    tunnel: Tunnel, origin: Origin, which: str, length: str = ""
) -> AsyncIterator[End]:
    async with visit(tunnel.address) as visitor:
        await visitor.request(f"/endless?size={GB}{length}")
        await visitor.answer()
        await anext(visitor.body())

        async def end() -> None:
            assert await of(tunnel, which).exit_code() == 0
            await nothing_is_left(visitor)  # it reads on

        yield end


@asynccontextmanager
async def one_that_reads_no_more_of_what_has_a_length(
    tunnel: Tunnel, origin: Origin, which: str
) -> AsyncIterator[End]:
    async with one_that_reads_no_more(tunnel, origin, which, "&sized=1") as end:
        yield end


KINDS: list[Kind] = [
    a_websocket,
    an_event_stream,
    a_long_poll,
    one_that_reads_no_more,
    one_that_reads_no_more_of_what_has_a_length,
]


# --- the tests -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
async def test_what_would_not_end_by_itself_ends_at_once(
    patient_tunnel: Tunnel, origin: Origin, which: str, kind: Kind
) -> None:
    tunnel = patient_tunnel
    async with kind(tunnel, origin, which) as end:
        of(tunnel, which).process.send_signal(signal.SIGINT)
        await end()
        assert await of(tunnel, which).exit_code() == 0
    if which == "server":
        assert tunnel.client.process.returncode is None
        told = [event for event in tunnel.client.events if event["event"] == "request"]
        assert {event["error"] for event in told} <= {None, "the server is stopping"}


@pytest.mark.parametrize("kind", KINDS[:3], ids=lambda kind: kind.__name__)
async def test_without_a_server_what_is_cut_off_holds_no_client_up(
    patient_tunnel: Tunnel, origin: Origin, kind: Kind
) -> None:
    tunnel = patient_tunnel
    async with kind(tunnel, origin, "client"):
        await tunnel.server.kill()
        await tunnel.client.event("reconnecting")
        tunnel.client.process.send_signal(signal.SIGINT)
        assert await tunnel.client.exit_code() == 0


async def test_a_visitor_that_has_just_stopped_reading_is_cut_off_by_what_its_socket_says(
    programs: Programs, origin: Origin, which: str
) -> None:
    """By the server alone: it tells a client that stops, which counts it and waits for no more."""
    patient = ("--drain-timeout", "60")
    server, port = await programs.server(*patient, "--log-level", "debug")
    client = await programs.client(origin.port, port, "--subdomain", "app", *patient)
    tunnel = Tunnel(server, client, address_of(await client.event("ready"), port))
    async with one_that_reads_no_more(tunnel, origin, which, "&sized=1") as end:
        of(tunnel, which).process.send_signal(signal.SIGINT)
        await end()
    if which == "client":
        assert client.events[-1]["reason"] == "stopped by the user, 1 request cut off"
        await server.says("a visitor has stopped reading: cut off")
    else:
        assert server.process.returncode == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_all_of_it_together_ends_at_once(
    patient_tunnel: Tunnel, origin: Origin, which: str, number: signal.Signals
) -> None:
    tunnel = patient_tunnel
    async with AsyncExitStack() as stack:
        ends = [await stack.enter_async_context(kind(tunnel, origin, which)) for kind in KINDS]
        of(tunnel, which).process.send_signal(number)
        async with trio.open_nursery() as nursery:
            for end in ends:
                nursery.start_soon(end)
        assert await of(tunnel, which).exit_code() == 0
    if which == "client":
        reason = "stopped by the user, 3 requests cut off"
        last = tunnel.client.events[-1]
        assert (last["event"], last["reason"], last["cut_off"]) == ("stopped", reason, 3)
        told = [event for event in tunnel.client.events if event["event"] == "request"]
        errors = [(event["path"].partition("?")[0], event["error"]) for event in told]
        cut = [path for path, error in errors if error in (STOPPED, STOPPED_STUCK)]
        assert sorted(cut) == ["/endless", "/endless", "/events"]
        assert ("/unread", REFUSED) in errors


async def test_a_page_and_an_upload_of_three_seconds_come_whole(
    patient_tunnel: Tunnel, origin: Origin, which: str
) -> None:
    tunnel = patient_tunnel
    pieces = [b"%d," % number for number in range(PAGE_PIECES)]
    uploaded: list[bytes] = []
    async with visit(tunnel.address) as upload, visit(tunnel.address) as page:
        await upload.request("/begun", "POST", [("Transfer-Encoding", "chunked")])
        await upload.send(pieces[0])
        with trio.fail_after(SMALL_S):
            await origin.arrived.wait()
        await page.request("/page")
        await page.answer()
        first = await anext(page.body())
        of(tunnel, which).process.send_signal(signal.SIGINT)

        async def send_the_rest() -> None:
            for piece in pieces[1:]:
                await trio.sleep(PAGE_PAUSE_S)
                await upload.send(piece)
            await upload.end()
            assert (await upload.answer()).status == 200
            uploaded.extend([data async for data in upload.body()])

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send_the_rest)
            assert first + b"".join([data async for data in page.body()]) == b"".join(pieces)
        assert b"".join(uploaded).decode() == digest(pieces)
        assert await of(tunnel, which).exit_code() == 0
    if which == "client":
        assert tunnel.client.events[-1]["reason"] == "stopped by the user"


async def test_a_download_of_10_gb_is_cut_off_at_the_drain_timeout(
    programs: Programs, origin: Origin, which: str
) -> None:
    server, port = await programs.server("--drain-timeout", "1")
    client = await programs.client(origin.port, port, "--subdomain", "app", "--drain-timeout", "1")
    tunnel = Tunnel(server, client, address_of(await client.event("ready"), port))
    async with visit(tunnel.address) as visitor:
        await visitor.request(f"/endless?size={10 * GB}&sized=1")
        assert (await visitor.answer()).fields["content-length"] == str(10 * GB)
        await anext(visitor.body())
        began = trio.current_time()
        of(tunnel, which).process.send_signal(signal.SIGINT)
        await nothing_is_left(visitor)
        assert trio.current_time() - began >= 1
        assert await of(tunnel, which).exit_code() == 0
    if which == "client":
        stopping = await client.event("stopping")
        assert (stopping["under_way"], stopping["wait_s"]) == (1, 1)
        assert (stopping["length_out"], stopping["method"]) == (10 * GB, "GET")
        assert stopping["bytes_out"] > 0
        assert client.events[-1]["reason"] == "stopped by the user, 1 request cut off"


async def test_people_read_what_a_stop_of_the_server_waits_for_and_what_it_cut_off(
    programs: Programs, origin: Origin
) -> None:
    flags = ("--bind", "127.0.0.1:0", "--drain-timeout", "1")
    server = await programs.start("tunnel-server", *flags)
    port = await port_of(server)
    client = await programs.client(origin.port, port, "--subdomain", "app")
    async with visit(address_of(await client.event("ready"), port)) as visitor:
        await visitor.request("/gate?sized=1")
        await visitor.answer()
        await anext(visitor.body())
        assert await server.stop() == 0
    *_, waits, stopped = server.stray
    assert waits.startswith(
        "Stopping: waiting up to 1 s for 1 request; the oldest is a GET for app, "
    )
    assert "6 B of 12 B down" in waits
    assert waits.endswith(" Ctrl-C again ends it now.")
    assert stopped == "Stopped by the user, 1 request cut off."
    server.stray.clear()  # no events, as was asked for


async def test_whoever_presses_ctrl_c_again_and_again_reads_no_traceback(
    patient_tunnel: Tunnel, which: str
) -> None:
    """Also while Python itself ends; what the programs say is looked at behind each test."""
    program = of(patient_tunnel, which)
    while program.process.returncode is None:
        program.process.send_signal(signal.SIGINT)
        with trio.move_on_after(AGAIN_S):
            await program.process.wait()
    assert await program.exit_code() == 0


@pytest.mark.parametrize("home", ["home", "another"])
async def test_the_next_client_has_the_name_while_the_first_one_finishes(
    programs: Programs, origin: Origin, home: str
) -> None:
    """The same owner's or another's, however long an upload holds the first one up."""
    server, port = await programs.server("--keep-names", "0")
    patient = ("--subdomain", "app", "--drain-timeout", "600")
    first = await programs.client(origin.port, port, *patient)
    tunnel = Tunnel(server, first, address_of(await first.event("ready"), port))
    async with visit(tunnel.address) as upload:
        await begin_upload(upload, origin)
        tunnel.client.process.send_signal(signal.SIGINT)
        await tunnel.client.event("stopping")
        await (await programs.client(origin.port, port, *patient, home=home)).event("ready")
        assert (await fetch(tunnel.address)).body == b"hello"
        await upload.send(b"2ndly")
        await upload.end()
        assert (await upload.answer()).status == 200
    assert await tunnel.client.exit_code() == 0
