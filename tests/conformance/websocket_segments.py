"""What comes in the segment of a head, on both sides, before the other side has said a word."""

from __future__ import annotations

from tests.conformance.websocket_script import (
    APP_ENDS,
    APP_SEES_END,
    BINARY,
    BOTH_END,
    CLOSE,
    FIN,
    OPENED,
    PING,
    TEXT,
    VISITOR_ENDS,
    VISITOR_SEES_END,
    Case,
    Script,
    app_gets,
    app_gets_head,
    app_sees_end_behind,
    app_sends,
    ask,
    asked,
    close,
    frame,
    masked,
    script,
    switch,
    switched,
    to_app,
    to_visitor,
    visitor_gets,
    visitor_gets_head,
    visitor_sees_end_behind,
    visitor_sends,
)

HELLO = frame(FIN | TEXT, b"Hello")
MASKED = masked(FIN | TEXT, b"Hello")


def behind_the_request(data: bytes) -> Script:
    """These bytes come with the request; they are the first data."""
    return script(
        visitor_sends(ask() + data),
        app_gets_head(asked()),
        app_sends(switch()),
        visitor_gets_head(switched()),
        VISITOR_ENDS,
        app_sees_end_behind(data),
        APP_ENDS,
        VISITOR_SEES_END,
    )


def behind_the_101(data: bytes) -> Script:
    return script(
        visitor_sends(ask()),
        app_gets_head(asked()),
        app_sends(switch() + data),
        visitor_gets_head(switched()),
        APP_ENDS,
        visitor_sees_end_behind(data),
        VISITOR_ENDS,
        APP_SEES_END,
    )


LARGE = bytes(range(256)) * 400  # more than is read ahead, and more than a first credit
SAME_SEGMENT = [
    Case("a frame behind the request", "4.1", behind_the_request(MASKED)),
    Case("a part of a frame behind the request", "4.1", behind_the_request(MASKED[:7])),
    Case("a byte behind the request", "4.1", behind_the_request(MASKED[:1])),
    Case("frames behind the request", "4.1", behind_the_request(MASKED * 50)),
    Case("100 KB behind the request", "4.1", behind_the_request(masked(FIN | BINARY, LARGE))),
    Case("a Close behind the request", "4.1", behind_the_request(masked(FIN | CLOSE, close(1001)))),
    Case("what looks like a request behind the request", "10.3", behind_the_request(ask())),
    Case("a frame behind the 101", "4.2.2", behind_the_101(HELLO)),
    Case("a part of a frame behind the 101", "4.2.2", behind_the_101(HELLO[:4])),
    Case("frames behind the 101", "4.2.2", behind_the_101(HELLO * 50 + frame(FIN | PING))),
    Case("100 KB behind the 101", "4.2.2", behind_the_101(frame(FIN | BINARY, LARGE))),
    Case("a Close behind the 101", "4.2.2", behind_the_101(frame(FIN | CLOSE, close(1001)))),
    Case("what looks like a second 101", "4.2.2", behind_the_101(switch())),
    Case(
        "what looks like an answer behind the 101",
        "4.2.2",
        behind_the_101(b"HTTP/1.1 200 OK\r\n\r\n"),
    ),
    Case(
        "frames behind both heads",
        "4.2.2",
        script(
            visitor_sends(ask() + MASKED),
            app_gets_head(asked()),
            app_sends(switch() + HELLO),
            visitor_gets_head(switched()),
            visitor_gets(HELLO),
            app_gets(MASKED),
            BOTH_END,
        ),
    ),
    Case(
        "a frame between request and 101",
        "4.1",
        script(
            visitor_sends(ask()),
            app_gets_head(asked()),
            visitor_sends(MASKED),
            app_sends(switch()),
            visitor_gets_head(switched()),
            app_gets(MASKED),
            BOTH_END,
        ),
    ),
    Case(
        "a frame and FIN behind the request",
        "7.1.1",
        script(
            visitor_sends(ask() + MASKED),
            VISITOR_ENDS,
            app_gets_head(asked()),
            app_sends(switch()),
            visitor_gets_head(switched()),
            app_gets(MASKED),
            APP_SEES_END,
            to_visitor(HELLO),
            APP_ENDS,
            VISITOR_SEES_END,
        ),
    ),
    Case(
        "a frame and FIN behind the 101",
        "7.1.1",
        script(
            visitor_sends(ask()),
            app_gets_head(asked()),
            app_sends(switch() + HELLO),
            APP_ENDS,
            visitor_gets_head(switched()),
            visitor_gets(HELLO),
            VISITOR_SEES_END,
            to_app(MASKED),
            VISITOR_ENDS,
            APP_SEES_END,
        ),
    ),
    Case("nothing but the handshake", "4.1", script(OPENED, BOTH_END)),
]
