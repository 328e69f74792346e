"""Upgrades to anything but WebSocket: what is asked, what an app may answer, and ends."""

from __future__ import annotations

from typing import Final

from tests.conformance.websocket_script import (
    APP_ENDS,
    APP_IS_PASSED_OVER,
    APP_IS_RESET,
    APP_RESETS,
    APP_SEES_END,
    BOTH_END,
    NEXT,
    OK,
    PLAIN,
    PLAIN_COMES,
    VISITOR_ENDS,
    VISITOR_IS_RESET,
    VISITOR_RESETS,
    VISITOR_SEES_END,
    Case,
    Script,
    app_gets,
    app_gets_head,
    app_sends,
    ask as ask_in,
    asked as asked_in,
    only,
    script,
    to_app,
    to_visitor,
    visitor_gets,
    visitor_gets_error,
    visitor_gets_head,
    visitor_sends,
)

POST: Final = b"POST /exec/1/start HTTP/1.1"
TCP: Final = only(b"tcp")
BODY: Final = b'{"Detach":false,"Tty":false}\n'
LENGTH: Final = b"Content-Length: 29\r\n"
CHUNKED: Final = b"Transfer-Encoding: chunked\r\n"
CHUNKS: Final = b"1d\r\n" + BODY + b"\r\n0\r\n\r\n"
# No frames and no requests, whatever they look like.
TO_APP: Final = b"\x88\x80\0\0\0\0\x89\xff" + PLAIN
TO_VISITOR: Final = b"\x88\x02\x03\xe8\x89\x05" + OK


def ask(hop: bytes = TCP, fields: bytes = LENGTH, line: bytes = POST) -> bytes:
    """The head of a request as a visitor sends it."""
    return ask_in(fields, hop, line)


def asked(hop: bytes = TCP, fields: bytes = LENGTH, line: bytes = POST) -> bytes:
    """The same as it reaches the app."""
    return asked_in(fields, hop, line)


def switch(hop: bytes = TCP, fields: bytes = b"", line: bytes = b"HTTP/1.1 101 UPGRADED") -> bytes:
    """The 101 of an app."""
    return line + b"\r\n" + fields + hop + b"\r\n"


ASKED: Final = script(visitor_sends(ask() + BODY), app_gets_head(asked()), app_gets(BODY))
SWITCHED: Final = script(app_sends(switch()), visitor_gets_head(switch()))
OPENED: Final = script(ASKED, SWITCHED)
FLOWS: Final = script(to_app(TO_APP), to_visitor(TO_VISITOR), BOTH_END)
REFUSED: Final = script(app_sends(OK + b"no"), visitor_gets_head(OK), visitor_gets(b"no"))
# Behind a request with a body a connection serves nobody else.
AGAIN: Final = script(APP_IS_PASSED_OVER, NEXT)


def crosses(sent: bytes, comes: bytes, body: bytes = BODY, hop: bytes = TCP) -> Script:
    """It is asked for, the app agrees, and bytes cross."""
    head, empty_line, _ = comes.partition(b"\r\n\r\n")
    return script(
        visitor_sends(sent),
        app_gets_head(head + empty_line),
        app_gets(body),
        app_sends(switch(hop)),
        visitor_gets_head(switch(hop)),
        FLOWS,
    )


def goes_as(hop: bytes, comes: bytes) -> Script:
    """What the app gets of Connection and Upgrade; it agrees to nothing."""
    return script(
        visitor_sends(ask(hop) + BODY), app_gets_head(asked(comes)), app_gets(BODY), REFUSED, AGAIN
    )


def wrong(says: bytes) -> Script:
    """A 502 that says so; the app's connection is reset, and the visitor's lives on."""
    return script(
        ASKED,
        app_sends(says),
        visitor_gets_error(502, "origin-protocol-error", closes=False),
        APP_IS_RESET,
        VISITOR_ENDS,
        VISITOR_SEES_END,
    )


SPDY: Final = only(b"SPDY/3.1")
ASKING: Final = [
    Case("to tcp: POST with a length", "RFC 9110 7.8", crosses(ask() + BODY, asked())),
    Case(
        "to tcp: POST in chunks",
        "RFC 9110 7.8",
        script(
            visitor_sends(ask(fields=CHUNKED) + CHUNKS),
            app_gets_head(asked(CHUNKED + TCP, b"")),
            app_gets(CHUNKS),
            SWITCHED,
            FLOWS,
        ),
    ),
    *[
        Case(
            f"to SPDY/3.1: {method} without a body",
            "RFC 9110 7.8",
            crosses(ask(SPDY, b"", line), asked(SPDY, b"", line), b"", SPDY),
        )
        for method in ("GET", "POST", "HEAD", "X-ANY")
        for line in [method.encode() + b" /exec HTTP/1.1"]
    ],
    Case(
        "to one of two, in other case",
        "RFC 9110 7.8",
        script(
            visitor_sends(ask(only(b"foo/2,TCP")) + BODY),
            app_gets_head(asked(only(b"foo/2, TCP"))),
            app_gets(BODY),
            SWITCHED,
            FLOWS,
        ),
    ),
    Case(
        "to tcp: the body comes late",
        "RFC 9110 7.8",
        script(visitor_sends(ask()), app_gets_head(asked()), to_app(BODY, 1), SWITCHED, FLOWS),
    ),
    Case(
        "to tcp: 100, then 101",
        "RFC 9110 7.8",
        script(
            visitor_sends(ask(fields=LENGTH + b"Expect: 100-continue\r\n")),
            app_gets_head(asked(fields=LENGTH + b"Expect: 100-continue\r\n")),
            app_sends(b"HTTP/1.1 100 Continue\r\n\r\n"),
            visitor_gets_head(b"HTTP/1.1 100 Continue\r\n\r\n"),
            to_app(BODY),
            SWITCHED,
            FLOWS,
        ),
    ),
    Case(
        "to tcp: bytes behind the body wait for the 101",
        "RFC 9110 7.8",
        script(
            visitor_sends(ask() + BODY + TO_APP),
            app_gets_head(asked()),
            app_gets(BODY),
            app_sends(switch() + TO_VISITOR),
            visitor_gets_head(switch()),
            visitor_gets(TO_VISITOR),
            app_gets(TO_APP),
            BOTH_END,
        ),
    ),
    Case(
        "to tcp: a 101 before the end of the body waits for that",
        "RFC 9110 7.8",
        script(
            visitor_sends(ask() + BODY[:5]),
            app_gets_head(asked()),
            app_gets(BODY[:5]),
            app_sends(switch() + TO_VISITOR),
            visitor_sends(BODY[5:]),
            app_gets(BODY[5:]),
            visitor_gets_head(switch()),
            visitor_gets(TO_VISITOR),
            to_app(TO_APP),
            BOTH_END,
        ),
    ),
]
NEVER: Final = [
    Case("h2c beside tcp", "RFC 9113 3.1", goes_as(only(b"h2c, tcp"), TCP)),
    Case("H2C beside tcp", "RFC 9113 3.1", goes_as(only(b"tcp,H2C"), TCP)),
    Case(
        "h2c and its settings beside tcp",
        "RFC 9113 3.1",
        goes_as(only(b"h2c, tcp", b"Upgrade, HTTP2-Settings") + b"HTTP2-Settings: AAMA\r\n", TCP),
    ),
    Case("HTTP/2.0 beside tcp", "RFC 9110 7.8", goes_as(only(b"HTTP/2.0, tcp"), TCP)),
    Case("TLS/1.3 beside tcp", "RFC 2817 3.1", goes_as(only(b"tls/1.3, tcp"), TCP)),
    Case("websocket beside tcp, by POST", "4.1", goes_as(only(b"websocket, tcp"), TCP)),
    Case("no protocol beside tcp", "RFC 9110 7.8", goes_as(only(b"a b, tcp, c/"), TCP)),
    Case(
        "two lines of Upgrade",
        "RFC 9110 5.3",
        goes_as(TCP + b"Upgrade: foo/2\r\n", only(b"tcp, foo/2")),
    ),
    Case("TLS/1.3 alone", "RFC 2817 3.1", goes_as(only(b"TLS/1.3, HTTP/2.0"), b"")),
    Case("tcp without the option", "RFC 9110 7.8", goes_as(only(b"tcp", b"keep-alive"), b"")),
    Case(
        "tcp in HTTP/1.0",
        "RFC 9110 7.8",
        script(
            visitor_sends(ask(line=POST.replace(b"1.1", b"1.0")) + BODY),
            app_gets_head(asked(b"")),
            app_gets(BODY),
            app_sends(OK + b"ok"),
            visitor_gets_head(OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")),
            visitor_gets(b"ok"),
            VISITOR_SEES_END,
            VISITOR_ENDS,
        ),
    ),
]
ANSWERS: Final = [
    Case("tcp, refused", "RFC 9110 7.8", script(ASKED, REFUSED, AGAIN)),
    Case(
        "tcp, refused: what came behind is the next request",
        "RFC 9110 7.8",
        script(
            visitor_sends(ask() + BODY + PLAIN),
            app_gets_head(asked()),
            app_gets(BODY),
            REFUSED,
            APP_IS_PASSED_OVER,
            app_gets_head(PLAIN_COMES),
            REFUSED,
            VISITOR_ENDS,
            VISITOR_SEES_END,
        ),
    ),
    Case("tcp: a 101 to another", "RFC 9110 7.8", wrong(switch(only(b"udp")))),
    Case("tcp: a 101 to another version", "RFC 9110 7.8", wrong(switch(only(b"tcp/1")))),
    Case("tcp: a 101 to two", "RFC 9110 7.8", wrong(switch(only(b"tcp, foo/2")))),
    Case("tcp: a 101 to websocket", "4.2.2", wrong(switch(only(b"websocket")))),
    Case("tcp: a 101 to nothing", "RFC 9110 15.2.2", wrong(switch(b"Connection: Upgrade\r\n"))),
    Case("tcp: a 101 without the option", "RFC 9110 7.8", wrong(switch(b"Upgrade: tcp\r\n"))),
    Case(
        "tcp: a 101 with Connection: close", "RFC 9110 7.8", wrong(switch(only(b"tcp", b"close")))
    ),
    Case("tcp: a 101 in HTTP/1.0", "RFC 9110 7.8", wrong(switch(line=b"HTTP/1.0 101 UPGRADED"))),
    Case(
        "tcp: a 101 with a length", "RFC 9110 8.6", wrong(switch(fields=b"Content-Length: 0\r\n"))
    ),
    Case("tcp: a chunked 101", "RFC 9112 6.1", wrong(switch(fields=CHUNKED))),
]
ENDS: Final = [
    Case("tcp: the visitor ends first", "RFC 9112 9.6", script(OPENED, BOTH_END)),
    Case(
        "tcp: the app ends first",
        "RFC 9112 9.6",
        script(OPENED, APP_ENDS, VISITOR_SEES_END, to_app(TO_APP), VISITOR_ENDS, APP_SEES_END),
    ),
    Case(
        "tcp: the app goes on behind the visitor's end",
        "RFC 9112 9.6",
        script(
            OPENED, VISITOR_ENDS, APP_SEES_END, to_visitor(TO_VISITOR), APP_ENDS, VISITOR_SEES_END
        ),
    ),
    Case(
        "tcp: the visitor resets",
        "RFC 9112 9.6",
        script(OPENED, to_app(TO_APP), VISITOR_RESETS, APP_IS_RESET),
    ),
    Case(
        "tcp: the app resets",
        "RFC 9112 9.6",
        script(OPENED, to_visitor(TO_VISITOR), APP_RESETS, VISITOR_IS_RESET),
    ),
]
OTHER_UPGRADES: Final = [*ASKING, *NEVER, *ANSWERS, *ENDS]
