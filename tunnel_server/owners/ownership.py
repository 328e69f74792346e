"""The interface to whatever knows the owners, for the rooms that hand out names."""

from __future__ import annotations

from typing import Protocol


class Ownership(Protocol):
    """Says who may have what, from memory: a claim is one step and waits for nobody.

    What knows it from elsewhere, a database or another server, feeds a memory of its own and
    answers from that.
    """

    def owner_of(self, token: str | None) -> str | None:
        """Return the owner that a token (an install key, on an open server) stands for, if any."""

    def may_claim(self, owner: str, name: str) -> bool:
        """Whether this owner may hold this name when nobody else does. The name may be illegal."""
