"""The interface to whatever knows the owners, for the rooms that hand out names or log them."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from tunnel_server.owners.stored_tokens import may_have


class Right(NamedTuple):
    """A right to connect.

    Fields:
        owner: whose it is.
        token: the name of the token that gives it; "": none does.
        names: patterns of the names that may be claimed by it; none: any name.
        expires_at: in seconds since the epoch; None: never.
    """

    owner: str
    token: str = ""
    names: tuple[str, ...] = ()
    expires_at: int | None = None

    def may_claim(self, name: str) -> bool:
        """Whether a name is one of those; it may be illegal."""
        return may_have(self.names, name)


class Ownership(Protocol):
    """Says who may have what, from memory: a claim is one step and waits for nobody.

    What knows it from elsewhere, a database or another server, feeds a memory of its own and
    answers from that.
    """

    @property
    def revision(self) -> int:
        """A number that grows when an owner may have lost or got a right."""

    def look(self) -> None:
        """See whether anything has changed elsewhere; called once a second."""

    def right_of(self, digest: bytes) -> Right | None:
        """The right that a token (an install key, on an open server) stands for, if any.

        Args:
            digest: see `tokens.digest_of`.
        """

    def knows(self, owner: str) -> bool:
        """Whether a token, or a key, stands for this owner now. It may look at all of them."""

    def used(self, digest: bytes) -> None:
        """Note that a session has begun by this token."""


def short_owner(owner: str) -> str:
    """An owner for the log: an install key's hash says enough in ten characters."""
    return owner if len(owner) <= 64 else f"{owner[:14]}..."
