"""Requests that are none, or that two programs could read in two ways."""

from __future__ import annotations

from typing import Final

from tests.conformance.http_script import HOST, POST, ask, refused
from tests.conformance.websocket_script import Case

HELLO: Final = b"hello"
_CONTROLS: Final = [*range(0x09), 0x0B, 0x0C, *range(0x0E, 0x20), 0x7F]


def _lengths() -> list[Case]:
    values = [
        *(
            b"",
            b"+5",
            b"-5",
            b"5_0",
            b"0x5",
            b"5 5",
            b"5.0",
            b"5e0",
            b"five",
            b"\xb2",
            b"5;",
            b'"5"',
        ),
        *(b"5,5", b"5, 5", b"5,6", b"5,", b",5", b"0" * 18 + b"5", b"9" * 19, b"9" * 5000),
    ]
    return [
        refused(f"Content-Length {value[:20]!r} of {len(value)}", "9112 6.3", _post(value) + HELLO)
        for value in values
    ]


def _post(length: bytes) -> bytes:
    return ask(b"Content-Length: " + length + b"\r\n", POST)


def _framings() -> list[Case]:
    length, chunked = b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n"
    pairs = {
        "a length, then chunked": length + chunked,
        "chunked, then a length": chunked + length,
        "a length and chunked, other case": b"content-LENGTH: 5\r\ntransfer-encoding: Chunked\r\n",
        "two lengths": length + b"Content-Length: 6\r\n",
        "two equal lengths": length + length,
        "two equal lengths in other case": length + b"content-length: 5\r\n",
        "two codings": chunked + chunked,
        "a length of 0 and chunked": b"Content-Length: 0\r\n" + chunked,
    }
    cases = [
        refused(name, "9112 6.3", ask(fields, POST) + b"5\r\nhello\r\n0\r\n\r\n")
        for name, fields in pairs.items()
    ]
    codings = [
        *(b"", b"gzip", b"gzip, chunked", b"chunked, gzip", b"chunked, chunked", b"identity"),
        *(b"xchunked", b"chunkedx", b'"chunked"', b"chunked;q=1", b"\x0bchunked", b"chunked\x0c"),
        *(b"chunked,", b",chunked", b"chunked identity"),
    ]
    cases += [
        refused(
            f"Transfer-Encoding {coding!r}",
            "9112 6.1",
            ask(b"Transfer-Encoding: " + coding + b"\r\n", POST) + b"0\r\n\r\n",
        )
        for coding in codings
    ]
    line = b"POST /x HTTP/1.0"
    cases.append(refused("chunked in HTTP/1.0", "9112 6.1", ask(chunked, line) + b"0\r\n\r\n"))
    return cases


def _fields() -> list[Case]:
    cases = [
        refused(f"control byte {byte:02x} in a value", "9110 5.5", ask(b"A: b%cc\r\n" % byte))
        for byte in _CONTROLS
    ]
    cases += [
        refused(f"byte {byte:02x} in a name", "9110 5.6.2", ask(b"A%cb: c\r\n" % byte))
        for byte in (0x00, 0x09, 0x7F, 0x80, 0xE4, *b'"(),/;<=>?@[\\]{} ')
    ]
    lines = {
        "a bare LF": b"A: b\nC: d\r\n",
        "a bare CR": b"A: b\rC: d\r\n",
        "CR CR LF": b"A: b\r\r\n",
        "a line folded by a space": b"A: b\r\n c\r\n",
        "a line folded by a tab": b"A: b\r\n\tc\r\n",
        "a space before the colon": b"A : b\r\n",
        "a tab before the colon": b"A\t: b\r\n",
        "no name": b": b\r\n",
        "no colon": b"A\r\n",
        "a space before the name": b" A: b\r\n",
        "Connection that lists Host": b"Connection: close, host\r\n",
        "Connection that lists Content-Length": b"Connection: Content-Length\r\n",
    }
    cases += [refused(name, "9112 5", ask(fields)) for name, fields in lines.items()]
    cases.append(refused("a first field that is folded", "9112 2.2", ask(host=b" " + HOST)))
    return cases


def _hosts() -> list[Case]:
    hosts = {
        "no Host": b"",
        "two Hosts": HOST + HOST,
        "two Hosts in other case": HOST + b"HOST: b.localhost\r\n",
        "an empty Host": b"Host:\r\n",
        "Host with a path": b"Host: app.localhost/x\r\n",
        "Host with a space": b"Host: app localhost\r\n",
        "Host with userinfo": b"Host: u@app.localhost\r\n",
        "Host with an empty port": b"Host: app.localhost:\r\n",
        "Host with a port of letters": b"Host: app.localhost:x\r\n",
        "Host with two ports": b"Host: app.localhost:80:80\r\n",
        "Host of two": b"Host: app.localhost, b.localhost \r\n",
        "Host with obs-text": b"Host: \xe4pp.localhost\r\n",
        "Host with half a bracket": b"Host: [::1\r\n",
        "Host with a scheme": b"Host: http://app.localhost\r\n",
    }
    cases = [refused(name, "9112 3.2", ask(host=host)) for name, host in hosts.items()]
    line = b"GET / HTTP/1.0"
    cases.append(
        refused("HTTP/1.0 without Host", "9112 3.2", ask(line=line, host=b""), 421, "unknown-host")
    )
    return cases


def _lines() -> list[Case]:
    bad = [
        *(b"GET", b"GET /", b"GET  / HTTP/1.1", b"GET /  HTTP/1.1", b" GET / HTTP/1.1"),
        *(b"GET / HTTP/1.1 ", b"GET\t/ HTTP/1.1", b"GET /a b HTTP/1.1", b"GET / http/1.1"),
        *(b"GET / HTTP/11", b"GET / HTTP/1.10", b"GET / HTTP/01.1", b"GET / HTTPS/1.1", b"GET / "),
        *(b"G(T / HTTP/1.1", b"G\xc3T / HTTP/1.1", b"GET /\xe4 HTTP/1.1", b"GET /a#b HTTP/1.1"),
        *(b"GET /\x00 HTTP/1.1", b"GET /\x7f HTTP/1.1", b"GET * HTTP/1.1", b"GET a HTTP/1.1"),
        *(
            b"GET ?q HTTP/1.1",
            b"GET app.localhost:80 HTTP/1.1",
            b"GET ftp://app.localhost/ HTTP/1.1",
        ),
        *(b"GET http:/x HTTP/1.1", b"GET http:///x HTTP/1.1", b"GET http://b.localhost/ HTTP/1.1"),
        *(b"GET http://u@app.localhost/ HTTP/1.1", b"GET http://app.localhost:80/ HTTP/1.1"),
    ]
    cases = [refused(f"line {line!r}", "9112 3", ask(line=line)) for line in bad]
    cases += [
        refused(
            f"HTTP/{version}",
            "9110 2.5",
            ask(line=f"GET / HTTP/{version}".encode()),
            505,
            "version-not-supported",
        )
        for version in ("0.9", "1.2", "1.9", "2.0", "3.0")
    ]
    cases += [
        refused(line.decode(), "9110 9.3.6", ask(line=line), 501, "method-not-supported")
        for line in (b"CONNECT app.localhost:443 HTTP/1.1", b"CONNECT / HTTP/1.1")
    ]
    cases.append(refused("two empty lines before it", "9112 2.2", b"\r\n\r\n" + ask()))
    cases.append(
        refused("TLS on a plain port", "9112 2.2", bytes.fromhex("1603010005010000010303"))
    )
    return cases


def _limits() -> list[Case]:
    line = b"GET /" + b"a" * (16 * 1024) + b" HTTP/1.1"
    field = b"A: " + b"b" * 1000 + b"\r\n"
    return [
        refused(
            "a request line of more than 16 KiB", "9112 3", ask(line=line), 414, "uri-too-long"
        ),
        refused("a head of more than 32 KiB", "9110 5.4", ask(field * 33), 431, "head-too-large"),
        refused("257 fields", "9110 5.4", ask(b"A: b\r\n" * 256), 431, "head-too-large"),
    ]


REFUSED: Final[dict[str, list[Case]]] = {
    "lengths": _lengths(),
    "framing": _framings(),
    "fields": _fields(),
    "Host": _hosts(),
    "request lines": _lines(),
    "limits": _limits(),
}
