"""Makes connections to the local app."""

from __future__ import annotations

import errno
import logging
import os
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import trio

from protocol.drivers.sockets import keep_alive
from protocol.drivers.tcp import TcpStream, connect_tcp, connect_unix
from protocol.errors import TunnelError
from protocol.program.text import printable
from tunnel_client.origin.near import NearApp
from tunnel_client.origin.tls_transport import TlsTransport
from tunnel_client.settings.addresses import Address
from tunnel_client.settings.target import Target

log = logging.getLogger(__name__)

Connected = TypeVar("Connected", TcpStream, trio.SocketStream)

# Each address; a local app answers at once or not at all, one in another room a little later.
CONNECT_TIMEOUT_S: Final = 5.0
TLS_TIMEOUT_S: Final = 5.0

# Of several addresses that failed, the reason of the one that says most: a bare port is tried on
# ::1 as well, and where there is no IPv6 that fails for a reason of no interest.
_OF_NO_INTEREST: Final = frozenset(
    {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.ENETUNREACH, errno.EHOSTUNREACH}
)


# Linux gives outgoing connections to one address 28,000 ports; on loopback it uses them again after
# a second, elsewhere after a minute.
_PORTS_HINT: Final = (
    "each one that was closed keeps its port for up to a minute (TIME_WAIT). Send fewer requests"
    " at a time, or widen net.ipv4.ip_local_port_range here"
)

# Nobody listens: nothing was sent, and whoever starts the app mends it.
_NOBODY_LISTENS: Final = frozenset({errno.ECONNREFUSED, errno.ENOENT})


class OriginRefused(TunnelError):
    """The app cannot be reached; the text says why, for whoever shares it.

    Attributes:
        code: of the reset that the visitor's side gets.
    """

    code = "origin-refused"


class OriginDown(OriginRefused):
    """Nobody listens where the app should: it does not run, or restarts."""


class PortsGone(OriginRefused):
    """This machine has no port left for one more connection to the app."""

    code = "no-ports"


class OriginCertificateRefused(OriginRefused):
    """The app shows a certificate that nobody vouches for."""

    code = "origin-untrusted"


OriginStream = TcpStream | trio.SSLStream[TlsTransport]


class Dialer:
    """Opens connections to one target.

    Args:
        target: the local app.
        insecure: do not verify its certificate.
        ca: PEM file of the CA that signed it; None: the system's.

    Attributes:
        lives: how often the app was found to be back, after nobody had listened.
    """

    def __init__(self, target: Target, *, insecure: bool = False, ca: Path | None = None) -> None:
        self.target = target
        self.lives = 0
        self._near = NearApp(target)
        self._told_of_ports = False
        self._context: ssl.SSLContext | None = None
        if target.scheme == "https":
            self._context = ssl.create_default_context(cafile=ca)
            self._context.set_alpn_protocols(["http/1.1"])
            if insecure:
                self._context.check_hostname = False
                self._context.verify_mode = ssl.CERT_NONE

    def __repr__(self) -> str:
        return f"<Dialer {self.target}>"

    def open_at_once(self) -> OriginStream | None:
        """A new connection without a wait; None: only `open` has one, or says why there is none."""
        return self._near.connect()

    async def open(self) -> OriginStream:
        """A new connection, TLS done. Cancelling leaves nothing open.

        Raises:
            OriginDown: nobody listens at any address.
            PortsGone: this machine has no port left for it.
            OriginCertificateRefused: its certificate does.
            OriginRefused: no address takes one, for any other reason.
        """
        path = self.target.unix_path
        if path is not None:
            return await self._try([partial(connect_unix, path)])
        addresses = self.target.addresses()
        stream = await self._try([partial(connect_tcp, *address) for address in addresses])
        keep_alive(stream)
        if self._context is None:
            return TcpStream(stream)
        return await self._secure(stream, self._context)

    async def _try(self, ways: list[Callable[[], Awaitable[Connected]]]) -> Connected:
        """The first way that leads to the app."""
        failures: list[Exception] = []
        for way in ways:
            try:
                with trio.fail_after(CONNECT_TIMEOUT_S):
                    return await way()
            except (OSError, UnicodeError, trio.TooSlowError) as error:
                failures.append(error)
        causes = [cause for failure in failures for cause in _causes(failure)]
        await self._check_ports(causes)
        causes.sort(key=_is_of_no_interest)
        kind = OriginDown if _nobody_listens(causes) else OriginRefused
        raise kind(self._why(causes[0])) from None

    async def _check_ports(self, causes: list[BaseException]) -> None:
        """Raise PortsGone if that is what the failures say.

        EADDRNOTAVAIL is also what an address gives that this machine lacks, as ::1 without IPv6.
        """
        count = sum(getattr(cause, "errno", None) == errno.EADDRNOTAVAIL for cause in causes)
        if not count or count <= await lacking(self.target.addresses()):
            return
        why = f"this machine has no port left for a connection to {self.target}"
        if not self._told_of_ports:
            self._told_of_ports = True
            log.warning("%s: %s", why, _PORTS_HINT)
        raise PortsGone(f"{why}: {_PORTS_HINT}")

    async def _secure(
        self, stream: trio.SocketStream, context: ssl.SSLContext
    ) -> trio.SSLStream[TlsTransport]:
        secured = trio.SSLStream(TlsTransport(stream), context, server_hostname=self.target.host)
        try:
            with trio.fail_after(TLS_TIMEOUT_S):
                await secured.do_handshake()
        except (trio.BrokenResourceError, trio.TooSlowError) as error:
            await trio.aclose_forcefully(stream)
            untrusted = isinstance(error.__cause__, ssl.SSLCertVerificationError)
            kind = OriginCertificateRefused if untrusted else OriginRefused
            raise kind(f"{self.target} {_why_no_tls(error)}") from None
        except BaseException:
            await trio.aclose_forcefully(stream)
            raise
        return secured

    def _why(self, cause: BaseException) -> str:
        target = str(self.target)
        if isinstance(cause, trio.TooSlowError):
            return f"{target} did not accept a connection within {CONNECT_TIMEOUT_S:g} s"
        if isinstance(cause, (socket.gaierror, UnicodeError)):
            return f"{target} cannot be reached: the name cannot be resolved"
        number = getattr(cause, "errno", None)
        if number == errno.ECONNREFUSED:
            return f"nothing listens on {target}"
        if number == errno.ENOENT:
            return f"there is no socket at {target}"
        reason = os.strerror(number).lower() if number else printable(str(cause))
        return f"{target} cannot be reached: {reason}"


async def lacking(addresses: Iterable[Address]) -> int:
    """Count those that this machine has no address of its own for.

    A UDP socket is connected without a packet, and it needs no TCP port.
    """
    count = 0
    for host, port in addresses:
        for family, kind, _, _, address in await trio.socket.getaddrinfo(
            host, port, type=socket.SOCK_DGRAM
        ):
            try:
                with trio.socket.socket(family, kind) as probe:
                    await probe.connect(address)
            except OSError as error:
                count += error.errno == errno.EADDRNOTAVAIL
    return count


def _causes(error: BaseException) -> list[BaseException]:
    """The errors of single addresses, inside trio's wrappings."""
    if isinstance(error, BaseExceptionGroup):
        return [cause for inner in error.exceptions for cause in _causes(inner)]
    return [error] if error.__cause__ is None else _causes(error.__cause__)


def _is_of_no_interest(cause: BaseException) -> bool:
    return getattr(cause, "errno", None) in _OF_NO_INTEREST


def _nobody_listens(causes: list[BaseException]) -> bool:
    """Whether that is what every address said, those that this machine lacks left out."""
    numbers = {getattr(cause, "errno", None) for cause in causes if not _is_of_no_interest(cause)}
    return bool(numbers) and numbers <= _NOBODY_LISTENS


def _why_no_tls(error: Exception) -> str:
    cause = error.__cause__
    if isinstance(error, trio.TooSlowError):
        return f"did not finish a TLS handshake within {TLS_TIMEOUT_S:g} s"
    if isinstance(cause, ssl.SSLCertVerificationError):
        hint = "--origin-insecure or --origin-ca FILE accepts it"
        return f"shows a certificate that is not trusted ({cause.verify_message}); {hint}"
    if isinstance(cause, ssl.SSLError) and cause.reason == "WRONG_VERSION_NUMBER":
        return "does not speak TLS; is it an http:// app?"
    return "broke off the TLS handshake"
