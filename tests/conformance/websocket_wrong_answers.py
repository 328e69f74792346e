"""Answers to a handshake that are none, or not to this handshake."""

from __future__ import annotations

from tests.conformance.websocket_script import (
    ACCEPT,
    APP_ENDS,
    APP_IS_RESET,
    APP_RESETS,
    CLOSED,
    PLAIN,
    PLAIN_COMES,
    VISITOR_ENDS,
    VISITOR_SEES_END,
    Case,
    Script,
    app_gets_head,
    app_sends,
    ask,
    asked,
    only,
    script,
    switch,
    visitor_gets_error,
    visitor_sends,
)


def wrong(says: bytes, sent: bytes = b"") -> Script:
    """A 502 that says so, and the app's connection is not used again."""
    return script(
        visitor_sends(ask()),
        app_gets_head(asked()),
        app_sends(says),
        visitor_gets_error(502, "origin-protocol-error"),
        CLOSED,
        APP_IS_RESET,
    )


def unasked(says: bytes) -> Script:
    """The same to a plain request, after which the visitor's connection lives on."""
    return script(
        visitor_sends(PLAIN),
        app_gets_head(PLAIN_COMES),
        app_sends(says),
        visitor_gets_error(502, "origin-protocol-error", closes=False),
        APP_IS_RESET,
        VISITOR_ENDS,
        VISITOR_SEES_END,
    )


ACCEPTED = b"Sec-WebSocket-Accept: " + ACCEPT + b"\r\n"
WRONG_ANSWERS = [
    Case("a wrong Accept", "4.1", wrong(switch().replace(b"s3pP", b"AAAA"))),
    Case("an Accept in other case", "4.1", wrong(switch().replace(ACCEPT, ACCEPT.upper()))),
    Case("no Accept", "4.1", wrong(switch().replace(ACCEPTED, b""))),
    Case("an empty Accept", "4.1", wrong(switch().replace(ACCEPT, b""))),
    Case("two Accepts", "11.3.3", wrong(switch(ACCEPTED))),
    Case("no Upgrade in the 101", "4.1", wrong(switch(hop=b"Connection: Upgrade\r\n"))),
    Case("no Connection in the 101", "4.1", wrong(switch(hop=b"Upgrade: websocket\r\n"))),
    Case("a 101 to h2c", "4.1", wrong(switch(hop=only(b"h2c")))),
    Case("a 101 to two protocols", "4.1", wrong(switch(hop=only(b"websocket, foo")))),
    Case("a 101 with Connection: close", "4.1", wrong(switch(hop=only(b"websocket", b"close")))),
    Case("a 101 in HTTP/1.0", "4.1", wrong(switch().replace(b"1.1", b"1.0", 1))),
    Case(
        "a 101 without a key to answer",
        "4.2.1",
        script(
            visitor_sends(ask(b"Sec-WebSocket-Version: 13\r\n")),
            app_gets_head(asked(b"Sec-WebSocket-Version: 13\r\n")),
            app_sends(switch()),
            visitor_gets_error(502, "origin-protocol-error"),
            CLOSED,
            APP_IS_RESET,
        ),
    ),
    Case("a 101 to a plain request", "RFC 9110 15.2.2", unasked(switch())),
    Case(
        "a bare 101 to a plain request",
        "RFC 9110 15.2.2",
        unasked(b"HTTP/1.1 101 Switching Protocols\r\n\r\n"),
    ),
    Case("a 101 with a bare LF", "RFC 9112 2.2", wrong(switch().replace(b"\r\n\r\n", b"\n\n"))),
    Case("a 101 with obs-fold", "RFC 9112 5.2", wrong(switch(b"X-A: 1\r\n 2\r\n"))),
    Case("bytes without a head", "RFC 9112 4", wrong(b"Invalid Origin\r\n\r\n")),
    Case("frames without a head", "4.2.2", wrong(b"\x81\x05Hello\r\n\r\n")),
    Case(
        "FIN in place of a head",
        "RFC 9112 8",
        script(
            visitor_sends(ask()),
            app_gets_head(asked()),
            APP_ENDS,
            visitor_gets_error(502, "origin-protocol-error"),
            CLOSED,
        ),
    ),
    Case(
        "FIN in the middle of the 101",
        "RFC 9112 8",
        script(
            visitor_sends(ask()),
            app_gets_head(asked()),
            app_sends(switch()[:-2]),
            APP_ENDS,
            visitor_gets_error(502, "origin-protocol-error"),
            CLOSED,
        ),
    ),
    Case(
        "RST in place of a head",
        "RFC 9112 8",
        script(
            visitor_sends(ask()),
            app_gets_head(asked()),
            APP_RESETS,
            visitor_gets_error(502, "origin-protocol-error"),
            CLOSED,
        ),
    ),
]
