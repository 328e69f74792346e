"""Requests that ask for no WebSocket, whatever they look like."""

from __future__ import annotations

from tests.conformance.websocket_script import (
    APP_IS_PASSED_OVER,
    CLOSED,
    KEYED,
    NEXT,
    OK,
    Case,
    Script,
    app_gets,
    app_gets_head,
    app_sends,
    ask,
    asked,
    only,
    script,
    visitor_gets,
    visitor_gets_error,
    visitor_gets_head,
    visitor_sends,
)


def is_plain(hop: bytes, fields: bytes = KEYED, line: bytes = b"GET /ws HTTP/1.1") -> Script:
    """A plain request: without Upgrade, and everything else crosses."""
    return script(
        visitor_sends(ask(fields, hop, line)),
        app_gets_head(asked(fields, b"", line)),
        app_sends(OK + b"ok"),
        visitor_gets_head(OK),
        visitor_gets(b"ok"),
        NEXT,
    )


def is_bad(fields: bytes, body: bytes = b"") -> Script:
    """The tunnel refuses it, and the app is not asked."""
    return script(visitor_sends(ask(fields) + body), visitor_gets_error(400, "bad-request"), CLOSED)


NO_LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
NO_UPGRADES = [
    Case("no Upgrade", "4.2.1", is_plain(b"Connection: Upgrade\r\n")),
    Case("no Connection", "4.2.1", is_plain(b"Upgrade: websocket\r\n")),
    Case("Connection without upgrade", "4.2.1", is_plain(only(b"websocket", b"keep-alive"))),
    Case("Connection: websocket", "4.2.1", is_plain(only(b"websocket", b"websocket"))),
    Case("Connection: upgrades", "4.2.1", is_plain(only(b"websocket", b"upgrades"))),
    Case("Upgrade: h2c", "RFC 9110 7.8", is_plain(only(b"h2c"))),
    Case(
        "Upgrade: h2c with HTTP2-Settings",
        "RFC 9113 3.1",
        is_plain(only(b"h2c", b"Upgrade, HTTP2-Settings") + b"HTTP2-Settings: AAMAAABk\r\n"),
    ),
    Case("Upgrade: TLS/1.0", "RFC 2817 3.1", is_plain(only(b"TLS/1.0"))),
    Case("Upgrade: websocket/13", "4.2.1", is_plain(only(b"websocket/13"))),
    Case("Upgrade in quotes", "4.2.1", is_plain(only(b'"websocket"'))),
    Case("an empty Upgrade", "4.2.1", is_plain(only(b""))),
    *[
        Case(
            f"method {method}",
            "4.1",
            script(
                visitor_sends(ask(line=line)),
                app_gets_head(asked(hop=b"", line=line)),
                app_sends(NO_LENGTH),
                visitor_gets_head(NO_LENGTH),
                NEXT,
            ),
        )
        for method in ("HEAD", "OPTIONS", "DELETE", "get", "X-UPGRADE")
        for line in [method.encode() + b" /ws HTTP/1.1"]
    ],
    Case(
        "POST with a body",
        "4.1",
        script(
            visitor_sends(ask(KEYED + b"Content-Length: 2\r\n", line=b"POST /ws HTTP/1.1") + b"ab"),
            app_gets_head(asked(KEYED + b"Content-Length: 2\r\n", b"", b"POST /ws HTTP/1.1")),
            app_gets(b"ab"),
            app_sends(OK + b"ok"),
            visitor_gets_head(OK),
            visitor_gets(b"ok"),
            APP_IS_PASSED_OVER,  # behind a request with a body it serves nobody else
            NEXT,
        ),
    ),
    Case(
        "HTTP/1.0",
        "4.2.1",
        script(
            visitor_sends(ask(line=b"GET /ws HTTP/1.0")),
            app_gets_head(asked(hop=b"")),
            app_sends(OK + b"ok"),
            visitor_gets_head(OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")),
            visitor_gets(b"ok"),
            CLOSED,
        ),
    ),
    Case("a body with a length", "4.1", is_bad(KEYED + b"Content-Length: 1\r\n", b"x")),
    Case("a chunked body", "4.1", is_bad(KEYED + b"Transfer-Encoding: chunked\r\n", b"0\r\n\r\n")),
    Case("two lengths of 0", "RFC 9112 6.3", is_bad(KEYED + b"Content-Length: 0\r\n" * 2)),
    Case(
        "Connection lists Host",
        "RFC 9110 7.6.1",
        script(
            visitor_sends(ask(hop=only(b"websocket", b"Upgrade, Host"))),
            visitor_gets_error(400, "bad-request"),
            CLOSED,
        ),
    ),
]
