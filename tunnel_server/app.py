"""The server as a whole: the one place where its parts meet, and the order of start and stop.

Starting: the sockets (bound, passed, or taken over from the server that runs), then accepting, then
the word to the other one, which stops. Stopping: take no new connections; tell every client; let
what is in flight end, each answer closing its connection; at the deadline end the WebSockets with a
Close; then drop what is left. A second signal drops everything at once.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import trio

from protocol.errors import ConfigError
from protocol.program.line_writer import LineWriter, writing
from protocol.program.logs import LEVELS, set_up_logging
from protocol.program.private_files import UnsafePathError, warning_of
from protocol.program.process import (
    EXIT_FAILED,
    EXIT_STOPPED,
    collect_rarely,
    open_files_max,
    version,
)
from tunnel_server.admin.commands import Commands
from tunnel_server.admin.control_socket import ControlSocket, binds_in, control_place
from tunnel_server.listening.accepting import Acceptor
from tunnel_server.listening.descriptors import raise_limit
from tunnel_server.listening.handover import HandoverError, meeting_place
from tunnel_server.listening.local import PlaceError, SocketPlace, is_served
from tunnel_server.listening.offer import Offer
from tunnel_server.listening.sockets import ListenError, bind, passed_sockets, with_address_of
from tunnel_server.listening.takeover import Takeover, take_over
from tunnel_server.observing.events import OldestRequest, ServerDraining, ServerStopped
from tunnel_server.observing.output import Output, listening, stdout_writer
from tunnel_server.observing.strangers import Sparing
from tunnel_server.owners.authenticator import KEY, Authenticator
from tunnel_server.owners.names import Change, Kept, KeptNames
from tunnel_server.owners.ownership import Ownership
from tunnel_server.owners.places import open_authenticator, open_names
from tunnel_server.owners.store import Store, StoreUnusableError, first_names
from tunnel_server.owners.store_writer import StoreWriter
from tunnel_server.settings.config import ServerConfig
from tunnel_server.settings.rows import PROGRAM
from tunnel_server.tunnels.control import ControlEndpoint
from tunnel_server.tunnels.directory import Directory
from tunnel_server.tunnels.recent_names import note_path
from tunnel_server.tunnels.registry import Registry
from tunnel_server.tunnels.succession import Succession
from tunnel_server.visitors.draining import drain
from tunnel_server.visitors.edge import Edge, shortage_to_come
from tunnel_server.visitors.serving import serve_visitor
from tunnel_server.visitors.stopping import InProgress, Stop

log = logging.getLogger(__name__)

SWEEP_EVERY_S: Final = 1.0
_NEIGHBOUR: Final = (
    "the server on %s has the same state folder: if it has the domain %s, too, one name may have "
    "two owners; give each a --state-dir"
)


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
    if config.tls_key is not None and (warning := warning_of(config.tls_key)):
        log.warning("%s", warning)
    authenticator, store = open_authenticator(config), open_names(config)
    return partial(_main, config, tls, authenticator, store, passed, stdout, sparing)


async def _main(
    config: ServerConfig,
    tls: ssl.SSLContext | None,
    authenticator: Authenticator,
    store: Store | None,
    passed: list[socket.socket],
    stdout: LineWriter,
    sparing: Sparing,
) -> int:
    takeover = await _take_over(config) if config.replace else None
    sockets = (
        takeover.sockets
        if takeover is not None
        else passed or bind(config, partial(is_served, _commands_of(config)))
    )
    config = with_address_of(config, sockets)
    directory, writer = build_directory(config, authenticator, store)
    succession = Succession(directory, writer, _note_of(config))
    succession.expect_names()
    if takeover is not None:
        succession.takes_over()
    edge = Edge(directory, port=config.bind_port)
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as connections:
            connections.start_soon(sweep, edge)
            connections.start_soon(sparing.run)
            if writer is not None:
                connections.start_soon(writer.run)
            output = Output(config, directory.version, stdout.put)
            commands = ControlSocket(
                _commands_of(config),
                Commands(directory, edge.crowd.shares, config.bind_port, writer).answer,
            )
            server = Server(edge, tls, sockets, connections, output, succession, commands)
            exit_code = await server.run(takeover, signals)
            connections.cancel_scope.cancel()
    return exit_code


def build_directory(
    config: ServerConfig, ownership: Ownership, store: Store | None
) -> tuple[Directory, StoreWriter | None]:
    """Names, their registry and what writes them down; nothing does without a store."""

    def read(written: dict[str, Kept]) -> None:
        # What an install key holds nobody may claim, and nobody need fear, where tokens are needed.
        if config.authentication_required:
            written = {n: kept for n, kept in written.items() if not kept.owner.startswith(KEY)}
        names.read(written)
        directory.read_again()

    def changed(name: str, change: Change) -> None:
        if change is None:
            registry.forget(name)
        directory.changed_hands(name)
        if writer is not None:
            writer.changed(name, change)

    written = {} if store is None else first_names(store, config.names_key)
    writer = None if store is None else StoreWriter(store, config.names_key, read, written)
    url_of = partial(config.public_url_for, port=config.bind_port)
    registry = Registry(
        url_of,
        os.urandom,
        lambda name: names.get(name) is not None,
        lambda carrier: directory.address_of(carrier),
    )
    names = KeptNames(config.keep_names_s, lambda name: registry.find(name) is not None, changed)
    directory = Directory(config, ownership, registry, names, version=version())
    read(written)
    return directory, writer


async def _take_over(config: ServerConfig) -> Takeover | None:
    """The sockets of the server that runs on --bind, if there is one. Raises HandoverError."""
    takeover = await take_over(_meeting_point_of(config))
    if takeover is None:
        log.info("there is no server on %s to replace", config.bind)
        return None
    theirs = with_address_of(config, takeover.sockets).bind
    if theirs != config.bind:  # who needs a token was decided by --bind
        takeover.refuse()
        raise HandoverError(f"the running server listens on {theirs}, not on {config.bind}")
    return takeover


def _meeting_point_of(config: ServerConfig) -> SocketPlace:
    return meeting_place(config.state_dir, config.bind, trusted=config.trust_state_dir)


def _commands_of(config: ServerConfig, bind: str | None = None) -> SocketPlace:
    trusted = config.trust_state_dir
    return control_place(config.state_dir, bind or config.bind, trusted=trusted)


def _note_of(config: ServerConfig) -> Path:
    return note_path(config.state_dir, config.bind)


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
        self._offer = Offer(_meeting_point_of(edge.config), sockets, succession)
        self._output = output

    def __repr__(self) -> str:
        return f"<Server {self._edge!r} {self._acceptor!r} {self._offer!r}>"

    async def run(self, takeover: Takeover | None, signals: AsyncIterator[int]) -> int:
        """Serve until a signal comes or another process has the sockets, and drain.

        Args:
            takeover: tells the server that this one replaces. If that one has not waited, this one
                stops with EXIT_FAILED.
            signals: the first one drains, the second one stops.
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
                await self._stop_asked(signals)
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

    async def _stop_asked(self, signals: AsyncIterator[int]) -> None:
        """Wait for a signal, or until another process has the sockets."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_cancel_on_signal, signals, nursery.cancel_scope)
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


def warn_of_neighbours(config: ServerConfig) -> None:
    """Say it where another server that runs writes the names of the same domain into the store.

    On servers of this machine alone names go by the port, too.
    """
    if config.public_by is None or not config.keep_names_s:
        return
    try:
        others = binds_in(config.state_dir)
    except PlaceError:  # then it has no store, and no place for sockets: both are told already
        return
    for other in others:
        if other != config.bind and is_served(_commands_of(config, other)):
            log.warning(_NEIGHBOUR, other, config.apex)


async def _cancel_on_signal(signals: AsyncIterator[int], scope: trio.CancelScope) -> None:
    await anext(signals)
    scope.cancel()


async def sweep(edge: Edge) -> None:
    """Look at every connection's deadlines, and at every session's right."""
    while True:
        await trio.sleep(SWEEP_EVERY_S)
        await sweep_once(edge, trio.current_time())


async def sweep_once(edge: Edge, now: float) -> None:
    """See `sweep`; the log hears what was closed since it has heard that last."""
    if (news := edge.crowd.news.told(now)) is not None:
        log.warning("%s", news)
    await edge.look_at_all(lambda connection: connection.sweep(now))
    await edge.directory.sweep(now)
    await edge.directory.look_at_owners()
