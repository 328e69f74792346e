"""Frames that RFC 6455 forbids: they cross for the ends to judge, and so does the 1002."""

from __future__ import annotations

from tests.conformance.websocket_script import (
    APP_ENDS,
    APP_SEES_END,
    BOTH_END,
    CLOSE,
    CONTINUATION,
    FIN,
    OPENED,
    PING,
    PONG,
    TEXT,
    VISITOR_ENDS,
    VISITOR_SEES_END,
    Case,
    close,
    frame,
    masked,
    script,
    to_app,
    to_visitor,
)

HELLO = frame(FIN | TEXT, b"Hello")
MASKED = masked(FIN | TEXT, b"Hello")


APP_CLOSES_TCP = script(APP_ENDS, VISITOR_SEES_END, VISITOR_ENDS, APP_SEES_END)

ERROR, MASKED_ERROR = frame(FIN | CLOSE, close(1002)), masked(FIN | CLOSE, close(1002))


def illegal(name: str, section: str, from_visitor: bytes, from_app: bytes) -> list[Case]:
    """Each crosses with what is behind it; whoever gets it says 1002, and that crosses too."""
    behind, masked_behind = HELLO + b"\x83", MASKED + b"\x83"
    return [
        Case(
            f"{name}, from the visitor",
            section,
            script(OPENED, to_app(MASKED + from_visitor + masked_behind), to_visitor(ERROR))
            + APP_CLOSES_TCP,
        ),
        Case(
            f"{name}, from the app",
            section,
            script(OPENED, to_visitor(HELLO + from_app + behind), to_app(MASKED_ERROR)) + BOTH_END,
        ),
    ]


def both(first: int, payload: bytes = b"") -> tuple[bytes, bytes]:
    return masked(first, payload), frame(first, payload)


ILLEGAL = [
    *[
        case
        for opcode in (0x3, 0x4, 0x5, 0x6, 0x7, 0xB, 0xC, 0xD, 0xE, 0xF)
        for case in illegal(f"opcode {opcode:#x}", "5.2", *both(FIN | opcode, b"x"))
    ],
    *illegal("no mask, or one that must not be", "5.1", HELLO, MASKED),
    *illegal("a ping without or with mask", "5.1", frame(FIN | PING), masked(FIN | PING)),
    *illegal("125 in 2 bytes", "5.2", b"\x82\xfe\x00\x7d", b"\x82\x7e\x00\x7d"),
    *illegal(
        "65535 in 8 bytes",
        "5.2",
        b"\x82\xff" + (65535).to_bytes(8, "big"),
        b"\x82\x7f" + (65535).to_bytes(8, "big"),
    ),
    *illegal("2**63 bytes", "5.2", b"\x82\xff\x80" + bytes(7), b"\x82\x7f\x80" + bytes(7)),
    *illegal("a ping in fragments", "5.5", *both(PING, b"x")),
    *illegal("a pong in fragments", "5.5", *both(PONG, b"x")),
    *illegal("a Close in fragments", "5.5", *both(CLOSE, close(1000))),
    *illegal("a ping of 126 bytes", "5.5", *both(FIN | PING, bytes(126))),
    *illegal("a Close of 126 bytes", "5.5", *both(FIN | CLOSE, close(1000, bytes(124)))),
    *illegal("a ping of 65536 bytes", "5.5", *both(FIN | PING, bytes(65536))),
    *illegal("a continuation of nothing", "5.4", *both(FIN | CONTINUATION, b"x")),
    *illegal("no frames at all", "5.2", b"GET / HTTP/1.1\r\n\r\n", b"HTTP/1.1 400 Bad\r\n\r\n"),
    *illegal(
        "a message inside a message",
        "5.4",
        masked(TEXT, b"a") + masked(FIN | TEXT, b"b"),
        frame(TEXT, b"a") + frame(FIN | TEXT, b"b"),
    ),
]
