"""The rules that both ends of the tunnel agree on, and what runs them.

Two wings are plain: `protocol.mux` is ours (sessions, streams, credit: docs/protocol.md),
`protocol.http` is the web's (heads, bodies, WebSocket frames). Bytes in, events out, bytes to send,
with time and randomness as arguments. `protocol.drivers` runs them on trio, and alone touches tasks
and sockets. `protocol.program` is what the two programs are beside the wire.

Beside the wings stand what several of them need: `errors`, `limits` (every number of the wire),
`names` (of tunnels) with their `words`, `options` (of a claim) and `backoff` (when to connect
again). ARCHITECTURE.md has the picture.
"""

VERSION = 1
"""The version of the wire, the number in the subprotocol's name."""

SUBPROTOCOL = f"trio-tunnel.{VERSION}"
CONTROL_PATH = "/_tunnel/control"

FRAMES = 5
"""The level of logging, below DEBUG, at which each frame of a session is a line."""
