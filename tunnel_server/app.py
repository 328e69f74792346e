"""The server as a whole: the one place where its parts meet, and the order of start and stop.

What is built: first what can be found wrong without the event loop (settings, files, passed
sockets); in it the sockets (bound, passed, or taken over from the server that runs), the directory
and the public side. What runs: accepting, then the word to the other server, which stops. What
ends: take no new connections; tell every client; let what is in flight end, each answer closing its
connection; at the deadline end the WebSockets with a Close; then drop what is left. A second signal
drops everything at once.
"""

from __future__ import annotations

import logging
import os
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import trio

from protocol.errors import ConfigError
from protocol.program.line_writer import LineWriter, writing
from protocol.program.logs import LEVELS, set_up_logging
from protocol.program.private_files import UnsafePathError, warning_of
from protocol.program.process import EXIT_FAILED, EXIT_STOPPED, collect_rarely, open_files_max
from protocol.program.stop_signals import stop_signals
from tunnel_server.admin.commands import Commands
from tunnel_server.admin.control_socket import ControlSocket, control_place_of
from tunnel_server.admin.neighbours import warn_of_neighbours
from tunnel_server.listening.accepting import Acceptor
from tunnel_server.listening.descriptors import raise_limit
from tunnel_server.listening.handover import HandoverError, meeting_point_of
from tunnel_server.listening.local import PlaceError, is_served
from tunnel_server.listening.offer import Offer
from tunnel_server.listening.sockets import ListenError, bind, passed_sockets, with_address_of
from tunnel_server.listening.takeover import Takeover, take_over
from tunnel_server.observing.events import OldestRequest, ServerDraining, ServerStopped
from tunnel_server.observing.output import Output, listening, stdout_writer
from tunnel_server.observing.strangers import Sparing
from tunnel_server.owners.authenticator import Authenticator
from tunnel_server.owners.places import open_authenticator, open_state
from tunnel_server.owners.store import Store, StoreUnusableError
from tunnel_server.owners.store_writer import StoreWriter
from tunnel_server.settings.certificate import certificate_warning
from tunnel_server.settings.config import ServerConfig
from tunnel_server.settings.rows import PROGRAM
from tunnel_server.tunnels.assembly import build_directory
from tunnel_server.tunnels.control import ControlEndpoint
from tunnel_server.tunnels.directory import Directory
from tunnel_server.tunnels.recent_names import note_path
from tunnel_server.tunnels.succession import Succession
from tunnel_server.visitors.draining import drain
from tunnel_server.visitors.edge import Edge, shortage_to_come
from tunnel_server.visitors.leaving import look_after_leaving
from tunnel_server.visitors.revoking import end_what_passes
from tunnel_server.visitors.serving import serve_visitor
from tunnel_server.visitors.stopping import InProgress, Stop
from tunnel_server.visitors.sweeping import sweep

log = logging.getLogger(__name__)


class Prepared(NamedTuple):
    """All that was found before the loop runs: the settings, and what they name."""

    config: ServerConfig
    tls: ssl.SSLContext | None
    authenticator: Authenticator
    store: Store | None
    passed: Sequence[socket.socket]


def run(config: ServerConfig) -> int:
    """Serve until a signal comes or another server takes over; returns the exit code.

    Raises:
        ConfigError: a file that the settings name cannot be used.
    """
    sparing = Sparing()
    log_writer, stdout = set_up_logging(LEVELS[config.log_level], sparing), stdout_writer()
    collect_rarely()
    raise_limit()
    if (shortage := shortage_to_come(config, open_files_max())) is not None:
        log.warning("%s", shortage)
    passed: list[socket.socket] = []
    try:
        passed = passed_sockets(os.environ, os.getpid())
        main = _ready(passed, config, stdout, sparing)
        with writing(log_writer, stdout):
            return trio.run(main)
    except (ListenError, HandoverError, UnsafePathError, StoreUnusableError) as error:
        log.error("%s: %s", PROGRAM, error)
        return EXIT_FAILED
    finally:
        for each in passed:  # a bad file may have been found before they were used
            each.close()


def _ready(
    passed: list[socket.socket], config: ServerConfig, stdout: LineWriter, sparing: Sparing
) -> Callable[[], Coroutine[object, object, int]]:
    """All that can be found wrong before the loop runs. Returns the loop's main function."""
    if passed:
        config = with_address_of(config, passed)
        if config.replace:
            raise ConfigError("--replace", "has nothing to do where LISTEN_FDS passes the sockets")
    tls = config.tls_context()
    if tls is not None:
        now = time.time()  # noqa: TID251  # that of the wall: a certificate's dates are
        if (refused := certificate_warning(config, tls, now)) is not None:
            log.warning("%s", refused)
    if config.tls_key is not None and (warning := warning_of(config.tls_key)):
        log.warning("%s", warning)
    authenticator, store = open_authenticator(config), open_state(config)
    prepared = Prepared(config, tls, authenticator, store, passed)
    return partial(_main, prepared, stdout, sparing)


async def _main(prepared: Prepared, stdout: LineWriter, sparing: Sparing) -> int:
    takeover, sockets = await _listening_sockets(prepared)
    config = with_address_of(prepared.config, sockets)
    directory, writer = build_directory(config, prepared.authenticator, prepared.store)
    succession = _succession(directory, writer, takeover)
    edge = Edge(directory, port=config.bind_port)
    output = Output(config, directory.version, stdout.put)
    asked_to_stop = trio.Event()
    commands = _commands(edge, writer, asked_to_stop)
    with stop_signals() as signals:
        async with trio.open_nursery() as connections:
            connections.start_soon(sweep, edge)
            connections.start_soon(look_after_leaving, edge)
            connections.start_soon(sparing.run)
            if writer is not None:
                connections.start_soon(writer.run)
            server = Server(edge, prepared.tls, sockets, connections, output, succession, commands)
            exit_code = await server.run(takeover, signals, asked_to_stop)
            connections.cancel_scope.cancel()
    return exit_code


async def _listening_sockets(
    prepared: Prepared,
) -> tuple[Takeover | None, Sequence[socket.socket]]:
    """Return the sockets, and whoever gave them away. Raises HandoverError and ListenError."""
    config = prepared.config
    takeover = await _take_over(config) if config.replace else None
    if takeover is not None:
        return takeover, takeover.sockets
    return None, prepared.passed or bind(config, partial(is_served, control_place_of(config)))


async def _take_over(config: ServerConfig) -> Takeover | None:
    """The sockets of the server that runs on --bind, if there is one. Raises HandoverError."""
    takeover = await take_over(meeting_point_of(config))
    if takeover is None:
        log.info("there is no server on %s to replace", config.bind)
        return None
    theirs = with_address_of(config, takeover.sockets).bind
    if theirs != config.bind:  # who needs a token was decided by --bind
        takeover.refuse()
        raise HandoverError(f"the running server listens on {theirs}, not on {config.bind}")
    return takeover


def _succession(
    directory: Directory, writer: StoreWriter | None, takeover: Takeover | None
) -> Succession:
    succession = Succession(directory, writer, _note_of(directory.config))
    succession.expect_names()
    if takeover is not None:
        succession.takes_over()
    return succession


def _note_of(config: ServerConfig) -> Path:
    return note_path(config.state_dir, config.bind)


def _commands(edge: Edge, writer: StoreWriter | None, asked_to_stop: trio.Event) -> ControlSocket:
    end = partial(end_what_passes, edge)
    shares = edge.crowd.shares
    answers = Commands(edge.directory, shares, edge.port, writer, end, asked_to_stop.set)
    return ControlSocket(control_place_of(edge.config), answers.answer, answers.answered)


class Server:
    """A server from its first connection to its last.

    Args:
        edge: its state.
        tls: what visitors are served with; None: plain HTTP.
        sockets: what it listens on.
        connections: where connections are served.
        output: its stdout.
        succession: what it takes up and leaves.
        commands: of whoever runs it.
    """

    def __init__(
        self,
        edge: Edge,
        tls: ssl.SSLContext | None,
        sockets: Sequence[socket.socket],
        connections: trio.Nursery,
        output: Output,
        succession: Succession,
        commands: ControlSocket,
    ) -> None:
        self._edge = edge
        self._commands = commands
        self._succession = succession
        self._sockets = sockets
        self._acceptor = Acceptor(
            partial(serve_visitor, edge, ControlEndpoint(edge.directory), tls), connections
        )
        self._offer = Offer(meeting_point_of(edge.config), sockets, succession)
        self._output = output

    def __repr__(self) -> str:
        return f"<Server {self._edge!r} {self._acceptor!r} {self._offer!r}>"

    async def run(
        self, takeover: Takeover | None, signals: AsyncIterator[int], asked_to_stop: trio.Event
    ) -> int:
        """Serve until a signal or a command comes, or another process has the sockets, and drain.

        Args:
            takeover: tells the server that this one replaces. If that one has not waited, this one
                stops with EXIT_FAILED.
            signals: the first one drains, the second one stops.
            asked_to_stop: drains as a signal does.
        """
        exit_code = EXIT_STOPPED
        async with trio.open_nursery() as accepting:
            listeners = [trio.SocketListener(_of_trio(each)) for each in self._sockets]
            accepting.start_soon(self._acceptor.run, listeners)
            try:
                if takeover is not None:
                    await takeover.accepting()
                    await self._succession.has_taken_over()
                self._open_places(accepting)
                warn_of_neighbours(self._edge.config)
                self._output.tell(listening(self._edge.config, self._edge.port))
                await self._stop_asked(signals, asked_to_stop)
            except HandoverError as error:
                log.error("%s: %s", PROGRAM, error)
                exit_code = EXIT_FAILED
            accepting.cancel_scope.cancel()
        await self._stop(signals)
        return exit_code

    def _open_places(self, accepting: trio.Nursery) -> None:
        """A server without a state folder of its own serves all the same."""
        for place, lost in ((self._offer, "--replace"), (self._commands, "`status` and `name`")):
            try:
                place.open()
            except (HandoverError, PlaceError) as error:
                log.warning("%s will not find this server: %s", lost, error)
            else:
                accepting.start_soon(place.run)

    async def _stop_asked(self, signals: AsyncIterator[int], asked_to_stop: trio.Event) -> None:
        """Wait for a signal or a command, or until another process has the sockets."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_cancel_on_signal, signals, nursery.cancel_scope)
            nursery.start_soon(_cancel_when_asked, asked_to_stop, nursery.cancel_scope)
            await self._offer.taken.wait()
            self._commands.succeeded()
            nursery.cancel_scope.cancel()

    async def _stop(self, signals: AsyncIterator[int]) -> None:
        """Drain; a signal ends it at once."""
        edge = self._edge
        replaced = self._offer.taken.is_set()
        if not replaced:
            self._succession.note_names()
        stop = Stop(replaced=replaced, tell=partial(self._tell_of_stop, replaced))
        async with trio.open_nursery() as stopping:
            stopping.start_soon(_cancel_on_signal, signals, stopping.cancel_scope)
            await drain(edge, self._arriving, stop)
            stopping.cancel_scope.cancel()
        for connection in edge.connections:  # none, unless it was told to stop at once
            stop.cut(connection)
        self._output.tell(ServerStopped(stop.cut_off, replaced))
        if not replaced:
            self._succession.note_names()  # once more: the first note is too old after a long drain

    def _tell_of_stop(self, replaced: bool, waiting: int, oldest: InProgress | None) -> None:
        """Say what the stop waits for."""
        told = None
        if oldest is not None:
            age_s = trio.current_time() - oldest.began_at
            told = OldestRequest(oldest.name, oldest.method, age_s, oldest.request, oldest.answer)
        self._output.tell(ServerDraining(waiting, replaced, told))

    def _arriving(self) -> int:
        return self._acceptor.open_count - len(self._edge.connections)


def _of_trio(listening: socket.socket) -> trio.socket.SocketType:
    return trio.socket.from_stdlib_socket(listening)


async def _cancel_when_asked(asked: trio.Event, scope: trio.CancelScope) -> None:
    await asked.wait()
    scope.cancel()


async def _cancel_on_signal(signals: AsyncIterator[int], scope: trio.CancelScope) -> None:
    await anext(signals)
    scope.cancel()
