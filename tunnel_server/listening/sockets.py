"""The sockets that the server listens on: bound by itself, or passed to it.

Who passes them (systemd, with LISTEN_FDS, or the running server, with --replace) keeps the port
open while programs change: what connects meanwhile waits in the socket's queue.
"""

from __future__ import annotations

import errno
import os
import re
import socket
from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import replace
from ipaddress import ip_address
from typing import Final

from protocol.errors import TunnelError
from tunnel_server.settings.config import ServerConfig, bind_address
from tunnel_server.settings.reach import is_loopback

FIRST_PASSED_FD: Final = 3  # SD_LISTEN_FDS_START of sd_listen_fds(3)
PASSED_MAX: Final = 16  # more than an address for each network card is a mistake
# Below it a port is root's, unless the sysctl net.ipv4.ip_unprivileged_port_start says otherwise.
_UNPRIVILEGED: Final = 1024
_FORBIDDEN: Final = (
    "a port below 1024 is root's: start it as a service with"
    " AmbientCapabilities=CAP_NET_BIND_SERVICE (deploy/trio-tunnel.service), or choose a higher"
    " --bind behind a proxy"
)
BACKLOG: Final = 1024  # a page of 300 modules opens many connections at once

_VARIABLES: Final = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")


class ListenError(TunnelError):
    """The server cannot listen; its text is the line for the person."""


def passed_sockets(environ: MutableMapping[str, str], pid: int) -> list[socket.socket]:
    """The listening sockets that this process was started with, after sd_listen_fds(3).

    Its variables are taken out of the environment, whether they are meant for this process or not.

    Raises:
        ListenError: what was passed cannot be listened on. All of it is closed then.
    """
    meant_for, count, _ = (environ.pop(name, "") for name in _VARIABLES)
    if meant_for != str(pid) or not count:
        return []
    if not re.fullmatch("[0-9]{1,5}", count) or not 1 <= int(count) <= PASSED_MAX:
        raise ListenError(f"LISTEN_FDS is 1 to {PASSED_MAX}, not {count!r}")
    descriptors = range(FIRST_PASSED_FD, FIRST_PASSED_FD + int(count))
    try:
        return listening_sockets(descriptors)
    except ListenError as error:
        raise ListenError(f"LISTEN_FDS={count}: {error}") from None


def listening_sockets(descriptors: Sequence[int]) -> list[socket.socket]:
    """These descriptors as sockets, not blocking and closed on exec. They are ours from now on.

    Raises:
        ListenError: one of them is no TCP socket that listens. All are closed then.
    """
    sockets: list[socket.socket] = []
    try:
        for descriptor in descriptors:
            sockets.append(_listening_socket(descriptor))  # noqa: PERF401  # what was taken counts
    except ListenError:
        for taken in sockets:
            taken.close()
        for descriptor in descriptors[len(sockets) :]:
            _close(descriptor)
        raise
    return sockets


def _listening_socket(descriptor: int) -> socket.socket:
    try:
        os.set_inheritable(descriptor, False)
        taken = socket.socket(fileno=descriptor)
    except OSError as error:
        raise ListenError(f"descriptor {descriptor} is no socket ({error.strerror})") from None
    family = taken.family in (socket.AF_INET, socket.AF_INET6)
    stream = taken.type == socket.SOCK_STREAM
    if not family or not stream or not taken.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        taken.detach()  # whoever called closes the descriptor
        raise ListenError(f"descriptor {descriptor} is no TCP socket that listens")
    taken.setblocking(False)
    return taken


def _close(descriptor: int) -> None:
    try:
        os.close(descriptor)
    except OSError as error:
        if error.errno != errno.EBADF:  # that one was never there
            raise


def bind(config: ServerConfig, is_ours: Callable[[], bool] = lambda: False) -> list[socket.socket]:
    """A socket that listens on --bind.

    Args:
        is_ours: whether a server of this user is there; asked where the address is in use.

    Raises:
        ListenError: the address is in use, or is none of ours.
    """
    family = socket.AF_INET6 if ":" in config.bind_host else socket.AF_INET
    try:
        # An address that is free but for connections that are just ending may be taken.
        return [_bound(family, config.bind_host, config.bind_port)]
    except OSError as error:
        raise ListenError(_why_not_listening(config, error, is_ours)) from None


def _bound(family: socket.AddressFamily, host: str, port: int) -> socket.socket:
    info = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM, 0, socket.AI_NUMERICHOST)
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(info[0][4])
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


def _why_not_listening(config: ServerConfig, error: OSError, is_ours: Callable[[], bool]) -> str:
    where = bind_address(config.bind_host, config.bind_port)
    if error.errno != errno.EADDRINUSE:
        forbidden = error.errno == errno.EACCES and config.bind_port < _UNPRIVILEGED
        hint = f"; {_FORBIDDEN}" if forbidden else "; choose another --bind"
        return f"cannot listen on {where}: {error.strerror or error}{hint}"
    if config.replace:
        return (
            f"{where} is in use, but by no server that --replace can reach in {config.state_dir}: "
            "is it one of this user, with this --bind and --state-dir?"
        )
    if is_ours():
        return f"a tunnel-server of yours listens on {where}; --replace takes over from it"
    return (
        f"{where} is in use by another program; stop it or choose another --bind "
        f"(a tunnel-server there is replaced with --replace)"
    )


def with_address_of(config: ServerConfig, sockets: Sequence[socket.socket]) -> ServerConfig:
    """The settings with the address that is really listened on: who needs a token depends on it.

    Of several addresses it is one that is not loopback, if there is one.
    """
    addresses = [(str(ip_address(s.getsockname()[0])), s.getsockname()[1]) for s in sockets]
    public = [address for address in addresses if not is_loopback(address[0])]
    host, port = (public or addresses)[0]
    return replace(config, bind_host=host, bind_port=port)
