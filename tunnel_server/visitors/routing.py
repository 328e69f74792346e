"""Host decides whose a request is: the service's own, a tunnel's or nobody's."""

from __future__ import annotations

from typing import Final

from protocol import CONTROL_PATH
from protocol.errors import HttpError, LocalProtocolError
from protocol.http.fields import values_of
from protocol.http.forwarding import with_forwarding
from protocol.http.heads import RequestHead, end_to_end
from protocol.http.upgrades import WEBSOCKET as WEBSOCKET_PROTOCOL
from protocol.mux.messages import Open
from protocol.mux.streams import HTTP, UPGRADE, WEBSOCKET
from protocol.names import tunnel_key
from tunnel_server.answers.refusal import Refusal
from tunnel_server.tunnels.directory import Directory
from tunnel_server.tunnels.registry import Carrier, Tunnel
from tunnel_server.visitors.connection import Connection
from tunnel_server.visitors.edge import Edge
from tunnel_server.visitors.exchange import Exchange
from tunnel_server.visitors.same_connection import SameConnection
from tunnel_server.visitors.visitor import Visitor

_TE_TRAILERS: Final = (b"TE", b"trailers")
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_CONTROL: Final = CONTROL_PATH.encode()


def name_of(edge: Edge, head: RequestHead) -> str | None:
    """Return whose the request is: a tunnel's name, APEX, or None for nobody's."""
    return tunnel_key(head.host, edge.config.domains)


def is_control(head: RequestHead) -> bool:
    """Whether a request to the service's own host is a tunnel's client that connects."""
    return head.target.partition(b"?")[0] == _CONTROL


def open_stream(
    connection: Connection,
    head: RequestHead,
    tunnel: Tunnel,
    visitor: Visitor,
    same: SameConnection,
) -> Exchange | Refusal:
    """Open a stream for a request, right after it was admitted.

    Args:
        connection: the visitor's.
        head: the request.
        tunnel: where it goes.
        visitor: whose it is.
        same: knows which requests came by this connection; a proxy's is of many visitors.

    Raises:
        SessionClosed: what carries the tunnel is gone.
    """
    try:
        numbers = same.next_request(tunnel.carrier) if visitor.connected else (None, None)
        opened = _opening(connection, head, tunnel, visitor.address, numbers)
        stream = tunnel.carrier.open(opened, connection.answer_ready)
    except HttpError as error:
        return Refusal(error.code, str(error))
    except LocalProtocolError as error:
        return Refusal("head-too-large", str(error))
    if head.body is None and opened.kind != WEBSOCKET:
        stream.send_eof()
    exchange = Exchange(head, stream=stream, name=tunnel.name)
    exchange.ws_keepalive_s = tunnel.options.ws_keepalive_s
    return exchange


async def wait_for_batch(directory: Directory, name: str) -> None:
    """Before a request begins: wait while the carrier that it goes to has enough to send."""
    tunnel = directory.registry.find(name)
    if tunnel is not None and tunnel.carrier.batch_is_full:
        await tunnel.carrier.wait_for_batch()


def _opening(
    connection: Connection,
    head: RequestHead,
    tunnel: Tunnel,
    visitor: str,
    numbers: tuple[int | None, int | None],
) -> Open:
    address, trusted, _ = connection.source
    fields = end_to_end(head.fields)
    scheme, host, port = _public_origin(connection, head, trusted)
    fields = with_forwarding(
        fields,
        visitor=address,
        scheme=scheme,
        host=host,
        port=port,
        trusted=trusted,
        known=connection.edge.known_fields,
        dropped=connection.edge.dropped_fields.tell,
    )
    if head.te_trailers:
        fields = (*fields, _TE_TRAILERS)  # of this hop, but the client writes it for the next
    kind = _kind_of(head, tunnel.carrier) if head.upgrade else HTTP
    return Open(
        kind,
        tunnel.claim,
        head.method,
        head.target,
        head.version,
        fields,
        head.body,
        scheme,
        host,
        visitor,
        0,
        *numbers,
        head.upgrade if kind == UPGRADE else b"",
    )


def _kind_of(head: RequestHead, carrier: Carrier) -> str:
    """Return the kind of stream for a request with Upgrade.

    A client that does not serve any upgrade gets a plain request, as a proxy makes of it that does
    not know the protocol (RFC 9110 7.8).
    """
    if head.upgrade == WEBSOCKET_PROTOCOL:
        return WEBSOCKET
    return UPGRADE if carrier.serves_upgrades else HTTP


def _public_origin(
    connection: Connection, head: RequestHead, trusted: bool
) -> tuple[str, str, int]:
    """Scheme, host with port, and port, as the visitor's browser spells them.

    The scheme and port are those of --public-url, else what a proxy says, else ours and Host's. A
    proxy in front may have dropped the port from Host.
    """
    name, port = _split_port(head.host.decode("ascii").lower())
    public_url = connection.edge.config.public_url
    if public_url is not None:
        scheme, port = public_url.scheme, public_url.port
    else:
        scheme = "https" if connection.source.secure else "http"
        said = values_of(head.fields, b"x-forwarded-proto") if trusted else []
        if said in ([b"http"], [b"https"]):
            scheme = said[0].decode("ascii")
    default = _DEFAULT_PORTS[scheme]
    if port is None or port == default:
        return scheme, name, default
    return scheme, f"{name}:{port}", port


def _split_port(host: str) -> tuple[str, int | None]:
    name, colon, port = host.rpartition(":")
    return (name, int(port)) if colon and port.isdigit() else (host, None)
