"""What both ends of the tunnel agree on.

Two wings: `protocol.mux` is ours (sessions, streams, credit: docs/protocol.md), `protocol.http` is
the web's (heads, bodies, WebSocket frames). Both are plain: bytes in, events out, bytes to send,
with time and randomness as arguments. Only the drivers touch tasks and sockets: `mux.gate`,
`mux.stream`, `mux.session`, `mux.transport` and `sockets`. ARCHITECTURE.md has the picture.
"""

VERSION = 1
"""The version of the wire, the number in the subprotocol's name."""

SUBPROTOCOL = f"trio-tunnel.{VERSION}"
CONTROL_PATH = "/_tunnel/control"
