"""The status of each error that the tunnel itself makes, by its code.

The codes are fixed: scripts read them in `Tunnel-Error`. Both ends have the table, so that the
client's report says what the visitor got.
"""

from __future__ import annotations

from typing import Final

STATUSES: Final = {
    "bad-request": 400,
    "unauthorized": 401,
    "forbidden": 403,
    "tunnel-not-found": 404,
    "request-timeout": 408,
    "uri-too-long": 414,
    "unknown-host": 421,
    "upgrade-required": 426,
    "too-many-requests": 429,
    "head-too-large": 431,
    "internal": 500,
    "method-not-supported": 501,
    "origin-refused": 502,
    "origin-untrusted": 502,
    "origin-protocol-error": 502,
    "tunnel-lost": 502,
    "tunnel-offline": 503,
    "overloaded": 503,
    "draining": 503,
    "no-ports": 503,
    "origin-timeout": 504,
    "version-not-supported": 505,
    "loop-detected": 508,
}

UNKNOWN: Final = "tunnel-lost"
"""The code that a visitor gets for a reset whose own is none of these."""


def status_of_reset(code: str) -> int:
    """The status that a visitor gets of whose answer nothing had left when it was reset."""
    return STATUSES.get(code, STATUSES[UNKNOWN])
