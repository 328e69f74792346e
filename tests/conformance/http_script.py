"""Builders for the HTTP cases; steps and player are those of the WebSocket ones."""

from __future__ import annotations

from typing import Final

from tests.conformance.websocket_script import (
    APP_ENDS,
    APP_IS_LEFT,
    APP_IS_RESET,
    CLOSED,
    FORWARDED,
    NEXT,
    OK,
    VISITOR_ENDS,
    VISITOR_SEES_END,
    Case,
    Script,
    app_gets,
    app_gets_head,
    app_sends,
    script,
    visitor_gets,
    visitor_gets_error,
    visitor_gets_head,
    visitor_sends,
)

HOST: Final = b"Host: app.localhost\r\n"
GET: Final = b"GET /x HTTP/1.1"
POST: Final = b"POST /x HTTP/1.1"
CLOSES: Final = b"Connection: close\r\n"


def ask(fields: bytes = b"", line: bytes = GET, host: bytes = HOST) -> bytes:
    """A request as a visitor sends it; `fields` are whole lines."""
    return line + b"\r\n" + host + fields + b"\r\n"


def asked(fields: bytes = b"", line: bytes = GET, hop: bytes = b"", host: bytes = HOST) -> bytes:
    """A request as the app gets it."""
    return line + b"\r\n" + host + fields + FORWARDED + hop + b"\r\n"


def refused(
    name: str, section: str, sent: bytes, status: int = 400, code: str = "bad-request"
) -> Case:
    """No request: the tunnel says so and closes, and nothing reaches the app."""
    return Case(
        name, section, script(visitor_sends(sent), visitor_gets_error(status, code), CLOSED)
    )


ANSWERED: Final = script(
    app_sends(OK + b"ok"),
    visitor_gets_head(OK),
    visitor_gets(b"ok"),
    VISITOR_ENDS,
    VISITOR_SEES_END,
)


def passes(name: str, section: str, sent: bytes, comes: bytes, then: Script = ANSWERED) -> Case:
    """A request that reaches the app as `comes`, and is answered."""
    head, empty_line, body = comes.partition(b"\r\n\r\n")
    return Case(
        name,
        section,
        script(visitor_sends(sent), app_gets_head(head + empty_line), app_gets(body), then),
    )


def answers(name: str, section: str, says: bytes, gets: bytes, *, ends: bool = False) -> Case:
    """What an app answers to a GET, and what the visitor gets of it; `ends`: it ends the answer."""
    head, empty_line, body = gets.partition(b"\r\n\r\n")
    return Case(
        name,
        section,
        script(
            visitor_sends(ask()),
            app_gets_head(asked()),
            app_sends(says),
            *((APP_ENDS,) if ends else ()),
            visitor_gets_head(head + empty_line),
            visitor_gets(body),
            VISITOR_ENDS,
            VISITOR_SEES_END,
        ),
    )


def taken(name: str, section: str, says: bytes, gets: bytes) -> Case:
    """An answer that is taken leniently and written anew; the next request comes elsewhere."""
    head, empty_line, body = gets.partition(b"\r\n\r\n")
    return Case(
        name,
        section,
        script(
            visitor_sends(ask()),
            app_gets_head(asked()),
            app_sends(says),
            visitor_gets_head(head + empty_line),
            visitor_gets(body),
            APP_IS_LEFT,
            NEXT,
        ),
    )


def wrong(name: str, section: str, says: bytes) -> Case:
    """An answer that is none: the visitor is told, and the app's connection is dropped."""
    return Case(
        name,
        section,
        script(
            visitor_sends(ask()),
            app_gets_head(asked()),
            app_sends(says),
            visitor_gets_error(502, "origin-protocol-error", closes=False),
            APP_IS_RESET,
            VISITOR_ENDS,
            VISITOR_SEES_END,
        ),
    )
