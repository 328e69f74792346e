"""What docs/limits.md says that a server needs, for the tests that hold it to that."""

from __future__ import annotations

from protocol.limits import KIB, MEMORY_BYTES

MIB: int = 1 << 20
BASE_BYTES: int = 64 * MIB
USUAL_PLACE_BYTES: int = 20 * KIB
PLACE_BYTES: int = 64 * KIB
SESSION_BYTES: int = 64 * KIB
HALF_A_MESSAGE_BYTES: int = 128 * KIB
# What TLS adds to a place.
USUAL_TLS_PLACE_BYTES: int = 24 * KIB
TLS_PLACE_BYTES: int = 64 * KIB


def usual_bytes(places: int, sessions: int) -> int:
    """Where visitors say what they have to say, and take what they are given."""
    taken = places * USUAL_PLACE_BYTES + sessions * SESSION_BYTES
    return BASE_BYTES + MEMORY_BYTES + taken


def most_bytes(places: int, sessions: int, *, lent: int = MEMORY_BYTES) -> int:
    """Whatever all of them do; `lent` is less where sessions hold nothing."""
    each_session = SESSION_BYTES + HALF_A_MESSAGE_BYTES
    return BASE_BYTES + lent + places * PLACE_BYTES + sessions * each_session
