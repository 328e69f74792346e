"""For how long sessions are held: to the second, with the time as an argument."""

from __future__ import annotations

import logging
from functools import partial

import pytest
import trio

from protocol.drivers.session import Session
from protocol.mux.control import Heartbeat
from protocol.mux.core import Core
from protocol.mux.messages import Resume
from tests.fakes import MemoryTransport
from tunnel_server.observing.strangers import Sparing
from tunnel_server.tunnels import resumes as resumes_module
from tunnel_server.tunnels.resumes import CLOSED_AT_ONCE, HELD_MAX, NAMELESS_HOLD_S, Resumes

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
    await resumes.sweep(LOST_AT + HOLD_S - TICK_S, {session})
    assert why_ended(session) is None
    await resumes.sweep(LOST_AT + HOLD_S, {session})
    assert why_ended(session) == "not resumed within 60 s"


async def test_a_session_without_a_name_ends_after_10_s_and_not_before() -> None:
    assert NAMELESS_HOLD_S == 10
    resumes = Resumes()
    nameless, named = held(resumes, 1), held(resumes, 2)
    await resumes.sweep(LOST_AT + NAMELESS_HOLD_S - TICK_S, {named})
    assert why_ended(nameless) is None
    await resumes.sweep(LOST_AT + NAMELESS_HOLD_S, {named})
    assert why_ended(nameless) == "not resumed within 10 s"
    assert why_ended(named) is None


async def test_a_hold_that_is_shorter_than_10_s_holds_without_a_name_too() -> None:
    resumes = Resumes()
    session = held(resumes)
    session.hold_s = 3
    await resumes.sweep(LOST_AT + 3 - TICK_S, ())
    assert why_ended(session) is None
    await resumes.sweep(LOST_AT + 3, ())
    assert why_ended(session) == "not resumed within 3 s"


async def test_a_session_that_has_a_connection_never_ends_here() -> None:
    resumes = Resumes()
    session = held(resumes)
    session.detached_at = None
    await resumes.sweep(LOST_AT + 1e6, ())
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


# --- a few in each turn --------------------------------------------------------------------------


async def test_a_session_that_is_resumed_between_two_portions_goes_on() -> None:
    resumes = Resumes()
    sessions = [held(resumes, number) for number in range(2 * CLOSED_AT_ONCE + 1)]
    first, last = sessions[0], sessions[-1]

    async def resume() -> None:
        while first.closed_reason is None:
            await trio.lowlevel.checkpoint()
        last.detached_at = None
        resumes.attached(last)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(resume)
        nursery.start_soon(resumes.sweep, LOST_AT + HOLD_S, set(sessions))
    assert last.closed_reason is None
    assert {session.closed_reason for session in sessions[:-1]} == {"not resumed within 60 s"}


async def test_one_that_was_lost_anew_meanwhile_is_held_anew() -> None:
    resumes = Resumes()
    sessions = [held(resumes, number) for number in range(2 * CLOSED_AT_ONCE + 1)]
    first, last = sessions[0], sessions[-1]

    async def lose_again() -> None:
        while first.closed_reason is None:
            await trio.lowlevel.checkpoint()
        last.detached_at = LOST_AT + HOLD_S
        resumes.hold(last)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(lose_again)
        nursery.start_soon(resumes.sweep, LOST_AT + HOLD_S, set(sessions))
    assert resumes.held() == [last]


def asking(session_id: int) -> Resume:
    return Resume(session_id.to_bytes(16, "big"), bytes(32), 1, 0)


async def test_once_it_is_stopped_nothing_is_held_or_given_back() -> None:
    resumes = Resumes()
    sessions = [held(resumes, number) for number in range(2 * CLOSED_AT_ONCE + 1)]
    version = sessions[0].core.version
    last = sessions[-1]
    found: list[Session | None] = []
    ended: list[str | None] = []

    async def ask_meanwhile() -> None:
        while sessions[0].closed_reason is None:
            await trio.lowlevel.checkpoint()
        assert last.closed_reason is None
        found.append(resumes.find(asking(len(sessions) - 1), "alice", version))
        ended.append(why_ended(held(resumes, 100)))  # it is lost just now

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask_meanwhile)
        nursery.start_soon(resumes.stop)
    assert (found, ended) == ([None], ["the server stops"])
    assert {session.closed_reason for session in sessions} == {"the server stops"}
    assert resumes.held() == []
    assert repr(resumes) == "<Resumes of 0 sessions, 0 held, stopped>"
