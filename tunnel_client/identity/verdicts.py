"""Verdicts that stand, one for each public origin, and what is to be asked next; sans I/O.

A verdict is for one public origin and one life of the app. It is asked for when an origin is first
seen, when a page elsewhere names an own origin, when the app was away, and when what is asked by
its public name refuses a navigation: then another app may have taken its place. Never for load or
time alone.

Where the server has no --public-url, the port of an origin is what the visitor wrote into Host, and
so is a dot behind the name. So the tunnel's own URL always has its place, and all such origins have
one together.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Final

from protocol.mux.messages import Open
from tunnel_client.identity.inquiry import IdentityVerdict, Inquiry, InquiryFailure
from tunnel_client.identity.own_origins import AppOrigins
from tunnel_client.settings.target import Target
from tunnel_client.settings.values import Mode

ORIGINS_MAX: Final = 3  # http and https of a name, and one more; the next are asked as `local`
STRANGE_MAX: Final = 1  # of these: a port that is forwarded, or the same name in another domain
PAGES_MAX: Final = 3  # of one life of the app: a developer's log has little to say of us
ASK_AGAIN_S: Final = 10.0  # a dev server restarts with each edit, and an app may refuse each page
_DOUBLED_MAX: Final = 6  # times; an app that stays busy is asked every ten minutes
_REPEATS_MAX: Final[Mapping[tuple[InquiryFailure, Mode], float]] = {
    ("cut off", "local"): 1,
    ("cut off", "public"): 1,
    ("no answer", "local"): 0,  # as it would be without
    ("no answer", "public"): math.inf,
}
# Long or mostly digits: a link that logs in or unsubscribes works once.
_SEGMENT_MAX_CHARS: Final = 20
_ORIGIN: Final = re.compile(r"https?://[\w.:\[\]-]{1,300}", re.ASCII)
_PATH_MAX_BYTES: Final = 256  # nobody's page, and it is kept


class Standing:
    """One public origin.

    Attributes:
        origins: the app's, and this one.
        mode: what holds until the next verdict.
        start: the path whose answers decided that.
        due: the paths to ask, each with the time from which on.
        asked: those that were asked in this life of the app.
        asked_at: when the last inquiry began.
        settled: the app is not right by its public name, whatever other pages say.
        repeats: so often in a row the last inquiry had no end, and is made once more.
    """

    __slots__ = (*("asked", "asked_at", "due", "mode", "origins", "repeats", "settled", "start"),)

    def __init__(self, origins: AppOrigins) -> None:
        self.origins = origins
        self.mode: Mode = "local"
        self.start = b"/"
        self.due: dict[bytes, float] = {self.start: -math.inf}
        self.asked: set[bytes] = set()
        self.asked_at = -math.inf
        self.settled = False
        self.repeats = 0

    def __repr__(self) -> str:
        return f"<Standing {self.origins.public} {self.mode} due={list(self.due)}>"

    @property
    def wants_pages(self) -> bool:
        """Whether a page that names an own origin would be asked about."""
        if self.mode == "public" or self.settled or not self.asked:
            return False
        return len(self.asked | self.due.keys()) <= PAGES_MAX  # "/" is one of them

    def ask_again(self, *, new_life: bool) -> None:
        """Ask once more for the path that decided, though not too often."""
        if new_life:
            self.due.clear()
            self.asked.clear()
            self.settled = False
            self.repeats = 0
        if self.start not in self.due:
            self.due[self.start] = self.asked_at + ASK_AGAIN_S

    def conclude(self, path: bytes, verdict: IdentityVerdict) -> None:
        """Have the verdict on a path stand.

        One page that is right by the public name is enough, and no other is asked then; `local`
        undoes that only where the path is the one that decided.
        """
        self.repeats = 0
        self.settled = self.settled or verdict.settled
        if verdict.mode == "public":
            again_at = self.due.get(self.start)  # the app was away meanwhile
            self.due = {} if again_at is None else {path: again_at}
            self.mode, self.start = "public", path
        elif path == self.start:
            self.mode, self.start = "local", b"/"

    def page_found(self, path: bytes) -> None:
        """A page elsewhere names an own origin."""
        if self.wants_pages and path not in self.asked and _may_be_asked(path):
            self.due.setdefault(path, -math.inf)


class Verdicts:
    """All public origins of one tunnel.

    Args:
        target: the app.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self._origins: dict[str, Standing] = {}
        self._url = ""  # the tunnel's
        self._is_away = False  # nothing listened when it was to be asked

    def __repr__(self) -> str:
        return f"<Verdicts {'away' if self._is_away else 'up'} {list(self._origins.values())}>"

    def serve_at(self, url: str) -> None:
        """Take this origin for the tunnel's URL. If it was another, what is known is forgotten."""
        if url != self._url:
            self._url, self._origins = url, {}
        self.standing(url)

    def standing(self, origin: str) -> Standing | None:
        """Return what is known of an origin, to be asked about if it is new; None: one too many."""
        found = self._origins.get(origin)
        if found is None and self._has_place(origin) and _ORIGIN.fullmatch(origin):
            found = self._origins[origin] = Standing(AppOrigins(self._target, origin))
        return found

    def _has_place(self, origin: str) -> bool:
        if origin == self._url:
            return True
        others = self._origins.keys() - {self._url}
        strange = sum(map(self._is_strange, (*others, origin)))
        return len(others) < ORIGINS_MAX - 1 and strange <= STRANGE_MAX

    def _is_strange(self, origin: str) -> bool:
        """Whether it is more than the URL's host by either scheme, at the URL's port or none."""
        authority = self._url.partition("://")[2]
        return origin.partition("://")[2] not in (authority, authority.partition(":")[0])

    def due_at(self) -> float:
        """The time at which there is something to ask; infinite if there is nothing."""
        if self._is_away:
            return math.inf
        return min(
            (at for one in self._origins.values() for at in one.due.values()), default=math.inf
        )

    def next(self, now: float) -> Inquiry | None:
        """Begin the next inquiry that is due."""
        if self.due_at() > now:
            return None
        for one in self._origins.values():
            for path, at in one.due.items():
                if at <= now:
                    del one.due[path]
                    one.asked.add(path)
                    one.asked_at = now
                    return Inquiry(one.origins, path)
        return None

    def conclude(self, inquiry: Inquiry) -> None:
        """Have its verdict stand from now on."""
        assert inquiry.verdict is not None
        self._standing_of(inquiry).conclude(inquiry.start, inquiry.verdict)

    def repeats(self, inquiry: Inquiry) -> bool:
        """Whether what stands is kept, and the inquiry is made once more: it has no verdict.

        Once where it was cut off: an app may break off whenever it is asked by its public name, and
        that is an answer. That it was busy is none, and undoes no `public`, however often.
        """
        one = self._standing_of(inquiry)
        if inquiry.failed_by is None or one.repeats >= _REPEATS_MAX[inquiry.failed_by, one.mode]:
            return False
        one.due[inquiry.start] = one.asked_at + ASK_AGAIN_S * 2 ** min(one.repeats, _DOUBLED_MAX)
        one.repeats += 1
        return True

    def not_reached(self, inquiry: Inquiry) -> None:
        """Nothing listens: it is asked when the app is first reached."""
        one = self._standing_of(inquiry)
        one.asked.discard(inquiry.start)
        one.asked_at = -math.inf
        one.due[inquiry.start] = -math.inf
        self._is_away = True

    def _standing_of(self, inquiry: Inquiry) -> Standing:
        """That of its origin; of one that was forgotten meanwhile, one that nobody has."""
        return self._origins.get(inquiry.origins.public) or Standing(inquiry.origins)

    def came_up(self) -> None:
        """The app was away, and is another one now for all that is known."""
        self._is_away = False
        for one in self._origins.values():
            one.ask_again(new_life=True)


def origin_of(opened: Open) -> str:
    """The public origin of a request, as the server spells it."""
    return f"{opened.scheme}://{opened.host}"


def _may_be_asked(path: bytes) -> bool:
    """Whether a path looks like a page for everybody, and not like a link for one use."""
    return len(path) <= _PATH_MAX_BYTES and not any(map(_is_token, path.split(b"/")))


def _is_token(segment: bytes) -> bool:
    digits = len(re.findall(rb"[0-9]", segment))
    return len(segment) > _SEGMENT_MAX_CHARS or 2 * digits > len(segment)
