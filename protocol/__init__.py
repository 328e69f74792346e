"""The rules that both ends of the tunnel agree on, and what runs them.

Two wings are plain: `protocol.mux` is ours (sessions, streams, credit: docs/protocol.md),
`protocol.http` is the web's (heads, bodies, WebSocket frames). Bytes in, events out, bytes to send,
with time and randomness as arguments. `protocol.drivers` runs them on trio, and alone touches tasks
and sockets. `protocol.program` is what the two programs are beside the wire.

Beside the wings stand what several of them need: `errors`, `limits` (every number of the wire),
`names` (of tunnels) with their `words`, `options` (of a claim), `statuses` (of the tunnel's own
errors) and `backoff` (when to connect again). ARCHITECTURE.md has the picture.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

VERSIONS: Final = (2, 1)
"""The versions of the wire that both programs speak, newest first."""

VERSION: Final = VERSIONS[0]

_SUBPROTOCOLS: Final = {f"trio-tunnel.{version}": version for version in VERSIONS}

SUBPROTOCOLS: Final = tuple(_SUBPROTOCOLS)
"""The names of the versions in the WebSocket's handshake, newest first."""

CONTROL_PATH: Final = "/_tunnel/control"

FRAMES: Final = 5
"""The level of logging, below DEBUG, at which each frame of a session is a line."""


def subprotocol_of(version: int) -> str:
    """Return the name of a version of ours."""
    return f"trio-tunnel.{version}"


def version_of(subprotocol: str | None) -> int | None:
    """Return the version of the wire that a subprotocol names; None: it is none of ours."""
    return _SUBPROTOCOLS.get(subprotocol or "")


def best_version(offered: Iterable[str]) -> int | None:
    """Return the newest version of ours among those that a client offers; None: there is none."""
    return max((_SUBPROTOCOLS[name] for name in offered if name in _SUBPROTOCOLS), default=None)
