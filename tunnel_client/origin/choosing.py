"""`--identity auto` at work: asks the app, and chooses for each request as whom it is sent on.

One task asks, beside serving, and only one question is under way at a time. Whatever fails is
`local` and a word in the log: the tunnel never hears of it. A request keeps the identity that it
began with, and a verdict is for those that begin behind it. A visitor waits for one only where its
page would else have links that lead nowhere, and a second at most.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable
from typing import Final

import trio

from protocol.errors import HttpError
from protocol.http.fields import values_of
from protocol.http.heads import ResponseHead
from protocol.mux.messages import Open
from protocol.program.observing import Sink
from tunnel_client.identity import hints
from tunnel_client.identity.inquiry import IdentityVerdict, Inquiry
from tunnel_client.identity.own_origins import own_origin_pattern
from tunnel_client.identity.own_urls import spelled
from tunnel_client.identity.rewriting import Identity
from tunnel_client.identity.verdicts import Verdicts
from tunnel_client.observing.events import (
    ClientEvent,
    IdentityChosen,
    OriginCameUp,
    TunnelReady,
)
from tunnel_client.origin.asking import Asker
from tunnel_client.origin.connection import OriginClosed
from tunnel_client.origin.dial import OriginDown, OriginRefused, OriginStream
from tunnel_client.origin.first_look import FirstLook
from tunnel_client.origin.pages import PageLook, is_navigation, look_at
from tunnel_client.settings.target import Target
from tunnel_client.settings.values import Mode

log = logging.getLogger(__name__)

FIRST_S: Final = 10.0  # a dev server compiles its page when it is first asked for
REST_S: Final = 5.0  # for all other questions of an inquiry
VISITOR_WAITS_S: Final = 1.0  # a verdict takes a tenth of that, where the app is not busy

# What apps say that are asked by a name that is not theirs, or by an Origin.
REFUSALS: Final = frozenset({400, 403, 421})
_OF_AN_ORIGIN: Final = frozenset({400, 403})


class IdentityChooser:
    """Chooses between two identities of one app, and asks it which is right.

    It stands before another sink, since what is told of the tunnel is when to ask.

    Args:
        target: the app.
        identities: as itself, and by its public name.
        sink: is told everything, and each verdict.
        agent: what the app is asked by.
        first_look: is told how the first question went.
    """

    def __init__(
        self,
        target: Target,
        identities: dict[Mode, Identity],
        sink: Sink[ClientEvent],
        agent: str,
        first_look: FirstLook,
    ) -> None:
        self._identities = identities
        self._sink = sink
        self._agent = agent
        self._verdicts = Verdicts(target)
        self._pattern = own_origin_pattern(target)
        self._last: tuple[str, str, Identity] = ("", "", identities["local"])
        self._news = trio.Event()
        self._deciding: tuple[str, trio.Event] | None = None  # an origin that visitors wait for
        self._hinted: set[str] = set()
        self._first_look = first_look

    def __repr__(self) -> str:
        return f"<IdentityChooser {self._verdicts!r} deciding={self._deciding is not None}>"

    # --- what requests ask ---

    def identity_of(self, opened: Open) -> Identity:
        """The identity for a request that begins now."""
        scheme, host, identity = self._last
        if opened.host == host and opened.scheme == scheme:  # nearly always
            return identity
        return self._look_up(opened)

    def keeps_waiting(self, opened: Open) -> bool:
        """Whether a request is better off after `wait`."""
        if self._deciding is None:
            return False
        return self._deciding[0] == _origin_of(opened) and is_navigation(opened)

    async def wait(self) -> None:
        """Wait for the verdict, for a second at most."""
        if self._deciding is not None:
            with trio.move_on_after(VISITOR_WAITS_S):
                await self._deciding[1].wait()

    def saw(self, opened: Open, identity: Identity, answer: ResponseHead) -> PageLook | None:
        """Note the final answer to a request, whose page may be worth a look.

        Called for answers that are HTML or refuse; never raises or blocks.

        Args:
            identity: what the request began with.
        """
        standing = self._verdicts.standing(_origin_of(opened))
        if standing is None:
            return None
        if identity is self._identities["public"]:
            if answer.status in _OF_AN_ORIGIN and standing.mode == "public":
                self._doubt_once(opened, answer.status)
            if answer.status in REFUSALS and is_navigation(opened):
                standing.ask_again(new_life=False)
                self._news.set()
        elif answer.status == 200 and standing.wants_pages and is_navigation(opened):
            path = opened.target.partition(b"?")[0]

            def found() -> None:
                standing.page_found(path)
                self._news.set()

            return look_at(answer.fields, self._pattern, found)
        return None

    def has_said(self, hint: str) -> bool:
        """Whether the developer has had this hint already."""
        return hint in self._hinted

    # --- what the tunnel tells ---

    def tell(self, event: ClientEvent) -> None:
        """See Sink."""
        self._sink.tell(event)
        if isinstance(event, TunnelReady):
            self._verdicts.serve_at(spelled(event.url.encode()).decode())
            self._last = ("", "", self._identities["local"])
        elif isinstance(event, OriginCameUp):
            self._verdicts.came_up()
        else:
            return
        self._news.set()

    # --- asking ---

    async def run(self, connect: Callable[[], Awaitable[OriginStream]]) -> None:
        """Ask whatever is due, for ever.

        Args:
            connect: makes a connection to the app at once, or raises OriginRefused.
        """

        async def connected() -> OriginStream:
            stream = await connect()
            self._first_look.asked()
            return stream

        asker = Asker(connected, self._identities, self._agent)
        while True:
            inquiry = self._verdicts.next(trio.current_time())
            if inquiry is None:
                await self._wait_for_news()
            else:
                await self._conduct(inquiry, asker)

    async def _wait_for_news(self) -> None:
        due_at = self._verdicts.due_at()
        with trio.CancelScope(deadline=due_at):
            await self._news.wait()
        self._news = trio.Event()

    async def _conduct(self, inquiry: Inquiry, asker: Asker) -> None:
        try:
            with trio.move_on_after(FIRST_S) as scope:
                await self._ask_all(inquiry, asker, scope)
        except OriginDown:
            self._first_look.answered()  # the dialer has told it
            self._verdicts.not_reached(inquiry)
            return
        except (OriginRefused, OriginClosed, HttpError) as error:
            log.debug("the app could not be asked by which name it goes: %r", error)
            self._first_look.failed(error, asker.first_bytes)
            broke_off = isinstance(error, OriginClosed) and inquiry.asks > 1
            inquiry.failed("it gave no answer", "cut off" if broke_off else "no answer")
        except Exception:  # logged; a fault of the rule must not end the tunnel
            log.exception("the app could not be asked by which name it goes")
            inquiry.failed("this client has a fault; its log says more")
        finally:
            self._let_go()
        if inquiry.verdict is None:
            inquiry.failed("its answers took too long")
        if not self._verdicts.repeats(inquiry):
            self._conclude(inquiry)

    async def _ask_all(self, inquiry: Inquiry, asker: Asker, scope: trio.CancelScope) -> None:
        began_rest = False
        while inquiry.question is not None:
            inquiry.answered(await asker.ask(inquiry.question, inquiry.origins.public))
            self._first_look.answered()
            if inquiry.is_answered and not began_rest:
                began_rest = True
                scope.deadline = trio.current_time() + REST_S
            if inquiry.found_own and self._deciding is None:
                self._hold_visitors(inquiry.origins.public)

    def _hold_visitors(self, origin: str) -> None:
        standing = self._verdicts.standing(origin)
        if standing is not None and standing.mode == "local":
            self._deciding = (origin, trio.Event())

    def _let_go(self) -> None:
        if self._deciding is not None:
            self._deciding[1].set()
            self._deciding = None

    def _conclude(self, inquiry: Inquiry) -> None:
        verdict = self._verdicts.conclude(inquiry)
        self._last = ("", "", self._identities["local"])
        self._sink.tell(self._event(inquiry, verdict))

    def _event(self, inquiry: Inquiry, verdict: IdentityVerdict) -> IdentityChosen:
        mode, path, reason, asks, hint, _ = verdict
        if mode == "public" and inquiry.start != b"/":
            hint = hints.RELOAD
        elif hint is not None:
            hint = self._once("local", hint)
        return IdentityChosen(mode, path, reason, asks, inquiry.origins.public, hint)

    def _doubt_once(self, opened: Open, status: int) -> None:
        """An app that takes Origins from a list of its own may have taken those on localhost."""
        origin = _origin_of(opened)
        if origin not in (
            spelled(v).decode("latin-1") for v in values_of(opened.fields, b"origin")
        ):
            return
        path = opened.target.partition(b"?")[0]
        hint = self._once("public", hints.refused_post(opened.method, path, status))
        if hint is not None:
            reason = "a request with its public Origin was refused"
            self._sink.tell(IdentityChosen("public", path, reason, 0, origin, hint))

    def _once(self, kind: str, hint: str) -> str | None:
        """One hint of a kind is help; the next are noise."""
        if kind in self._hinted:
            return None
        self._hinted |= {kind, hint}
        return hint

    def _look_up(self, opened: Open) -> Identity:
        standing = self._verdicts.standing(_origin_of(opened))
        if standing is None:
            return self._identities["local"]
        if math.isinf(standing.asked_at) and standing.due:
            self._news.set()  # it is new
        identity = self._identities[standing.mode]
        self._last = (opened.scheme, opened.host, identity)
        return identity


def _origin_of(opened: Open) -> str:
    return f"{opened.scheme}://{opened.host}"
