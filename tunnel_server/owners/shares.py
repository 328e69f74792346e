"""Shares: how much of something one owner, or one address, may have while others want some, too.

One may take one more only while it has less than three times what is still free. Alone it gets
three quarters of all; two that want all they can get have three sevenths each; and something is
free for one that has little, without a number that an honest user could meet. (Dynamic thresholds:
Choudhury and Hahne, IEEE/ACM Transactions on Networking 6(2), 1998, with alpha = 3.)
"""

from __future__ import annotations

from collections import Counter
from typing import Final

_ALPHA: Final = 3


class Share:
    """Places of one kind, and how many each key has.

    A taker may have several keys, such as its owner and its address; each of them pays. None is a
    key of nobody, which is counted among all alone.

    Attributes:
        most: how many there are.
        used: how many are taken.
    """

    __slots__ = ("_of", "most", "used")

    def __init__(self, most: int) -> None:
        self.most = most
        self.used = 0
        self._of: Counter[str] = Counter()

    def __repr__(self) -> str:
        return f"<Share {self.used} of {self.most}, {len(self._of)} keys>"

    def of(self, key: str) -> int:
        """The number that a key has."""
        return self._of[key]

    def has_room(self, *keys: str | None) -> bool:
        """Whether one more may be taken for these."""
        free = self.most - self.used
        return free > 0 and all(self._of[key] < _ALPHA * free for key in keys if key is not None)

    def too_heavy(self, *keys: str | None) -> str | None:
        """The key of which something has to go before one more is taken for these.

        That is one of these that has its share, or where nothing is free the one that has most.
        None: there is room, or nobody in particular has what is taken.
        """
        free = self.most - self.used
        if free <= 0:
            return max(self._of, key=self._of.__getitem__, default=None)
        full = (key for key in keys if key is not None and self._of[key] >= _ALPHA * free)
        return next(full, None)

    def take(self, *keys: str | None) -> None:
        """One more is taken, also where there was no room: what is there already is counted."""
        self.used += 1
        self._of.update(key for key in keys if key is not None)

    def give(self, *keys: str | None) -> None:
        """One that was taken for these is free again."""
        self.used -= 1
        for key in keys:
            if key is None:
                continue
            self._of[key] -= 1
            if not self._of[key]:
                del self._of[key]
