"""Counts shares for whoever runs the server: how many there are, are taken, and who has most."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from tunnel_server.owners.ownership import short_owner
from tunnel_server.owners.shares import full_from


class Counted(Protocol):
    """A share of any kind."""

    @property
    def most(self) -> int:
        """The number that there is."""

    @property
    def used(self) -> int:
        """The number that is taken."""

    @property
    def heaviest(self) -> tuple[str, int] | None:
        """A key that has most, and how many; None: no key has any. It may look at all of them."""


class ShareCount(NamedTuple):
    """A share as it is now.

    Fields:
        most: how many there are.
        taken: of them.
        heaviest: the key that has most, as the log names it; None: nobody in particular has any.
        has: so many.
        at_its_share: it may take no more.
    """

    most: int
    taken: int
    heaviest: str | None
    has: int
    at_its_share: bool


def count(share: Counted) -> ShareCount:
    """Count a share."""
    most, used = share.most, share.used
    heaviest = share.heaviest
    if heaviest is None:
        return ShareCount(most, used, None, 0, at_its_share=False)
    key, has = heaviest
    return ShareCount(most, used, short_owner(key), has, has >= full_from(most, used))
