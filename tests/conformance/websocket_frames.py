"""Frames on their way, both ways: each length, fragments, control frames, extensions, and cuts."""

from __future__ import annotations

from tests.conformance.websocket_script import (
    APP_ENDS,
    APP_SEES_END,
    BINARY,
    BOTH_END,
    CLOSE,
    CONTINUATION,
    FIN,
    KEYED,
    OPENED,
    PING,
    PONG,
    RSV1,
    RSV2,
    RSV3,
    TEXT,
    VISITOR_ENDS,
    VISITOR_SEES_END,
    Case,
    Script,
    app_gets_head,
    app_sees_end_behind,
    app_sends,
    ask,
    asked,
    close,
    frame,
    masked,
    script,
    switch,
    switched,
    to_app,
    to_visitor,
    visitor_gets_head,
    visitor_sees_end_behind,
    visitor_sends,
)

DEFLATE = b"Sec-WebSocket-Extensions: permessage-deflate\r\n"
DEFLATE_OPENED = script(
    visitor_sends(ask(KEYED + DEFLATE)),
    app_gets_head(asked(KEYED + DEFLATE)),
    app_sends(switch(DEFLATE)),
    visitor_gets_head(switched(DEFLATE)),
)

Frames = tuple[tuple[int, bytes], ...]


def both_ways(*frames: tuple[int, bytes], opened: Script = OPENED) -> Script:
    """These frames, masked from the visitor and not from the app, then no more."""
    there = b"".join([masked(first, payload) for first, payload in frames])
    back = b"".join([frame(first, payload) for first, payload in frames])
    return script(opened, to_app(there), to_visitor(back), BOTH_END)


def numbered(size: int) -> bytes:
    """Of a prime number of values, so that no shift by a power of two looks the same."""
    return (bytes(range(251)) * (size // 251 + 1))[:size]


LENGTHS = [
    Case(f"{kind} of {size} bytes", "5.2", both_ways((FIN | opcode, numbered(size))))
    for kind, opcode in (("text", TEXT), ("binary", BINARY))
    for size in (0, 1, 125, 126, 127, 65535, 65536, 200_000)
]

# RFC 6455 5.7, and RFC 7692 7.2.3, as they stand there.
EXAMPLES = [
    Case(name, section, script(opened, to_visitor(bytes.fromhex(frames)), BOTH_END))
    for name, section, opened, frames in (
        ("the RFC's text", "5.7", OPENED, "810548656c6c6f"),
        ("the RFC's fragments", "5.7", OPENED, "010348656c80026c6f"),
        ("the RFC's ping", "5.7", OPENED, "890548656c6c6f"),
        ("a compressed message", "RFC 7692 7.2.3.1", DEFLATE_OPENED, "c107f248cdc9c90700"),
        ("its fragments", "RFC 7692 7.2.3.1", DEFLATE_OPENED, "4103f248cd8004c9c90700"),
        ("a shared window", "RFC 7692 7.2.3.2", DEFLATE_OPENED, "c107f248cdc9c90700c105f200110000"),
        ("no compression", "RFC 7692 7.2.3.3", DEFLATE_OPENED, "c10b000500faff48656c6c6f00"),
        ("BFINAL", "RFC 7692 7.2.3.4", DEFLATE_OPENED, "c108f348cdc9c9070000"),
        ("two blocks", "RFC 7692 7.2.3.5", DEFLATE_OPENED, "c10df24805000000ffffcac9c90700"),
    )
] + [
    Case(name, section, script(opened, to_app(bytes.fromhex(frames)), BOTH_END))
    for name, section, opened, frames in (
        ("the RFC's masked text", "5.7", OPENED, "818537fa213d7f9f4d5158"),
        ("the RFC's masked pong", "5.7", OPENED, "8a8537fa213d7f9f4d5158"),
    )
]

PART = b"part"
FRAGMENTS = [
    Case("two fragments", "5.4", both_ways((TEXT, PART), (FIN | CONTINUATION, PART))),
    Case(
        "empty fragments",
        "5.4",
        both_ways((TEXT, b""), (CONTINUATION, b""), (FIN | CONTINUATION, b"")),
    ),
    Case(
        "100 fragments",
        "5.4",
        both_ways((BINARY, PART), *[(CONTINUATION, PART)] * 98, (FIN | CONTINUATION, PART)),
    ),
    Case(
        "fragments of each length form",
        "5.4",
        both_ways((BINARY, numbered(125)), (CONTINUATION, numbered(126)), (FIN, numbered(65536))),
    ),
    *[
        Case(
            f"{name} between fragments",
            "5.5",
            both_ways((TEXT, PART), control, (CONTINUATION, PART), control, (FIN, PART)),
        )
        for name, control in (
            ("a ping", (FIN | PING, b"are you there")),
            ("a pong", (FIN | PONG, b"")),
            ("the longest ping", (FIN | PING, numbered(125))),
        )
    ],
    Case(
        "a Close between fragments",
        "5.5.1",
        both_ways((TEXT, PART), (FIN | CLOSE, close(1001)), (FIN, PART)),
    ),
    Case("text that is no UTF-8", "8.1", both_ways((FIN | TEXT, b"\xff\xfe\x80"))),
    Case("a letter cut by fragments", "5.6", both_ways((TEXT, b"\xc3"), (FIN, b"\xa9"))),
]

CONTROLS = [
    *[
        Case(f"{name} of {size} bytes", section, both_ways((FIN | opcode, numbered(size))))
        for name, opcode, section in (("a ping", PING, "5.5.2"), ("a pong", PONG, "5.5.3"))
        for size in (0, 1, 124, 125)
    ],
    Case(
        "a ping and its pong, from the app",
        "5.5.3",
        script(
            OPENED,
            to_visitor(frame(FIN | PING, b"1")),
            to_app(masked(FIN | PONG, b"1")),
            BOTH_END,
        ),
    ),
    Case(
        "a ping and its pong, from the visitor",
        "5.5.3",
        script(
            OPENED,
            to_app(masked(FIN | PING, b"1")),
            to_visitor(frame(FIN | PONG, b"1")),
            BOTH_END,
        ),
    ),
    Case("1000 pings", "5.5.2", both_ways(*[(FIN | PING, b"x")] * 1000)),
]

MASKS = [
    Case(f"mask {mask.hex()}", "5.3", script(OPENED, to_app(sent), BOTH_END))
    for mask in (bytes(4), b"\xff" * 4, b"\x81\x05\x88\x00")
    for sent in [masked(FIN | TEXT, b"Hello", mask) + masked(FIN | PING, b"", mask)]
]

RSV = [
    Case(f"RSV{bit} of {name}, {agreed}", "5.2", both_ways((first | rsv, b"x"), opened=opened))
    for bit, rsv in ((1, RSV1), (2, RSV2), (3, RSV3))
    for name, first in (("text", FIN | TEXT), ("a ping", FIN | PING))
    for agreed, opened in (("agreed", DEFLATE_OPENED), ("not agreed", OPENED))
] + [
    Case("all RSV bits", "5.2", both_ways((FIN | RSV1 | RSV2 | RSV3 | BINARY, b"x"))),
    Case(
        "RSV1 of a continuation", "RFC 7692 6.1", both_ways((RSV1 | TEXT, b"x"), (FIN | RSV1, b"y"))
    ),
    Case("RSV1 of a Close", "5.2", both_ways((FIN | RSV1 | CLOSE, close(1000)))),
]

# Every kind of header: short, in 2 and 8 bytes, control, fragments.
MIXTURE: Frames = (
    (FIN | TEXT, b"Hello"),
    (FIN | PING, b"ping"),
    (BINARY, numbered(126)),
    (FIN | PONG, b""),
    (FIN | CONTINUATION, numbered(7)),
    (FIN | CLOSE, close(1000, b"bye")),
)
THERE = b"".join([masked(first, payload) for first, payload in MIXTURE])
BACK = b"".join([frame(first, payload) for first, payload in MIXTURE])
IN_8 = frame(FIN | BINARY, numbered(65536))
CUTS = [
    Case(
        f"frames in pieces of {size}",
        "5.4",
        script(OPENED, to_app(THERE, size), to_visitor(BACK, size), BOTH_END),
    )
    for size in (1, 2, 3, 5, 7)
]
IN_2 = masked(FIN | BINARY, numbered(126))
CUT_HEADERS = [
    Case(
        f"the visitor's header of 8 bytes cut behind byte {cut}",
        "5.2",
        script(
            OPENED,
            visitor_sends(IN_2[:cut], cut),
            visitor_sends(IN_2[cut:]),
            VISITOR_ENDS,
            app_sees_end_behind(IN_2),
            APP_ENDS,
            VISITOR_SEES_END,
        ),
    )
    for cut in range(1, 8)
] + [
    Case(
        f"the app's header of 10 bytes cut behind byte {cut}",
        "5.2",
        script(
            OPENED,
            app_sends(IN_8[:cut], cut),
            app_sends(IN_8[cut:]),
            APP_ENDS,
            visitor_sees_end_behind(IN_8),
            VISITOR_ENDS,
            APP_SEES_END,
        ),
    )
    for cut in range(1, 10)
]
