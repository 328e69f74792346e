from __future__ import annotations

import pytest

from tests.tunnel_server.tunnels.test_registry import FakeSession
from tunnel_server.tunnels.directory import Login
from tunnel_server.tunnels.owned_sessions import OwnedSessions


def test_sessions_are_counted_by_owner_as_they_come_and_go() -> None:
    sessions: OwnedSessions[Login] = OwnedSessions()
    first, second = FakeSession(), FakeSession()
    sessions[first] = sessions[second] = Login("alice", None)
    assert (sessions.count_of("alice"), len(sessions)) == (2, 2)
    sessions[first] = Login("bob", None)  # resumed with another token
    assert (sessions.count_of("alice"), sessions.count_of("bob"), len(sessions)) == (1, 1, 2)
    sessions[second] = Login("alice", b"renewed")
    assert sessions.count_of("alice") == 1
    assert list(sessions) == [first, second]
    assert sessions.pop(first, None) == Login("bob", None)
    assert sessions.pop(first, None) is None
    assert first not in sessions
    assert second in sessions
    assert (sessions.count_of("bob"), repr(sessions)) == (0, "<OwnedSessions 1 of 1 owners>")
    with pytest.raises(KeyError):
        sessions[first]
