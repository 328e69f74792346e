"""Answers of the app, and what the visitor gets of them."""

from __future__ import annotations

from typing import Final

from tests.conformance.http_script import CLOSES, POST, answers, ask, asked, taken, wrong
from tests.conformance.websocket_script import (
    APP_ENDS,
    APP_IS_PASSED_OVER,
    APP_IS_RESET,
    APP_RESETS,
    CLOSED,
    NEXT,
    OK,
    VISITOR_ENDS,
    VISITOR_RESETS,
    VISITOR_SEES_END,
    Case,
    Step,
    app_gets,
    app_gets_head,
    app_sends,
    script,
    to_app,
    visitor_gets,
    visitor_gets_error,
    visitor_gets_head,
    visitor_sees_end_behind,
    visitor_sends,
)

LENGTH: Final = b"Content-Length: 2\r\n"
CHUNKED: Final = b"Transfer-Encoding: chunked\r\n"
EARLY: Final = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
IN_1_0: Final = ask(line=b"GET /x HTTP/1.0")


def head(fields: bytes = b"", line: bytes = b"HTTP/1.1 200 OK") -> bytes:
    return line + b"\r\n" + fields + b"\r\n"


def _lines() -> list[Case]:
    kept = [
        *(
            b"200 OK",
            b"200 ",
            b"299 So so",
            b"418 \xe4\t x",
            b"500 No",
            b"600 x",
            b"999 x",
            b"205 x",
        ),
        *(b"300 x", b"401 x", b"426 x", b"511 x"),
    ]
    cases = []
    for line in kept:
        whole = head(LENGTH, b"HTTP/1.1 " + line) + b"ok"
        cases.append(answers(f"status {line!r}", "9112 4", whole, whole))
    cases.append(
        answers(
            "no reason",
            "9112 4",
            head(LENGTH, b"HTTP/1.1 404") + b"ok",
            head(LENGTH, b"HTTP/1.1 404 ") + b"ok",
        )
    )
    bad = [
        *(
            b"HTTP/1.1",
            b"HTTP/1.1 20 OK",
            b"HTTP/1.1 2000 OK",
            b"HTTP/1.1 099 OK",
            b"HTTP/1.1 +20 x",
        ),
        *(b"HTTP/1.1 200OK", b"HTTP/1.1  200 OK", b"HTTP/1.1\t200 OK", b"HTTP/1.1 200 O\x00K"),
        *(b"HTTP/1.1 200 O\x7fK", b"HTTP/1.2 200 OK"),
    ]
    cases += [wrong(f"line {line!r}", "9112 4", head(LENGTH, line) + b"ok") for line in bad]
    return cases


def _fields() -> list[Case]:
    kept = {
        "order, case and repeats": b"b: 1\r\nA: 2\r\nB: 3\r\n",
        "two cookies": b"Set-Cookie: a=b\r\nset-cookie: c=d; Path=/\r\n",
        "obs-text": b"A: \xe4\xff\r\n",
        "security fields": b"Content-Security-Policy: x\r\nReferrer-Policy: no-referrer\r\n",
        "Date, Server and Via": b"Date: x\r\nServer: y\r\nVia: 1.1 z\r\n",
        "Content-Encoding": b"Content-Encoding: gzip\r\n",
        "Location": b"Location: http://app.localhost/x\r\n",
    }
    cases = []
    for name, fields in kept.items():
        whole = head(fields + LENGTH) + b"ok"
        cases.append(answers(f"answer: {name}", "9110 5", whole, whole))
    dropped = {
        "Connection and what it lists": b"Connection: X-Hop\r\nX-Hop: 1\r\n",
        "Keep-Alive": b"Keep-Alive: timeout=5\r\n",
        "Proxy-Connection": b"Proxy-Connection: x\r\n",
        "TE": b"TE: trailers\r\n",
        "Upgrade": b"Upgrade: h2c\r\nConnection: upgrade\r\n",
        "Tunnel-Error": b"Tunnel-Error: internal\r\n",
        "TUNNEL-ERROR": b"TUNNEL-ERROR: internal\r\n",
        "Connection: close": CLOSES,
    }
    cases += [
        answers(f"answer without {name}", "9110 7.6.1", head(fields + LENGTH) + b"ok", OK + b"ok")
        for name, fields in dropped.items()
    ]
    controls = (0x00, 0x01, 0x08, 0x0B, 0x0C, 0x1B, 0x1F, 0x7F)
    cases += [
        wrong(
            f"answer: control byte {byte:02x}",
            "9110 5.5",
            head(b"A: b%cc\r\n" % byte + LENGTH) + b"ok",
        )
        for byte in controls
    ]
    bad = {
        "a bare CR": b"A: b\rC: d\r\n",
        "a folded line": b"A: b\r\n c\r\n",
        "no name": b": b\r\n",
        "no colon": b"A\r\n",
        "obs-text in a name": b"\xe4: b\r\n",
        "Connection that lists Content-Length": b"Connection: content-length\r\n",
        "257 fields": b"A: b\r\n" * 257,
        "more than 32 KiB": b"A: " + b"b" * 33000 + b"\r\n",
    }
    cases += [
        wrong(f"answer: {name}", "9112 5", head(fields + LENGTH) + b"ok")
        for name, fields in bad.items()
    ]
    # One reading, of the developer's own app: RFC 9112 2.2 lets a recipient end a line at a bare
    # LF, and 5.1 has a proxy remove the space.
    mended = {
        "a bare LF": (b"A: b\nC: d\r\n", b"A: b\r\nC: d\r\n"),
        "a space before the colon": (b"A : b\r\n", b"A: b\r\n"),
    }
    cases += [
        taken(f"answer: {name}", "9112 5", head(says + LENGTH) + b"ok", head(gets + LENGTH) + b"ok")
        for name, (says, gets) in mended.items()
    ]
    return cases


def _framing() -> list[Case]:
    bad = {
        "a length and chunked": LENGTH + CHUNKED,
        "two lengths": LENGTH + b"Content-Length: 3\r\n",
        "length +2": b"Content-Length: +2\r\n",
        "length 2_0": b"Content-Length: 2_0\r\n",
        "length 0x2": b"Content-Length: 0x2\r\n",
        "an empty length": b"Content-Length:\r\n",
        "a length of 19 digits": b"Content-Length: " + b"9" * 19 + b"\r\n",
        "coding gzip": b"Transfer-Encoding: gzip\r\n",
        "coding gzip, chunked": b"Transfer-Encoding: gzip, chunked\r\n",
        "two codings": CHUNKED + CHUNKED,
    }
    cases = [wrong(f"answer: {name}", "9112 6.3", head(f) + b"ok") for name, f in bad.items()]
    # One value has one reading (RFC 9110 8.6); a visitor's request is refused for it all the same.
    cases += [
        taken(f"answer: {name}", "9112 6.3", head(fields) + b"ok", OK + b"ok")
        for name, fields in (
            ("two equal lengths", LENGTH + LENGTH),
            ("length 2,2", b"Content-Length: 2,2\r\n"),
        )
    ]
    cases.append(
        wrong("answer: chunked in HTTP/1.0", "9112 6.1", head(CHUNKED, b"HTTP/1.0 200 OK"))
    )
    ok = b"2\r\nok\r\n0\r\n\r\n"
    chunks = {
        "one chunk": (ok, ok),
        "an extension": (b"2;a=b\r\nok\r\n0;c\r\n\r\n", ok),
        "trailers": (ok[:-2] + b"X-Sum: 1\r\n\r\n", ok[:-2] + b"X-Sum: 1\r\n\r\n"),
        "trailers that are not for trailers": (
            ok[:-2] + b"Set-Cookie: a\r\nTunnel-Error: x\r\nContent-Length: 3\r\n\r\n",
            ok,
        ),
        "no data": (b"0\r\n\r\n", b"0\r\n\r\n"),
    }
    cases += [
        answers(
            f"chunks: {name}, from the app", "9112 7.1", head(CHUNKED) + says, head(CHUNKED) + gets
        )
        for name, (says, gets) in chunks.items()
    ]
    cases += [
        answers(
            "until-close becomes chunked", "9112 6.3", head() + b"ok", head(CHUNKED) + ok, ends=True
        ),
        answers(
            "until-close in HTTP/1.0",
            "9112 6.3",
            head(line=b"HTTP/1.0 200 OK") + b"ok",
            head(CHUNKED) + ok,
            ends=True,
        ),
        answers(
            "an empty answer until close",
            "9112 6.3",
            head(),
            head(CHUNKED) + b"0\r\n\r\n",
            ends=True,
        ),
        answers(
            "204 with a length",
            "9110 8.6",
            head(b"Content-Length: 0\r\n", b"HTTP/1.1 204 x"),
            head(line=b"HTTP/1.1 204 x"),
        ),
        answers("204", "9110 15.3.5", head(line=b"HTTP/1.1 204 x"), head(line=b"HTTP/1.1 204 x")),
        answers(
            "304 with a length",
            "9110 15.4.5",
            head(LENGTH, b"HTTP/1.1 304 x"),
            head(LENGTH, b"HTTP/1.1 304 x"),
        ),
        answers("304", "9110 15.4.5", head(line=b"HTTP/1.1 304 x"), head(line=b"HTTP/1.1 304 x")),
    ]
    line = b"HEAD /x HTTP/1.1"
    for name, fields in (("a length", LENGTH), ("chunked", CHUNKED), ("nothing", b"")):
        gets = head(b"" if fields == CHUNKED else fields)
        cases.append(
            _dialogue(f"HEAD answered with {name}", "9110 9.3.2", line, head(fields), gets)
        )
    return cases


def _dialogue(name: str, section: str, line: bytes, says: bytes, gets: bytes) -> Case:
    return Case(
        name,
        section,
        script(
            visitor_sends(ask(line=line)),
            app_gets_head(asked(line=line)),
            app_sends(says),
            visitor_gets_head(gets),
            VISITOR_ENDS,
            VISITOR_SEES_END,
        ),
    )


def _informational() -> list[Case]:
    cases = []
    for line in (b"100 Continue", b"102 Processing", b"103 Early Hints", b"199 x"):
        early = head(b"Link: </a>\r\n", b"HTTP/1.1 " + line)
        cases.append(_early(f"{line.decode()} crosses", early, early))
    cases.append(_early("32 of them cross", EARLY * 32, EARLY * 32))
    cases.append(_early("one with a length", EARLY[:-2] + b"Content-Length: 5\r\n\r\n", EARLY))
    cases.append(
        Case(
            "none crosses to HTTP/1.0",
            "9110 15.2",
            script(
                visitor_sends(IN_1_0),
                app_gets_head(asked()),
                app_sends(EARLY + OK + b"ok"),
                visitor_gets_head(OK[:-2] + CLOSES + b"\r\n"),
                visitor_gets(b"ok"),
                CLOSED,
            ),
        )
    )
    return cases


def _early(name: str, says: bytes, gets: bytes) -> Case:
    return Case(
        f"1xx: {name}",
        "9110 15.2",
        script(
            visitor_sends(ask()),
            app_gets_head(asked()),
            app_sends(says + OK + b"ok"),
            *(visitor_gets_head(part + b"\r\n\r\n") for part in gets.split(b"\r\n\r\n")[:-1]),
            visitor_gets_head(OK),
            visitor_gets(b"ok"),
            VISITOR_ENDS,
            VISITOR_SEES_END,
        ),
    )


def _cut() -> list[Case]:
    """An answer that is cut off looks cut off."""
    part = head(b"Content-Length: 5\r\n") + b"he"
    chunked = head(CHUNKED) + b"5\r\nhello\r\n"
    return [
        _cut_off("a length, by an end", part, APP_ENDS, part),
        _cut_off("chunks, by an end", chunked, APP_ENDS, chunked),
        _cut_off(
            "chunks, by an end in the trailers", chunked + b"0\r\nX: 1\r\n", APP_ENDS, chunked
        ),
        _cut_off("a length, by a reset", part, APP_RESETS, part),
        _cut_off("chunks, by a reset", chunked, APP_RESETS, chunked),
        _cut_off(
            "until close, by a reset", head() + b"ok", APP_RESETS, head(CHUNKED) + b"2\r\nok\r\n"
        ),
        _cut_off("chunks, by a fault", chunked, app_sends(b"xyz\r\n"), chunked),
        Case(
            "until close to HTTP/1.0",
            "9112 6.3",
            script(
                visitor_sends(IN_1_0),
                app_gets_head(asked()),
                app_sends(head(CHUNKED) + b"2\r\nok\r\n0\r\n\r\n"),
                visitor_gets_head(head(CLOSES)),
                visitor_sees_end_behind(b"ok"),
                VISITOR_ENDS,
            ),
        ),
    ]


def _cut_off(name: str, says: bytes, then: Step, gets: bytes) -> Case:
    first, empty_line, body = gets.partition(b"\r\n\r\n")
    return Case(
        f"cut off: {name}",
        "9112 8",
        script(
            visitor_sends(ask()),
            app_gets_head(asked()),
            app_sends(says),
            visitor_gets_head(first + empty_line),
            visitor_gets(body),
            then,
            visitor_sees_end_behind(b""),
        ),
    )


def _ends() -> list[Case]:
    no_answer = {
        "no byte": b"",
        "half a line": b"HTTP/1.",
        "half a head": b"HTTP/1.1 200 OK\r\nA: b\r\n",
    }
    cases = [
        Case(
            f"an app that ends after {name}",
            "9110 15.6.3",
            script(
                visitor_sends(ask()),
                app_gets_head(asked()),
                app_sends(says),
                APP_ENDS,
                visitor_gets_error(502, "origin-protocol-error", closes=False),
                VISITOR_ENDS,
                VISITOR_SEES_END,
            ),
        )
        for name, says in no_answer.items()
    ]
    cases += [
        Case(
            "an early answer ends, and the upload goes on",
            "9112 9.3",
            script(
                visitor_sends(ask(b"Content-Length: 9\r\n", POST) + b"he"),
                app_gets_head(asked(b"Content-Length: 9\r\n", POST)),
                app_gets(b"he"),
                app_sends(head(LENGTH, b"HTTP/1.1 413 No") + b"ok"),
                visitor_gets_head(head(LENGTH, b"HTTP/1.1 413 No")),
                visitor_gets(b"ok"),
                *to_app(b"llo wor"),
                APP_IS_PASSED_OVER,  # behind a request with a body it serves nobody else
                NEXT,
            ),
        ),
        Case(
            "an early answer that closes, and the upload goes on",
            "9112 9.6",
            script(
                visitor_sends(ask(b"Content-Length: 9\r\n", POST) + b"he"),
                app_gets_head(asked(b"Content-Length: 9\r\n", POST)),
                app_gets(b"he"),
                app_sends(head(LENGTH + CLOSES) + b"ok"),
                visitor_gets_head(head(LENGTH + CLOSES)),
                visitor_gets(b"ok"),
                *to_app(b"llo wor"),
                CLOSED,
            ),
        ),
        Case(
            "an early answer, and the app ends its connection",
            "9112 9.6",
            script(
                visitor_sends(ask(b"Content-Length: 9\r\n", POST) + b"he"),
                app_gets_head(asked(b"Content-Length: 9\r\n", POST)),
                app_gets(b"he"),
                app_sends(head(LENGTH + CLOSES, b"HTTP/1.1 413 No") + b"ok"),
                visitor_gets_head(head(LENGTH + CLOSES, b"HTTP/1.1 413 No")),
                visitor_gets(b"ok"),
                APP_ENDS,
                CLOSED,
            ),
        ),
        Case(
            "a visitor that resets in the middle of an answer",
            "9112 9.5",
            script(
                visitor_sends(ask()),
                app_gets_head(asked()),
                app_sends(head(b"Content-Length: 5\r\n") + b"he"),
                visitor_gets_head(head(b"Content-Length: 5\r\n")),
                visitor_gets(b"he"),
                VISITOR_RESETS,
                APP_IS_RESET,
            ),
        ),
    ]
    return cases


ANSWERS: Final[dict[str, list[Case]]] = {
    "status lines": _lines(),
    "fields of answers": _fields(),
    "framing of answers": _framing(),
    "informational answers": _informational(),
    "answers cut off": _cut(),
    "ends": _ends(),
}
