"""Rates, by the generic cell rate algorithm: one number for each that is counted.

That number is the time at which nothing would be left of what it has taken (ITU-T I.371, the
theoretical arrival time). Plain: the time is an argument.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import Final, NamedTuple

KEYS_MAX: Final = 10_000  # of one table; beyond, the one that came longest ago is forgotten


class Rate(NamedTuple):
    """So many in a second, and so many at once by one that took none for long."""

    per_s: float
    burst: float


class Gcra:
    """The account of one that is limited."""

    __slots__ = ("_empty_at",)

    def __init__(self) -> None:
        self._empty_at = -math.inf

    def __repr__(self) -> str:
        return f"<Gcra empty at {self._empty_at:.3f}>"

    def take(self, rate: Rate, now: float, count: float = 1) -> float:
        """Take so many if they may be had now.

        Returns:
            0.0; or, where nothing was taken, the seconds after which they may be had.
        """
        empty_at = max(self._empty_at, now) + count / rate.per_s
        waits_s = empty_at - now - rate.burst / rate.per_s
        # A billionth is what rounding costs where times are seconds since a machine's start.
        if waits_s > 1e-9:
            return waits_s
        self._empty_at = empty_at
        return 0.0


class RateTable:
    """The accounts of many, by key; those that came last are kept."""

    def __init__(self, rate: Rate, most: int = KEYS_MAX) -> None:
        self._rate = rate
        self._most = most
        self._accounts: OrderedDict[str, Gcra] = OrderedDict()

    def __repr__(self) -> str:
        return f"<RateTable {self._rate} of {len(self._accounts)}>"

    def __len__(self) -> int:
        return len(self._accounts)

    def take(self, key: str, now: float) -> float:
        """Take one for this key; see `Gcra.take`."""
        account = self._accounts.get(key)
        if account is None:
            account = self._accounts[key] = Gcra()
            if len(self._accounts) > self._most:
                self._accounts.popitem(last=False)
        else:
            self._accounts.move_to_end(key)
        return account.take(self._rate, now)
