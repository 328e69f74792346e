"""The log's lines about forwarding fields that a trusted proxy may not say, and what to do.

A proxy says a field with each request, and it is told once. A visitor may make up as many names as
it likes, and should not use up the lines of those that matter. So what proxies are known to set has
lines of its own, and of all other names a few are told a minute.
"""

from __future__ import annotations

import logging
import math
from collections import OrderedDict
from collections.abc import Set
from typing import Final

import trio

from protocol.http.fields import folded

log = logging.getLogger(__name__)

# oauth2-proxy, Authelia, Traefik, Envoy, ingress-nginx and Apache say these.
OFTEN_SET: Final = frozenset(
    b"x-forwarded-" + name
    for name in (
        *(b"user", b"email", b"groups", b"preferred-username", b"access-token"),
        *(b"client-cert", b"tls-client-cert", b"tls-client-cert-info"),
        *(b"server", b"prefix", b"by", b"scheme", b"ssl", b"uri", b"method"),
    )
)
TOLD_A_MINUTE: Final = 16  # of all others
REMEMBERED_MAX: Final = 1024  # of those; what came longest ago is told once more
LONGEST_BYTES: Final = 64  # of a name, told and remembered; none of those above has half of it


class DroppedFields:
    """Tells of each once.

    Args:
        trusted: names that the operator lets pass, in lower case.
    """

    def __init__(self, trusted: Set[bytes]) -> None:
        self._has_trusted = bool(trusted)
        self._often_set: set[bytes] = set()
        self._others: OrderedDict[bytes, None] = OrderedDict()  # the longest ago first
        self._minute_began = -math.inf
        self._told_since = 0

    def __repr__(self) -> str:
        return f"<DroppedFields {len(self._often_set) + len(self._others)} told>"

    def tell(self, name: bytes) -> None:
        """A trusted proxy has sent a field of this name, in lower case: say so once."""
        name = name[:LONGEST_BYTES]
        if name in self._others:
            self._others.move_to_end(name)
        elif name in OFTEN_SET:
            if name not in self._often_set:
                self._often_set.add(name)
                self._log(name)
        elif self._has_line():
            self._others[name] = None
            if len(self._others) > REMEMBERED_MAX:
                self._others.popitem(last=False)
            self._log(name)

    def _has_line(self) -> bool:
        """Whether one more of the others may be told in this minute, which is then taken."""
        now = trio.current_time()
        if now - self._minute_began >= 60:
            self._minute_began, self._told_since = now, 0
        self._told_since += 1
        return self._told_since <= TOLD_A_MINUTE

    def _log(self, name: bytes) -> None:
        shown = name.decode("latin-1")
        text = "a trusted proxy has sent %s, which may be what a visitor wrote, and is dropped"
        if folded(name) == name:  # other spellings pass for nobody
            how = f"--trusted-fields {shown} lets it pass"
            if self._has_trusted:
                how = f"add {shown} to --trusted-fields"
            text += f"; if the proxy sets or clears it, {how}"
        log.warning(text, shown)
