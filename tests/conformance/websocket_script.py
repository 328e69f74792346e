"""What a WebSocket case is: bytes and ends in one order, at the visitor's side and at the app's.

A script is played over two real connections, whatever stands between them: a tunnel, or another
proxy for comparison. Each step does something at one side, or waits for exactly these bytes or this
end there. A script ends when both sides are at their ends, so a frame that somebody adds is seen.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

Side = Literal["visitor", "app"]
Act = Literal[
    "sends",
    "ends",
    "resets",
    "gets",
    "gets head",
    "gets error",
    "sees end",
    "is reset",
    "is left",
    "is passed over",
]

KEY: Final = b"dGhlIHNhbXBsZSBub25jZQ=="  # and what it is answered with: RFC 6455 1.3
ACCEPT: Final = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
MASK: Final = b"\x37\xfa\x21\x3d"  # RFC 6455 5.7


class Step(NamedTuple):
    """One act at one side.

    Attributes:
        data: what is sent, or must come: to "gets" and "gets head" next, to "sees end" before the
            end. "gets error" has status, Tunnel-Error and Connection of an answer that is the
            tunnel's own. At "is left" the connection ends or is reset, and what follows at this
            side is on the next one; so it is at "is passed over", but another proxy may go on.
        piece_bytes: sent in pieces of this size, each by itself.
    """

    side: Side
    act: Act
    data: bytes = b""
    piece_bytes: int = 0


Script = tuple[Step, ...]


class Case(NamedTuple):
    """One case.

    Attributes:
        name: what it is about, unique.
        section: of RFC 6455, unless it names another.
        script: what is done and what must come of it.
    """

    name: str
    section: str
    script: Script


def script(*steps: Step | Script) -> Script:
    """Steps and parts of scripts, one after the other."""
    flat: list[Step] = []
    for step in steps:
        flat.extend([step] if isinstance(step, Step) else step)
    return tuple(flat)


# --- steps ---------------------------------------------------------------------------------------


def visitor_sends(data: bytes, piece_bytes: int = 0) -> Step:
    return Step("visitor", "sends", data, piece_bytes)


def app_sends(data: bytes, piece_bytes: int = 0) -> Step:
    return Step("app", "sends", data, piece_bytes)


def visitor_gets(data: bytes) -> Step:
    return Step("visitor", "gets", data)


def app_gets(data: bytes) -> Step:
    return Step("app", "gets", data)


def visitor_gets_head(data: bytes) -> Step:
    return Step("visitor", "gets head", data)


def app_gets_head(data: bytes) -> Step:
    return Step("app", "gets head", data)


def visitor_gets_error(status: int, code: str, *, closes: bool = True) -> Step:
    """The tunnel's own answer."""
    return Step("visitor", "gets error", f"{status} {code}{' close' * closes}".encode())


def visitor_sees_end_behind(data: bytes) -> Step:
    return Step("visitor", "sees end", data)


def app_sees_end_behind(data: bytes) -> Step:
    return Step("app", "sees end", data)


VISITOR_ENDS: Final = Step("visitor", "ends")
APP_ENDS: Final = Step("app", "ends")
VISITOR_RESETS: Final = Step("visitor", "resets")
APP_RESETS: Final = Step("app", "resets")
VISITOR_SEES_END: Final = Step("visitor", "sees end")
APP_SEES_END: Final = Step("app", "sees end")
VISITOR_IS_RESET: Final = Step("visitor", "is reset")
APP_IS_RESET: Final = Step("app", "is reset")
APP_IS_LEFT: Final = Step("app", "is left")
APP_IS_PASSED_OVER: Final = Step("app", "is passed over")

# Nothing was added, and nobody had ended it.
BOTH_END: Final = script(VISITOR_ENDS, APP_SEES_END, APP_ENDS, VISITOR_SEES_END)


def to_app(data: bytes, piece_bytes: int = 0) -> Script:
    """Sent by the visitor, and it comes as it was sent."""
    return script(visitor_sends(data, piece_bytes), app_gets(data))


def to_visitor(data: bytes, piece_bytes: int = 0) -> Script:
    """Sent by the app, and it comes as it was sent."""
    return script(app_sends(data, piece_bytes), visitor_gets(data))


# --- heads ---------------------------------------------------------------------------------------

# What this tunnel adds to every request. Names of these are left out when a proxy is compared.
FORWARDED: Final = (
    b"X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Host: app.localhost\r\n"
    b"X-Forwarded-Proto: http\r\nX-Forwarded-Port: 80\r\n"
    b"Tunnel-Hops: 1\r\n"
    b'Forwarded: for=127.0.0.1;host="app.localhost";proto=http\r\n'
)
UPGRADED: Final = b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
KEYED: Final = b"Sec-WebSocket-Key: " + KEY + b"\r\nSec-WebSocket-Version: 13\r\n"


def ask(fields: bytes = KEYED, hop: bytes = UPGRADED, line: bytes = b"GET /ws HTTP/1.1") -> bytes:
    """A handshake as a visitor sends it."""
    return line + b"\r\nHost: app.localhost\r\n" + hop + fields + b"\r\n"


def asked(fields: bytes = KEYED, hop: bytes = UPGRADED, line: bytes = b"GET /ws HTTP/1.1") -> bytes:
    """The same as it reaches the app; without `hop` it is a plain request."""
    return line + b"\r\nHost: app.localhost\r\n" + fields + FORWARDED + hop + b"\r\n"


def switch(fields: bytes = b"", hop: bytes = UPGRADED, reason: bytes = b"Switching") -> bytes:
    """The 101 of an app."""
    accept = b"Sec-WebSocket-Accept: " + ACCEPT + b"\r\n"
    return b"HTTP/1.1 101 " + reason + b"\r\n" + hop + accept + fields + b"\r\n"


def switched(fields: bytes = b"", reason: bytes = b"Switching") -> bytes:
    """The same as it reaches the visitor."""
    accept = b"Sec-WebSocket-Accept: " + ACCEPT + b"\r\n"
    return b"HTTP/1.1 101 " + reason + b"\r\n" + accept + fields + UPGRADED + b"\r\n"


OPENED: Final = script(
    visitor_sends(ask()),
    app_gets_head(asked()),
    app_sends(switch()),
    visitor_gets_head(switched()),
)


def only(upgrade: bytes, connection: bytes = b"Upgrade") -> bytes:
    """Connection and Upgrade with these values."""
    return b"Connection: " + connection + b"\r\nUpgrade: " + upgrade + b"\r\n"


OK: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
PLAIN: Final = b"GET /next HTTP/1.1\r\nHost: app.localhost\r\n\r\n"
PLAIN_COMES: Final = b"GET /next HTTP/1.1\r\nHost: app.localhost\r\n" + FORWARDED + b"\r\n"

# The connection lives on: the next request is answered.
NEXT: Final = script(
    visitor_sends(PLAIN),
    app_gets_head(PLAIN_COMES),
    app_sends(OK + b"ok"),
    visitor_gets_head(OK),
    visitor_gets(b"ok"),
    VISITOR_ENDS,
    VISITOR_SEES_END,
)
CLOSED: Final = script(VISITOR_SEES_END, VISITOR_ENDS)

# --- frames --------------------------------------------------------------------------------------

FIN, RSV1, RSV2, RSV3 = 0x80, 0x40, 0x20, 0x10
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA


def frame(first: int, payload: bytes = b"") -> bytes:
    """A frame of a server; `first` has the FIN and RSV bits and the opcode."""
    return bytes([first]) + _length(len(payload), 0) + payload


def masked(first: int, payload: bytes = b"", mask: bytes = MASK) -> bytes:
    """A frame of a client."""
    key = mask * (len(payload) // 4 + 1)
    hidden = bytes([byte ^ key[at] for at, byte in enumerate(payload)])
    return bytes([first]) + _length(len(payload), 0x80) + mask + hidden


def _length(size: int, mask_bit: int) -> bytes:
    if size <= 125:
        return bytes([mask_bit | size])
    if size <= 0xFFFF:
        return bytes([mask_bit | 126]) + size.to_bytes(2, "big")
    return bytes([mask_bit | 127]) + size.to_bytes(8, "big")


def close(code: int | None, reason: bytes = b"") -> bytes:
    """The payload of a Close."""
    return b"" if code is None else code.to_bytes(2, "big") + reason
