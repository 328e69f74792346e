"""`tunnel-server --replace`: one process after the other on one port, and nothing is lost."""

from __future__ import annotations

import os
import signal

import pytest
import trio

from tests.programs import Address, Programs, Tunnel
from tests.system.origin import Origin
from tests.system.test_stop import half_an_answer, the_rest
from tests.system.upgrades import PAUSE_S, upgrade_under_load
from tests.system.visitor import SMALL_S, Visitor, fetch, visit
from tunnel_server.listening.handover import HandoverError, meeting_place
from tunnel_server.listening.local import SocketPlace
from tunnel_server.listening.takeover import take_over

# More of them: `python -m tests.system.upgrades` measures, with a pause between two.
UPGRADES = int(os.environ.get("UPGRADES", "3"))
REQUESTS = int(os.environ.get("REQUESTS", "200"))


def place_of(programs: Programs, port: int) -> SocketPlace:
    """Where the servers of `programs` meet."""
    return meeting_place(programs.folder / "home" / "state" / "trio-tunnel", f"127.0.0.1:{port}")


@pytest.mark.timeout(180)
async def test_upgrades_under_load_lose_nothing(programs: Programs, origin: Origin) -> None:
    """Requests go on all the while; downloads and WebSockets last over each upgrade."""
    totals = await upgrade_under_load(
        programs, origin, upgrades=UPGRADES, requests=REQUESTS, downloads=5, websockets=5
    )
    print(totals)
    assert totals.lost == 0
    assert totals.upgrades == UPGRADES
    assert totals.requests == totals.answered >= REQUESTS
    assert totals.downloads == totals.websockets == 5 * UPGRADES


async def ask_until_told_to_close(visitor: Visitor) -> None:
    """Again and again on one connection; the last answer says that it is the last."""
    with trio.fail_after(SMALL_S):
        while (await visitor.fetch("/")).fields.get("connection") != "close":
            visitor.connection.start_next_cycle()
            await trio.sleep(PAUSE_S)
        assert await visitor.stream.receive_some() == b""


async def test_the_old_server_finishes_what_it_has_and_takes_nothing_new(
    tunnel: Tunnel, programs: Programs, origin: Origin
) -> None:
    address = tunnel.address
    async with half_an_answer(address, origin) as visitor, visit(address) as kept:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask_until_told_to_close, kept)
            new, _ = await programs.server("--replace", bind=f"127.0.0.1:{address.port}")
        await tunnel.client.event("ready")
        assert (await fetch(address)).body == b"hello"  # by the new one
        assert tunnel.server.process.returncode is None
        origin.gate.set()
        assert await the_rest(visitor) == b"second"
    assert await tunnel.server.exit_code() == 0
    assert new.process.returncode is None


async def test_replace_without_a_server_just_starts(programs: Programs, origin: Origin) -> None:
    gone, port = await programs.server()
    assert await gone.stop() == 0
    server, _ = await programs.server("--replace", bind=f"127.0.0.1:{port}")
    assert server.stderr.count("\n") == 1
    assert f"there is no server on 127.0.0.1:{port} to replace" in server.stderr


async def test_after_a_crash_replace_finds_a_dead_socket_and_starts(programs: Programs) -> None:
    crashed, port = await programs.server()
    await crashed.kill()
    place = place_of(programs, port)
    left = [f"control-127.0.0.1:{port}.sock", place.name, "state.db"]
    assert sorted(os.listdir(place.folder)) == left
    await programs.server("--replace", bind=f"127.0.0.1:{port}")
    again, _ = await programs.server("--replace", bind=f"127.0.0.1:{port}")
    assert await again.stop() == 0
    assert os.listdir(place.folder) == ["state.db"]


async def test_a_process_that_dies_with_the_sockets_harms_no_one(
    tunnel: Tunnel, programs: Programs, origin: Origin
) -> None:
    takeover = await take_over(place_of(programs, tunnel.address.port))
    assert takeover is not None
    takeover.refuse()  # its end, as the other sees it
    await tunnel.server.says("no other process has taken over")
    assert (await fetch(tunnel.address)).body == b"hello"
    new, _ = await programs.server("--replace", bind=f"127.0.0.1:{tunnel.address.port}")
    assert await tunnel.server.exit_code() == 0
    assert new.process.returncode is None


async def test_a_new_server_that_cannot_start_leaves_the_old_one_alone(
    tunnel: Tunnel, programs: Programs
) -> None:
    bind = ("--bind", f"127.0.0.1:{tunnel.address.port}")
    new = await programs.start(
        "tunnel-server", *bind, "--replace", "--tls-cert", "/none", "--tls-key", "/none"
    )
    assert await new.exit_code() == 2
    assert (await fetch(tunnel.address)).body == b"hello"
    assert tunnel.server.stderr.count("no other process") == 0


async def test_a_server_that_is_stopped_gives_no_sockets(
    programs: Programs,
) -> None:
    """SIGSTOP: it neither answers nor ends. Nothing is taken from it."""
    server, port = await programs.server()
    server.process.send_signal(signal.SIGSTOP)
    new = await programs.start("tunnel-server", "--bind", f"127.0.0.1:{port}", "--replace")
    assert await new.exit_code() == 1
    assert "said nothing within 5 s" in new.stderr
    server.process.send_signal(signal.SIGCONT)
    assert (await fetch(Address(port, "localhost"), "/_tunnel/health")).status == 200


async def test_a_signal_ends_the_old_server_at_once(
    patient_tunnel: Tunnel, programs: Programs, origin: Origin
) -> None:
    """It drains already, so the first signal that it gets is as a second one."""
    tunnel = patient_tunnel
    async with half_an_answer(tunnel.address, origin):
        await programs.server("--replace", bind=f"127.0.0.1:{tunnel.address.port}")
        tunnel.server.process.send_signal(signal.SIGTERM)
        assert await tunnel.server.exit_code() == 0


async def test_a_second_handover_waits_for_nothing(programs: Programs) -> None:
    server, port = await programs.server()
    takeover = await take_over(place_of(programs, port))
    assert takeover is not None
    with pytest.raises(HandoverError, match="another --replace is under way"):
        await take_over(place_of(programs, port))
    takeover.refuse()
    assert server.process.returncode is None


async def test_names_are_noted_at_a_stop_and_expected_at_the_next_start(
    programs: Programs, origin: Origin
) -> None:
    server, port = await programs.server()
    client = await programs.client(origin.port, port, "--subdomain", "app")
    await client.event("ready")
    assert await server.stop() == 0
    folder = place_of(programs, port).folder
    note = folder / f"names-127.0.0.1:{port}.json"
    assert note.stat().st_mode & 0o777 == 0o600
    address = Address(port, "app.localhost")
    await programs.server(bind=f"127.0.0.1:{port}")
    assert not note.exists()
    with trio.fail_after(30):
        assert (await fetch(address)).body == b"hello"  # it may have waited for the client
