"""The events that the core returns to its driver."""

from __future__ import annotations

from typing import NamedTuple

from protocol.mux.messages import Claim, Claimed, Goaway, Refused, Release
from protocol.mux.streams import Stream


class Opened(NamedTuple):
    """The server opened a stream."""

    stream: Stream


class Readable(NamedTuple):
    """A head, data, the end or a reset has come for the stream's reader."""

    stream: Stream


class Stopped(NamedTuple):
    """The peer wants no more of the half that we write."""

    stream: Stream


class ClaimAsked(NamedTuple):
    """The client asks for a name: answer with Core.answer_claim."""

    claim: Claim


class ClaimAnswered(NamedTuple):
    """The server's answer to our claim."""

    answer: Claimed | Refused


class Released(NamedTuple):
    """A claim ended."""

    release: Release


class GoingAway(NamedTuple):
    """The peer will stop."""

    goaway: Goaway


class ConnectionGone(NamedTuple):
    """A visitor's connection has ended to which the client has bound one of its own."""

    connection: int


Event = (
    Opened | Readable | Stopped | ClaimAsked | ClaimAnswered | Released | GoingAway | ConnectionGone
)
