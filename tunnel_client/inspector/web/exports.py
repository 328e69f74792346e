"""The routes of what leaves the inspector for other programs: curl, Python."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import trio
from starlette.requests import Request
from starlette.responses import Response

from tunnel_client.inspector.capture.snapshot import ExchangeSnapshot, snapshot_of
from tunnel_client.inspector.exports.copied_request import CopiedRequest, copied_request
from tunnel_client.inspector.exports.curl import curl_command
from tunnel_client.inspector.exports.httpx_code import httpx_code
from tunnel_client.inspector.shown.masking import Masks
from tunnel_client.inspector.web.api import LARGE_BYTES, kept
from tunnel_client.inspector.web.view import InspectorView


class ExportsApi:
    """Answers requests; each method is one route."""

    def __init__(self, view: InspectorView) -> None:
        self._view = view

    def __repr__(self) -> str:
        return f"<ExportsApi {self._view!r}>"

    async def curl(self, request: Request) -> Response:
        """A command that sends a request to the app once more."""
        return await self._copy(request, curl_command)

    async def httpx(self, request: Request) -> Response:
        """The same in Python."""
        return await self._copy(request, httpx_code)

    async def _copy(self, request: Request, form: Callable[[CopiedRequest], str]) -> Response:
        exchange = snapshot_of(kept(self._view, request))
        masks = self._masks(request)
        make = partial(_copied, exchange, self._view.facts.program.target, masks, form)
        small = exchange.request is None or len(exchange.request.data) <= LARGE_BYTES
        text = make() if small else await trio.to_thread.run_sync(make)
        fields = {"content-type": "text/plain; charset=utf-8", "x-masked": str(masks.count)}
        return Response(text.encode(), headers=fields)

    def _masks(self, request: Request) -> Masks:
        return self._view.masks(is_on=request.query_params.get("secrets") != "1")


def _copied(
    exchange: ExchangeSnapshot, target: str, masks: Masks, form: Callable[[CopiedRequest], str]
) -> str:
    return form(copied_request(exchange, target, masks))
