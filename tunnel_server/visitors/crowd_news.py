"""The log's line about connections that were closed since there are too many: once a minute."""

from __future__ import annotations

import math
from typing import Final

NEWS_EVERY_S: Final = 60.0
MORE: Final = "--max-connections allows more"


class CrowdNews:
    """Counts what was closed since the log has said so, and knows whose share it was.

    Of addresses the first is remembered alone: a hostile crowd has as many as it likes.

    Args:
        most: the number of places.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._told_at = -math.inf
        self._forget()

    def __repr__(self) -> str:
        return f"<CrowdNews of {self._waited} closed and {self._turned_away} turned away>"

    def _forget(self) -> None:
        self._waited = 0
        self._turned_away = 0
        self._was_full = False
        self._had_share: str | None = None
        self._were_several = False

    def closed_for(self, key: str | None) -> None:
        """One that waited was closed: this key has its share; None: all places were taken."""
        self._waited += 1
        if key is None:
            self._was_full = True
        else:
            self._were_several = self._were_several or self._had_share not in (None, key)
            self._had_share = self._had_share or key

    def turned_away(self) -> None:
        """A new one was closed at once: all places were taken, and nobody waited."""
        self._turned_away += 1
        self._was_full = True

    def told(self, now: float) -> str | None:
        """Return what to log; None where there is nothing, or where a minute is not over."""
        if not (self._waited or self._turned_away) or now - self._told_at < NEWS_EVERY_S:
            return None
        said = f"{self._what}: {self._why}; {MORE}"
        self._told_at = now
        self._forget()
        return said

    @property
    def _what(self) -> str:
        closed = f"closed {_connections(self._waited)} that waited for longest"
        if not self._turned_away:
            return closed
        if not self._waited:
            return f"turned {_connections(self._turned_away, 'new ')} away"
        return f"{closed}, and turned {self._turned_away} new away"

    @property
    def _why(self) -> str:
        whose = "several addresses" if self._were_several else self._had_share
        full = f"all {self._most} places were taken"
        if whose is None:
            return full
        shares = "their shares" if self._were_several else "its share"
        if self._was_full:
            return f"{full}, or {whose} had {shares}"
        return f"{whose} had {shares} of the {self._most} places"


def _connections(count: int, which: str = "") -> str:
    return f"{count} {which}connection{'' if count == 1 else 's'}"
