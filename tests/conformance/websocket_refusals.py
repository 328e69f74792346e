"""Refusals of a WebSocket: each crosses, and what came behind the request does not."""

from __future__ import annotations

from tests.conformance.websocket_script import (
    APP_ENDS,
    APP_IS_PASSED_OVER,
    APP_SEES_END,
    CLOSED,
    FIN,
    NEXT,
    PLAIN,
    TEXT,
    UPGRADED,
    VISITOR_ENDS,
    VISITOR_SEES_END,
    Case,
    Script,
    Step,
    app_gets_head,
    app_sends,
    ask,
    asked,
    masked,
    script,
    visitor_gets,
    visitor_gets_head,
    visitor_sends,
)

MASKED = masked(FIN | TEXT, b"Hello")


def answered(
    *answers: tuple[bytes, bytes], then: Script = NEXT, sent: bytes = b"", used: Script = ()
) -> Script:
    """What the app says in place of the 101 (first), and what the visitor gets (second).

    `used` becomes of the app's connection before.
    """
    steps: list[Step] = []
    for says, gets in answers:
        head, end, body = gets.partition(b"\r\n\r\n")
        steps += [app_sends(says), visitor_gets_head(head + end), visitor_gets(body)]
    return script(visitor_sends(sent or ask()), used, app_gets_head(asked()), *steps, then)


def refused(line: bytes, fields: bytes = b"", body: bytes = b"no") -> Case:
    """A refusal that crosses as it is."""
    length = b"Content-Length: %d\r\n" % len(body)
    said = b"HTTP/1.1 " + line + b"\r\n" + fields + length + b"\r\n" + body
    return Case(f"refused with {line.decode()}", "4.2.2", answered((said, said)))


NOT_FOUND = b"HTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\nno"
NOT_FOUND_CLOSE = b"HTTP/1.1 404 No\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"
HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
REFUSED_UPGRADES = [
    refused(b"200 OK"),
    refused(b"301 Moved", b"Location: /elsewhere\r\n"),
    refused(b"307 Temporary", b"Location: ws://elsewhere.example/ws\r\n"),
    refused(b"400 Bad", b"Sec-WebSocket-Version: 13, 8\r\n"),
    refused(b"401 Who", b'WWW-Authenticate: Basic realm="a"\r\nSet-Cookie: a=1\r\n'),
    refused(b"403 Forbidden", b"Content-Type: text/html\r\n", b"<h1>no</h1>" * 500),
    refused(b"404 Not Found", body=b""),
    refused(b"429 Later", b"Retry-After: 1\r\n"),
    refused(b"500 Oops", body=bytes(range(256)) * 300),
    refused(b"503 Busy", b"Retry-After: 1\r\n"),
    refused(b"599 Own"),
    Case(
        "refused with 426 Upgrade Required",
        "4.4",
        answered(
            (
                b"HTTP/1.1 426 Upgrade Required\r\n" + UPGRADED + b"Sec-WebSocket-Version: 13\r\n"
                b"Content-Length: 2\r\n\r\nno",
                b"HTTP/1.1 426 Upgrade Required\r\nSec-WebSocket-Version: 13\r\n"
                b"Content-Length: 2\r\n\r\nno",
            )
        ),
    ),
    Case(
        "refused with 204 No Content",
        "RFC 9110 15.3.5",
        answered((b"HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n",) * 2),
    ),
    Case(
        "refused with 304 and a length",
        "RFC 9110 15.4.5",
        answered((b'HTTP/1.1 304 Same\r\nETag: "a"\r\nContent-Length: 5\r\n\r\n',) * 2),
    ),
    Case(
        "refused with chunks",
        "RFC 9112 7.1",
        answered(
            (b"HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nsorry\r\n0\r\n\r\n",) * 2
        ),
    ),
    Case(
        "refused with chunks and a trailer",
        "RFC 9112 7.1.2",
        answered(
            (
                b"HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n"
                b"5\r\nsorry\r\n0\r\nX-Sum: 1\r\n\r\n",
            )
            * 2
        ),
    ),
    Case(
        "refused by an app that closes",
        "RFC 9112 9.6",
        script(
            visitor_sends(ask()),
            app_gets_head(asked()),
            app_sends(NOT_FOUND_CLOSE),
            visitor_gets_head(NOT_FOUND[:-2]),
            visitor_gets(b"no"),
            APP_SEES_END,
            APP_ENDS,
            VISITOR_ENDS,
            VISITOR_SEES_END,
        ),
    ),
    Case(
        "refused until close",
        "RFC 9112 6.3",
        script(
            visitor_sends(ask()),
            app_gets_head(asked()),
            app_sends(b"HTTP/1.1 404 No\r\n\r\nsorry"),
            visitor_gets_head(b"HTTP/1.1 404 No\r\nTransfer-Encoding: chunked\r\n\r\n"),
            visitor_gets(b"5\r\nsorry\r\n"),
            APP_ENDS,
            visitor_gets(b"0\r\n\r\n"),
            APP_SEES_END,
            VISITOR_ENDS,
            VISITOR_SEES_END,
        ),
    ),
    Case(
        "refused in HTTP/1.0",
        "RFC 9112 2.3",
        script(
            visitor_sends(ask()),
            app_gets_head(asked()),
            app_sends(NOT_FOUND.replace(b"1.1", b"1.0")),
            visitor_gets_head(NOT_FOUND[:-2]),
            visitor_gets(b"no"),
            APP_SEES_END,
            VISITOR_ENDS,
            VISITOR_SEES_END,
        ),
    ),
    Case("refused after a 103", "RFC 8297 2", answered((HINTS, HINTS), (NOT_FOUND, NOT_FOUND))),
    Case(
        "a refusal to a visitor who closes",
        "RFC 9112 9.6",
        answered(
            (NOT_FOUND, NOT_FOUND_CLOSE),
            sent=ask(hop=b"Connection: close, Upgrade\r\nUpgrade: websocket\r\n"),
            then=CLOSED,
        ),
    ),
    Case(
        "a refusal that is asked for twice",
        "4.2.2",
        answered(
            (NOT_FOUND, NOT_FOUND),
            then=answered((NOT_FOUND, NOT_FOUND), used=(APP_IS_PASSED_OVER,)),
        ),
    ),
    Case(
        "a frame behind the request that is refused",
        "4.1",
        answered((NOT_FOUND, NOT_FOUND_CLOSE), sent=ask() + MASKED, then=CLOSED),
    ),
    Case(
        "a request behind the request that is refused",
        "10.3",
        answered((NOT_FOUND, NOT_FOUND_CLOSE), sent=ask() + PLAIN, then=CLOSED),
    ),
    Case(
        "a byte behind the request that is refused",
        "10.3",
        answered((NOT_FOUND, NOT_FOUND_CLOSE), sent=ask() + b"G", then=CLOSED),
    ),
    Case(
        "a refusal that is cut off",
        "RFC 9112 8",
        script(
            visitor_sends(ask()),
            app_gets_head(asked()),
            app_sends(NOT_FOUND[:-1]),
            visitor_gets_head(NOT_FOUND[:-2]),
            visitor_gets(b"n"),
            APP_ENDS,
            VISITOR_SEES_END,
        ),
    ),
]
