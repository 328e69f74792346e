"""Answers of the app: limits at the limit, HTTP/1.0 visitors, and the connection to the app."""

from __future__ import annotations

from typing import Final

from tests.conformance.http_answers import CHUNKED, EARLY, IN_1_0, LENGTH, head
from tests.conformance.http_script import CLOSES, POST, answers, ask, asked, taken, wrong
from tests.conformance.websocket_script import (
    APP_ENDS,
    APP_IS_LEFT,
    APP_IS_PASSED_OVER,
    APP_IS_RESET,
    APP_RESETS,
    CLOSED,
    NEXT,
    OK,
    VISITOR_ENDS,
    VISITOR_IS_RESET,
    VISITOR_RESETS,
    VISITOR_SEES_END,
    Case,
    Script,
    Step,
    app_gets,
    app_gets_head,
    app_sends,
    script,
    to_app,
    visitor_gets,
    visitor_gets_error,
    visitor_gets_head,
    visitor_sends,
)

KIB: Final = 1024
REFUSED: Final = visitor_gets_error(502, "origin-protocol-error", closes=False)
END: Final = script(VISITOR_ENDS, VISITOR_SEES_END)
ASKED: Final = script(visitor_sends(ask()), app_gets_head(asked()))
ASKED_IN_1_0: Final = script(visitor_sends(IN_1_0), app_gets_head(asked()))


def _gets(whole: bytes) -> Script:
    first, empty_line, body = whole.partition(b"\r\n\r\n")
    return script(visitor_gets_head(first + empty_line), visitor_gets(body))


def _early_fields() -> list[Case]:
    """What crosses of an informational answer, and how many."""
    dropped = {
        "Tunnel-Error": b"Tunnel-Error: internal\r\n",
        "chunked": CHUNKED,
        "hop-by-hop fields": b"Connection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n",
    }
    cases = [
        Case(
            f"1xx: one without {name}",
            "9110 15.2",
            script(
                ASKED,
                app_sends(head(fields + b"Link: </a>\r\n", b"HTTP/1.1 103 Early Hints")),
                visitor_gets_head(EARLY),
                app_sends(OK + b"ok"),
                _gets(OK + b"ok"),
                END,
            ),
        )
        for name, fields in dropped.items()
    ]
    cases += [
        wrong("1xx: 101 that nobody asked for", "9110 15.2.2", head(line=b"HTTP/1.1 101 x")),
        Case(
            "1xx: a bare LF in one",  # the connection counts as any that was read leniently
            "9112 2.2",
            script(
                ASKED,
                app_sends(EARLY.replace(b"\r\n", b"\n")),
                visitor_gets_head(EARLY),
                app_sends(OK + b"ok"),
                _gets(OK + b"ok"),
                APP_IS_LEFT,
                NEXT,
            ),
        ),
        Case(
            "1xx: 33 are one too many",
            "9110 15.2",
            script(ASKED, app_sends(EARLY * 33), visitor_gets(EARLY * 32), REFUSED, END),
        ),
        Case(
            "1xx: none but this",
            "9110 15.6.3",
            script(ASKED, app_sends(EARLY), visitor_gets_head(EARLY), APP_ENDS, REFUSED, END),
        ),
    ]
    return cases


def _limits() -> list[Case]:
    most = head(b"A: b\r\n" * 255 + LENGTH) + b"ok"
    longest = _of_size(32 * KIB) + b"ok"
    return [
        answers("answer: 256 fields", "9110 5.4", most, most),
        wrong("answer: one more than 256 fields", "9110 5.4", head(b"A: b\r\n" * 256 + LENGTH)),
        answers("answer: a head of 32 KiB", "9110 5.4", longest, longest),
        wrong("answer: a head of 32 KiB and a byte", "9110 5.4", _of_size(32 * KIB + 1)),
    ]


def _of_size(size_bytes: int) -> bytes:
    rest = len(head(b"A: \r\n" + LENGTH))
    return head(b"A: " + b"b" * (size_bytes - rest) + b"\r\n" + LENGTH)


def _no_http() -> list[Case]:
    said = {
        "SSH": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        "binary": b"\x00\x01\x02\xff" * 8,
        "HTTP/0.9": b"<html>hi</html>",
        "HTTP/2": b"\x00\x00\x12\x04\x00\x00\x00\x00\x00" + b"\x00" * 18,
    }
    return [
        Case(f"no HTTP: {name}", "9112 4", script(ASKED, app_sends(data), APP_ENDS, REFUSED, END))
        for name, data in said.items()
    ]


def _broken_chunks() -> list[Case]:
    """The head has left already: all that can be said is that the answer is cut off."""
    broken = {
        "a size with a minus": b"-1\r\n",
        "a size with 0x": b"0x1\r\nx\r\n",
        "a bare LF behind data": b"1\r\nx\n1\r\ny\r\n",
        "a space before the size": b" 1\r\nx\r\n",
        "a form feed behind the size": b"1\x0c\r\nx\r\n",
        "a bare CR behind the size": b"1\rx\r\n",
        "two sizes in a line": b"1 1\r\nx\r\n",
        "a control byte in an extension": b"1;a=\x01\r\nx\r\n",
        "a size of 17 digits": b"00000000000000001\r\nx\r\n",
        "a folded trailer": b"0\r\nA: b\r\n c\r\n\r\n",
        "a space before the colon of a trailer about an end": b"0\r\nConnection : b\r\n\r\n",
        "NUL in a trailer": b"0\r\nA: \x00\r\n\r\n",
    }
    good = head(CHUNKED) + b"5\r\nhello\r\n"
    return [
        Case(
            f"cut off: {name}, from the app",
            "9112 7.1",
            script(
                ASKED,
                app_sends(good),
                _gets(good),
                app_sends(fault),
                VISITOR_SEES_END,
                APP_IS_RESET,
            ),
        )
        for name, fault in broken.items()
    ]


def _loose_chunks() -> list[Case]:
    """Taken of the app: RFC 9112 2.2, 5.1 and 7.1.1 have one reading of each."""
    one = b"1\r\nx\r\n"
    last = b"0\r\n\r\n"
    trailers = b"0\r\nA: b\r\nC: d\r\n\r\n"
    loose = {
        "a bare LF behind the size": (b"1\nx\r\n" + last, one + last),
        "a space behind the size": (b"1 \r\nx\r\n" + last, one + last),
        "spaces and tabs behind the size": (b"1  \t \r\nx\r\n" + last, one + last),
        "a space before an extension": (b"1 ;a=b\r\nx\r\n" + last, one + last),
        "a bare LF behind an extension": (b"1;a=b\nx\r\n" + last, one + last),
        "a space behind the last size": (b"0 \r\n\r\n", last),
        "a bare LF behind the last size": (b"0\n\r\n", last),
        "a bare LF as the last line": (b"0\r\n\n", last),
        "a bare LF in the trailers": (b"0\r\nA: b\nC: d\r\n\r\n", trailers),
        "a space before a trailer's colon": (b"0\r\nA : b\r\nC: d\r\n\r\n", trailers),
    }
    return [
        taken(
            f"taken: {name}, from the app", "9112 7.1", head(CHUNKED) + says, head(CHUNKED) + gets
        )
        for name, (says, gets) in loose.items()
    ]


def _loose_heads() -> list[Case]:
    """Of the app's heads: what is taken, and beside it what readers differ about."""
    lines = head(b"A: b\r\nB: c\r\n" + LENGTH)
    wanted = lines + b"ok"
    says = {
        "LF behind every line": lines.replace(b"\r\n", b"\n"),
        "LF behind the first line": lines.replace(b"\r\n", b"\n", 1),
        "LF and then CRLF behind the fields": lines[:-4] + b"\n\r\n",
        "CRLF and then LF behind the fields": lines[:-2] + b"\n",
        "tabs before colons": lines.replace(b"A:", b"A\t\t:").replace(b"B:", b"B \t:"),
        "LF, space and three lengths": lines.replace(b"A:", b"A :").replace(
            LENGTH, LENGTH + b"X-Y: z\n" + b"content-length: 2, 02\n"
        ),
    }
    cases = [
        taken(
            f"taken: {name}",
            "9112 2.2",
            data + b"ok",
            wanted.replace(LENGTH, LENGTH + b"X-Y: z\r\n") if b"X-Y" in data else wanted,
        )
        for name, data in says.items()
    ]
    differ = {
        "Content-Length": b"Content-Length : 2\r\n",
        "content-length, twice": b"content-length : 2\r\n" + LENGTH,
        "Transfer-Encoding": b"Transfer-Encoding : chunked\r\n",
        "Connection": LENGTH + b"Connection\t: close\r\n",
        "Upgrade": LENGTH + b"UPGRADE : h2c\r\n",
    }
    cases += [
        wrong(f"answer: a space before the colon of {name}", "9112 5.1", head(fields) + b"ok")
        for name, fields in differ.items()
    ]
    bad = {
        "two lengths in a list": b"Content-Length: 2, 3\r\n",
        "a list of lengths with a gap": b"Content-Length: 2,,2\r\n",
        "equal lengths and chunked": LENGTH + LENGTH + CHUNKED,
        "a bare LF, then a folded line": b"A: b\n c\n" + LENGTH,
        "a bare LF, and a bare CR": b"A: b\nC: d\re\n" + LENGTH,
        "CR CR LF": b"A: b\r\r\n" + LENGTH,
    }
    cases += [
        wrong(f"answer: {name}", "9112 5", head(fields) + b"ok") for name, fields in bad.items()
    ]
    return cases


def _cut_chunks() -> list[Case]:
    part = head(CHUNKED) + b"5\r\nhe"
    comes = head(CHUNKED) + b"2\r\nhe\r\n"
    ends = {"an end": APP_ENDS, "a reset": APP_RESETS}
    return [
        Case(
            f"cut off: in the middle of a chunk, by {name}",
            "9112 8",
            script(ASKED, app_sends(part), _gets(comes), end, VISITOR_SEES_END),
        )
        for name, end in ends.items()
    ]


def _to_1_0() -> list[Case]:
    """To HTTP/1.0 an answer without a length ends with the connection: cut off, it is reset."""
    open_ended = head() + b"ok"
    chunked = head(CHUNKED) + b"2\r\nok\r\n"
    five = b"Content-Length: 5\r\n"
    asks = visitor_sends(ask(b"Connection: keep-alive\r\n", b"GET /x HTTP/1.0"))
    kept = head(LENGTH + b"Connection: keep-alive\r\n") + b"ok"
    once = script(asks, app_gets_head(asked()), app_sends(OK + b"ok"), _gets(kept))
    return [
        _in_1_0("until close", open_ended, APP_ENDS, whole=True),
        _in_1_0("until close, reset", open_ended, APP_RESETS, whole=False),
        _in_1_0("chunks, then an end", chunked, APP_ENDS, whole=False),
        _in_1_0("chunks, then a reset", chunked, APP_RESETS, whole=False),
        _in_1_0("chunks and trailers", chunked, app_sends(b"0\r\nX-Sum: 1\r\n\r\n"), whole=True),
        Case(
            "to HTTP/1.0: a length that is cut off",
            "9112 8",
            script(
                ASKED_IN_1_0,
                app_sends(head(five) + b"he"),
                _gets(head(five + CLOSES) + b"he"),
                APP_ENDS,
                VISITOR_SEES_END,
            ),
        ),
        Case("to HTTP/1.0: keep-alive", "9112 9.3", script(once, once, END)),
    ]


def _in_1_0(name: str, says: bytes, then: Step, *, whole: bool) -> Case:
    end = VISITOR_SEES_END if whole else VISITOR_IS_RESET
    return Case(
        f"to HTTP/1.0: {name}",
        "9112 8",
        script(ASKED_IN_1_0, app_sends(says), _gets(head(CLOSES) + b"ok"), then, end),
    )


def _no_body() -> list[Case]:
    """Statuses without a body, whatever the app says about one."""
    bare_204, bare_304 = head(line=b"HTTP/1.1 204 x"), head(line=b"HTTP/1.1 304 x")
    empty = head(b"Content-Length: 0\r\n", b"HTTP/1.1 205 x")
    return [
        answers("204 with chunked", "9112 6.1", head(CHUNKED, b"HTTP/1.1 204 x"), bare_204),
        answers("304 with chunked", "9112 6.1", head(CHUNKED, b"HTTP/1.1 304 x"), bare_304),
        answers("205 with a length of 0", "9110 15.3.6", empty, empty),
    ]


def _not_used_again() -> list[Case]:
    """The next request comes on another connection."""
    smuggled = b"HTTP/1.1 200 Smuggled\r\nContent-Length: 0\r\n\r\n"
    no_content = head(line=b"HTTP/1.1 204 x")
    chunks = head(CHUNKED) + b"0\r\n\r\n"
    cases = [
        Case(
            f"another connection after {name}",
            "9112 9.3",
            script(ASKED, app_sends(says), _gets(gets), APP_IS_LEFT, NEXT),
        )
        for name, says, gets in (
            ("an answer behind the answer", OK + b"ok" + smuggled, OK + b"ok"),
            ("a byte behind a length", OK + b"ok!", OK + b"ok"),
            ("a byte behind the last chunk", chunks + b"x", chunks),
            ("a body of a 204", no_content + b"x", no_content),
            ("Connection: close", head(LENGTH + CLOSES) + b"ok", OK + b"ok"),
            ("HTTP/1.0", head(LENGTH, b"HTTP/1.0 200 OK") + b"ok", OK + b"ok"),
        )
    ]
    asks = visitor_sends(ask(line=b"HEAD /x HTTP/1.1"))
    comes = app_gets_head(asked(line=b"HEAD /x HTTP/1.1"))
    cases.append(
        Case(
            "another connection after a body to HEAD",
            "9112 9.3",
            script(asks, comes, app_sends(OK + b"ok"), visitor_gets_head(OK), APP_IS_LEFT, NEXT),
        )
    )
    return cases


def _early_ends() -> list[Case]:
    nine = b"Content-Length: 9\r\n"
    no = b"HTTP/1.1 413 No"
    upload = asked(line=POST, hop=CHUNKED)
    part = head(CHUNKED) + b"2\r\nok\r\n"
    return [
        Case(
            "413 before a byte of the body",
            "9112 9.3",
            script(
                visitor_sends(ask(nine, POST)),
                app_gets_head(asked(nine, POST)),
                app_sends(head(LENGTH, no) + b"ok"),
                _gets(head(LENGTH, no) + b"ok"),
                *to_app(b"hello wor"),
                APP_IS_PASSED_OVER,
                NEXT,
            ),
        ),
        Case(
            "an early answer to chunks",
            "9112 9.3",
            script(
                visitor_sends(ask(CHUNKED, POST) + b"2\r\nhe\r\n"),
                app_gets_head(upload),
                app_gets(b"2\r\nhe\r\n"),
                app_sends(OK + b"ok"),
                _gets(OK + b"ok"),
                *to_app(b"3\r\nllo\r\n"),
                *to_app(b"0\r\n\r\n"),
                APP_IS_PASSED_OVER,
                NEXT,
            ),
        ),
        Case(
            "an early answer to HTTP/1.0",
            "9112 9.6",
            script(
                visitor_sends(ask(nine, POST.replace(b"1.1", b"1.0")) + b"he"),
                app_gets_head(asked(nine, POST)),
                app_gets(b"he"),
                app_sends(head(CHUNKED) + b"2\r\nok\r\n0\r\n\r\n"),
                _gets(head() + b"ok"),  # `Connection: close` would end curl's upload
                VISITOR_SEES_END,
                *to_app(b"llo wor"),
                VISITOR_ENDS,
            ),
        ),
        Case(
            "an early answer until close ends the upload",
            "9112 9.6",
            script(
                visitor_sends(ask(nine, POST) + b"he"),
                app_gets_head(asked(nine, POST)),
                app_gets(b"he"),
                app_sends(head(line=b"HTTP/1.0 200 OK") + b"ok"),
                _gets(head(CHUNKED + CLOSES) + b"2\r\nok\r\n"),
                APP_ENDS,
                visitor_gets(b"0\r\n\r\n"),
                CLOSED,
            ),
        ),
        Case(
            "a visitor that resets in the middle of chunks",
            "9112 9.5",
            script(ASKED, app_sends(part), _gets(part), VISITOR_RESETS, APP_IS_RESET),
        ),
    ]


EDGES: Final[dict[str, list[Case]]] = {
    "informational answers, in detail": _early_fields(),
    "limits of answers": _limits(),
    "no HTTP": _no_http(),
    "lenient heads of answers": _loose_heads(),
    "lenient chunks of answers": _loose_chunks(),
    "broken chunks of answers": _broken_chunks() + _cut_chunks(),
    "answers to HTTP/1.0": _to_1_0(),
    "answers without a body": _no_body(),
    "connections to the app": _not_used_again(),
    "ends before the end": _early_ends(),
}
