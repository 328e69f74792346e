from __future__ import annotations

import os
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import trio
import trustme
from trio.testing import wait_all_tasks_blocked

from protocol.errors import ConfigError
from tunnel_server.admin.commands import Commands
from tunnel_server.admin.control_socket import ControlSocket, control_place
from tunnel_server.app import (
    Server,
    _note_of,
    _take_over,
    run,
)
from tunnel_server.listening import sockets as listening
from tunnel_server.listening.handover import HandoverError, meeting_point_of
from tunnel_server.listening.offer import Offer
from tunnel_server.listening.sockets import bind, with_address_of
from tunnel_server.listening.takeover import Takeover, take_over
from tunnel_server.observing.events import ServerEvent, ServerListening
from tunnel_server.observing.output import Output
from tunnel_server.owners.authenticator import Authenticator
from tunnel_server.settings.config import ServerConfig
from tunnel_server.tunnels.assembly import build_directory
from tunnel_server.tunnels.succession import Succession
from tunnel_server.visitors.edge import Edge
from tunnel_server.visitors.revoking import end_what_passes


@pytest.fixture
def config(tmp_path: Path) -> ServerConfig:
    return ServerConfig(bind_port=0, state_dir=tmp_path, json=True, drain_timeout_s=1.0)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_stops_it_with_0(
    config: ServerConfig,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    name: str,
) -> None:
    tell = Output.tell

    def say(self: Output, event: ServerEvent) -> None:
        tell(self, event)
        if isinstance(event, ServerListening):
            signal.raise_signal(getattr(signal, name))

    monkeypatch.setattr(Output, "tell", say)
    assert run(config) == 0
    out = capfd.readouterr().out
    assert out.startswith('{"event": "listening", "time": "20')
    assert out.count("\n") == 1


def test_a_certificate_for_another_domain_is_told_and_served(
    config: ServerConfig,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    leaf = trustme.CA().issue_cert("elsewhere.test")
    leaf.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    leaf.private_key_pem.write_to_path(tmp_path / "key.pem")

    def say(self: Output, event: ServerEvent) -> None:
        if isinstance(event, ServerListening):
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(Output, "tell", say)
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    assert run(replace(config, tls_cert=cert, tls_key=key)) == 0
    (line,) = [line for line in capfd.readouterr().err.splitlines() if "cert.pem" in line]
    assert "covers elsewhere.test and not localhost (the service" in line


def test_a_second_signal_stops_it_at_once(
    config: ServerConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def forever(*_: object, **__: object) -> None:
        signal.raise_signal(signal.SIGINT)
        await trio.sleep_forever()

    def say(self: Output, event: ServerEvent) -> None:
        if isinstance(event, ServerListening):
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(Output, "tell", say)
    monkeypatch.setattr("tunnel_server.app.drain", forever)
    assert run(config) == 0


def test_a_port_that_is_taken_is_one_line_and_1(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert run(ServerConfig(bind_port=port, state_dir=tmp_path)) == 1
    out, err = capfd.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    assert f"127.0.0.1:{port} is in use by another program" in line
    assert "--bind" in line


def test_an_address_that_is_not_ours_is_one_line_and_1(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(ServerConfig(bind_host="192.0.2.1", bind_port=1, open=True, state_dir=tmp_path)) == 1
    (line,) = [line for line in capfd.readouterr().err.splitlines() if "cannot listen" in line]
    assert "192.0.2.1:1" in line


# --- sockets from elsewhere ----------------------------------------------------------------------


@contextmanager
def started_with(monkeypatch: pytest.MonkeyPatch, given: socket.socket) -> Iterator[None]:
    """The process was started with this socket."""
    descriptor = os.dup(given.fileno())
    monkeypatch.setattr(listening, "FIRST_PASSED_FD", descriptor)
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    monkeypatch.setenv("LISTEN_FDS", "1")
    yield
    assert "LISTEN_FDS" not in os.environ
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_a_socket_that_was_passed_is_used_and_not_bind(
    config: ServerConfig, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as given:
        port = given.getsockname()[1]
        monkeypatch.setattr(Server, "_stop_asked", at_once)
        with started_with(monkeypatch, given):
            assert run(replace(config, bind_host="192.0.2.1", bind_port=1)) == 0
    assert f'"bind": "127.0.0.1:{port}"' in capfd.readouterr().out


async def at_once(*_: object, **__: object) -> None:
    await trio.lowlevel.checkpoint()


def test_replace_beside_a_socket_that_was_passed_is_refused(
    config: ServerConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as given, started_with(monkeypatch, given):
        with pytest.raises(ConfigError, match="--replace: has nothing to do"):
            run(replace(config, bind_port=1, replace=True))


def test_a_state_folder_that_others_may_write_is_used_where_it_is_trusted(
    config: ServerConfig, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Server, "_stop_asked", at_once)
    config.state_dir.chmod(0o755)  # others may look into it
    assert run(config) == 0
    config.state_dir.chmod(0o777)
    assert run(replace(config, trust_state_dir=True)) == 0
    assert "will not find this server" not in capfd.readouterr().err
    assert run(config) == 1
    assert "chmod go-w" in capfd.readouterr().err


# --- one server after the other ------------------------------------------------------------------


class NoSignals(AsyncIterator[int]):
    async def __anext__(self) -> int:
        await trio.sleep_forever()


@asynccontextmanager
async def serving(config: ServerConfig, takeover: Takeover | None) -> AsyncIterator[Running]:
    sockets = takeover.sockets if takeover is not None else bind(config)
    config = with_address_of(config, sockets)
    directory, _ = build_directory(config, Authenticator(None, everybody=True), None)
    edge = Edge(directory, port=config.bind_port)
    async with trio.open_nursery() as nursery:
        running = Running(edge, sockets, nursery)
        nursery.start_soon(running.run, takeover)
        await wait_all_tasks_blocked()
        yield running
        nursery.cancel_scope.cancel()


class Running:
    """A server in this process."""

    def __init__(self, edge: Edge, sockets: list[socket.socket], connections: trio.Nursery) -> None:
        self.edge = edge
        self.config = edge.config
        self.said: list[bytes] = []  # on stdout
        self.asked_to_stop = trio.Event()
        output = Output(edge.config, "1", self.said.append)
        succession = Succession(edge.directory, None, _note_of(edge.config))
        end, stop = partial(end_what_passes, edge), self.asked_to_stop.set
        shares = edge.crowd.shares
        commands = Commands(edge.directory, shares, edge.port, None, end, stop)
        place = control_place(edge.config.state_dir, edge.config.bind)
        control = ControlSocket(place, commands.answer, commands.answered)
        self.server = Server(edge, None, sockets, connections, output, succession, control)
        self.exit_code: int | None = None
        self.ended = trio.Event()

    async def run(self, takeover: Takeover | None) -> None:
        self.exit_code = await self.server.run(takeover, NoSignals(), self.asked_to_stop)
        self.ended.set()

    async def ready(self) -> int:
        """The status of /_tunnel/ready, on a connection of its own."""
        stream = await trio.open_tcp_stream("127.0.0.1", self.config.bind_port)
        async with stream:
            await stream.send_all(b"GET /_tunnel/ready HTTP/1.0\r\nHost: localhost\r\n\r\n")
            return int(bytes(await stream.receive_some())[9:12])


async def taken(config: ServerConfig) -> Takeover:
    takeover = await take_over(meeting_point_of(config))
    assert takeover is not None
    return takeover


async def test_the_old_server_stops_once_the_new_one_accepts(config: ServerConfig) -> None:
    async with serving(config, None) as old:
        assert await old.ready() == 200
        async with serving(old.config, await taken(old.config)) as new:
            await old.ended.wait()
            assert old.exit_code == 0
            assert old.edge.directory.draining
            assert await new.ready() == 200
            assert b"listening" in old.said[0]
            assert b"listening" in new.said[0]
            bind = old.config.bind
            places = [f"control-{bind}.sock", meeting_point_of(old.config).name]
            assert sorted(os.listdir(config.state_dir)) == places


@pytest.fixture
def order(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """When names were noted, and when a server drained."""
    seen: list[str] = []

    async def drained(*_: object, **__: object) -> None:
        seen.append("drained")
        await trio.lowlevel.checkpoint()

    monkeypatch.setattr(
        "tunnel_server.tunnels.succession.write_note", lambda *_: seen.append("noted")
    )
    monkeypatch.setattr("tunnel_server.app.drain", drained)
    return seen


async def test_names_are_noted_as_a_stop_begins_and_when_it_has_drained(
    config: ServerConfig, order: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second signal may end it before it has, and a long drain makes the first note old."""
    monkeypatch.setattr(Server, "_stop_asked", at_once)
    async with serving(config, None) as server:
        await server.ended.wait()
    assert order == ["noted", "drained", "noted"]


async def test_names_are_noted_once_for_a_server_that_takes_over(
    config: ServerConfig, order: list[str]
) -> None:
    async with serving(config, None) as old:
        takeover = await taken(old.config)
        assert order == ["noted"]
        async with serving(old.config, takeover):
            await old.ended.wait()
    assert order == ["noted", "drained"]


async def test_sockets_of_another_address_are_given_back(config: ServerConfig) -> None:
    """Whether clients need a token was decided by --bind."""
    asked = replace(config, bind_port=1, replace=True)
    with socket.create_server(("0.0.0.0", 0)) as public:
        directory, _ = build_directory(asked, Authenticator(None, everybody=True), None)
        succession = Succession(directory, None, _note_of(asked))
        offer = Offer(meeting_point_of(asked), [public], succession)
        offer.open()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(offer.run)
            with pytest.raises(
                HandoverError, match=r"listens on 0\.0\.0\.0:.*not on 127\.0\.0\.1:1"
            ):
                await _take_over(asked)
            await wait_all_tasks_blocked()
            assert not offer.taken.is_set()
            nursery.cancel_scope.cancel()


async def test_a_new_server_that_came_too_late_stops_with_1(
    config: ServerConfig, caplog: pytest.LogCaptureFixture
) -> None:
    class TooLate(Takeover):
        async def accepting(self) -> None:
            raise HandoverError("the running server goes on")

    async with serving(config, None) as old:
        given = await taken(old.config)
        late = TooLate(given._stream, given.sockets)
        async with serving(old.config, late) as new:
            await new.ended.wait()
            assert new.exit_code == 1
        assert "tunnel-server: the running server goes on" in caplog.messages
        given.refuse()
        assert await old.ready() == 200
