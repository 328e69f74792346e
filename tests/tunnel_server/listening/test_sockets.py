from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tunnel_server.listening import sockets as listening
from tunnel_server.listening.local import SocketPlace, is_served
from tunnel_server.listening.sockets import (
    PASSED_MAX,
    ListenError,
    bind,
    listening_sockets,
    passed_sockets,
    with_address_of,
)
from tunnel_server.settings.config import ServerConfig

PID = 4711


@pytest.fixture
def sockets() -> Iterator[ExitStack]:
    """What is open at the end of a test is closed here."""
    with ExitStack() as stack:
        yield stack


def listener(sockets: ExitStack, host: str = "127.0.0.1") -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return sockets.enter_context(socket.create_server((host, 0), family=family))


def duplicate(sockets: ExitStack, given: socket.socket) -> int:
    """A descriptor of its own for who takes it over; inherited, as systemd's are."""
    descriptor = os.dup(given.fileno())
    os.set_inheritable(descriptor, True)
    sockets.callback(close_if_open, descriptor)
    return descriptor


def close_if_open(descriptor: int) -> None:
    if is_open(descriptor):
        os.close(descriptor)


def is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


# --- sockets that are passed ---------------------------------------------------------------------


def passed(monkeypatch: pytest.MonkeyPatch, first: int, **environ: str) -> list[socket.socket]:
    """With the descriptors from `first` on; a test cannot have 3 to itself."""
    monkeypatch.setattr(listening, "FIRST_PASSED_FD", first)
    try:
        return passed_sockets(environ, PID)
    finally:
        assert environ == {"HOME": "/"}


def test_passed_sockets_are_taken_and_their_variables_removed(
    monkeypatch: pytest.MonkeyPatch, sockets: ExitStack
) -> None:
    given = listener(sockets)
    (taken,) = passed(
        monkeypatch,
        duplicate(sockets, given),
        LISTEN_PID=str(PID),
        LISTEN_FDS="1",
        LISTEN_FDNAMES="http",
        HOME="/",
    )
    with taken:
        assert taken.getsockname() == given.getsockname()
        assert not taken.get_inheritable()
        assert not taken.getblocking()


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"LISTEN_FDS": "1"},
        {"LISTEN_PID": "1", "LISTEN_FDS": "1"},
        {"LISTEN_PID": "", "LISTEN_FDS": "1"},
        {"LISTEN_PID": str(PID)},
    ],
)
def test_what_is_meant_for_another_process_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, sockets: ExitStack, environ: dict[str, str]
) -> None:
    descriptor = duplicate(sockets, listener(sockets))
    assert passed(monkeypatch, descriptor, HOME="/", **environ) == []
    assert is_open(descriptor)


@pytest.mark.parametrize("count", ["0", "-1", "+1", "1 ", "x", "1_0", str(PASSED_MAX + 1), "9" * 9])
def test_a_count_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, count: str) -> None:
    with pytest.raises(ListenError, match=f"1 to {PASSED_MAX}, not {count!r}".replace("+", r"\+")):
        passed(monkeypatch, 3, LISTEN_PID=str(PID), LISTEN_FDS=count, HOME="/")


def test_what_cannot_be_listened_on_is_named_and_all_is_closed(
    monkeypatch: pytest.MonkeyPatch, sockets: ExitStack
) -> None:
    first, second = 900, 901
    os.dup2(listener(sockets).fileno(), first)
    os.dup2(sockets.enter_context(socket.socket()).fileno(), second)
    with pytest.raises(ListenError, match=f"LISTEN_FDS=2: descriptor {second} is no TCP socket"):
        passed(monkeypatch, first, LISTEN_PID=str(PID), LISTEN_FDS="2", HOME="/")
    assert not is_open(first)
    assert not is_open(second)


def test_only_tcp_sockets_that_listen_are_taken(sockets: ExitStack, tmp_path: Path) -> None:
    connected, _ = map(sockets.enter_context, socket.socketpair())
    unix = sockets.enter_context(socket.socket(socket.AF_UNIX))
    unix.bind(f"{tmp_path}/s")
    unix.listen()
    datagrams = sockets.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    datagrams.bind(("127.0.0.1", 0))
    idle = sockets.enter_context(socket.socket())
    for other in (connected, unix, datagrams, idle):
        descriptor = duplicate(sockets, other)
        with pytest.raises(ListenError, match="is no TCP socket that listens"):
            listening_sockets([descriptor])
        assert not is_open(descriptor)


def test_what_is_no_socket_or_not_there_is_refused(sockets: ExitStack) -> None:
    file = os.open(os.devnull, os.O_RDONLY)
    sockets.callback(close_if_open, file)
    for descriptor in (file, 9_999):
        with pytest.raises(ListenError, match=f"descriptor {descriptor} is no socket"):
            listening_sockets([descriptor])
        assert not is_open(descriptor)


# --- a socket of one's own -----------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_bind_listens_there(host: str) -> None:
    (bound,) = bind(ServerConfig(bind_host=host, bind_port=0))
    with bound, socket.create_connection(bound.getsockname()[:2]):
        assert not bound.getblocking()
        assert not bound.get_inheritable()


def test_a_port_is_never_shared_by_reuseport(sockets: ExitStack) -> None:
    (bound,) = bind(ServerConfig(bind_port=0))
    with bound:
        assert bound.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT) == 0


def test_an_ipv6_address_leaves_the_ipv4_port_alone() -> None:
    (bound,) = bind(ServerConfig(bind_host="::", bind_port=0, open=True))
    with bound, socket.create_server(("127.0.0.1", bound.getsockname()[1])):
        pass


def test_an_address_in_use_says_what_to_do(sockets: ExitStack, tmp_path: Path) -> None:
    port = listener(sockets).getsockname()[1]
    with pytest.raises(ListenError) as plain:
        bind(ServerConfig(bind_port=port))
    assert str(plain.value) == (
        f"127.0.0.1:{port} is in use by another program; stop it or choose another --bind "
        "(a tunnel-server there is replaced with --replace)"
    )
    with pytest.raises(ListenError) as replacing:
        bind(ServerConfig(bind_port=port, replace=True, state_dir=tmp_path))
    assert f"no server that --replace can reach in {tmp_path}" in str(replacing.value)


def test_an_address_that_our_own_server_has_says_so(sockets: ExitStack) -> None:
    port = listener(sockets).getsockname()[1]
    with pytest.raises(ListenError) as found:
        bind(ServerConfig(bind_port=port), lambda: True)
    where = f"127.0.0.1:{port}"
    said = f"a tunnel-server of yours listens on {where}; --replace takes over from it"
    assert str(found.value) == said


def test_a_server_is_told_from_what_a_crashed_one_left(sockets: ExitStack, tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    place = SocketPlace(tmp_path, "control.sock")
    assert not is_served(place)
    server = sockets.enter_context(socket.socket(socket.AF_UNIX))
    server.bind(str(tmp_path / place.name))
    assert not is_served(place)
    server.listen()
    assert is_served(place)
    server.close()
    assert not is_served(place)


def test_an_address_of_another_machine_says_so() -> None:
    with pytest.raises(ListenError, match=r"cannot listen on 192\.0\.2\.1:1: .*another --bind"):
        bind(ServerConfig(bind_host="192.0.2.1", bind_port=1, open=True))


# --- the address that counts ---------------------------------------------------------------------


def test_the_settings_get_the_real_address(sockets: ExitStack) -> None:
    """A server on loopback needs no token; one whose socket was passed to it may not be there."""
    local, public = listener(sockets), listener(sockets, "0.0.0.0")
    config = ServerConfig()
    alone = with_address_of(config, [local])
    assert (alone.bind_host, alone.bind_port) == ("127.0.0.1", local.getsockname()[1])
    assert not alone.authentication_required
    for both in ([public, local], [local, public]):
        found = with_address_of(config, both)
        assert (found.bind_host, found.bind_port) == ("0.0.0.0", public.getsockname()[1])
        assert found.authentication_required
    mapped = sockets.enter_context(
        socket.create_server(("::ffff:127.0.0.1", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    )
    for both in ([public, mapped], [mapped, public]):
        assert with_address_of(config, both).bind_host == "0.0.0.0"
    assert not with_address_of(config, [mapped]).authentication_required
