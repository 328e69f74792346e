"""The rule by which `--identity auto` finds out as whom an app is to be asked; sans I/O.

`public` is right only for an app that makes its links from the name it is asked by, gets all of
them right, scheme included, and refuses none of its own page's requests under that name. So it is
asked, with GET alone, and every doubt is `local`: that is never worse than no rule at all. Answers
are compared, and no program is known by name: Next's two commands and Rails' two modes need
opposite verdicts.

An `Inquiry` says what to ask next and takes the answer, until it has a verdict. Most apps name no
origin of their own, and have it after one question. docs/identity.md has the rule in words.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from itertools import islice
from typing import Final, Literal, NamedTuple

from tunnel_client.identity import hints
from tunnel_client.identity.own_origins import AppOrigins
from tunnel_client.identity.questions import AppAnswer, AppQuestion
from tunnel_client.settings.values import Mode

REDIRECTS_MAX: Final = 3  # to the app itself: a language, a login, a slash
SCRIPTS_MAX: Final = 2  # of the page's own; one more answer says nothing new

# A page's own scripts stand in its head. Attributes have a limit and no `<` in them, or a page of
# many `<script` alone would be read once for each of them.
_HEAD_BYTES: Final = 256 * 1024
_SCRIPTS_LOOKED_AT: Final = 100  # most may be others'; resolving one takes 10 us
_SCRIPT: Final = re.compile(
    rb"""<(?:script[^<>]{0,300}?\ssrc|link[^<>]{0,300}?\shref)="""
    rb"""["']?([^"'\s>]{1,1000}?\.m?js[^"'\s>]{0,1000})""",
    re.IGNORECASE,
)
_HTML: Final = (200, b"text/html")


class IdentityVerdict(NamedTuple):
    """As whom the app is to be asked.

    Fields:
        path: of the page that was looked at, behind redirects.
        reason: for people, a clause without a full stop.
        asks: how many questions it took.
        hint: what a developer can change where that is not all that is wanted.
        settled: an own origin was found, and the app is not right by its public name.
    """

    mode: Mode
    path: bytes
    reason: str
    asks: int
    hint: str | None = None
    settled: bool = False


# Cut off: the app had answered, and then broke off; it may have been restarted.
InquiryFailure = Literal["no answer", "cut off"]

_Steps = Generator[AppQuestion, AppAnswer, IdentityVerdict]


class Inquiry:
    """One run of the rule.

    Args:
        origins: the app's and the public one.
        start: the path to ask for, without a query.

    Attributes:
        question: the next one; None: there is a verdict.
        verdict: once there is one.
        asks: questions so far.
        is_answered: the first page has come; the rest has a time limit of its own.
        found_own: that page names an own origin, so that visitors are better off with a verdict.
        failed_by: what ended it before the rule could; None: the verdict is the rule's.
    """

    def __init__(self, origins: AppOrigins, start: bytes = b"/") -> None:
        self.origins: Final = origins
        self.start: Final = start
        self.verdict: IdentityVerdict | None = None
        self.asks = 1
        self.is_answered = False
        self.found_own = False
        self.failed_by: InquiryFailure | None = None
        self._path = start
        self._steps = self._decide()
        self.question: AppQuestion | None = next(self._steps)

    def __repr__(self) -> str:
        state = self.question if self.verdict is None else self.verdict
        return f"<Inquiry {self.origins.public} {self.start!r} asks={self.asks} {state}>"

    def answered(self, answer: AppAnswer) -> None:
        """Take the answer to `question`."""
        try:
            self.question = self._steps.send(answer)
            self.asks += 1
        except StopIteration as stop:
            self.question, self.verdict = None, stop.value

    def failed(self, why: str, by: InquiryFailure = "no answer") -> None:
        """The question has no answer: `local` it is."""
        self._steps.close()
        self.failed_by = by
        self.question, self.verdict = None, self._local(why)

    # --- the rule ---

    def _decide(self) -> _Steps:
        first = yield from self._ask_itself()
        if first.status == 400:
            return (yield from self._refused_visitor())
        if self._goes_round(first):
            path, by_name = yield from self._follow("public", self._path)
            if by_name.kind != _HTML:
                return self._local(f"it wants https, and by its public name is {_shown(by_name)}")
            first = yield AppQuestion(self._path, "local")
            if self._goes_round(first):
                return self._wanted_https(by_name, path)
        if first.kind != _HTML:
            return self._local(f"it answers {_shown(first)}")
        said = self.origins.said(first.text)
        if not said.own:
            return self._local("it names no origin of its own")
        self.found_own = True
        page = hints.Page(self._path, self.origins.target, in_links=said.in_links)
        return (yield from self._compare(first, page, told=bool(said.public)))

    def _ask_itself(self) -> Generator[AppQuestion, AppAnswer, AppAnswer]:
        """The page as the app shows it to its own machine, behind redirects to itself."""
        self._path, answer = yield from self._follow("local", self.start)
        self.is_answered = True
        return answer

    def _follow(
        self, mode: Mode, path: bytes
    ) -> Generator[AppQuestion, AppAnswer, tuple[bytes, AppAnswer]]:
        """An answer, and its path, behind redirects to the app itself under one name."""
        led_to = self.origins.own_path if mode == "local" else self.origins.public_path
        answer = yield AppQuestion(path, mode)
        for _ in range(REDIRECTS_MAX):
            target = led_to(answer.location, path) if answer.is_redirect else None
            if target is None or target == path:
                break
            path = target
            answer = yield AppQuestion(path, mode)
        return path, answer

    def _goes_round(self, answer: AppAnswer) -> bool:
        """Whether it leads to its own https at the same target: as itself it is asked the same."""
        return answer.is_redirect and self.origins.is_own_https(answer.location, self._path)

    def _refused_visitor(self) -> _Steps:
        """An app may refuse a proxy that it does not know, by X-Forwarded-For."""
        without = yield AppQuestion(self._path, "local", names_visitor=False)
        if without.status >= 400:
            return self._local("it answers 400")
        return self._local("it refuses X-Forwarded-For", hints.REFUSES_FORWARDED)

    def _wanted_https(self, by_name: AppAnswer, path: bytes) -> IdentityVerdict:
        """A page with links that are wrong is better than none at all."""
        said = self.origins.said(by_name.text)
        page = hints.Page(path, self.origins.target, said.in_links)
        hint = page.mixed(self.origins.public) if said.other_scheme else page.pinned()
        return self._public("it wants https: asked as itself it redirects for ever", hint)

    def _compare(self, first: AppAnswer, page: hints.Page, *, told: bool) -> _Steps:
        path = self._path
        # On any other page it may be a visitor's text that names an own origin.
        is_front = self.start == b"/"
        second = yield AppQuestion(path, "public")
        if second.kind != first.kind:
            why = f"by its public name it answers {_shown(second)}"
            return self._local(why, page.refused(second.status), settled=True)
        left, swapped, other, _ = self.origins.said(second.text)
        if other and not left:
            why = "by its public name its links have the wrong scheme"
            return self._local(why, page.wrong_scheme(), settled=is_front)
        if told or other or left or not swapped:
            why = "its links do not follow the name it is asked by"
            return self._local(why, page.pinned(), settled=is_front)
        for target in (path, *self._scripts(second.body, path)):
            own = yield AppQuestion(target, "local", by_page=True)
            public = yield AppQuestion(target, "public", by_page=True)
            if own.kind != public.kind:
                why = f"with its public Origin {_text(target)} is {_shown(public)}"
                hint = page.refused(public.status, target)
                return self._local(why, hint, settled=True)
        return (yield from self._ask_again(first))

    def _ask_again(self, first: AppAnswer) -> _Steps:
        """An app that remembers by which name it was asked names that one now."""
        last = yield from self._ask_itself()
        said = self.origins.said(last.text)
        if last.kind != first.kind or not said.own or said.public:
            return self._local("it answers the first question in another way now", settled=True)
        return self._public("it makes its links from the name it is asked by")

    def _scripts(self, body: bytes, path: bytes) -> list[bytes]:
        found = islice(_SCRIPT.finditer(body, 0, _HEAD_BYTES), _SCRIPTS_LOOKED_AT)
        links = (self.origins.public_path(script[1], path) for script in found)
        return list(dict.fromkeys(link for link in links if link is not None))[:SCRIPTS_MAX]

    def _public(self, reason: str, hint: str | None = None) -> IdentityVerdict:
        return IdentityVerdict("public", self._path, reason, self.asks, hint)

    def _local(
        self, reason: str, hint: str | None = None, *, settled: bool = False
    ) -> IdentityVerdict:
        return IdentityVerdict("local", self._path, reason, self.asks, hint, settled)


def _shown(answer: AppAnswer) -> str:
    return f"{answer.status} {_text(answer.media_type)}".rstrip()


def _text(data: bytes) -> str:
    return data.decode("ascii", "backslashreplace")
