"""The answers of the API, and what a request has to say to get them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import trio
from starlette.requests import Request
from starlette.responses import Response

from protocol.errors import TunnelError
from tunnel_client.inspector.web.door import error_body
from tunnel_client.inspector.web.entry import Rejection

BODY_S: Final = 10.0  # a page on this machine sends 1 MiB in milliseconds

NOT_FOUND: Final = Rejection(404, "not-found", "there is nothing of this name")
NOT_KEPT: Final = Rejection(
    404, "not-kept", "this exchange is not kept any more, or never was: ask for the list again"
)
NO_BODY: Final = Rejection(404, "no-body", "not a byte of this body came, or none is kept")
MASKED: Final = Rejection(
    403, "masked", "a secret is in this body: POST to `unmask` with what: body, and ask again"
)
IS_OVER: Final = Rejection(409, "over", "this exchange is over already")
BODY_TOO_SLOW: Final = Rejection(408, "too-slow", "the request's body did not come in 10 s")


class ApiError(TunnelError):
    """It says why something cannot be had."""

    def __init__(self, why: Rejection) -> None:
        super().__init__(why.message)
        self.why = why


def bad(message: str) -> ApiError:
    """Return the error of a request that says something wrong."""
    return ApiError(Rejection(400, "bad-request", message))


def answer(value: Any, status: int = 200) -> Response:
    """Return an answer of JSON."""
    # A lone surrogate, as JSON may have had it, stays what it was: ASCII says all.
    text = json.dumps(value, separators=(",", ":"))
    return Response(text.encode(), status, media_type="application/json")


async def refuse(_: Request, error: Exception) -> Response:
    """Answer an ApiError."""
    assert isinstance(error, ApiError)
    why = error.why
    return Response(error_body(why), why.status, media_type="application/json")


async def posted(request: Request) -> dict[str, Any]:
    """Return the object that a request has as its body; an empty one for none.

    Raises ApiError. The door has the limit of its size.
    """
    with trio.move_on_after(BODY_S) as deadline:
        data = await request.body()
    if deadline.cancelled_caught:
        raise ApiError(BODY_TOO_SLOW)
    try:
        found = json.loads(data or b"{}")
    except (ValueError, RecursionError):
        raise bad("the body is no JSON") from None
    if not isinstance(found, dict):
        raise bad("the body has to be an object")
    return found


def number(query: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    """Return a whole number of a query. Raises ApiError."""
    said = query.get(name)
    if said is None:
        return default
    if not (said.isascii() and said.isdecimal() and len(said) < 16 and least <= int(said) <= most):
        raise bad(f"{name} takes a whole number from {least} to {most}")
    return int(said)
