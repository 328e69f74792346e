"""The way of a request from its head to its exchange: whose it is, and where it goes.

A request waits here for its visitor's share of what the server serves, and at `admission` for its
tunnel. Then it has an exchange: with a stream, or with an answer of ours.
"""

from __future__ import annotations

import trio

from protocol.http.heads import RequestHead, parse_request
from protocol.names import APEX
from tunnel_server.answers.refusal import Refusal
from tunnel_server.tunnels.control import ControlEndpoint
from tunnel_server.tunnels.directory import Login
from tunnel_server.tunnels.opening_handshake import check_handshake
from tunnel_server.tunnels.registry import Tunnel
from tunnel_server.visitors.admission import Admission, over_share
from tunnel_server.visitors.connection import Connection, VisitorGone
from tunnel_server.visitors.exchange import Exchange
from tunnel_server.visitors.read_ahead import ReadAhead
from tunnel_server.visitors.request_limits import RequestLimits
from tunnel_server.visitors.routing import is_control, name_of
from tunnel_server.visitors.same_connection import SameConnection
from tunnel_server.visitors.service import service_answer
from tunnel_server.visitors.tap import Tap
from tunnel_server.visitors.visitor import Visitor, visitor_of


class Beginning:
    """Begins the requests of one connection, one after the other.

    Args:
        connection: the visitor's.
        control: serves the sessions.
        ahead: reads on while a request waits.
        same: knows which requests came by this connection.
    """

    __slots__ = ("_admission", "_ahead", "_asked", "_connection", "_control", "_visitor")

    def __init__(
        self,
        connection: Connection,
        control: ControlEndpoint,
        ahead: ReadAhead,
        same: SameConnection,
    ) -> None:
        self._connection = connection
        self._control = control
        self._ahead = ahead
        self._admission = Admission(connection, ahead, same)
        self._visitor: Visitor | None = None  # of every request, unless a proxy brings them
        self._asked: tuple[bytes, str | None] = b"", None  # the last Host, and whose it is

    def __repr__(self) -> str:
        return f"<Beginning {self._admission!r}>"

    def whose(self, head: RequestHead) -> Visitor:
        """The visitor of a request; the connection's place is that visitor's from now on."""
        connection = self._connection
        if self._visitor is not None:
            return self._visitor
        visitor = visitor_of(connection.edge.config, connection.source, head.fields)
        if not connection.source.trusted:
            self._visitor = visitor  # no field says anything
        if connection.deadlines.place is not None:
            connection.deadlines.place.move(visitor.key)
        return visitor

    async def begin(self, head: RequestHead, large: bytes, visitor: Visitor) -> Exchange | None:
        """Begin what the request asks for, or settle its answer; None: a session was served.

        Cancelled, or where it raises, `end` is to follow.

        Args:
            head: the request's, or what is kept of it.
            large: the bytes of the whole head, where not all of it is kept; else empty.
            visitor: the one whose it is.

        Raises:
            VisitorGone: the connection broke while it waited.
        """
        name = self._name_of(head)
        if name == APEX and is_control(head):  # sessions have a share of their own
            return await self._serve_control(_whole(head, large), visitor)
        place = self._connection.deadlines.place
        waits = place is not None and place.over_share
        if place and waits and not await place.wait_for_share(self._ahead.until_turn):
            refusal = over_share("this server", visitor, own=place.has_its_share)
            return Exchange(head, answer=refusal, last=True)
        if name is None:
            return Exchange(head, answer=Refusal("unknown-host"))
        if name == APEX:
            answer = service_answer(self._connection.edge, _whole(head, large))
            return Exchange(head, answer=answer)
        limits = self._connection.edge.request_limits
        if limits is not None and (over := self._over_limit(limits, name, visitor)) is not None:
            return Exchange(head, name=name, answer=over)
        found: Tunnel | Exchange | Refusal = await self._admission.wait(name, visitor)
        if isinstance(found, Tunnel):
            found = self._admission.open(head, _whole(head, large), found, visitor)
        return found if isinstance(found, Exchange) else Exchange(head, name=name, answer=found)

    async def begin_counted(
        self, head: RequestHead, large: bytes, visitor: Visitor
    ) -> Exchange | None:
        """Begin a request with a tap, whose time runs from here: also while it waits."""
        tap = Tap(trio.current_time())
        tap.asked(name_of(self._connection.edge, head) or "", _whole(head, large))
        try:
            exchange = await self.begin(head, large, visitor)
        except BaseException as error:
            if not self._connection.is_control:
                tap.ended("visitor" if isinstance(error, VisitorGone) else "tunnel")
                tap.tell(trio.current_time())
            raise
        if exchange is not None:
            exchange.tap = tap
        return exchange

    def end(self) -> None:
        """The connection reads no more requests: one that was about to begin does not."""
        self._admission.give_stream()

    def _over_limit(self, limits: RequestLimits, name: str, visitor: Visitor) -> Refusal | None:
        owner = self._connection.edge.directory.owner_of(name)
        return limits.refusal(visitor, name, owner, trio.current_time())

    def _name_of(self, head: RequestHead) -> str | None:
        """See `routing.name_of`: a browser asks for one host on a connection, again and again."""
        host, name = self._asked
        if head.host == host:
            return name
        found = name_of(self._connection.edge, head)
        if found is not None:  # then the Host is short as well
            self._asked = head.host, found
        return found

    async def _serve_control(self, head: RequestHead, visitor: Visitor) -> Exchange | None:
        """Serve a session, then None; or return why there is none."""
        directory = self._connection.edge.directory
        login = check_handshake(directory, visitor.address, head)
        if isinstance(login, Refusal):
            return Exchange(head, answer=login, last=True)
        await self._serve_session(login, head, visitor.address)
        return None

    async def _serve_session(self, login: Login, head: RequestHead, address: str) -> None:
        connection = self._connection
        connection.become_control()
        stream, behind = connection.stream, self._ahead.take_rest()
        begins = connection.deadlines.leave_crowd
        await self._control.serve(address, stream, login, head, behind, begins)


def _whole(head: RequestHead, large: bytes) -> RequestHead:
    """The head with all of its fields."""
    return parse_request(large) if large else head
