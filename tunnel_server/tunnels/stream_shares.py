"""The streams of each carrier, shared between its visitors.

A client serves so many streams at once. One visitor's event streams could take them all, and every
other visitor of the tunnel would be told that it is busy.

A stream counts from before it is opened until no frame of it can come or go any more. That is a
round trip longer than its visitor has it: until then the client counts it as well.
"""

from __future__ import annotations

from tunnel_server.owners.waiting import RoomShare
from tunnel_server.tunnels.registry import Carrier


class StreamShares:
    """The shares of all carriers that have had a request."""

    def __init__(self) -> None:
        self._shares: dict[Carrier, RoomShare] = {}

    def __repr__(self) -> str:
        return f"<StreamShares of {len(self._shares)} carriers>"

    def of(self, carrier: Carrier) -> RoomShare:
        """The share of one, counted by what `crowd_key` makes of a visitor's address."""
        share = self._shares.get(carrier)
        if share is None:
            share = self._shares[carrier] = RoomShare(carrier.streams_max)
        return share

    def forget(self, carrier: Carrier) -> None:
        """It carries nothing any more; what is still counted goes with it."""
        self._shares.pop(carrier, None)
