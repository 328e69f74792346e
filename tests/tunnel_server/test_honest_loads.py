"""Honest loads that must not meet a share with the defaults, and what is left for others.

The numbers are docs/limits.md's. `ulimit -n` is 1,024 where nobody says more, which is few.
"""

from __future__ import annotations

import pytest

from protocol.limits import STREAMS_MAX
from tunnel_server.owners.shares import Share
from tunnel_server.owners.waiting import RoomShare
from tunnel_server.tunnels.directory import sessions_for
from tunnel_server.visitors.crowd import Crowd, Place, connections_for

FEW, USUAL = 1024, 20_000  # descriptors


class Load:
    """Connections of addresses, each with a request under way."""

    def __init__(self, descriptors: int) -> None:
        self.crowd = Crowd(connections_for(descriptors, sessions_for(descriptors)))
        self.closed = 0
        self.places: list[Place] = []

    def _close(self) -> None:
        self.closed += 1

    def connect(self, address: str, count: int) -> None:
        """So many at once, before any of them has asked."""
        for _ in range(count):
            place = self.crowd.enter(f"{address}/32", self._close)
            assert place is not None
            self.places.append(place)

    def ask(self) -> None:
        for place in self.places:
            place.serve()

    @property
    def is_served(self) -> bool:
        """Whether nobody was closed, and nobody waits."""
        return not self.closed and not any(place.over_share for place in self.places)


@pytest.mark.parametrize(
    ("descriptors", "count"),
    [
        pytest.param(FEW, 300, id="50 pages of Vite, six connections each"),
        pytest.param(FEW, 500, id="a load test"),
        pytest.param(USUAL, 700, id="webhooks"),
    ],
)
def test_one_address_is_served(descriptors: int, count: int) -> None:
    load = Load(descriptors)
    load.connect("192.0.2.1", count)
    load.ask()
    assert load.is_served
    for place in load.places:  # between two requests they are all idle at once
        place.wait()
    load.ask()
    load.connect("192.0.2.2", 6)
    load.ask()
    assert load.is_served


@pytest.mark.parametrize("count", [300, 500, 700])
def test_one_address_has_the_streams_of_a_tunnel_and_another_finds_some(count: int) -> None:
    streams = RoomShare(STREAMS_MAX)
    for _ in range(count):
        assert streams.is_open("192.0.2.1/32")
        streams.take("192.0.2.1/32")
    assert streams.is_open("192.0.2.2/32")


def test_ten_thousand_idle_websockets_of_a_hundred_addresses_are_served() -> None:
    load = Load(USUAL)
    for number in range(100):
        load.connect(f"192.0.2.{number}", 100)
    load.ask()
    assert load.is_served
    load.connect("198.51.100.1", 100)
    load.ask()
    assert load.is_served


@pytest.mark.parametrize("descriptors", [FEW, USUAL])
def test_forty_clients_of_a_token_start_at_once_and_again_after_a_restart(descriptors: int) -> None:
    for _ in range(2):
        clients = Share(sessions_for(descriptors))
        for _ in range(40):
            assert clients.has_room("farm", "192.0.2.1/32")
            clients.take("farm", "192.0.2.1/32")
        assert clients.has_room("ann", "192.0.2.2/32")
