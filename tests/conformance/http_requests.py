"""Requests that reach the app, and as what."""

from __future__ import annotations

from typing import Final

from tests.conformance.http_script import ANSWERED, GET, HOST, POST, ask, asked, passes
from tests.conformance.websocket_script import (
    APP_IS_PASSED_OVER,
    APP_IS_RESET,
    CLOSED,
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


def _targets() -> list[Case]:
    odd = [
        *(b"/", b"//", b"/a//b/../c/./", b"/%2e%2e/%zz%", b'/"<>[]{}|\\^`', b"/?", b"/?a=b&c=%20+"),
        *(b"/;a=b", b"/a:b@c", b"/~", b"/'()*!$", b"//b.localhost/x", b"/http://b/"),
    ]
    cases = [
        passes(
            f"target {target.decode()}",
            "9112 3.2.1",
            ask(line=b"GET " + target + b" HTTP/1.1"),
            asked(line=b"GET " + target + b" HTTP/1.1"),
        )
        for target in odd
    ]
    absolute = {
        b"http://app.localhost": b"/",
        b"http://app.localhost/": b"/",
        b"HTTP://APP.localhost/a?b": b"/a?b",
        b"https://app.localhost//a": b"//a",
        b"http://app.localhost?q": b"/?q",
    }
    cases += [
        passes(
            f"target {sent.decode()}",
            "9112 3.2.2",
            ask(line=b"GET " + sent + b" HTTP/1.1"),
            asked(line=b"GET " + comes + b" HTTP/1.1"),
        )
        for sent, comes in absolute.items()
    ]
    for sent, comes in ((b"*", b"*"), (b"http://app.localhost", b"*"), (b"/", b"/")):
        line = b"OPTIONS %b HTTP/1.1"
        name = f"OPTIONS {sent.decode()}"
        cases.append(passes(name, "9112 3.2.4", ask(line=line % sent), asked(line=line % comes)))
    return cases


def _methods() -> list[Case]:
    return [
        passes(
            f"method {method.decode()}",
            "9110 9.1",
            ask(line=method + b" /x HTTP/1.1"),
            asked(line=method + b" /x HTTP/1.1"),
        )
        for method in (
            b"DELETE",
            b"PATCH",
            b"TRACE",
            b"PROPFIND",
            b"get",
            b"M-SEARCH",
            b"A!#$%&'*+.^_`|~9",
        )
    ]


def _fields() -> list[Case]:
    kept = {
        "order, case and repeats": b"b: 1\r\nA: 2\r\nB: 3\r\nb: 4\r\n",
        "an empty value": b"A:\r\n".replace(b":", b": "),
        "obs-text in a value": b"A: \xe4\xff\r\n",
        "a tab inside a value": b"A: b\tc\r\n",
        "Via, Date and Max-Forwards": b"Via: 1.1 a\r\nDate: x\r\nMax-Forwards: 0\r\n",
        "cookies": b"Cookie: a=b\r\nCookie: c=d\r\n",
        "Authorization": b"Authorization: Basic YTpi\r\n",
        "Expect": b"Expect: 100-continue\r\n",
        "Range and If-None-Match": b'Range: bytes=0-1\r\nIf-None-Match: "x"\r\n',
        "Accept-Encoding": b"Accept-Encoding: gzip, br\r\n",
        "a name of all token bytes": b"!#$%&'*+-.^_`|~9a: b\r\n",
        "255 more fields": b"A: b\r\n" * 255,
    }
    cases = [passes(name, "9110 5", ask(fields), asked(fields)) for name, fields in kept.items()]
    changed = {
        "whitespace around a value": (b"A:\t b \t\r\nB:c\r\n", b"A: b\r\nB: c\r\n", b""),
        "Connection and what it lists": (
            b"Connection: X-Hop, keep-alive\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nx-HOP: 2\r\n",
            b"",
            b"",
        ),
        "Proxy-Connection": (b"Proxy-Connection: keep-alive\r\n", b"", b""),
        "TE: trailers": (
            b"TE: trailers, gzip\r\nConnection: TE\r\n",
            b"",
            b"Connection: TE\r\nTE: trailers\r\n",
        ),
        "TE without trailers": (b"TE: gzip\r\nConnection: TE\r\n", b"", b""),
        "Upgrade to h2c": (
            b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMA\r\n",
            b"",
            b"",
        ),
        "Upgrade to TLS": (b"Upgrade: TLS/1.3\r\nConnection: upgrade\r\n", b"", b""),
        "Upgrade without Connection": (b"Upgrade: websocket\r\n", b"", b""),
        "Connection that lists X-Forwarded-For": (b"Connection: X-Forwarded-For\r\n", b"", b""),
    }
    cases += [
        passes(name, "9110 7.6.1", ask(sent), asked(comes, hop=hop))
        for name, (sent, comes, hop) in changed.items()
    ]
    spoofed = [
        *(b"X-Forwarded-For", b"x-forwarded-host", b"X-FORWARDED-PROTO", b"X-Forwarded-Port"),
        *(b"X_Forwarded_For", b"X-Forwarded_Host", b"Forwarded", b"X-Real-IP", b"X_Real_IP"),
        *(b"X-Forwarded-Prefix", b"X-Forwarded-Server"),
    ]
    cases += [
        passes(f"a visitor's {name.decode()}", "7239 8.1", ask(name + b": 1.2.3.4\r\n"), asked())
        for name in spoofed
    ]
    return cases


def _bodies() -> list[Case]:
    length = b"Content-Length: 5\r\n"
    whole = {
        "a length": (length, b"hello", b"hello", length, b""),
        "a length of 0": (b"Content-Length: 0\r\n", b"", b"", b"Content-Length: 0\r\n", b""),
        "a length with zeros before it": (
            b"Content-Length: 005\r\n",
            b"hello",
            b"hello",
            b"Content-Length: 005\r\n",
            b"",
        ),
    }
    chunks = {
        "one chunk": b"5\r\nhello\r\n0\r\n\r\n",
        "chunks of a byte": b"1\r\nh\r\n1\r\ne\r\n1\r\nl\r\n1\r\nl\r\n1\r\no\r\n0\r\n\r\n",
        "sizes with zeros before them": b"0005\r\nhello\r\n000\r\n\r\n",
        "an extension": b'5;a="b"\r\nhello\r\n0;c\r\n\r\n',
        "an extension of 10 KiB": b"5;" + b"a" * 10240 + b"\r\nhello\r\n0\r\n\r\n",
        "a size of 16 digits": b"0000000000000005\r\nhello\r\n0\r\n\r\n",
        "trailers that are not for trailers": (
            b"5\r\nhello\r\n0\r\nHost: evil\r\nContent-Length: 9\r\nX_Forwarded_For: 1\r\n\r\n"
        ),
    }
    comes = b"5\r\nhello\r\n0\r\n\r\n"
    whole |= {name: (CHUNKED, sent, comes, b"", CHUNKED) for name, sent in chunks.items()}
    trailer = b"5\r\nhello\r\n0\r\nX-Sum: 1\r\nx-b: \xe4\r\n\r\n"
    whole["trailers"] = (CHUNKED, trailer, trailer, b"", CHUNKED)
    whole["sizes in capitals"] = (
        CHUNKED,
        b"A\r\n0123456789\r\n0\r\n\r\n",
        b"a\r\n0123456789\r\n0\r\n\r\n",
        b"",
        CHUNKED,
    )
    return [
        passes(
            f"body: {name}",
            "9112 7.1",
            ask(fields, POST) + sent,
            POST + b"\r\n" + HOST + kept + _forwarded(framing) + b"\r\n" + got,
        )
        for name, (fields, sent, got, kept, framing) in whole.items()
    ]


def _forwarded(framing: bytes) -> bytes:
    """The fields that the tunnel adds, and then the framing of the hop to the app."""
    return asked(hop=framing).removeprefix(GET + b"\r\n" + HOST).removesuffix(b"\r\n")


def _broken_chunks() -> list[Case]:
    broken = {
        "a size with a plus": b"+5\r\nhello\r\n",
        "a size with a minus": b"-5\r\nhello\r\n",
        "a size with 0x": b"0x5\r\nhello\r\n",
        "a size with an underscore": b"5_0\r\nhello\r\n",
        "a space before the size": b" 5\r\nhello\r\n",
        "a space behind the size": b"5 \r\nhello\r\n",
        "no size": b"\r\nhello\r\n",
        "a size that is no number": b"g\r\nhello\r\n",
        "a size of 17 digits": b"00000000000000005\r\nhello\r\n",
        "a bare LF behind the size": b"5\nhello\r\n",
        "a bare CR behind the size": b"5\rhello\r\n",
        "a control byte in an extension": b"5;\x01\r\nhello\r\n",
        "a bare LF in an extension": b"5;a\nb\r\nhello\r\n",
        "other bytes for the CRLF behind data": b"5\r\nhelloXX0\r\n\r\n",
        "a bare LF behind data": b"5\r\nhello\n0\r\n\r\n",
        "data longer than its size": b"5\r\nhello!\r\n0\r\n\r\n",
        "a bare LF in a trailer": b"0\r\nA: b\n\r\n",
        "a folded trailer": b"0\r\nA: b\r\n c\r\n\r\n",
        "a trailer without a colon": b"0\r\nA\r\n\r\n",
        "an extension of 16 KiB": b"5;" + b"a" * 16384 + b"\r\n",
    }
    return [
        Case(
            f"chunks: {name}",
            "9112 7.1",
            script(
                visitor_sends(ask(CHUNKED, POST)),
                app_gets_head(POST + b"\r\n" + HOST + _forwarded(CHUNKED) + b"\r\n"),
                visitor_sends(sent + ask()),  # what is behind it is never a request
                visitor_gets_error(400, "bad-request"),
                CLOSED,
            ),
        )
        for name, sent in broken.items()
    ]


def _connections() -> list[Case]:
    head = asked(b"Content-Length: 5\r\n", POST)
    return [
        Case(
            "three requests in one segment are answered in order",
            "9112 9.3.2",
            script(
                visitor_sends(b"".join(ask(line=b"GET /%d HTTP/1.1" % n) for n in range(3))),
                *[
                    step
                    for n in range(3)
                    for step in (
                        app_gets_head(asked(line=b"GET /%d HTTP/1.1" % n)),
                        app_sends(OK + b"%02d" % n),
                        visitor_gets_head(OK),
                        visitor_gets(b"%02d" % n),
                    )
                ],
                VISITOR_ENDS,
                VISITOR_SEES_END,
            ),
        ),
        Case(
            "a fault behind a request waits for its answer",
            "9112 9.3.2",
            script(
                visitor_sends(ask() + ask(b"A : b\r\n")),
                app_gets_head(asked()),
                app_sends(OK + b"ok"),
                visitor_gets_head(OK),
                visitor_gets(b"ok"),
                visitor_gets_error(400, "bad-request"),
                CLOSED,
            ),
        ),
        Case(
            "a request behind a body in one segment",
            "9112 6.3",
            script(
                visitor_sends(ask(b"Content-Length: 5\r\n", POST) + b"hello" + ask()),
                app_gets_head(head),
                app_gets(b"hello"),
                app_sends(OK + b"ok"),
                visitor_gets_head(OK),
                visitor_gets(b"ok"),
                APP_IS_PASSED_OVER,  # behind a request with a body it serves nobody else
                app_gets_head(asked()),
                ANSWERED,
            ),
        ),
        Case(
            "an empty line before a request",
            "9112 2.2",
            script(visitor_sends(b"\r\n" + ask()), app_gets_head(asked()), ANSWERED),
        ),
        Case(
            "a request in pieces of a byte",
            "9112 2.2",
            script(visitor_sends(ask(b"A: b\r\n"), 1), app_gets_head(asked(b"A: b\r\n")), ANSWERED),
        ),
        Case(
            "a visitor that ends its direction behind its request is answered",
            "9112 9.6",
            script(
                visitor_sends(ask()),
                VISITOR_ENDS,
                app_gets_head(asked()),
                app_sends(OK + b"ok"),
                visitor_gets_head(OK),
                visitor_gets(b"ok"),
                VISITOR_SEES_END,
            ),
        ),
        Case(
            "a visitor that resets in the middle of a body",
            "9112 9.5",
            script(
                visitor_sends(ask(b"Content-Length: 5\r\n", POST) + b"he"),
                app_gets_head(head),
                app_gets(b"he"),
                VISITOR_RESETS,
                APP_IS_RESET,
            ),
        ),
        Case(
            "a visitor that resets while its answer is awaited",
            "9112 9.5",
            script(visitor_sends(ask()), app_gets_head(asked()), VISITOR_RESETS, APP_IS_RESET),
        ),
        Case(
            "the app's 100 crosses, and then the body goes",
            "9110 10.1.1",
            script(
                visitor_sends(ask(b"Expect: 100-continue\r\nContent-Length: 5\r\n", POST)),
                app_gets_head(asked(b"Expect: 100-continue\r\nContent-Length: 5\r\n", POST)),
                app_sends(b"HTTP/1.1 100 Go on\r\n\r\n"),
                visitor_gets_head(b"HTTP/1.1 100 Go on\r\n\r\n"),
                visitor_sends(b"hello"),
                app_gets(b"hello"),
                ANSWERED,
            ),
        ),
        Case(
            "Connection: close",
            "9112 9.6",
            script(
                visitor_sends(ask(b"Connection: close\r\n") + ask()),
                app_gets_head(asked()),
                app_sends(OK + b"ok"),
                visitor_gets_head(OK[:-2] + b"Connection: close\r\n\r\n"),
                visitor_gets(b"ok"),
                CLOSED,
            ),
        ),
        Case(
            "HTTP/1.0",
            "9112 9.3",
            script(
                visitor_sends(ask(line=b"GET /x HTTP/1.0")),
                app_gets_head(asked()),
                app_sends(OK + b"ok"),
                visitor_gets_head(OK[:-2] + b"Connection: close\r\n\r\n"),
                visitor_gets(b"ok"),
                CLOSED,
            ),
        ),
        Case(
            "HTTP/1.0 that keeps its connection",
            "9112 9.3",
            script(
                visitor_sends(ask(b"Connection: Keep-Alive\r\n", b"GET /x HTTP/1.0")),
                app_gets_head(asked()),
                app_sends(OK + b"ok"),
                visitor_gets_head(OK[:-2] + b"Connection: keep-alive\r\n\r\n"),
                visitor_gets(b"ok"),
                VISITOR_ENDS,
                VISITOR_SEES_END,
            ),
        ),
    ]


REQUESTS: Final[dict[str, list[Case]]] = {
    "targets": _targets(),
    "methods": _methods(),
    "fields that cross": _fields(),
    "bodies": _bodies(),
    "broken chunks": _broken_chunks(),
    "connections": _connections(),
}
