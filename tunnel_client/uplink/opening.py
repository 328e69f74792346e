"""The opening handshake with the server: each way in which it can fail is one reason.

The WebSocket library waits for ever when the server closes before it answers, or answers in
something else than HTTP, and raises a refusal out of its nursery. So there is a stream under it
that raises in its place, and one function that reads whatever came out of the nursery.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Final, NamedTuple

import trio
import trio_websocket

from protocol.backoff import LONGEST_ASKED_S
from protocol.drivers.transport import TransportClosed, WebSocketTransport, open_websocket
from protocol.errors import HandshakeRefused, RemoteProtocolError
from protocol.limits import FIRST_CREDIT_BYTES, HANDSHAKE_TIMEOUT_S, STREAMS_MAX
from protocol.mux.handshake import (
    hello_message,
    read_answer_to_hello,
    read_answer_to_resume,
    resume_message,
)
from protocol.mux.messages import Hello, Resume, Resumed, Welcome
from protocol.mux.streams import SERVES_UPGRADES
from protocol.program.text import printable
from tunnel_client.settings.config import ClientConfig
from tunnel_client.uplink.connect import ConnectFailed

log = logging.getLogger(__name__)

# A refusal with one of these is for now, and not for good; so is any with a status from 500 on,
# which may be another tunnel's, on the way to this server.
FOR_NOW: Final = frozenset({"draining", "overloaded", "internal", "too-many-requests"})

# Of a page in place of an answer, which the library keeps. A proxy's has a few KiB.
LONGEST_ANSWER_BYTES: Final = 64 * 1024

_TLS_ALERT: Final = b"\x15\x03"  # RFC 8446 5.1: the type of a record, and its version
_IS_HTTPS: Final = "; is it an https:// server?"
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.[01] ([0-9]{3})")
_SECONDS: Final = re.compile(rb"[0-9]{1,9}")
_PASSING: Final = frozenset({408, 429})  # which say that it is to be tried again
_LONGEST_SHOWN_CHARS: Final = 500


class Wanted(NamedTuple):
    """A session that is wanted back.

    Attributes:
        resume: how it is asked for.
        wire_version: in which it began, and goes on; a server that was changed meanwhile has it no
            more.
    """

    resume: Resume
    wire_version: int


class OpeningStream(trio.abc.Stream):
    """A connection to the server that raises ConnectFailed when no answer will come.

    Args:
        stream: the connection.
        url: of the server, for people.

    Attributes:
        opened: the handshake is done; from now on all is passed on as it comes.
    """

    def __init__(self, stream: trio.abc.Stream, url: str) -> None:
        self.opened = False
        self._stream = stream
        self._url = url
        self._first = b""  # that came
        self._received = 0

    def __repr__(self) -> str:
        return f"<OpeningStream {'opened' if self.opened else 'opening'} {self._stream!r}>"

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        try:
            await self._stream.send_all(data)
        except trio.BrokenResourceError:
            if self.opened:
                raise
            raise self._failure() from None

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        try:
            data = await self._stream.receive_some(max_bytes)
        except trio.BrokenResourceError:
            if self.opened:
                raise
            raise self._failure() from None
        if not self.opened:
            self._first = self._first or bytes(data)
            if not data or self._first.startswith(_TLS_ALERT):
                raise self._failure()
            self._received += len(data)
            if self._received > LONGEST_ANSWER_BYTES:
                raise self._failure()
        return data

    async def aclose(self) -> None:
        await self._stream.aclose()
        if not self.opened:  # the library could make nothing of what came
            raise self._failure()

    def _failure(self) -> ConnectFailed:
        status = _STATUS_LINE.match(self._first)
        if status is not None:
            return _answered(self._url, int(status[1]))
        if self._first.startswith(_TLS_ALERT):
            said = f"what answers at {self._url} speaks TLS{_IS_HTTPS}"
            return ConnectFailed(said, final=True, code="not-a-server")
        if self._first:
            return _no_server(self._url)
        return ConnectFailed(f"{self._url} closed the connection before it answered")


async def open_transport(
    nursery: trio.Nursery,
    stream: trio.abc.Stream,
    config: ClientConfig,
    version: str,
    wanted: Wanted | None = None,
) -> tuple[WebSocketTransport, Welcome | Resumed]:
    """The WebSocket's handshake, then resume, if it is to be and the server agrees, or hello.

    Args:
        nursery: the connection's own: also exceptions of the library end up there.
        stream: the way to the server.
        version: of this program.
        wanted: the session that is wanted back.

    What goes wrong is raised, here or out of the nursery, and for `failure_of` to read.
    """
    opening = OpeningStream(stream, str(config.server_url))
    with trio.fail_after(HANDSHAKE_TIMEOUT_S):
        transport = await open_websocket(
            nursery,
            opening,
            host=config.server_url.authority,
            authorization=f"Bearer {config.token}",
        )
        opening.opened = True
        if wanted is not None and wanted.wire_version == transport.version:
            await transport.send(resume_message(wanted.resume))
            resumed = read_answer_to_resume(await transport.receive())
            if resumed is not None:
                return transport, resumed
        hello = Hello((SERVES_UPGRADES,), f"trio-tunnel/{version}", STREAMS_MAX, FIRST_CREDIT_BYTES)
        await transport.send(hello_message(hello))
        return transport, read_answer_to_hello(await transport.receive())


def failure_of(error: BaseException, url: str) -> ConnectFailed | HandshakeRefused:
    """Tell what an exception of the handshake means: a refusal for good, or a reason to try again.

    Args:
        error: may be a group, of which the first counts.
        url: of the server, for people.
    """
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, HandshakeRefused):
        return _refusal(error.code, error.message)
    if isinstance(error, ConnectFailed):
        return error
    if isinstance(error, trio.TooSlowError):
        return ConnectFailed(f"{url} did not answer within {HANDSHAKE_TIMEOUT_S} s")
    if isinstance(error, trio_websocket.ConnectionRejected):
        return _rejection(error, url)
    if isinstance(error, (TransportClosed, RemoteProtocolError)):
        return ConnectFailed(f"no session with {url}: {error}")
    log.debug("the handshake failed", exc_info=error)
    return _no_server(url)


def _rejection(
    error: trio_websocket.ConnectionRejected, url: str
) -> ConnectFailed | HandshakeRefused:
    """The server's own refusals carry Tunnel-Error; another may come from a proxy."""
    headers = {name.lower(): value for name, value in error.headers or ()}
    code = printable(headers.get(b"tunnel-error", b"").decode("ascii", "replace"))
    if not code:
        return _answered(url, error.status_code, headers)
    cause, advice = _said(error.body, "cause") or code, _said(error.body, "next")
    if error.status_code >= 500 or code in FOR_NOW:
        said = f"{cause} {advice}" if advice else cause
        said = f"{url} does not take us now: {said}"
        return ConnectFailed(said, retry_after_s=_retry_after_s(headers), code=code)
    return HandshakeRefused(code, cause)  # `next_steps` knows what to do


def _refusal(code: str, message: str) -> ConnectFailed | HandshakeRefused:
    if code in FOR_NOW:
        return ConnectFailed(f"the server does not take us now: {message}", code=code)
    return HandshakeRefused(code, message)


def _answered(
    url: str, status: int, headers: Mapping[bytes, bytes] = MappingProxyType({})
) -> ConnectFailed:
    """Tell of an answer that is not a tunnel-server's: a proxy's where nothing is behind it now."""
    said = f"{url} answered {status}, and not as a tunnel-server"
    if location := headers.get(b"location"):
        shown = printable(location.decode("ascii", "replace"))[:_LONGEST_SHOWN_CHARS]
        said = f"{said}: it redirects to {shown}"
    elif status == HTTPStatus.BAD_REQUEST and url.startswith("http:"):
        said = f"{said}{_IS_HTTPS}"  # so say nginx, Go and tunnel-server where they speak TLS
    passes = status >= 500 or status in _PASSING
    code = "unreachable" if passes else "not-a-server"
    return ConnectFailed(said, final=not passes, retry_after_s=_retry_after_s(headers), code=code)


def _no_server(url: str) -> ConnectFailed:
    return ConnectFailed(
        f"what answers at {url} is not a tunnel-server", final=True, code="not-a-server"
    )


def _retry_after_s(headers: Mapping[bytes, bytes]) -> float | None:
    """Return the seconds of Retry-After (RFC 9110 10.2.3); None: it is not there, or a date."""
    value = headers.get(b"retry-after", b"")
    return min(float(value), LONGEST_ASKED_S) if _SECONDS.fullmatch(value) else None


def _said(body: bytes | None, member: str) -> str:
    """One member of a refusal's body, which is JSON when it is the server's own; "": none."""
    try:
        text = json.loads(body or b"")[member]
    except (ValueError, TypeError, KeyError):
        return ""
    return printable(str(text))[:_LONGEST_SHOWN_CHARS]
