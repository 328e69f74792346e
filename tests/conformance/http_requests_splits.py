"""Refused requests with one behind them, limits to the byte in any split, other spellings."""

from __future__ import annotations

from typing import Final

from tests.conformance.http_requests_refused import REFUSED
from tests.conformance.http_script import ANSWERED, HOST, ask, asked, passes, refused
from tests.conformance.websocket_script import (
    CLOSED,
    Case,
    app_gets_head,
    script,
    visitor_gets_error,
    visitor_sends,
)

CHUNKED: Final = b"Transfer-Encoding: chunked\r\n"
NEXT_ASK: Final = b"GET /smuggled HTTP/1.1\r\n" + HOST + b"\r\n"


def _behind_a_refusal() -> list[Case]:
    """What follows a refused request, in any split, is never a request."""
    cases = []
    for about, group in REFUSED.items():
        for case in group:
            sends, *rest = case.script
            data = sends.data + NEXT_ASK
            size = 1 if len(data) < 400 else 997
            for how, piece in (("in one segment", 0), (f"in pieces of {size}", size)):
                name = f"a request behind {about}: {case.name} {how}"
                steps = script(visitor_sends(data, piece), *rest)
                cases.append(Case(name, case.section, steps))
    return cases


def padded_line(size: int) -> bytes:
    return b"GET /" + b"a" * (size - 14) + b" HTTP/1.1"


def padded_head(size: int) -> bytes:
    """Fields that make the head of a GET `size` bytes long."""
    left = size - len(ask())
    return b"A: " + b"b" * (left - 5) + b"\r\n"


def _limits() -> list[Case]:
    cases = []
    line, line1 = padded_line(16384), padded_line(16385)
    head, head1 = padded_head(32768), padded_head(32769)
    many, many1 = b"A: b\r\n" * 255, b"A: b\r\n" * 256
    for how, size in (("in one piece", 0), ("in pieces of 4096", 4096), ("in pieces of 997", 997)):
        for about, sent, comes in (
            ("a request line of 16384 bytes", ask(line=line), asked(line=line)),
            ("a head of 32768 bytes", ask(head), asked(head)),
            ("256 fields", ask(many), asked(many)),
        ):
            steps = script(visitor_sends(sent, size), app_gets_head(comes), ANSWERED)
            cases.append(Case(f"{about} {how}", "9112 3", steps))
        for about, sent, status, code in (
            ("a request line of 16385 bytes", ask(line=line1), 414, "uri-too-long"),
            ("a head of 32769 bytes", ask(head1), 431, "head-too-large"),
            ("one field more than 256", ask(many1), 431, "head-too-large"),
        ):
            steps = script(visitor_sends(sent, size), visitor_gets_error(status, code), CLOSED)
            cases.append(Case(f"{about} {how}", "9110 5.4", steps))
    return cases


def _spellings() -> list[Case]:
    """Hop-by-hop and spoofed fields in other spellings; bytes that a request may not have."""
    cases = []
    for about, fields in (
        ("Keep-Alive unlisted", b"Keep-Alive: timeout=5\r\n"),
        ("Connection of empty members", b"Connection: , ,\r\n"),
        ("an empty Connection", b"Connection: \r\n"),
        ("Connection listed thrice", b"Connection: a\r\nA: 1\r\nconnection: B\r\nb: 2\r\n"),
        ("Connection: Transfer-Encoding", b"Connection: Transfer-Encoding\r\n"),
        ("Connection: Forwarded", b"Connection: forwarded, x-forwarded-host\r\n"),
        ("Upgrade: h2c and TLS", b"Upgrade: h2c, TLS/1.3\r\nConnection: Upgrade\r\n"),
    ):
        cases.append(passes(f"hop: {about}", "9110 7.6.1", ask(fields), asked()))
    cases += [
        passes(f"spoofed {name.decode()}", "7239 8.1", ask(name + b": 1\r\n"), asked())
        for name in (
            b"x_forwarded_proto",
            b"X_FORWARDED-PORT",
            b"x-real_ip",
            b"FORWARDED",
            b"x-forwarded",
            b"X-Forwarded-Ssl",
            b"X_Forwarded",
        )
    ]
    for byte in range(0x80, 0x100, 0x1F):
        cases.append(
            passes(
                f"obs-text {byte:x}",
                "9110 5.5",
                ask(b"A: b%cc\r\n" % byte),
                asked(b"A: b%cc\r\n" % byte),
            )
        )
        cases.append(
            refused(
                f"byte {byte:x} in a target",
                "9112 3.2",
                b"GET /%c HTTP/1.1\r\n" % byte + HOST + b"\r\n" + NEXT_ASK,
            )
        )
        cases.append(
            refused(
                f"byte {byte:x} in a method",
                "9110 9.1",
                b"G%cT / HTTP/1.1\r\n" % byte + HOST + b"\r\n" + NEXT_ASK,
            )
        )
    for byte in [*range(0x0A), 0x0B, 0x0C, *range(0x0E, 0x20), 0x7F]:
        for where, line in (
            ("a target", b"GET /a%cb HTTP/1.1"),
            ("a method", b"G%cT / HTTP/1.1"),
            ("a version", b"GET / HTTP/1.1%c"),
        ):
            cases.append(
                refused(
                    f"control {byte:02x} in {where}", "9112 3", ask(line=line % byte) + NEXT_ASK
                )
            )
    cases += [
        refused(f"control {byte:02x} in a name", "9110 5.1", ask(b"A%cB: c\r\n" % byte) + NEXT_ASK)
        for byte in [0x0A, 0x0D, *range(0x0A), 0x0B, *range(0x0E, 0x20)]
    ]
    return cases


SPLITS: Final = {"behind": _behind_a_refusal(), "limits": _limits(), "spellings": _spellings()}
