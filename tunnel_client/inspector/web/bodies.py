"""The routes of bodies and frames: shown, as text or bytes, or by a URL of their own.

A captured page runs no script and loads nothing: its policy says so, and the attribute of the frame
that it is shown in says it once more. Its URL is all that a frame has to show for itself, so it is
a name that nobody guesses.
"""

from __future__ import annotations

import re
from functools import partial
from typing import Any, Final, NamedTuple

import trio
from starlette.requests import Request
from starlette.responses import Response

from tunnel_client.inspector.capture.exchange import KeptExchange
from tunnel_client.inspector.capture.frames import FrameRow, Frames
from tunnel_client.inspector.shown.bodies import ShownBody, shown, shown_text
from tunnel_client.inspector.shown.codings import decoded
from tunnel_client.inspector.shown.masking import Masks
from tunnel_client.inspector.shown.texts import decoded_text, hex_rows, image_type
from tunnel_client.inspector.web.answers import (
    MASKED,
    NO_BODY,
    NOT_FOUND,
    NOT_KEPT,
    ApiError,
    answer,
    bad,
    number,
    posted,
)
from tunnel_client.inspector.web.api import LARGE_BYTES, kept, part_of
from tunnel_client.inspector.web.heads import head_parts
from tunnel_client.inspector.web.rows import ms
from tunnel_client.inspector.web.view import CapturedPage, InspectorView, Part, half_of

CAPTURED_POLICY: Final = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'none';"
    " base-uri 'none'; frame-ancestors 'self'"
)
_CHARS_MAX: Final = 1024 * 1024
_HEX_ROWS_MAX: Final = 4096
_FRAMES_MAX: Final = 1000
_FRAMES: Final = 200
_CONTINUATION: Final = 0  # RFC 6455 5.2

# What a browser shows in place; all else is downloaded.
_IN_PLACE: Final = re.compile(
    r"(?:text/(?:html|plain|xml|css)|application/(?:xhtml\+xml|xml|json)"
    r"|image/(?:png|jpeg|gif|webp|avif|bmp|svg\+xml|x-icon|vnd\.microsoft\.icon))"
    r"(?:; ?charset=[\w-]{1,40})?",
    re.IGNORECASE | re.ASCII,
)


class KeptBody(NamedTuple):
    """A body as far as it is kept, and what its head says of it."""

    data: bytes
    media_type: str
    coding: str


class BodiesApi:
    """Answers requests; each method is one route."""

    def __init__(self, view: InspectorView) -> None:
        self._view = view

    def __repr__(self) -> str:
        return f"<BodiesApi {self._view!r}>"

    async def body(self, request: Request) -> Response:
        """A body, shown, or as text or rows of bytes."""
        exchange, part = kept(self._view, request), part_of(request.path_params["part"])
        body = kept_body(exchange, part)
        query = request.query_params
        way = query.get("as", "shown")
        if way == "shown":
            said = await self._shown(exchange, part, body)
            return await _answered(said, len(body.data))
        await self._check_unmasked(exchange, part, body)
        data = body.data if query.get("raw") == "1" else await _decoded(body)
        if way == "text":
            begin = number(query, "from", 0, 0, _CHARS_MAX)
            count = number(query, "count", _CHARS_MAX, 1, _CHARS_MAX)
            found = decoded_text(data).text
            return answer({"text": found[begin : begin + count], "chars": len(found)})
        if way != "hex":
            raise bad("as takes shown, text or hex")
        begin = number(query, "from", 0, 0, _CHARS_MAX)
        rows = hex_rows(data, begin, number(query, "count", _FRAMES, 1, _HEX_ROWS_MAX))
        return answer({"size": len(data), "rows": [list(row) for row in rows]})

    async def page(self, request: Request) -> Response:
        """Make the URL of a body."""
        exchange, said = kept(self._view, request), await posted(request)
        part = part_of(said.get("part"))
        await self._check_unmasked(exchange, part, kept_body(exchange, part))
        page = CapturedPage(exchange.id, part, said.get("download") is True)
        return answer({"url": f"/page/{self._view.add_page(page)}"})

    async def captured(self, request: Request) -> Response:
        """Answer with a body, under its policy, as long as it is kept."""
        page = self._view.page(request.path_params["name"])
        exchange = None if page is None else self._view.store.get(page.id)
        if page is None or exchange is None:
            raise ApiError(NOT_FOUND)
        body = kept_body(exchange, page.part)
        data = await _decoded(body)
        media_type = _shown_type(data, body.media_type)
        fields = {"content-security-policy": CAPTURED_POLICY}
        if page.is_download or media_type is None:
            name = f"{page.part}-{page.id}.bin"
            fields["content-disposition"] = f'attachment; filename="{name}"'
            media_type = "application/octet-stream"
        return Response(data, headers=fields | {"content-type": media_type})

    async def frames(self, request: Request) -> Response:
        """Rows of a WebSocket."""
        exchange, query = kept(self._view, request), request.query_params
        frames = _frames(exchange)
        begin = number(query, "from", frames.first, 0, 2**40)
        rows = frames.rows(begin, number(query, "count", _FRAMES, 1, _FRAMES_MAX))
        shown_rows = [_frame(row, exchange.began_at, self._view.masks()) for row in rows]
        return answer({"total": frames.count, "first": frames.first, "frames": shown_rows})

    async def frame(self, request: Request) -> Response:
        """The message that a frame belongs to, shown as a body is."""
        exchange = kept(self._view, request)
        frames = _frames(exchange)
        if not frames.keeps_payloads:
            raise ApiError(NO_BODY)
        message = frames.message(request.path_params["n"])
        if message is None:
            raise ApiError(NOT_KEPT)
        media_type = "text/plain; charset=utf-8" if message.is_text else ""
        ask = partial(shown, message.data, media_type, "", self._view.masks())
        large = len(message.data) > LARGE_BYTES
        found = await trio.to_thread.run_sync(ask) if large else ask()
        said = _said(found)
        said["cut"] = found.is_cut or not message.is_whole
        return await _answered(said, len(message.data))

    async def _shown(self, exchange: KeptExchange, part: Part, body: KeptBody) -> dict[str, Any]:
        found = await self._show(exchange, part, body)
        said = _said(found)
        if found.form == "image":
            page = CapturedPage(exchange.id, part, is_download=False)
            said["url"] = f"/page/{self._view.add_page(page)}"
        return said

    async def _show(self, exchange: KeptExchange, part: Part, body: KeptBody) -> ShownBody:
        masks = self._view.masks(is_on=not self._view.is_unmasked(exchange.id, part))
        ask = partial(shown, body.data, body.media_type, body.coding, masks)
        if len(body.data) <= LARGE_BYTES:
            return ask()
        return await trio.to_thread.run_sync(ask)

    async def _check_unmasked(self, exchange: KeptExchange, part: Part, body: KeptBody) -> None:
        found = await self._show(exchange, part, body)
        if found.masked:
            raise ApiError(MASKED)


def kept_body(exchange: KeptExchange, part: Part) -> KeptBody:
    """Return a body. Raises ApiError where not a byte of it is kept."""
    half = half_of(exchange, part)
    data = half.body.data() if half.body is not None else b""
    if not data:
        raise ApiError(NO_BODY)
    head = head_parts(half.head)
    return KeptBody(data, head.first("content-type"), head.joined("content-encoding"))


async def _answered(said: dict[str, Any], size_bytes: int) -> Response:
    """Make the answer; the tree of a large body takes as long to write as to make."""
    if size_bytes <= LARGE_BYTES:
        return answer(said)
    return await trio.to_thread.run_sync(answer, said)


async def _decoded(body: KeptBody) -> bytes:
    if len(body.data) <= LARGE_BYTES:
        return decoded(body.data, body.coding).data
    found = await trio.to_thread.run_sync(decoded, body.data, body.coding)
    return found.data


def _shown_type(data: bytes, said: str) -> str | None:
    """Return the type that a body is shown with; None: it is downloaded."""
    if image := image_type(data):
        said = image
    return said if _IN_PLACE.fullmatch(said) else None


_VALUES: Final = {
    "json": "tree",
    "form": "pairs",
    "multipart": "parts",
    "sse": "events",
    "text": "text",
    "image": "type",
}


def _said(found: ShownBody) -> dict[str, Any]:
    said: dict[str, Any] = {
        "form": found.form,
        "cut": found.is_cut,
        "masked": found.masked,
        "problem": found.problem,
    }
    if found.form in _VALUES:
        said[_VALUES[found.form]] = found.value
    return said


def _frames(exchange: KeptExchange) -> Frames:
    if exchange.frames is None:
        raise ApiError(NO_BODY)
    return exchange.frames


def _frame(row: FrameRow, began_at: float, masks: Masks) -> dict[str, Any]:
    # What goes on from another frame says no names: its message, which does, is shown whole.
    text = "" if row.opcode == _CONTINUATION else row.text
    is_cut = not row.is_final or row.decoded_bytes > len(text)
    shown_as = shown_text(text, masks, is_cut=is_cut)
    return {
        "n": row.number,
        "at_ms": ms(row.at - began_at),
        "from": row.sender,
        "opcode": row.opcode,
        "fin": row.is_final,
        "rsv1": row.rsv1,
        "size": row.size_bytes,
        "decoded_size": row.decoded_bytes,
        "text": shown_as,
        "json": text[:1] in ("{", "["),
        "close": None if row.close is None else {"code": row.close[0], "reason": row.close[1]},
        "problem": row.problem,
        "gap": row.size_bytes if row.opcode is None else 0,
    }
