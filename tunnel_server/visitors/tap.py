"""The tap of a request counts what passes, and says who ended it: one DEBUG record for each.

Where that is not logged an exchange has no tap, which costs a comparison at each place.
"""

from __future__ import annotations

import logging
from typing import Final, Literal

from protocol.drivers.stream import TunnelStream
from protocol.http.heads import RequestHead

log: Final = logging.getLogger(__name__)

EndedBy = Literal["visitor", "app", "tunnel"]


class Tap:
    """The numbers of one request. The times are the event loop's, in seconds.

    Attributes:
        name: the tunnel's; empty where the service was asked, or nobody.
        method: of the request; empty when it was no HTTP.
        status: of the final answer; 0 before.
        bytes_in: of the request's body, and of what follows a 101, as the visitor sent them.
        bytes_out: the same of the answer, as they were sent to the visitor.
        started_at: when the request's head was whole.
        ended_by: whoever ended it; None before.
    """

    __slots__ = (
        *("_told", "bytes_in", "bytes_out", "ended_by", "method", "name", "started_at", "status"),
    )

    def __init__(self, started_at: float) -> None:
        self.name = ""
        self.method = ""
        self.status = 0
        self.bytes_in = 0
        self.bytes_out = 0
        self.started_at = started_at
        self.ended_by: EndedBy | None = None
        self._told = False

    def __repr__(self) -> str:
        return f"<Tap {self.name} {self.status} {self.bytes_in} in {self.bytes_out} out>"

    def asked(self, name: str, head: RequestHead | None) -> None:
        """A request has begun."""
        self.name = name
        self.method = head.method.decode("ascii") if head is not None else ""

    def body_in(self, data: bytes) -> None:
        """Some of the request's body came."""
        self.bytes_in += len(data)

    def head(self, status: int) -> None:
        """The final head of the answer leaves."""
        self.status = status

    def body_out(self, data: bytes) -> None:
        """Some of the answer's body has left."""
        self.bytes_out += len(data)

    def ended(self, by: EndedBy) -> None:
        """One side ended it, well or badly; the first to say so is right."""
        self.ended_by = self.ended_by or by

    def tell(self, now: float, stream: TunnelStream | None = None) -> None:
        """Write the record, when nothing more will pass; once, however often it is called.

        Args:
            now: the loop's time.
            stream: that of a request that was given to a tunnel's session, which the record names.
        """
        if self._told:
            return
        self._told = True
        said_of = log if stream is None else stream.log_by(log)
        said_of.debug(
            "%s: %s %d, %d bytes in, %d bytes out, %d ms, ended by the %s",
            self.name or "-",
            self.method or "-",
            self.status,
            self.bytes_in,
            self.bytes_out,
            round((now - self.started_at) * 1000),
            self.ended_by or "tunnel",
        )
