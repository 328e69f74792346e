"""The routes of the inspector, and the files of its page."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute

from tunnel_client.inspector.web.answers import NOT_FOUND, ApiError, answer, refuse
from tunnel_client.inspector.web.api import ExchangesApi
from tunnel_client.inspector.web.bodies import BodiesApi
from tunnel_client.inspector.web.comparisons import ComparisonsApi
from tunnel_client.inspector.web.exports import ExportsApi
from tunnel_client.inspector.web.feed import LiveFeeds
from tunnel_client.inspector.web.har import HarApi
from tunnel_client.inspector.web.replays import ReplaysApi
from tunnel_client.inspector.web.view import InspectorView

PAGES: Final = Path(__file__).with_name("pages")
_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}


def routes_of(view: InspectorView, feeds: LiveFeeds) -> Starlette:
    """Return the application behind the door."""
    api, bodies, pages = ExchangesApi(view), BodiesApi(view), PageFiles()
    exports, har, again = ExportsApi(view), HarApi(view), ReplaysApi(view)
    one = "/api/exchanges/{id:int}"
    routes = [
        Route("/api/run", api.run),
        Route("/api/exchanges", api.exchanges, methods=["GET"]),
        Route("/api/exchanges", api.clear, methods=["DELETE"]),
        Route("/api/next", api.next),
        Route("/api/diff", ComparisonsApi(view).diff),
        Route("/api/har", har.export, methods=["GET"]),
        Route("/api/har/entries", har.take, methods=["POST"]),
        Route(one, api.exchange),
        Route(f"{one}/unmask", api.unmask, methods=["POST"]),
        Route(f"{one}/cancel", api.cancel, methods=["POST"]),
        Route(f"{one}/replay", again.replay, methods=["POST"]),
        Route("/api/replay-all", again.replay_all, methods=["POST"]),
        Route("/api/jobs/{job}", again.job, methods=["GET"]),
        Route("/api/jobs/{job}", again.stop_job, methods=["DELETE"]),
        Route(f"{one}/curl", exports.curl),
        Route(f"{one}/httpx", exports.httpx),
        Route(f"{one}/page", bodies.page, methods=["POST"]),
        Route(f"{one}/frames", bodies.frames),
        Route(f"{one}/frames/{{n:int}}", bodies.frame),
        Route(f"{one}/{{part}}/body", bodies.body),
        WebSocketRoute("/api/live", feeds.serve),
        Route("/page/{name}", bodies.captured),
        Route("/{path:path}", pages.file),
    ]
    handlers = {ApiError: refuse, 404: _not_found, 405: _not_found}
    return Starlette(routes=routes, exception_handlers=handlers)


class PageFiles:
    """The files of the page, read once: they hold no data and need no token."""

    def __init__(self, folder: Path = PAGES) -> None:
        self._files = {
            path.relative_to(folder).as_posix(): (path.read_bytes(), _TYPES[path.suffix])
            for path in sorted(folder.rglob("*"))
            if path.suffix in _TYPES
        }

    def __repr__(self) -> str:
        return f"<PageFiles {len(self._files)} files>"

    async def file(self, request: Request) -> Response:
        """One of them."""
        found = self._files.get(request.path_params["path"] or "index.html")
        if found is None:
            raise ApiError(NOT_FOUND)
        data, media_type = found
        return Response(data, headers={"content-type": media_type})


async def _not_found(_: Request, __: Exception) -> Response:
    return answer({"error": NOT_FOUND.code, "message": NOT_FOUND.message}, NOT_FOUND.status)
