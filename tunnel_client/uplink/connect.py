"""The way to the server: TCP, CONNECT through a proxy, TLS. The WebSocket handshake comes on top.

Each step has a deadline of its own, and whatever goes wrong in it becomes one `ConnectFailed` with
a reason for people: what could not be done, why, and what to look at where that is known. trio's
and OpenSSL's own errors (groups, chains, codes) never get out.

A new connection asks the resolver anew and reads the CA file anew, so that a server that moved and
a CA that was renewed are found without a restart.
"""

from __future__ import annotations

import errno
import os
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import h11
import trio

from protocol.drivers.tcp import TcpStream
from protocol.errors import TunnelError
from protocol.program.text import printable
from tunnel_client.settings.addresses import ServerUrl, dial_addresses, format_address
from tunnel_client.settings.proxy import Proxy

# For each step. A TCP handshake that lost two SYNs takes 7 s; nobody waits longer without a sign.
STEP_TIMEOUT_S = 15.0

# The head of a proxy's answer, a page about the refusal not counted. Real ones have under 1 KiB.
LONGEST_ANSWER_BYTES = 16_384

Dial = Callable[[str, int], Awaitable[trio.abc.Stream]]

# What OpenSSL says where a private CA is the usual cause (X509_V_ERR_*: 18 to 21).
_UNKNOWN_CA = {18, 19, 20, 21}

# What OpenSSL says of bytes that are none of TLS.
_NO_TLS = {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"}

_NO_ROUTE = {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}


class ConnectFailed(TunnelError):
    """No connection to the server, for the one reason that the text says.

    Attributes:
        final: a mistake of whoever set it up; before the first success no other attempt is made.
        retry_after_s: how long the server asks us to wait; None: it does not.
        code: the reason for programs.
    """

    def __init__(
        self,
        message: str,
        *,
        final: bool = False,
        retry_after_s: float | None = None,
        code: str = "unreachable",
    ) -> None:
        super().__init__(message)
        self.code = code
        self.final = final
        self.retry_after_s = retry_after_s


async def open_stream(
    server: ServerUrl, proxy: Proxy | None, ca: Path | None, *, dial: Dial | None = None
) -> trio.abc.Stream:
    """A new connection to the server, ready for the WebSocket handshake.

    For an https server it is TLS, always verified, with the server's name in SNI and `http/1.1` in
    ALPN. Cancellation closes what was opened so far.

    Args:
        proxy: go through this one.
        ca: PEM file to verify the server's certificate with; None: the system's CAs.
        dial: makes a TCP connection; a test's own.

    Raises:
        ConnectFailed: for every other failure.
    """
    dial = dial or dial_tcp
    if proxy is None:
        stream = await _dial(dial, server.host, server.port, "", "is tunnel-server running?")
    else:
        stream = await _dial(dial, proxy.host, proxy.port, "the proxy ", f"see {proxy.variable}")
    try:
        if proxy is not None:
            if proxy.scheme == "https":
                stream = await _start_tls(stream, proxy.host, proxy.port, None, "the proxy ")
            await _connect_through(stream, proxy, server)
        if server.tls:
            stream = await _start_tls(stream, server.host, server.port, ca, "")
    except BaseException:
        await trio.aclose_forcefully(stream)
        raise
    return stream


async def dial_tcp(host: str, port: int) -> TcpStream:
    """A TCP connection, without Nagle's delay (trio's streams have TCP_NODELAY).

    The addresses of a name are tried as Happy Eyeballs does (RFC 8305); `localhost` and names
    under it are 127.0.0.1, then ::1. OSError if none answers.

    The kernel is not told to look for a dead peer (no SO_KEEPALIVE, no TCP_USER_TIMEOUT): the
    session's own ping does, end to end and not to the next proxy, and sooner than the 15 minutes
    for which Linux tries. Less than its 30 s would end connections that TCP brings back.
    """
    failures = []
    for address in dial_addresses(host, port):
        try:
            return TcpStream(await trio.open_tcp_stream(*address))
        except OSError as error:
            failures.append(error)
    raise failures[0]  # where there is no IPv6, ::1 fails for a reason of no interest


async def _dial(dial: Dial, host: str, port: int, who: str, hint: str) -> trio.abc.Stream:
    with _step(f"cannot reach {who}{format_address(host, port)}", hint):
        return await dial(host, port)


async def _start_tls(
    stream: trio.abc.Stream, host: str, port: int, ca: Path | None, who: str
) -> trio.abc.Stream:
    where = f"{who}{format_address(host, port)}"
    with _step(f"no TLS with {where}", ""):
        context = _client_context(ca)
        # https_compatible: many servers close without a close_notify, and a WebSocket and our
        # own frames say themselves where they end.
        secured = trio.SSLStream(stream, context, server_hostname=host, https_compatible=True)
        await secured.do_handshake()
    return secured


def _client_context(ca: Path | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=ca)
    except OSError as error:  # ssl.SSLError is one too
        said = f"the CA file {ca} cannot be used: {_reason(error)}"
        raise ConnectFailed(said, final=True) from None
    # A front server that offers HTTP/2 must not choose it: WebSocket here is HTTP/1.1's.
    context.set_alpn_protocols(["http/1.1"])
    return context


async def _connect_through(stream: trio.abc.Stream, proxy: Proxy, server: ServerUrl) -> None:
    """Ask the proxy for a tunnel to the server (RFC 9110 9.3.6)."""
    target = format_address(server.host, server.port)
    with _step(f"no way to {target} through the proxy {proxy}", ""):
        connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=LONGEST_ANSWER_BYTES)
        headers = [("Host", target)]
        if proxy.authorization is not None:
            headers.append(("Proxy-Authorization", proxy.authorization))
        request = h11.Request(method="CONNECT", target=target, headers=headers)
        await stream.send_all(connection.send(request) + connection.send(h11.EndOfMessage()))
        response = await _response(stream, connection)
        if not 200 <= response.status_code < 300:
            raise ConnectFailed(
                _refusal(response, proxy, target), final=response.status_code == 407
            )
        if connection.trailing_data[0]:
            raise h11.RemoteProtocolError("data before the client's own")


async def _response(stream: trio.abc.Stream, connection: h11.Connection) -> h11.Response:
    received = 0
    while True:
        event = connection.next_event()
        if isinstance(event, h11.Response):
            return event
        if event is h11.NEED_DATA:
            data = await stream.receive_some(4096)
            if not data:
                raise trio.BrokenResourceError("closed in the answer's head")
            received += len(data)
            if received > LONGEST_ANSWER_BYTES:
                raise h11.RemoteProtocolError("answer too long")
            connection.receive_data(bytes(data))


def _refusal(response: h11.Response, proxy: Proxy, target: str) -> str:
    said = f"{response.status_code} {response.reason.decode('ascii', 'replace')}".strip()
    said = f"the proxy {proxy} refuses a connection to {target}: {printable(said)}"
    if response.status_code == 407:
        problem = "does not take the" if proxy.authorization else "wants a"
        return f"{said}; it {problem} user name and password in {proxy.variable}"
    return said


@contextmanager
def _step(what: str, hint: str) -> Iterator[None]:
    """Give the block a deadline, and turn its failures into `WHAT: REASON`."""
    try:
        with trio.fail_after(STEP_TIMEOUT_S):
            yield
    except trio.TooSlowError:
        raise ConnectFailed(f"{what}: no answer within {STEP_TIMEOUT_S:g} s") from None
    except h11.RemoteProtocolError:  # whose text speaks of h11's states
        raise ConnectFailed(f"{what}: what came back is not a proxy's answer") from None
    except (trio.BrokenResourceError, OSError, UnicodeError) as error:
        cause = _cause(error)
        asked = f"; {hint}" if hint and _is_refused(cause) else ""
        said = f"{what}: {_reason(cause)}{asked}"
        untrusted = isinstance(cause, ssl.SSLCertVerificationError)
        code = "untrusted" if untrusted else "unreachable"
        raise ConnectFailed(said, final=_is_mistake(cause), code=code) from None


def _cause(error: BaseException) -> BaseException:
    """The error that says most: inside trio's wrappings, and one of several."""
    if isinstance(error, BaseExceptionGroup):
        # A name with two addresses fails twice. "No route" is then true of a network that this
        # machine is not in, and the other reason is the one to look at.
        return min(map(_cause, error.exceptions), key=_is_about_this_machine)
    return error if error.__cause__ is None else _cause(error.__cause__)


def _is_about_this_machine(error: BaseException) -> bool:
    return isinstance(error, OSError) and error.errno in _NO_ROUTE


def _is_refused(error: BaseException) -> bool:
    return isinstance(error, ConnectionRefusedError)


def _is_mistake(error: BaseException) -> bool:
    """Whether the other end is not what it was taken for: no time heals that."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return True
    return isinstance(error, ssl.SSLError) and error.reason in _NO_TLS


def _reason(error: BaseException) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        hint = "; --server-ca names a private CA" if error.verify_code in _UNKNOWN_CA else ""
        return f"its certificate is not trusted: {printable(error.verify_message)}{hint}"
    if isinstance(error, ssl.SSLError):
        return _tls_reason(error)
    if isinstance(error, socket.gaierror):
        return f"the name cannot be resolved ({printable(error.strerror or str(error))})"
    if isinstance(error, UnicodeError):  # of the codec that prepares names for the resolver
        return "the name cannot be resolved"
    if isinstance(error, OSError):
        return os.strerror(error.errno).lower() if error.errno else printable(str(error))
    return "the connection was closed"


def _tls_reason(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return "the connection was closed"
    if error.reason in _NO_TLS:
        return "it does not speak TLS; is it an http:// server?"
    return (error.reason or str(error)).replace("_", " ").lower()
