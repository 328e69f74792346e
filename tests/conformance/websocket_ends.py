"""How a WebSocket ends: by each Close, by FIN and RST in each place."""

from __future__ import annotations

from tests.conformance.websocket_script import (
    APP_ENDS,
    APP_IS_RESET,
    APP_RESETS,
    APP_SEES_END,
    BINARY,
    BOTH_END,
    CLOSE,
    FIN,
    OPENED,
    PING,
    TEXT,
    VISITOR_ENDS,
    VISITOR_IS_RESET,
    VISITOR_RESETS,
    VISITOR_SEES_END,
    Case,
    Script,
    app_gets,
    app_sees_end_behind,
    app_sends,
    close,
    frame,
    masked,
    script,
    to_app,
    to_visitor,
    visitor_gets,
    visitor_sees_end_behind,
    visitor_sends,
)

HELLO = frame(FIN | TEXT, b"Hello")
MASKED = masked(FIN | TEXT, b"Hello")
APP_CLOSES_TCP = script(APP_ENDS, VISITOR_SEES_END, VISITOR_ENDS, APP_SEES_END)

# --- Close ---------------------------------------------------------------------------------------


def closing(payload: bytes) -> tuple[Script, Script]:
    """A closing handshake that the visitor begins, and one that the app begins (7.1.1)."""
    there, back = masked(FIN | CLOSE, payload), frame(FIN | CLOSE, payload)
    by_visitor = script(OPENED, to_app(there), to_visitor(back), APP_CLOSES_TCP)
    by_app = script(OPENED, to_visitor(back), to_app(there), APP_CLOSES_TCP)
    return by_visitor, by_app


# Those of 7.4.1 and of the registry (11.7), 1004 to 1006 and 1015 that nobody may send among them;
# the edges of each range of 7.4.2; and numbers that are no code.
CODES = [None, *range(1000, 1017), 2999, 3000, 3999, 4000, 4999, 5000, 65535, 0, 999]
REASONS = {
    "the longest reason": close(1000, b"r" * 123),
    "a reason in UTF-8": close(4000, "détail ✓".encode()),
    "a reason that is no UTF-8": close(1000, b"\xff\xfe"),
    "half a code": b"\x03",
}
CLOSES = [
    Case(f"the {who} closes with {'no code' if code is None else code}", "7.4", steps)
    for code in CODES
    for who, steps in zip(("visitor", "app"), closing(close(code)), strict=True)
] + [
    Case(f"the {who} closes with {name}", "5.5.1", steps)
    for name, payload in REASONS.items()
    for who, steps in zip(("visitor", "app"), closing(payload), strict=True)
]
BYE, MASKED_BYE = frame(FIN | CLOSE, close(1000)), masked(FIN | CLOSE, close(1000))
AROUND_CLOSES = [
    Case(
        "both close at once",
        "7.1.1",
        script(
            OPENED,
            visitor_sends(MASKED_BYE),
            app_sends(BYE),
            visitor_gets(BYE),
            app_gets(MASKED_BYE),
            APP_CLOSES_TCP,
        ),
    ),
    Case(
        "the visitor ends TCP first",
        "7.1.1",
        script(OPENED, to_app(MASKED_BYE), to_visitor(BYE), BOTH_END),
    ),
    Case(
        "frames behind the visitor's Close",
        "5.5.1",
        script(OPENED, to_app(MASKED_BYE + MASKED), to_visitor(BYE), BOTH_END),
    ),
    Case(
        "frames behind the app's Close",
        "5.5.1",
        script(OPENED, to_visitor(BYE + HELLO), to_app(MASKED_BYE), BOTH_END),
    ),
    Case(
        "garbage behind the visitor's Close",
        "5.5.1",
        script(OPENED, to_app(MASKED_BYE + b"\xff\x00GET / HTTP/1.1\r\n\r\n"), BOTH_END),
    ),
    Case(
        "garbage behind the app's Close",
        "5.5.1",
        script(OPENED, to_visitor(BYE + b"\xff\x00HTTP/1.1 200 OK\r\n\r\n"), BOTH_END),
    ),
    Case(
        "a second Close",
        "5.5.1",
        script(OPENED, to_app(MASKED_BYE * 2), to_visitor(BYE * 2), BOTH_END),
    ),
    Case(
        "data on its way to who has closed",
        "5.5.1",
        script(OPENED, to_app(MASKED_BYE), to_visitor(HELLO * 100 + BYE), APP_CLOSES_TCP),
    ),
    Case(
        "Close and FIN in one segment",
        "7.1.1",
        script(
            OPENED,
            app_sends(BYE),
            APP_ENDS,
            visitor_sees_end_behind(BYE),
            VISITOR_ENDS,
            APP_SEES_END,
        ),
    ),
    Case(
        "a Close that nobody answers",
        "7.1.1",
        script(OPENED, to_app(MASKED_BYE), BOTH_END),
    ),
]

# --- FIN -----------------------------------------------------------------------------------------

LONG = frame(FIN | BINARY, bytes(300))
MASKED_LONG = masked(FIN | BINARY, bytes(300))
ENDS_OF_THE_VISITOR = {
    "without a Close": b"",
    "behind a frame": MASKED,
    "in the first byte of a frame": MASKED[:1],
    "in a length": MASKED_LONG[:3],
    "in a mask": MASKED[:4],
    "behind a header": MASKED[:6],
    "in a payload": MASKED[:-1],
    "in a long payload": MASKED_LONG[:200],
    "in a ping": masked(FIN | PING, b"ping")[:-1],
    "in a Close": masked(FIN | CLOSE, close(1000))[:-1],
    "in a message": masked(TEXT, b"part"),
    "behind a header that announces 2**63 - 1 bytes": b"\x82\xff\x7f" + b"\xff" * 7 + bytes(9),
}
ENDS_OF_THE_APP = {
    "without a Close": b"",
    "behind a frame": HELLO,
    "in the first byte of a frame": HELLO[:1],
    "in a length": LONG[:3],
    "behind a header": HELLO[:2],
    "in a payload": HELLO[:-1],
    "in a long payload": LONG[:200],
    "in a ping": frame(FIN | PING, b"ping")[:-1],
    "in a Close": BYE[:-1],
    "in a message": frame(TEXT, b"part"),
    "behind a header that announces 2**63 - 1 bytes": b"\x82\x7f\x7f" + b"\xff" * 7 + bytes(9),
}
# The other direction goes on: frames cross, and its own end does.
FINS = [
    Case(
        f"FIN of the visitor {where}",
        "7.1.5",
        script(
            OPENED,
            visitor_sends(data),
            VISITOR_ENDS,
            app_sees_end_behind(data),
            to_visitor(HELLO),
            to_visitor(BYE),
            APP_ENDS,
            VISITOR_SEES_END,
        ),
    )
    for where, data in ENDS_OF_THE_VISITOR.items()
] + [
    Case(
        f"FIN of the app {where}",
        "7.1.5",
        script(
            OPENED,
            app_sends(data),
            APP_ENDS,
            visitor_sees_end_behind(data),
            to_app(MASKED),
            to_app(MASKED_BYE),
            VISITOR_ENDS,
            APP_SEES_END,
        ),
    )
    for where, data in ENDS_OF_THE_APP.items()
]

# --- RST -----------------------------------------------------------------------------------------

RESETS = (
    [
        Case(
            f"RST of the visitor {where}",
            "7.1.5",
            script(OPENED, *[to_app(data)] if data else [], VISITOR_RESETS, APP_IS_RESET),
        )
        for where, data in (
            ("without a Close", b""),
            ("behind a frame", MASKED),
            ("in a payload", MASKED[:-1]),
            ("behind a Close", MASKED_BYE),
        )
    ]
    + [
        Case(
            f"RST of the app {where}",
            "7.1.5",
            script(OPENED, *[to_visitor(data)] if data else [], APP_RESETS, VISITOR_IS_RESET),
        )
        for where, data in (
            ("without a Close", b""),
            ("behind a frame", HELLO),
            ("in a payload", HELLO[:-1]),
            ("behind a Close", BYE),
        )
    ]
    + [
        Case(
            "RST of the app behind the visitor's FIN",
            "7.1.5",
            script(
                OPENED, VISITOR_ENDS, APP_SEES_END, to_visitor(HELLO), APP_RESETS, VISITOR_IS_RESET
            ),
        ),
        Case(
            "RST of the visitor behind the app's FIN",
            "7.1.5",
            script(
                OPENED, APP_ENDS, VISITOR_SEES_END, to_app(MASKED), VISITOR_RESETS, APP_IS_RESET
            ),
        ),
    ]
)
