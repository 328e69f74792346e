"""Bodies that are wrong after their head has gone, and requests that are cut off."""

from __future__ import annotations

from typing import Final

from tests.conformance.http_script import ANSWERED, HOST, POST, ask, asked
from tests.conformance.websocket_script import (
    APP_ENDS,
    APP_IS_PASSED_OVER,
    APP_IS_RESET,
    APP_SEES_END,
    CLOSED,
    NEXT,
    OK,
    VISITOR_ENDS,
    VISITOR_RESETS,
    VISITOR_SEES_END,
    Case,
    app_gets,
    app_gets_head,
    app_sends,
    script,
    visitor_gets,
    visitor_gets_error,
    visitor_gets_head,
    visitor_sends,
)

CHUNKED: Final = b"Transfer-Encoding: chunked\r\n"
NEXT_ASK: Final = b"GET /smuggled HTTP/1.1\r\n" + HOST + b"\r\n"


def asked_chunked(fields: bytes = b"") -> bytes:
    return asked(fields, POST, CHUNKED)


def _chunk_ends() -> list[Case]:
    """After the head has gone: refused, the app sees a reset, no request comes of the rest."""
    broken = {
        "no CRLF behind data, but the next size": (b"5\r\nhello0\r\n\r\n", 400),
        "CR CR behind data": (b"5\r\nhello\r\r0\r\n\r\n", 400),
        "data shorter than its size": (b"6\r\nhello\r\n0\r\n\r\n", 400),
        "a last chunk with a bare LF": (b"0\n\r\n", 400),
        "a bare LF for the last empty line": (b"0\r\n\n", 400),
        "a CR without LF at the last empty line": (b"0\r\n\rX", 400),
        "a tab before a size": (b"\t5\r\nhello\r\n", 400),
        "a tab behind a size": (b"5\t\r\nhello\r\n", 400),
        "a space before an extension": (b"5 ;a\r\nhello\r\n", 400),
        "a NUL behind a size": (b"5\x00\r\nhello\r\n", 400),
        "a size in quotes": (b'"5"\r\nhello\r\n', 400),
        "a size in full-width digits": (b"\xef\xbc\x95\r\nhello\r\n", 400),
        "a size with a comma": (b"5,5\r\nhello\r\n", 400),
        "a DEL in an extension": (b"5;a\x7f\r\nhello\r\n", 400),
        "a NUL in an extension": (b"5;a=\x00\r\nhello\r\n", 400),
        "a bare CR in an extension": (b"5;a\rb\r\nhello\r\n", 400),
        "a bare CR in a trailer": (b"0\r\nA: b\rc\r\n\r\n", 400),
        "a NUL in a trailer": (b"0\r\nA: \x00\r\n\r\n", 400),
        "a space before a trailer's colon": (b"0\r\nA : b\r\n\r\n", 400),
        "a trailer without a name": (b"0\r\n: b\r\n\r\n", 400),
        "a trailer that begins folded": (b"0\r\n A: b\r\n\r\n", 400),
        "trailers of 8193 bytes": (b"0\r\nA: " + b"b" * (8193 - 7) + b"\r\n\r\n", 431),
        "257 trailers": (b"0\r\n" + b"A: b\r\n" * 257 + b"\r\n", 431),
    }
    letters = b"".join(b"1\r\n%c\r\n" % byte for byte in b"hello")
    crossed = {
        "no CRLF behind data, but the next size": letters,
        "CR CR behind data": letters,
        "data shorter than its size": letters + b"1\r\n\r\r\n",
    }
    cases = []
    for name, (sent, status) in broken.items():
        code = "bad-request" if status == 400 else "head-too-large"
        for how, size in (("", 0), (" in pieces", 1 if len(sent) < 400 else 997)):
            steps = script(
                visitor_sends(ask(CHUNKED, POST)),
                app_gets_head(asked_chunked()),
                visitor_sends(sent + NEXT_ASK, size),
                app_gets(crossed.get(name, b"") if size else b""),
                visitor_gets_error(status, code),
                CLOSED,
            )
            cases.append(Case(f"chunk ends: {name}{how}", "9112 7.1", steps))
    # In one line: of forty short ones the app may have had the first, as they were read.
    line = b"1;" + b"a" * 40_000
    steps = script(
        visitor_sends(ask(CHUNKED, POST)),
        app_gets_head(asked_chunked()),
        visitor_sends(line + NEXT_ASK),
        visitor_gets_error(400, "bad-request"),
        CLOSED,
    )
    cases.append(Case("extensions without an end", "9112 7.1.1", steps))
    return cases


def _bodies() -> list[Case]:
    length = b"Content-Length: 5\r\n"
    head = asked(length, POST)
    trailer = b"A: " + b"b" * (8192 - 7) + b"\r\n\r\n"
    cases = [
        Case(
            "trailers of 8192 bytes",
            "9112 7.1.2",
            script(
                visitor_sends(ask(CHUNKED, POST) + b"0\r\n" + trailer),
                app_gets_head(asked_chunked()),
                app_gets(b"0\r\n" + trailer),
                ANSWERED,
            ),
        ),
        Case(
            "256 trailers",
            "9112 7.1.2",
            script(
                visitor_sends(ask(CHUNKED, POST) + b"0\r\n" + b"A: b\r\n" * 256 + b"\r\n"),
                app_gets_head(asked_chunked()),
                app_gets(b"0\r\n" + b"A: b\r\n" * 256 + b"\r\n"),
                ANSWERED,
            ),
        ),
        Case(
            "a body with a length in pieces of 1",
            "9112 6.2",
            script(
                visitor_sends(ask(length, POST) + b"hello", 1),
                app_gets_head(head),
                app_gets(b"hello"),
                ANSWERED,
            ),
        ),
        Case(
            "HTTP/1.0 POST",
            "9112 6.3",
            script(
                visitor_sends(ask(length, b"POST /x HTTP/1.0") + b"hello"),
                app_gets_head(head),
                app_gets(b"hello"),
                app_sends(OK + b"ok"),
                visitor_gets_head(OK[:-2] + b"Connection: close\r\n\r\n"),
                visitor_gets(b"ok"),
                CLOSED,
            ),
        ),
    ]
    sent = b"Content-Length: 999999999999999999\r\n"
    cases.append(
        Case(
            "a length of 18 digits, and a reset",
            "9112 6.2",
            script(
                visitor_sends(ask(sent, POST) + b"x"),
                app_gets_head(asked(sent, POST)),
                app_gets(b"x"),
                VISITOR_RESETS,
                APP_IS_RESET,
            ),
        )
    )
    cases += [
        Case(
            f"trailer {name.decode()} is dropped",
            "9110 6.5.1",
            script(
                visitor_sends(
                    ask(CHUNKED, POST) + b"0\r\nA: 1\r\n" + name + b": x\r\nB: 2\r\n\r\n"
                ),
                app_gets_head(asked_chunked()),
                app_gets(b"0\r\nA: 1\r\nB: 2\r\n\r\n"),
                ANSWERED,
            ),
        )
        for name in (
            b"Host",
            b"Content-Length",
            b"Transfer-Encoding",
            b"Trailer",
            b"TE",
            b"Connection",
            b"Upgrade",
            b"Keep-Alive",
            b"Authorization",
            b"Cookie",
            b"Set-Cookie",
            b"Forwarded",
            b"X-Forwarded-For",
            b"X_Forwarded_Host",
            b"X-Real-IP",
            b"content_length",
            b"Tunnel-Error",
            b"Proxy-Authorization",
        )
    ]
    cut: dict[str, tuple[bytes, bytes, bytes]] = {
        "a body shorter than its length": (ask(length, POST) + b"he", head, b"he"),
        "a body of which nothing comes": (ask(length, POST), head, b""),
        "chunks without a last one": (
            ask(CHUNKED, POST) + b"2\r\nhe\r\n",
            asked_chunked(),
            b"2\r\nhe\r\n",
        ),
        "chunks that end in a size": (
            ask(CHUNKED, POST) + b"2\r\nhe\r\n5",
            asked_chunked(),
            b"2\r\nhe\r\n",
        ),
        "chunks without the last empty line": (
            ask(CHUNKED, POST) + b"2\r\nhe\r\n0\r\n",
            asked_chunked(),
            b"2\r\nhe\r\n",
        ),
        "chunks that end in a trailer": (
            ask(CHUNKED, POST) + b"2\r\nhe\r\n0\r\nA: b\r\n",
            asked_chunked(),
            b"2\r\nhe\r\n",
        ),
    }
    for about, (sent, comes, body) in cut.items():
        cases.append(
            Case(
                f"cut off: {about}",
                "9112 8",
                script(
                    visitor_sends(sent),
                    app_gets_head(comes),
                    app_gets(body),
                    VISITOR_ENDS,
                    APP_SEES_END,
                    APP_ENDS,
                    visitor_gets_error(400, "bad-request"),
                    VISITOR_SEES_END,
                ),
            )
        )
        told = b"HTTP/1.1 400 Short\r\nContent-Length: 2\r\n\r\n"
        cases.append(
            Case(
                f"cut off, and the app answers: {about}",
                "9112 8",
                script(
                    visitor_sends(sent),
                    app_gets_head(comes),
                    app_gets(body),
                    VISITOR_ENDS,
                    APP_SEES_END,
                    app_sends(told + b"no"),
                    visitor_gets_head(told[:-2] + b"Connection: close\r\n\r\n"),
                    visitor_gets(b"no"),
                    VISITOR_SEES_END,
                ),
            )
        )
        cases.append(
            Case(
                f"cut off by a reset: {about}",
                "9112 8",
                script(
                    visitor_sends(sent),
                    app_gets_head(comes),
                    app_gets(body),
                    VISITOR_RESETS,
                    APP_IS_RESET,
                ),
            )
        )
    steps = script(visitor_sends(b"GET /x HTTP/1.1\r\nHo"), VISITOR_ENDS, VISITOR_SEES_END)
    cases.append(Case("cut off: a head", "9112 8", steps))
    no = b"HTTP/1.1 417 Expectation Failed\r\nContent-Length: 2\r\n\r\nno"
    closes = b"HTTP/1.1 413 No\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"
    cases.append(
        Case(
            "an early 417, and no body comes",
            "9110 10.1.1",
            script(
                visitor_sends(ask(b"Expect: 100-continue\r\n" + length, POST)),
                app_gets_head(asked(b"Expect: 100-continue\r\n" + length, POST)),
                app_sends(no),
                visitor_gets_head(no[:-2]),
                visitor_gets(b"no"),
                VISITOR_ENDS,
                VISITOR_SEES_END,
                APP_SEES_END,
            ),
        )
    )
    cases.append(
        Case(
            "an early 413, then body",
            "9112 9.3",
            script(
                visitor_sends(ask(length, POST) + b"he"),
                app_gets_head(head),
                app_gets(b"he"),
                app_sends(no.replace(b"417", b"413")),
                visitor_gets_head(no.replace(b"417", b"413")[:-2]),
                visitor_gets(b"no"),
                visitor_sends(b"llo"),
                app_gets(b"llo"),
                APP_IS_PASSED_OVER,
                NEXT,
            ),
        )
    )
    cases.append(
        Case(
            "an early 413 that closes, then body",
            "9112 9.6",
            script(
                visitor_sends(ask(length, POST) + b"he"),
                app_gets_head(head),
                app_gets(b"he"),
                app_sends(closes),
                visitor_gets_head(closes[:-2]),
                visitor_gets(b"no"),
                visitor_sends(b"llo" + NEXT_ASK),
                app_gets(b"llo"),
                CLOSED,
            ),
        )
    )
    return cases


ENDS: Final = {"chunk ends": _chunk_ends(), "bodies": _bodies()}
