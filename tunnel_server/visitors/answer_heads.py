"""The heads of an app's answer as they leave: fields, framing, and what a 101 switches to.

Plain functions of their arguments: they send nothing. The other end of the tunnel is not trusted:
what no answer may say raises HttpError.
"""

from __future__ import annotations

from protocol.drivers.stream import TunnelStream
from protocol.errors import HttpError
from protocol.http.cookies import names_a_domain, without_wide_domains
from protocol.http.fields import Fields, values_of
from protocol.http.forwarding import without_tunnel_error
from protocol.http.serialise import Framing, informational_head, response_head, wire_framing
from protocol.http.upgrades import WEBSOCKET, check_accept, check_no_framing, choice
from protocol.mux.messages import Head
from protocol.mux.streams import SWITCHING_PROTOCOLS
from tunnel_server.settings.config import ServerConfig
from tunnel_server.visitors.exchange import Exchange


def crosses(exchange: Exchange, status: int, *, trusted: bool) -> bool:
    """Whether an informational answer may go to the other side.

    HTTP/1.0 has none. And nginx before 1.29 takes one that it did not ask for as the answer, so
    that the next request on the visitor's connection waits until ours has ended.

    Args:
        exchange: that it is an answer in.
        status: of the answer.
        trusted: the other side is a proxy of --trusted-proxies.
    """
    if exchange.version == b"1.0":
        return False
    if not trusted:
        return True
    expects = exchange.head is not None and values_of(exchange.head.fields, b"expect")
    return bool(expects) and status == 100


def raw_interim_head(exchange: Exchange, head: Head, config: ServerConfig) -> bytes:
    """Return an informational answer as it leaves. Raises HttpError."""
    return informational_head(head.status, head.reason, _crossing(exchange, head, config))


def raw_final_head(
    exchange: Exchange, head: Head, config: ServerConfig, *, close: bool | None
) -> bytes:
    """Return the head of the final answer, or of a 101, as it leaves.

    Args:
        exchange, head: the app's answer, and the exchange that it ends.
        config: says which cookies an app may set.
        close: whether the head says that the connection closes; None: it says nothing of it.

    Raises:
        HttpError: no head may look so.
    """
    return response_head(
        head.status,
        head.reason,
        _crossing(exchange, head, config),
        body=head.body,
        visitor_version=exchange.version,
        method=exchange.method,
        close=close,
        upgrade=_protocol(exchange, head) if head.status == SWITCHING_PROTOCOLS else b"",
    )


def framing_of(exchange: Exchange, stream: TunnelStream, head: Head) -> Framing | None:
    """Return how the answer ends on this hop; None after a 101. Raises HttpError."""
    if head.status == SWITCHING_PROTOCOLS:
        _check_switch(exchange, stream, head)
        return None
    framing = wire_framing(
        head.body, visitor_version=exchange.version, method=exchange.method, status=head.status
    )
    if framing == "none" and head.body:
        raise HttpError("bad-request", "the other end of the tunnel sent a body where none is")
    return framing


def _crossing(exchange: Exchange, head: Head, config: ServerConfig) -> Fields:
    """The fields of an app's answer that the visitor gets."""
    fields = without_tunnel_error(head.fields)
    if exchange.head is None or config.wide_cookies or not names_a_domain(fields):
        return fields
    return without_wide_domains(fields, exchange.head.host, config.host_of(exchange.name))


def _check_switch(exchange: Exchange, stream: TunnelStream, head: Head) -> None:
    """Refuse a 101 that does not answer what was asked: the other end is not trusted."""
    if exchange.asks_websocket:
        asked = exchange.head.fields if exchange.head is not None else ()
        check_accept(b"".join(values_of(asked, b"sec-websocket-key")), head.fields)
        return
    choice(stream.opened.upgrade, head.upgrade)
    check_no_framing([name.lower() for name, _ in head.fields])
    if head.body is not None or not exchange.request_ended:
        raise HttpError("bad-request", "a 101 with a body, or in the middle of its request")


def _protocol(exchange: Exchange, head: Head) -> bytes:
    """Return what a 101 switches to; of a WebSocket the other end need not say it."""
    return WEBSOCKET if exchange.asks_websocket else head.upgrade
