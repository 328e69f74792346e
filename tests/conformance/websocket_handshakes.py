"""Handshakes that open a WebSocket."""

from __future__ import annotations

from tests.conformance.websocket_script import (
    ACCEPT,
    BOTH_END,
    FIN,
    FORWARDED,
    KEY,
    KEYED,
    TEXT,
    UPGRADED,
    Case,
    Script,
    app_gets_head,
    app_sends,
    ask,
    asked,
    frame,
    masked,
    script,
    switch,
    switched,
    to_app,
    to_visitor,
    visitor_gets_head,
    visitor_sends,
)

HELLO = frame(FIN | TEXT, b"Hello")
MASKED = masked(FIN | TEXT, b"Hello")


def opens(sent: bytes, comes: bytes, says: bytes = b"", gets: bytes = b"") -> Script:
    """This request and this 101 open a WebSocket that works."""
    return script(
        visitor_sends(sent),
        app_gets_head(comes),
        app_sends(says or switch()),
        visitor_gets_head(gets or switched()),
        to_app(MASKED),
        to_visitor(HELLO),
        BOTH_END,
    )


def with_fields(fields: bytes) -> Script:
    """Request fields that cross as they are."""
    return opens(ask(KEYED + fields), asked(KEYED + fields))


def with_answer(fields: bytes) -> Script:
    """Fields of the 101 that cross as they are."""
    return opens(ask(), asked(), switch(fields), switched(fields))


def with_hop(hop: bytes) -> Script:
    """Another spelling of Connection and Upgrade, which each hop writes anew."""
    return opens(ask(hop=hop), asked())


def after_informational(*heads: bytes) -> Script:
    joined = b"".join(heads)
    before = script(visitor_sends(ask()), app_gets_head(asked()), app_sends(joined + switch()))
    crossing = [visitor_gets_head(head) for head in heads]
    return script(before, *crossing, visitor_gets_head(switched()), to_app(MASKED), BOTH_END)


SHUFFLED = (
    b"GET /ws HTTP/1.1\r\nsec-websocket-VERSION: 13\r\nuPGRADE: WebSocket\r\n"
    b"SEC-WEBSOCKET-KEY: " + KEY + b"\r\nX-A: 1\r\nhOST: app.localhost\r\nconnection: upGRADE\r\n"
    b"x-a: 2\r\n\r\n"
)
SHUFFLED_COMES = (
    b"GET /ws HTTP/1.1\r\nsec-websocket-VERSION: 13\r\n"
    b"SEC-WEBSOCKET-KEY: " + KEY + b"\r\nX-A: 1\r\nhOST: app.localhost\r\n"
    b"x-a: 2\r\n" + FORWARDED + UPGRADED + b"\r\n"
)
OTHER_KEY = KEYED.replace(KEY, b"+/+/AgMEBQYHCAkKCwwNDg==")
OTHER_ACCEPT = b"21FFb7+PQWhbnTneC3+RBIEABI4="

HANDSHAKES = [
    Case("the simplest handshake", "4.1", opens(ask(), asked())),
    Case("names in odd case and order", "RFC 9110 5.1", opens(SHUFFLED, SHUFFLED_COMES)),
    Case(
        "a 101 in odd case and order",
        "RFC 9110 5.1",
        opens(
            ask(),
            asked(),
            b"HTTP/1.1 101 Switching\r\nX-B: 2\r\nSEC-websocket-accept: " + ACCEPT + b"\r\n"
            b"UPGRADE: WebSocket\r\nX-a: 1\r\nconnection: UPGRADE\r\n\r\n",
            b"HTTP/1.1 101 Switching\r\nX-B: 2\r\nSEC-websocket-accept: " + ACCEPT + b"\r\n"
            b"X-a: 1\r\n" + UPGRADED + b"\r\n",
        ),
    ),
    Case(
        "a key of any 16 bytes",
        "4.2.2",
        opens(
            ask(OTHER_KEY),
            asked(OTHER_KEY),
            switch().replace(ACCEPT, OTHER_ACCEPT),
            switched().replace(ACCEPT, OTHER_ACCEPT),
        ),
    ),
    Case("version 8", "4.4", opens(*[f(KEYED.replace(b"13", b"8")) for f in (ask, asked)])),
    Case(
        "no version, for the app to judge",
        "4.2.1",
        opens(*[f(KEYED.replace(b"Sec-WebSocket-Version: 13\r\n", b"")) for f in (ask, asked)]),
    ),
    Case("one extension", "9.1", with_fields(b"Sec-WebSocket-Extensions: permessage-deflate\r\n")),
    Case(
        "extensions with parameters, quoted ones too",
        "9.1",
        with_fields(
            b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits;"
            b' server_max_window_bits="10" , x-foo;a=1,x-bar\r\n'
        ),
    ),
    Case(
        "extensions in two fields",
        "9.1",
        with_fields(b"Sec-WebSocket-Extensions: a\r\nX-A: 1\r\nSec-WebSocket-Extensions: b\r\n"),
    ),
    Case(
        "an extension agreed on",
        "9.1",
        opens(
            *[f(KEYED + b"Sec-WebSocket-Extensions: permessage-deflate\r\n") for f in (ask, asked)],
            *[
                f(b"Sec-WebSocket-Extensions: permessage-deflate;server_no_context_takeover\r\n")
                for f in (switch, switched)
            ],
        ),
    ),
    Case(
        "an extension that was not offered, for the visitor to judge",
        "4.1",
        with_answer(b"Sec-WebSocket-Extensions: x-never\r\n"),
    ),
    Case("one protocol", "4.1", with_fields(b"Sec-WebSocket-Protocol: chat\r\n")),
    Case("protocols in order", "4.1", with_fields(b"Sec-WebSocket-Protocol: z,  a, V10.b\r\n")),
    Case(
        "protocols in two fields",
        "11.3.4",
        with_fields(b"Sec-WebSocket-Protocol: b\r\nSec-WebSocket-Protocol: a\r\n"),
    ),
    Case(
        "a protocol agreed on",
        "4.2.2",
        opens(
            *[f(KEYED + b"Sec-WebSocket-Protocol: a, b\r\n") for f in (ask, asked)],
            *[f(b"Sec-WebSocket-Protocol: b\r\n") for f in (switch, switched)],
        ),
    ),
    Case(
        "a protocol that was not offered, for the visitor to judge",
        "4.1",
        with_answer(b"Sec-WebSocket-Protocol: never\r\n"),
    ),
    Case("Origin", "10.2", with_fields(b"Origin: https://elsewhere.example\r\n")),
    Case("Origin null", "10.2", with_fields(b"Origin: null\r\n")),
    Case("cookies", "4.1", with_fields(b"Cookie: a=1; b=2\r\nCookie: c=3\r\n")),
    Case("credentials", "10.5", with_fields(b"Authorization: Basic dTpw\r\n")),
    Case(
        "cookies of the 101",
        "4.2.2",
        with_answer(b"Set-Cookie: a=1; Path=/\r\nSet-Cookie: b=2\r\n"),
    ),
    Case("other fields of the 101", "4.2.2", with_answer(b"X-App: One\r\nx-app: two\r\n")),
    Case("obs-text in a value", "RFC 9110 5.5", with_fields(b"X-Name: caf\xc3\xa9 \xff\r\n")),
    Case("an empty value", "RFC 9110 5.5", with_fields(b"X-Empty: \r\n")),
    Case(
        "the answer's field in a request",
        "11.3.3",
        with_fields(b"Sec-WebSocket-Accept: " + ACCEPT + b"\r\n"),
    ),
    Case("a length of 0 is no body", "RFC 9110 8.6", with_fields(b"Content-Length: 0\r\n")),
    Case(
        "the target's bytes",
        "3",
        opens(*[f(line=b"GET /ws//a/../%7e;x?q=[1]|2&z HTTP/1.1") for f in (ask, asked)]),
    ),
    Case(
        "a target in absolute form",
        "RFC 9112 3.2.2",
        opens(ask(line=b"GET http://app.localhost/ws HTTP/1.1"), asked()),
    ),
    Case("an empty line in front", "RFC 9112 2.2", opens(b"\r\n" + ask(), asked())),
    Case(
        "another reason of the 101",
        "RFC 9112 4",
        opens(ask(), asked(), switch(reason=b"Web Socket"), switched(reason=b"Web Socket")),
    ),
    Case(
        "no reason of the 101",
        "RFC 9112 4",
        opens(ask(), asked(), switch(reason=b""), switched(reason=b"")),
    ),
    Case(
        "options in odd case", "4.2.1", with_hop(b"Connection: UPgrade\r\nUpgrade: WEBsocket\r\n")
    ),
    Case(
        "upgrade among other options",
        "4.2.1",
        with_hop(b"Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nKeep-Alive: 5\r\n"),
    ),
    Case(
        "upgrade in a second Connection",
        "RFC 9110 7.6.1",
        with_hop(b"Connection: keep-alive\r\nConnection: ,upgrade\r\nUpgrade: websocket\r\n"),
    ),
    Case(
        "websocket before another protocol",
        "RFC 9110 7.8",
        with_hop(b"Connection: Upgrade\r\nUpgrade: websocket, foo\r\n"),
    ),
    Case(
        "websocket behind another protocol",
        "RFC 9110 7.8",
        with_hop(b"Connection: Upgrade\r\nUpgrade: foo/2 , websocket\r\n"),
    ),
    Case(
        "websocket in a second Upgrade",
        "RFC 9110 7.8",
        with_hop(b"Connection: Upgrade\r\nUpgrade: foo\r\nUpgrade: websocket\r\n"),
    ),
    Case(
        "a field that Connection lists",
        "RFC 9110 7.6.1",
        with_hop(b"Connection: Upgrade, X-Hop\r\nX-Hop: 1\r\nUpgrade: websocket\r\n"),
    ),
    Case(
        "a field that the 101 lists in Connection",
        "RFC 9110 7.6.1",
        opens(
            ask(),
            asked(),
            switch(hop=b"Connection: Upgrade, X-Hop\r\nX-Hop: 1\r\nUpgrade: websocket\r\n"),
        ),
    ),
    Case(
        "TE: trailers",
        "RFC 9110 10.1.4",
        opens(
            ask(hop=b"Connection: Upgrade, TE\r\nTE: trailers\r\nUpgrade: websocket\r\n"),
            asked(hop=b"Connection: Upgrade, TE\r\nUpgrade: websocket\r\nTE: trailers\r\n"),
        ),
    ),
    Case(
        "forwarding fields that the visitor made up",
        "RFC 7239 8.1",
        opens(
            ask(
                KEYED + b"X-Forwarded-For: 10.0.0.1\r\nForwarded: for=10.0.0.1\r\nX_Real_IP: 1\r\n"
            ),
            asked(),
        ),
    ),
    Case(
        "100 before the 101", "RFC 9110 15.2", after_informational(b"HTTP/1.1 100 Continue\r\n\r\n")
    ),
    Case("102 before the 101", "RFC 9110 15.2", after_informational(b"HTTP/1.1 102 Wait\r\n\r\n")),
    Case(
        "103s before the 101",
        "RFC 8297 2",
        after_informational(
            b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n",
            b"HTTP/1.1 103 Early Hints\r\nLink: </b.css>\r\nX-B: 1\r\n\r\n",
        ),
    ),
    Case(
        "an unknown 1xx before the 101",
        "RFC 9110 15.2",
        after_informational(b"HTTP/1.1 199 Soon\r\nX-A: 1\r\n\r\n"),
    ),
    Case(
        "a length in the 101",
        "RFC 9110 8.6",
        opens(ask(), asked(), switch(b"Content-Length: 0\r\n"), switched()),
    ),
    Case(
        "both heads byte by byte",
        "RFC 9112 2.2",
        script(
            visitor_sends(ask(), 1),
            app_gets_head(asked()),
            app_sends(switch(), 1),
            visitor_gets_head(switched()),
            BOTH_END,
        ),
    ),
]
