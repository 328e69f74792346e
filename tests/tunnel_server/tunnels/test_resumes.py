"""For how long sessions are held: to the second, with the time as an argument."""

from __future__ import annotations

import pytest

from protocol.drivers.session import Session
from protocol.mux.control import Heartbeat
from protocol.mux.core import Core
from tests.fakes import MemoryTransport
from tunnel_server.tunnels import resumes as resumes_module
from tunnel_server.tunnels.resumes import HELD_MAX, NAMELESS_HOLD_S, Resumes

HOLD_S = 60
LOST_AT = 1_000_000.0
TICK_S = 1 / 1024  # exact in a float of that size


def held(resumes: Resumes, number: int = 1, lost_at: float = LOST_AT) -> Session:
    """A session of alice's whose connection was lost."""
    core = Core(is_server=True, heartbeat=Heartbeat(15, 30), now=lost_at)
    session = Session(core, MemoryTransport(1), hold_s=HOLD_S)
    session.detached_at = lost_at
    resumes.add(session, "alice", number.to_bytes(16, "big"), bytes(32))
    return session


def why_ended(session: Session) -> str | None:
    return session.closed_reason


async def test_a_session_with_a_name_ends_at_its_hold_and_not_before() -> None:
    resumes = Resumes()
    session = held(resumes)
    resumes.sweep(LOST_AT + HOLD_S - TICK_S, {session})
    assert why_ended(session) is None
    resumes.sweep(LOST_AT + HOLD_S, {session})
    assert why_ended(session) == "not resumed within 60 s"


async def test_a_session_without_a_name_ends_after_10_s_and_not_before() -> None:
    assert NAMELESS_HOLD_S == 10
    resumes = Resumes()
    nameless, named = held(resumes, 1), held(resumes, 2)
    resumes.sweep(LOST_AT + NAMELESS_HOLD_S - TICK_S, {named})
    assert why_ended(nameless) is None
    resumes.sweep(LOST_AT + NAMELESS_HOLD_S, {named})
    assert why_ended(nameless) == "not resumed within 10 s"
    assert why_ended(named) is None


async def test_a_hold_that_is_shorter_than_10_s_holds_without_a_name_too() -> None:
    resumes = Resumes()
    session = held(resumes)
    session.hold_s = 3
    resumes.sweep(LOST_AT + 3 - TICK_S, ())
    assert why_ended(session) is None
    resumes.sweep(LOST_AT + 3, ())
    assert why_ended(session) == "not resumed within 3 s"


async def test_a_session_that_has_a_connection_never_ends_here() -> None:
    resumes = Resumes()
    session = held(resumes)
    session.detached_at = None
    resumes.sweep(LOST_AT + 1e6, ())
    assert why_ended(session) is None


async def test_so_many_are_held_and_of_one_more_the_longest_held_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert HELD_MAX == 1024
    monkeypatch.setattr(resumes_module, "HELD_MAX", 2)
    resumes = Resumes()
    newest, oldest = held(resumes, 1, LOST_AT + 2), held(resumes, 2, LOST_AT)
    resumes.sweep(LOST_AT + 3, {newest, oldest})
    assert (newest.closed_reason, oldest.closed_reason) == (None, None)
    between = held(resumes, 3, LOST_AT + 1)
    resumes.sweep(LOST_AT + 3, {newest, oldest, between})
    assert why_ended(oldest) == "too many sessions wait for their clients"
    assert (newest.closed_reason, between.closed_reason) == (None, None)
