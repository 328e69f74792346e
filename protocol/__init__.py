"""What both ends of the tunnel agree on.

Two wings are plain: `protocol.mux` is ours (sessions, streams, credit: docs/protocol.md),
`protocol.http` is the web's (heads, bodies, WebSocket frames); bytes in, events out, bytes to send,
with time and randomness as arguments. Only `protocol.drivers` touches tasks and sockets.
`protocol.program` is what both programs are beside the wire. ARCHITECTURE.md has the picture.
"""

VERSION = 1
"""The version of the wire, the number in the subprotocol's name."""

SUBPROTOCOL = f"trio-tunnel.{VERSION}"
CONTROL_PATH = "/_tunnel/control"
