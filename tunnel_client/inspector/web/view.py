"""The state that the API, the live feeds and the captured pages share."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from typing import Final, Literal, NamedTuple, get_args

import trio

from tunnel_client.inspector.capture.exchange import Half, KeptExchange
from tunnel_client.inspector.capture.store import CaptureStore
from tunnel_client.inspector.replaying.replays import Replays
from tunnel_client.inspector.shown.masking import Masks
from tunnel_client.inspector.web.run_facts import RunFacts

Part = Literal["request", "answer"]
PARTS: Final[tuple[Part, ...]] = get_args(Part)

_PAGE_ID_BYTES: Final = 16  # nobody guesses one, and it is all that a frame can show for itself
_PAGES_MAX: Final = 256  # of one page a few are shown at a time; the oldest gives way
_UNMASKED_MAX: Final = 1000


class CapturedPage(NamedTuple):
    """A body that may be had by a URL of its own."""

    id: int
    part: Part
    is_download: bool


class InspectorView:
    """See above.

    Args:
        store, facts, replays: see there.

    Attributes:
        clears: how often all was dropped.
        closing: set when the inspector ends.
    """

    __slots__ = ("_pages", "_unmasked", "clears", "closing", "facts", "replays", "store")

    def __init__(self, store: CaptureStore, facts: RunFacts, replays: Replays) -> None:
        self.store = store
        self.replays = replays
        self.facts = facts
        self.clears = 0
        self.closing = trio.Event()
        self._pages: OrderedDict[str, CapturedPage] = OrderedDict()
        self._unmasked: OrderedDict[tuple[int, Part], None] = OrderedDict()

    def __repr__(self) -> str:
        return f"<InspectorView {self.store!r} {len(self._pages)} pages>"

    def masks(self, *, is_on: bool = True) -> Masks:
        """Return masks with a count of their own."""
        return Masks(self.facts.key, is_on=is_on)

    def clear(self) -> None:
        """Drop all exchanges that are over."""
        self.clears += 1
        self.store.clear()

    def unmask(self, number: int, part: Part) -> None:
        """Let the bytes of a body be shown."""
        self._unmasked[number, part] = None
        if len(self._unmasked) > _UNMASKED_MAX:
            self._unmasked.popitem(last=False)

    def is_unmasked(self, number: int, part: Part) -> bool:
        """Whether the bytes of a body may be shown, whatever secrets are in it."""
        return (number, part) in self._unmasked

    def add_page(self, page: CapturedPage) -> str:
        """Return the name by which a body may be had."""
        name = secrets.token_hex(_PAGE_ID_BYTES)
        self._pages[name] = page
        if len(self._pages) > _PAGES_MAX:
            self._pages.popitem(last=False)
        return name

    def page(self, name: str) -> CapturedPage | None:
        """Return the body of this name; None: there is none."""
        return self._pages.get(name)


def half_of(exchange: KeptExchange, part: Part) -> Half:
    """Return a half by its name."""
    return exchange.request if part == "request" else exchange.answer
