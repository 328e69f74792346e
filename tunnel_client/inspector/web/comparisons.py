"""The route by which two answers are compared."""

from __future__ import annotations

from typing import Final

import trio
from starlette.requests import Request
from starlette.responses import Response

from tunnel_client.inspector.capture.exchange import KeptExchange
from tunnel_client.inspector.capture.snapshot import snapshot_of
from tunnel_client.inspector.comparing.answers import compared
from tunnel_client.inspector.web.answers import NOT_KEPT, ApiError, answer, bad, number
from tunnel_client.inspector.web.view import InspectorView

_ID_MAX: Final = 2**53
# One at a time: each takes up to two seconds of a thread, and the tunnel has one processor.
_LIMIT: Final = 1


class ComparisonsApi:
    """Answers requests; each method is one route."""

    def __init__(self, view: InspectorView) -> None:
        self._view = view
        self._limiter = trio.CapacityLimiter(_LIMIT)

    def __repr__(self) -> str:
        return f"<ComparisonsApi {self._view!r}>"

    async def diff(self, request: Request) -> Response:
        """Compare the answers of two exchanges."""
        before, after = (snapshot_of(self._kept(request, name)) for name in ("a", "b"))
        masks = self._view.masks()
        found = await trio.to_thread.run_sync(compared, before, after, masks, limiter=self._limiter)
        return answer({"a": before.id, "b": after.id, **found})

    def _kept(self, request: Request, name: str) -> KeptExchange:
        if name not in request.query_params:
            raise bad(f"{name} takes the number of an exchange")
        exchange = self._view.store.get(number(request.query_params, name, 0, 0, _ID_MAX))
        if exchange is None:
            raise ApiError(NOT_KEPT)
        return exchange
