"""All attacks: what each does, and how fast."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from benchmarks.attacks import by_tenants, by_visitors, memory
from benchmarks.attacks.load import Load

# Of 1,024 sessions those that one owner gets.
SHARE = 768

# All that have a token.
OWNERS = ("honest", "attacker", *(f"attacker{number}" for number in range(memory.CLIENTS)))


@dataclass(frozen=True)
class Attack:
    """One attack.

    Attributes:
        name: by which it is chosen.
        run: the load, which goes on until it is cancelled.
        rate: what it does, for the table.
        flags: what the server is started with beside the usual.
        sessions: that the server gives it at once, where those are many.
    """

    name: str
    run: Callable[[Load], Awaitable[None]]
    rate: str
    flags: tuple[str, ...] = ()
    sessions: int = 0


ATTACKS = (
    Attack(
        "places",
        by_visitors.places,
        "3,000 connections of one address, 300/s, each answered for ever; 2,048 places",
        ("--max-connections", "2048"),
    ),
    Attack(
        "streams",
        by_visitors.streams,
        "1,200 event streams of one address, 200/s, through the measured tunnel",
    ),
    Attack(
        "chunks",
        by_visitors.chunks,
        "200 uploads of one address in chunks of 1 byte, 3,200,000 chunks/s in all",
    ),
    Attack(
        "frames",
        by_visitors.frames,
        "200 WebSockets of one address, 180,000 frames/s of 0 bytes in all",
    ),
    Attack(
        "fields",
        by_visitors.fields,
        "50 connections of one address, 200 heads/s of 200 fields in all",
    ),
    Attack(
        "drip",
        by_visitors.drip,
        "1,000 heads of one address a byte at a time, 4,000 bytes/s in all; 1,024 places",
        ("--max-connections", "1024"),
    ),
    Attack("unread", memory.unread, "500 visitors of 20 clients read nothing"),
    Attack("unacknowledged", memory.unacknowledged, "500 uploads to 20 clients, none acknowledged"),
    Attack(
        "small-sessions",
        memory.small_sessions,
        "an upload to each of 1,000 sessions of 20 clients, none acknowledged, 50/s",
        sessions=1000,
    ),
    Attack(
        "kept-streams",
        memory.kept_streams,
        "8,000 visitors, 400/s, leave 20 clients that end none of their streams",
    ),
    Attack("sessions", by_tenants.sessions, "1,200 sessions of one token, 100/s", sessions=SHARE),
    Attack("names", by_tenants.names, "16 sessions, each 16 claims and 1,000 goaways in 1 s"),
    Attack(
        "held",
        by_tenants.held,
        "800 sessions of one token dropped, 50/s, and 50 resumes/s",
        sessions=SHARE,
    ),
    Attack("parked", by_tenants.parked, "1,500 requests for 4 names that are away, 300/s"),
    Attack("tokens", by_tenants.tokens, "200 handshakes/s with wrong tokens"),
)
