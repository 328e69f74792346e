"""Whether a request may begin at its tunnel, or wait: for the tunnel's client, and for a stream.

It is asked anew after each wait, since the name may have changed hands meanwhile.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from functools import partial
from typing import Final

from protocol.errors import SessionClosed
from protocol.http.heads import RequestHead
from tunnel_server.answers.refusal import Refusal, offline
from tunnel_server.gates.addresses import address_gate
from tunnel_server.observing.strangers import by_stranger
from tunnel_server.owners.waiting import WAIT_S, RoomShare
from tunnel_server.tunnels.directory import Directory
from tunnel_server.tunnels.parking import Whose
from tunnel_server.tunnels.registry import Tunnel
from tunnel_server.visitors.connection import Connection
from tunnel_server.visitors.exchange import Exchange
from tunnel_server.visitors.read_ahead import ReadAhead
from tunnel_server.visitors.routing import open_stream, wait_for_batch
from tunnel_server.visitors.same_connection import SameConnection
from tunnel_server.visitors.visitor import Visitor

log = logging.getLogger(__name__)

_SHARES_OF_PARKED: Final[dict[Whose, str]] = {
    "owner": "This tunnel's owner has its share",
    "visitor": "Your address has its share",
    "all": "There are as many as may be",
}


_CASES: Final = {
    (False, False): "service",
    (False, True): "address-of-service",
    (True, False): "",
    (True, True): "address-of-tunnel",
}
"""The words of a refusal, by whether it is a tunnel's share, and whether its address has all."""


def admission(directory: Directory, name: str, visitor: Visitor) -> Tunnel | Refusal | None:
    """Whether this visitor's request for a name may begin now, or wait for the tunnel's client.

    It is asked before a request waits, and once more right before it begins. Whether there is a
    stream for it is asked afterwards: that is a share.

    Returns:
        The tunnel where it may begin; None where it may wait; else why it may do neither.
    """
    tunnel = directory.registry.find(name)
    if tunnel is not None:
        options = tunnel.options
        has_gate = options.allow_ip or options.deny_ip
        if has_gate and (refused := _not_let_in(tunnel, visitor)) is not None:
            return refused  # before it waits: what waits holds memory
        if not tunnel.carrier.away:
            return tunnel
    if directory.is_away(name):
        return None
    return missing(directory, name)


def _not_let_in(tunnel: Tunnel, visitor: Visitor) -> Refusal | None:
    """Say that the owner of a tunnel with a gate lets this visitor not in; None: it does."""
    refused = address_gate(tunnel.options).refusal(visitor.address, is_named=visitor.is_named)
    if refused is not None:
        text = "%s: forbidden: tunnel %s lets it not in"
        extra = by_stranger(visitor.address, tunnel.name)
        log.info(text, visitor.address, tunnel.name, extra=extra)
    return refused


def missing(directory: Directory, name: str) -> Refusal:
    """Return the refusal of a request for a tunnel that nobody holds."""
    left_at = directory.left_at(name)
    if left_at is None:
        return Refusal("tunnel-not-found")
    return offline(datetime.fromtimestamp(left_at, UTC), datetime.now(UTC))


def over_share(of: str, visitor: Visitor, *, own: bool, name: str = "", most: int = 0) -> Refusal:
    """Log and return the refusal of a request that has waited in vain for its share of these.

    Args:
        of: what is shared: "this server" or "this tunnel".
        visitor: whose request it is.
        own: it is its address that has its share; else all of them together have.
        name: of the tunnel, for the log.
        most: requests that the tunnel's client takes at once, for the log.
    """
    what = f"tunnel {name}" if name else of
    extra = by_stranger(visitor.address, f"{what} {own}")
    of_how_many = f"the {most:,} that its client takes at once" if name else "the places"
    share = f"its address has its share of {of_how_many}"
    why = share if own else f"none is free of {of_how_many}"
    flag = "" if name else "; --max-connections allows more"
    text = "%s: overloaded: a request for %s: %s%s"
    log.info(text, visitor.address, what, why, flag, extra=extra)
    whose = "Your address has its share" if own else "All is taken"
    cause = (
        f"{whose} of what {of} serves at once. This request has waited, {WAIT_S:g} s at most, and"
        " none of the others has ended."
    )
    return Refusal("overloaded", cause, case=_CASES[bool(name), own])


def _no_stream(name: str, visitor: Visitor) -> Refusal:
    """Its client takes no more, or lets too few go of those that are over."""
    extra = by_stranger(visitor.address, name)
    text = "%s: overloaded: the client of tunnel %s takes no more, or has not let go what is over"
    log.info(text, visitor.address, name, extra=extra)
    return Refusal(
        "overloaded",
        "This tunnel's client takes no more requests at once, or has not let go of those that are"
        " over.",
    )


def _over_parking(whose: Whose, visitor: Visitor) -> Refusal:
    extra = by_stranger(visitor.address, whose)
    log.info(
        "%s: a request that waits for a client is refused: %s", visitor.address, whose, extra=extra
    )
    text = f"{_SHARES_OF_PARKED[whose]} of the requests that wait for a client to come back"
    cause = f"{text}, and of those this one has waited for longest."
    return Refusal("overloaded", cause, case=_CASES[True, whose == "visitor"])


class Admission:
    """Admits the requests of one connection to their tunnels, and opens a stream for each.

    It alone has what is taken of a share of streams: from `wait`, until the stream is open and
    gives it back itself, or until `give_stream`.

    Args:
        connection: the visitor's.
        ahead: reads on while a request waits.
        same: knows which requests came by this connection.
    """

    __slots__ = ("_ahead", "_connection", "_same", "_stream_of")

    def __init__(self, connection: Connection, ahead: ReadAhead, same: SameConnection) -> None:
        self._connection = connection
        self._ahead = ahead
        self._same = same
        self._stream_of: tuple[RoomShare, str | None] | None = None  # taken, and not opened yet

    def __repr__(self) -> str:
        taken = ", a stream taken" if self._stream_of is not None else ""
        return f"<Admission of {self._connection!r}{taken}>"

    async def wait(self, name: str, visitor: Visitor) -> Tunnel | Refusal:
        """Wait until a request for this name may begin, or may not.

        It is asked anew after each wait: the name may have changed hands meanwhile. Cancelled, it
        may have taken a stream, as it has where it returns a tunnel.

        Raises:
            VisitorGone: the connection broke.
        """
        directory = self._connection.edge.directory
        has_waited = False
        while True:
            await wait_for_batch(directory, name)
            admitted = admission(directory, name, visitor)
            if isinstance(admitted, Tunnel):
                share = directory.streams.of(admitted.carrier)
                if self._take_stream(share, visitor.key):
                    if admitted.carrier.has_room:
                        return admitted
                    self.give_stream()
                    return _no_stream(name, visitor)
                carrier = admitted.carrier
                if not has_waited and await share.take_when_open(
                    visitor.key, self._ahead.until_turn
                ):
                    self._stream_of = share, visitor.key
                elif has_waited or directory.registry.carrier_of(name) is carrier:
                    own = share.has_its_share(visitor.key)
                    return over_share("this tunnel", visitor, own=own, name=name, most=share.most)
                has_waited = True
                continue
            self.give_stream()
            if admitted is not None:
                return admitted
            whose = await self._park(name, visitor.key)
            if whose is not None:
                return _over_parking(whose, visitor)

    async def _park(self, name: str, visitor: str | None) -> Whose | None:
        """Wait until the client is back, or will not come, and it may look again.

        Returns the one that has its share of all that wait, where this is to wait no longer.

        It goes on reading: what the visitor sends is read ahead, and a reset is noticed.
        """
        directory = self._connection.edge.directory
        parking = directory.parking
        waiter = parking.enter(
            name, directory.registry.owner_of(name), visitor, directory.source_of(name)
        )
        try:
            await self._ahead.until_over(waiter)
        finally:
            parking.leave(waiter)
        return waiter.refused_for

    def open(
        self, head: RequestHead, whole: RequestHead, tunnel: Tunnel, visitor: Visitor
    ) -> Exchange | Refusal:
        """Open a stream for a request, right after `wait` has admitted it.

        Args:
            head: what is kept of its head.
            whole: the same, with all of its fields; `head` itself where nothing was left out.
            tunnel: what `wait` returned.
            visitor: the request's.
        """
        directory = self._connection.edge.directory
        try:
            exchange = open_stream(self._connection, whole, tunnel, visitor, self._same)
        except SessionClosed:
            directory.release(tunnel.carrier)  # it is just closing its connection
            exchange = missing(directory, tunnel.name)
        if isinstance(exchange, Exchange) and exchange.stream is not None and self._stream_of:
            share, key = self._stream_of
            self._stream_of = None
            exchange.stream.on_gone = partial(share.give, key)
            if whole is not head:
                exchange.keep_little_of(head)
        else:
            self.give_stream()
        return exchange

    def _take_stream(self, share: RoomShare, key: str | None) -> bool:
        """Take one of these, if there is one and none is taken; whether one is."""
        if self._stream_of is not None and self._stream_of[0] is not share:
            self.give_stream()  # its name has changed hands
        if self._stream_of is None and share.is_open(key):
            share.take(key)
            self._stream_of = share, key
        return self._stream_of is not None

    def give_stream(self) -> None:
        """Give back what was taken of a share, and not opened."""
        if self._stream_of is not None:
            share, key = self._stream_of
            self._stream_of = None
            share.give(key)
