"""Programs that stop, are killed, or find their port taken: what is in flight is not lost."""

from __future__ import annotations

import signal
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import h11
import pytest
import trio
import trustme

from tests.patience import PATIENCE
from tests.programs import Address, Programs, Tunnel
from tests.system.origin import Origin
from tests.system.visitor import SMALL_S, Answer, Visitor, fetch, visit

# A stop is heard of within a moment, but the only news of it is that a connection is refused.
POLLS, POLL_S = 100 * PATIENCE, 0.1


@asynccontextmanager
async def half_an_answer(address: Address, origin: Origin) -> AsyncIterator[Visitor]:
    """A request in flight: the app has sent one half and waits for the gate.

    It has a length, so that a stop waits for the rest.
    """
    async with visit(address) as visitor:
        with trio.fail_after(SMALL_S):
            await visitor.request("/gate?sized=1")
            await visitor.answer()
            assert await anext(visitor.body()) == b"first,"
        yield visitor


async def the_rest(visitor: Visitor) -> bytes:
    with trio.fail_after(SMALL_S):
        return b"".join([data async for data in visitor.body()])


async def refuses_connections(port: int) -> None:
    for _ in range(POLLS):
        try:
            stream = await trio.open_tcp_stream("127.0.0.1", port)
        except OSError:
            return
        await stream.aclose()
        await trio.sleep(POLL_S)
    raise AssertionError("the server still accepts connections")


async def eventually(address: Address, status: int) -> Answer:
    """The answer with this status; polled, since no visitor is told of a change."""
    answer = await fetch(address)
    for _ in range(POLLS):
        if answer.status == status:
            break
        await trio.sleep(POLL_S)
        answer = await fetch(address)
    assert answer.status == status, answer
    return answer


async def test_a_server_that_is_stopped_finishes_what_is_in_flight(
    patient_tunnel: Tunnel, origin: Origin
) -> None:
    tunnel = patient_tunnel
    async with half_an_answer(tunnel.address, origin) as visitor:
        tunnel.server.process.send_signal(signal.SIGTERM)
        await refuses_connections(tunnel.address.port)
        origin.gate.set()
        assert await the_rest(visitor) == b"second"
    assert await tunnel.server.exit_code() == 0


async def test_a_second_signal_stops_a_server_at_once(
    patient_tunnel: Tunnel, origin: Origin
) -> None:
    tunnel = patient_tunnel
    async with half_an_answer(tunnel.address, origin) as visitor:
        tunnel.server.process.send_signal(signal.SIGTERM)
        await refuses_connections(tunnel.address.port)
        tunnel.server.process.send_signal(signal.SIGTERM)
        assert await tunnel.server.exit_code() == 0
        with pytest.raises((h11.RemoteProtocolError, trio.BrokenResourceError)):
            await the_rest(visitor)


@pytest.mark.parametrize("which", ["client", "server"])
async def test_signals_beyond_the_second_change_nothing(
    patient_tunnel: Tunnel, origin: Origin, which: str
) -> None:
    program = patient_tunnel.client if which == "client" else patient_tunnel.server
    async with half_an_answer(patient_tunnel.address, origin):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM, signal.SIGINT):
            program.process.send_signal(number)
        assert await program.exit_code() == 0
    assert "Traceback" not in program.stderr


async def test_a_visitor_in_his_tls_handshake_is_answered_by_a_server_that_stops(
    programs: Programs, tmp_path: Path
) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    certificate.private_key_and_cert_chain_pem.write_to_path(tmp_path / "both.pem")
    both = str(tmp_path / "both.pem")
    server, port = await programs.server("--tls-cert", both, "--tls-key", both)
    context = ssl.create_default_context()
    authority.configure_trust(context)
    files = server.open_files()
    raw = await trio.open_tcp_stream("127.0.0.1", port)
    for _ in range(POLLS):  # until it has accepted
        if server.open_files() > files:
            break
        await trio.sleep(POLL_S)
    server.process.send_signal(signal.SIGTERM)
    await refuses_connections(port)
    address = Address(port, "localhost", context)
    stream = trio.SSLStream(raw, context, server_hostname="localhost", https_compatible=True)
    async with stream:
        answer = await Visitor(stream, address).fetch("/_tunnel/health")
    assert answer.status == 200
    assert answer.fields["connection"] == "close"
    assert await server.exit_code() == 0


async def test_a_client_that_is_stopped_finishes_what_is_in_flight(
    patient_tunnel: Tunnel, origin: Origin
) -> None:
    tunnel = patient_tunnel
    async with half_an_answer(tunnel.address, origin) as visitor:
        tunnel.client.process.send_signal(signal.SIGTERM)
        answer = await eventually(tunnel.address, 503)
        assert answer.error == "tunnel-offline"
        origin.gate.set()
        assert await the_rest(visitor) == b"second"
    assert await tunnel.client.exit_code() == 0
    assert tunnel.client.events[-1]["event"] == "stopped"
    assert tunnel.server.process.returncode is None


@pytest.mark.parametrize("stopped", ["server", "client"])
async def test_what_is_not_done_by_the_drain_timeout_is_visibly_cut_off(
    programs: Programs, origin: Origin, stopped: str
) -> None:
    server, port = await programs.server("--drain-timeout", "1")
    client = await programs.client(origin.port, port, "--subdomain", "app", "--drain-timeout", "1")
    await client.event("ready")
    async with half_an_answer(Address(port, "app.localhost"), origin) as visitor:
        program = server if stopped == "server" else client
        assert await program.stop() == 0
        with pytest.raises((h11.RemoteProtocolError, trio.BrokenResourceError)):
            await the_rest(visitor)


async def test_ctrl_c_stops_both_with_exit_code_0(tunnel: Tunnel) -> None:
    for program in (tunnel.client, tunnel.server):
        program.process.send_signal(signal.SIGINT)
        assert await program.exit_code() == 0


async def test_both_stopped_at_once_do_not_wait_for_one_another(patient_tunnel: Tunnel) -> None:
    """As Ctrl-C in one terminal does."""
    tunnel = patient_tunnel
    for program in (tunnel.server, tunnel.client):
        program.process.send_signal(signal.SIGINT)
    for program in (tunnel.server, tunnel.client):
        assert await program.exit_code() == 0


async def test_a_second_server_on_the_port_says_so_in_one_line_and_harms_no_one(
    tunnel: Tunnel, programs: Programs, origin: Origin
) -> None:
    async with half_an_answer(tunnel.address, origin) as visitor:
        taken = f"127.0.0.1:{tunnel.address.port}"
        second = await programs.start("tunnel-server", "--bind", taken)
        assert await second.exit_code() == 1
        assert taken in second.stderr
        assert len(second.stderr.splitlines()) == 1
        origin.gate.set()
        assert await the_rest(visitor) == b"second"
    assert (await fetch(tunnel.address)).body == b"hello"


async def test_after_a_server_was_killed_the_client_claims_its_name_again(
    programs: Programs, origin: Origin
) -> None:
    server, port = await programs.server()
    client = await programs.client(origin.port, port)  # with a name of the client's own making
    ready = await client.event("ready")
    address = Address(port, f"{ready['name']}.localhost")
    assert (await fetch(address)).body == b"hello"
    await server.kill()
    assert (await client.event("reconnecting"))["attempt"] >= 1
    await programs.server(bind=f"127.0.0.1:{port}")
    again = await client.event("ready")
    assert (again["name"], again["url"]) == (ready["name"], ready["url"])
    assert (await fetch(address)).body == b"hello"


async def test_a_client_waits_for_a_server_that_is_not_there_yet(
    programs: Programs, origin: Origin
) -> None:
    server, port = await programs.server()
    await server.stop()
    client = await programs.client(origin.port, port)
    await client.event("reconnecting")
    await programs.server(bind=f"127.0.0.1:{port}")
    await client.event("ready")


async def test_when_a_client_was_killed_its_visitors_are_told_after_the_hold(
    programs: Programs, origin: Origin
) -> None:
    _, port = await programs.server("--hold", "1")
    client = await programs.client(origin.port, port, "--subdomain", "app")
    await client.event("ready")
    address = Address(port, "app.localhost")
    async with half_an_answer(address, origin) as visitor:
        await client.kill()
        with pytest.raises((h11.RemoteProtocolError, trio.BrokenResourceError)):
            await the_rest(visitor)
    assert (await eventually(address, 503)).error == "tunnel-offline"
    again = await programs.client(origin.port, port, "--subdomain", "app")
    await again.event("ready")
    assert (await fetch(address)).body == b"hello"
