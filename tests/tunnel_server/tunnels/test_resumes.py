"""For how long sessions are held: to the second, with the time as an argument."""

from __future__ import annotations

import logging
from functools import partial

import pytest

from protocol.drivers.session import Session
from protocol.mux.control import Heartbeat
from protocol.mux.core import Core
from tests.fakes import MemoryTransport
from tunnel_server.observing.strangers import Sparing
from tunnel_server.tunnels import resumes as resumes_module
from tunnel_server.tunnels.resumes import HELD_MAX, NAMELESS_HOLD_S, Resumes

HOLD_S = 60
LOST_AT = 1_000_000.0
TICK_S = 1 / 1024  # exact in a float of that size


def held(
    resumes: Resumes,
    number: int = 1,
    lost_at: float = LOST_AT,
    owner: str = "alice",
    address: str | None = None,
) -> Session:
    """A session, of alice's, whose connection was lost."""
    core = Core(is_server=True, heartbeat=Heartbeat(15, 30), now=lost_at)
    session = Session(core, MemoryTransport(1), hold_s=HOLD_S)
    session.detached_at = lost_at
    resumes.add(session, owner, number.to_bytes(16, "big"), bytes(32), address)
    session.on_closed = partial(resumes.remove, session)
    resumes.hold(session)
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


def full(monkeypatch: pytest.MonkeyPatch, most: int) -> Resumes:
    assert HELD_MAX == 1024
    monkeypatch.setattr(resumes_module, "HELD_MAX", most)
    return Resumes()


FULL = "too many sessions wait for their clients"


async def test_of_an_owner_so_many_are_held_and_of_one_more_the_longest_held_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resumes = full(monkeypatch, 8)
    own = [held(resumes, number) for number in range(6)]
    assert [why_ended(session) for session in own] == [None] * 6
    newest = held(resumes, 7)
    assert [why_ended(session) for session in own] == [FULL, *[None] * 5]
    assert why_ended(newest) is None
    assert len(resumes.held()) == 6


async def test_another_owners_are_held_beside_them_and_where_all_are_the_heaviest_pays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resumes = full(monkeypatch, 8)
    own = [held(resumes, number) for number in range(6)]
    others = [held(resumes, 10 + number, owner=f"o{number}") for number in range(3)]
    assert [why_ended(session) for session in others] == [None] * 3
    assert [why_ended(session) for session in own] == [FULL, *[None] * 5]


async def test_owners_that_cost_nothing_are_counted_by_their_address(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resumes = full(monkeypatch, 8)
    first = held(resumes, 0, owner="key:0", address="192.0.2.1/32")
    for number in range(1, 7):
        held(resumes, number, owner=f"key:{number}", address="192.0.2.1/32")
    assert why_ended(first) == FULL
    assert why_ended(held(resumes, 8, owner="key:8", address="192.0.2.2/32")) is None


KEY = "key:" + "0" * 64


@pytest.mark.parametrize(
    ("owner", "address", "whose"),
    [
        ("alice", None, "alice"),
        (KEY, None, "key:0000000000..."),
        (KEY, "192.0.2.1/32", "192.0.2.1/32"),
    ],
)
async def test_the_log_says_whose_share_it_was_that_ended_one_once_a_minute(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    owner: str,
    address: str | None,
    whose: str,
) -> None:
    caplog.set_level(logging.INFO)
    resumes, sparing = full(monkeypatch, 8), Sparing()
    for number in range(8):
        held(resumes, number, owner=owner, address=address)
    records = [record for record in caplog.records if record.name == resumes_module.__name__]
    assert [record.getMessage().partition(" sessions")[0] for record in records] == [
        f"ended: {whose} has too many of the 8"
    ] * 2
    assert [sparing.filter(record) for record in records] == [True, False]
    held(resumes, 9, owner="bob")
    assert len(caplog.records) == len(records)


async def test_one_that_has_a_connection_again_is_not_held(monkeypatch: pytest.MonkeyPatch) -> None:
    resumes = full(monkeypatch, 4)
    first = held(resumes, 1)
    first.detached_at = None
    resumes.attached(first)
    resumes.attached(first)
    assert resumes.held() == []
    for number in range(2, 6):
        held(resumes, number)
    assert why_ended(first) is None
