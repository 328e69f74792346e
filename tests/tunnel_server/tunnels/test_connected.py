"""Which connection gives way: of these sessions nothing matters but when they were heard of."""

from __future__ import annotations

from typing import cast

from protocol.drivers.session import Session
from protocol.mux.control import Heartbeat
from tunnel_server.owners.shares import Share
from tunnel_server.tunnels.connected import LATE_S, LOOKED_AT, Connected
from tunnel_server.tunnels.directory import sessions_for

INTERVAL_S = 15
SILENT_S = INTERVAL_S + LATE_S


class Core:
    def __init__(self) -> None:
        self.control = self
        self.heartbeat = Heartbeat(INTERVAL_S, 30)


class Heard:
    """A session that was heard of at some time."""

    looked_at = 0

    def __init__(self, heard_at: float) -> None:
        self.core = Core()
        self._heard_at = heard_at
        self.dropped = False

    @property
    def heard_at(self) -> float:
        Heard.looked_at += 1
        return self._heard_at

    def drop_connection(self) -> None:
        self.dropped = True


def connected(most: int, *sessions: Heard) -> Connected:
    found = Connected(Share(most))
    for session in sessions:
        found.add(cast(Session, session), "ann", None)
    return found


def test_one_that_is_silent_for_longer_than_a_client_may_be_gives_way_and_not_before() -> None:
    sessions = [Heard(1000.0), Heard(999.0), Heard(1000.0)]
    share = connected(4, *sessions)
    assert not share.make_room(999 + SILENT_S, "ann")
    assert share.make_room(999.5 + SILENT_S, "ann")
    assert [session.dropped for session in sessions] == [False, True, False]
    assert repr(share) == "<Connected <Share 2 of 4, 1 keys>>"
    share.remove(cast(Session, sessions[1]))
    assert repr(share) == "<Connected <Share 2 of 4, 1 keys>>"


def test_where_there_is_room_nobody_gives_way() -> None:
    silent = Heard(0.0)
    assert connected(4, silent).make_room(1e6, "ann")
    assert not silent.dropped


def test_another_owners_do_not_give_way() -> None:
    sessions = [Heard(0.0) for _ in range(4)]
    share = connected(4, *sessions)
    assert not share.make_room(1e6, "bob", "192.0.2.1/32")
    assert not any(session.dropped for session in sessions)


def test_where_all_are_taken_ones_own_give_way() -> None:
    others = [Heard(0.0) for _ in range(3)]
    share = connected(4, *others)
    own = Heard(0.0)
    share.add(cast(Session, own), "bob", "192.0.2.1/32")
    assert share.make_room(1e6, "eve", "192.0.2.1/32")
    assert own.dropped


def test_a_new_connection_takes_the_place_of_the_old_one_with_other_keys() -> None:
    session = Heard(0.0)
    share = connected(4, session)
    share.add(cast(Session, session), "ann", "192.0.2.1/32")
    assert cast(Session, session) in share
    assert repr(share) == "<Connected <Share 1 of 4, 2 keys>>"


def test_a_step_looks_at_few_of_many_and_the_next_at_others() -> None:
    sessions = [Heard(1e6) for _ in range(10 * LOOKED_AT)]
    last = Heard(0.0)
    share = connected(len(sessions) + 2, *sessions, last)
    Heard.looked_at = 0
    assert not share.make_room(1e6, "ann")
    assert Heard.looked_at == LOOKED_AT
    dropped = []
    for _ in range(10):
        share.make_room(1e6, "ann")
        dropped.append(last.dropped)
    assert dropped == [False] * 9 + [True]
    assert Heard.looked_at == 11 * LOOKED_AT


def test_sixty_clients_whose_router_starts_anew_meet_no_share() -> None:
    sessions = [Heard(0.0) for _ in range(60)]
    share = connected(sessions_for(1024), *sessions)
    for session in sessions:  # they have what they need to come back
        share.add(cast(Session, session), "ann", None)
    assert repr(share) == "<Connected <Share 60 of 128, 1 keys>>"
    for _ in range(60):  # or have not, being new programs
        assert share.make_room(SILENT_S + 1, "ann")
        share.add(cast(Session, Heard(SILENT_S + 1)), "ann")
    assert share.make_room(SILENT_S + 1, "bob")
