"""The names that nobody holds any more, since when, and by whom they were held.

So many are remembered. Of one more the owner pays that has most: whoever lets go of ten thousand
names takes no other owner's out of the note for the next server.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Final, NamedTuple

from tunnel_server.owners.held import Tally

REMEMBERED_NAMES_MAX: Final = 10_000


class Held(NamedTuple):
    """The time when a name was last held, in seconds since the epoch, and its owner."""

    at: float
    owner: str


class Left(NamedTuple):
    """A name that nobody holds any more; `chosen` as in Tunnel."""

    held: Held
    chosen: bool


class LeftNames:
    """The last of them. Each step costs the same however many there are."""

    def __init__(self) -> None:
        self._left: OrderedDict[str, Left] = OrderedDict()
        self._of_owner: dict[str, OrderedDict[str, None]] = {}
        self._tally = Tally()

    def __repr__(self) -> str:
        return f"<LeftNames {len(self._left)} of {len(self._of_owner)} owners>"

    def __len__(self) -> int:
        return len(self._left)

    def newest_first(self) -> Iterator[tuple[str, Left]]:
        """All of them."""
        return reversed(self._left.items())

    def get(self, name: str) -> Left | None:
        """The end of a name; None: it is not remembered."""
        return self._left.get(name)

    def add(self, name: str, left: Left) -> None:
        """A name was let go of just now."""
        self.pop(name)
        self._left[name] = left
        owner = left.held.owner
        self._of_owner.setdefault(owner, OrderedDict())[name] = None
        self._tally.add(owner)
        if len(self._left) > REMEMBERED_NAMES_MAX:
            heaviest = self._tally.heaviest or owner
            self.pop(next(iter(self._of_owner[heaviest])))

    def pop(self, name: str) -> Left | None:
        """Know nothing of a name any more; returns what was known."""
        left = self._left.pop(name, None)
        if left is None:
            return None
        owner = left.held.owner
        own = self._of_owner[owner]
        del own[name]
        if not own:
            del self._of_owner[owner]
        self._tally.remove(owner)
        return left
