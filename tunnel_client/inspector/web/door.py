"""The one way in: an ASGI application before all others, for HTTP and WebSocket alike.

It asks `EntryRules`, holds the limits on heads and bodies, and says on each answer what a browser
may do with it. What is behind it needs to check nothing of that again.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, Final

from protocol.errors import TunnelError
from tunnel_client.inspector.web.entry import EntryHead, EntryRules, Rejection

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Fields = list[tuple[bytes, bytes]]

HEAD_MAX_BYTES: Final = 32 * 1024  # four times what most servers take; nothing here needs more
MESSAGE_MAX_BYTES: Final = 64 * 1024  # of a page, which sends its token and nothing else
BODY_MAX_BYTES: Final = 1024 * 1024  # as much as is kept of a body that is sent again

HEAD_TOO_LARGE: Final = Rejection(431, "head-too-large", "a head may have 32 KiB")
BODY_TOO_LARGE: Final = Rejection(413, "body-too-large", "a body may have 1 MiB")
WRONG_VERSION: Final = Rejection(505, "wrong-version", "the inspector speaks HTTP/1.1 alone")
FAULT: Final = Rejection(500, "fault", "a fault in the inspector; the client's log has it")

PAGE_POLICY: Final = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
    b" img-src 'self' data: blob:; frame-src 'self'; base-uri 'none'; form-action 'none';"
    b" frame-ancestors 'none'"
)
_POLICY: Final = b"content-security-policy"

# On every answer; one that has a field itself keeps its own.
_FIELDS: Final[Fields] = [
    (_POLICY, PAGE_POLICY),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
]


class BodyRefused(TunnelError):
    """More of a body came than is taken."""


class Door:
    """See above.

    Args:
        app: what is behind it.
    """

    def __init__(self, app: App, rules: EntryRules) -> None:
        self._app = app
        self._rules = rules

    def __repr__(self) -> str:
        return f"<Door {self._rules!r}>"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI 3."""
        if scope["type"] not in ("http", "websocket"):
            return
        refused = self._refusal(scope)
        if refused is not None:
            await _answer(scope, send, refused)
        elif scope["type"] == "websocket":
            await self._app(scope, receive, send)
        else:
            await self._serve(scope, receive, send)

    def _refusal(self, scope: Scope) -> Rejection | None:
        fields: Fields = scope["headers"]
        if scope["http_version"] not in ("1.0", "1.1"):
            return WRONG_VERSION
        if _head_bytes(scope, fields) > HEAD_MAX_BYTES:
            return HEAD_TOO_LARGE
        asked = EntryHead(
            scope["type"],
            scope["path"],
            hosts=_all(fields, b"host"),
            origins=_all(fields, b"origin"),
            sites=_all(fields, b"sec-fetch-site"),
            authorizations=_all(fields, b"authorization"),
        )
        refused = self._rules.refusal(asked)
        if refused is None and _length(fields) > BODY_MAX_BYTES:
            return BODY_TOO_LARGE
        return refused

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = False

        async def send_safely(message: Message) -> None:
            nonlocal began
            if message["type"] == "http.response.start":
                began = True
                message = {**message, "headers": with_fields(message.get("headers", ()))}
            await send(message)

        try:
            await self._app(scope, _limited(receive), send_safely)
        except BodyRefused:
            if not began:
                await _answer(scope, send, BODY_TOO_LARGE)
        except Exception:
            if not began:
                await _answer(scope, send, FAULT)
            raise


def with_fields(fields: Iterable[tuple[bytes, bytes]]) -> Fields:
    """Return the fields of an answer, and those that each has."""
    own = [(bytes(name).lower(), bytes(value)) for name, value in fields]
    names = {name for name, _ in own}
    return [*own, *(field for field in _FIELDS if field[0] not in names)]


def error_body(refused: Rejection) -> bytes:
    """Return an error as the API says it."""
    return json.dumps({"error": refused.code, "message": refused.message}).encode() + b"\n"


async def _answer(scope: Scope, send: Send, refused: Rejection) -> None:
    body = error_body(refused)
    fields = with_fields(
        [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            (b"connection", b"close"),  # what is left of its body is not read
            *([(b"www-authenticate", b"Bearer")] if refused.status == 401 else []),
        ]
    )
    kind = "websocket.http" if scope["type"] == "websocket" else "http"
    start = {"type": f"{kind}.response.start", "status": refused.status, "headers": fields}
    await send(start)
    await send({"type": f"{kind}.response.body", "body": body})


def _limited(receive: Receive) -> Receive:
    left = BODY_MAX_BYTES

    async def receive_limited() -> Message:
        nonlocal left
        message = await receive()
        left -= len(message.get("body", b""))
        if left < 0:
            raise BodyRefused
        return message

    return receive_limited


def _all(fields: Fields, name: bytes) -> tuple[bytes, ...]:
    return tuple(value for field, value in fields if field.lower() == name)


def _head_bytes(scope: Scope, fields: Fields) -> int:
    target = len(scope.get("raw_path") or b"") + len(scope.get("query_string") or b"")
    return target + sum(len(name) + len(value) + 4 for name, value in fields)


def _length(fields: Fields) -> int:
    """Return what Content-Length says; h11 has seen to it that it is one number."""
    lengths = _all(fields, b"content-length")
    return int(lengths[0]) if lengths and lengths[0].isdigit() else 0
