"""The limits that an operator has set on requests: asked before one waits for anything."""

from __future__ import annotations

import logging
import math
from typing import Final

from tunnel_server.answers.refusal import Refusal
from tunnel_server.observing.strangers import by_stranger
from tunnel_server.owners.gcra import Rate, RateTable
from tunnel_server.settings.limit_values import Limits, RequestRate
from tunnel_server.visitors.visitor import Visitor

log = logging.getLogger(__name__)

_CAUSES: Final = {
    "visitor": "More requests came from your address than whoever runs this service allows one",
    "tunnel": "More requests came for this tunnel than whoever runs the service allows one",
    "owner": "More requests came for this owner's tunnels than whoever runs the service allows one",
}


class RequestLimits:
    """Counts requests by visitor, tunnel and owner, as far as these are limited.

    This machine, and what a proxy brings of nobody in particular, are no visitor.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        rates = {scope: Rate(*rate) for scope, rate in limits.requests.items()}
        self._tables = {scope: RateTable(rate) for scope, rate in rates.items()}

    def __repr__(self) -> str:
        return f"<RequestLimits {self._tables}>"

    def refusal(self, visitor: Visitor, name: str, owner: str | None, now: float) -> Refusal | None:
        """Count a request; why it is refused, which counts for what was asked before it."""
        keys = {"visitor": visitor.key, "tunnel": name, "owner": owner}
        for scope, table in self._tables.items():
            key = keys[scope]
            waits_s = 0.0 if key is None else table.take(key, now)
            if waits_s:
                return _refused(scope, self._limits.requests[scope], waits_s, visitor, name)
        return None


def limits_of(limits: Limits) -> RequestLimits | None:
    """Return the counter of requests; None where nothing is limited."""
    return RequestLimits(limits) if limits.requests else None


def _refused(scope: str, rate: RequestRate, waits_s: float, visitor: Visitor, name: str) -> Refusal:
    limit = f"{scope}.requests={rate.per_s:g}/{rate.burst:g}"
    extra = by_stranger(visitor.address, scope)
    text = "%s: too-many-requests: a request for tunnel %s: --limit %s"
    log.info(text, visitor.address, name, limit, extra=extra)
    seconds = max(1, math.ceil(waits_s))
    return Refusal(
        "too-many-requests",
        f"{_CAUSES[scope]}: {rate.per_s:g} a second, {rate.burst:g} at once.",
        fields=((b"Retry-After", b"%d" % seconds),),
    )
