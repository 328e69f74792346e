"""`--identity auto` at work: chooses for each request as whom it is sent on.

A request keeps the identity that it began with, and a verdict is for those that begin behind it.
What passes shows when the app is to be asked (again): `inquiring` does that.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Final

from protocol.http.heads import ResponseHead
from protocol.mux.messages import Open
from protocol.program.observing import Sink
from tunnel_client.identity.inquiry import Inquiry
from tunnel_client.identity.own_origins import own_origin_pattern
from tunnel_client.identity.own_urls import spelled
from tunnel_client.identity.rewriting import Identity
from tunnel_client.identity.verdicts import Verdicts, origin_of
from tunnel_client.observing.events import ClientEvent, OriginCameUp, TunnelReady
from tunnel_client.origin.dial import OriginStream
from tunnel_client.origin.first_look import FirstLook
from tunnel_client.origin.inquiring import HeldVisitors, Inquirer
from tunnel_client.origin.pages import PageLook, is_navigation, look_at
from tunnel_client.origin.verdict_news import VerdictNews
from tunnel_client.settings.target import Target
from tunnel_client.settings.values import Mode

# What apps say that are asked by a name that is not theirs, or by an Origin.
REFUSALS: Final = frozenset({400, 403, 421})
_OF_AN_ORIGIN: Final = frozenset({400, 403})


class IdentityChooser:
    """Chooses between two identities of one app, and has it asked which is right.

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
        self._verdicts = Verdicts(target)
        self._pattern = own_origin_pattern(target)
        self._last_scheme = self._last_host = ""  # those that were looked up last
        self._last_identity = identities["local"]
        self._news = VerdictNews(sink)
        self._held = HeldVisitors()
        self._inquirer = Inquirer(
            self._verdicts, identities, agent, first_look, self._held, self._concluded
        )

    def __repr__(self) -> str:
        return f"<IdentityChooser {self._verdicts!r} {self._inquirer!r}>"

    # --- what requests ask ---

    def identity_of(self, opened: Open) -> Identity:
        """The identity for a request that begins now."""
        if opened.host == self._last_host and opened.scheme == self._last_scheme:  # nearly always
            return self._last_identity
        return self._look_up(opened)

    def keeps_waiting(self, opened: Open) -> bool:
        """Whether a request is better off after `wait`."""
        return self._held.origin is not None and self._held.keeps_waiting(opened)

    async def wait(self) -> None:
        """Wait for the verdict, for a second at most."""
        await self._held.wait()

    def saw(self, opened: Open, identity: Identity, answer: ResponseHead) -> PageLook | None:
        """Note the final answer to a request, whose page may be worth a look.

        Called for answers that are HTML or refuse; never raises or blocks.

        Args:
            identity: what the request began with.
        """
        standing = self._verdicts.standing(origin_of(opened))
        if standing is None:
            return None
        if identity is self._identities["public"]:
            if answer.status in _OF_AN_ORIGIN and standing.mode == "public":
                self._news.refused(opened, answer.status)
            if answer.status in REFUSALS and is_navigation(opened):
                standing.ask_again(new_life=False)
                self._inquirer.wake()
        elif answer.status == 200 and standing.wants_pages and is_navigation(opened):
            path = opened.target.partition(b"?")[0]

            def found() -> None:
                standing.page_found(path)
                self._inquirer.wake()

            return look_at(answer.fields, self._pattern, found)
        return None

    def has_said(self, hint: str) -> bool:
        """Whether the developer has had this hint already."""
        return self._news.has_said(hint)

    # --- what the tunnel tells ---

    def tell(self, event: ClientEvent) -> None:
        """See Sink."""
        self._sink.tell(event)
        if isinstance(event, TunnelReady):
            self._verdicts.serve_at(spelled(event.url.encode()).decode())
            self._forget_last()
        elif isinstance(event, OriginCameUp):
            self._verdicts.came_up()
        else:
            return
        self._inquirer.wake()

    async def run(self, connect: Callable[[], Awaitable[OriginStream]]) -> None:
        """Have the app asked whatever is due, for ever; see Inquirer."""
        await self._inquirer.run(connect)

    def _concluded(self, inquiry: Inquiry) -> None:
        self._forget_last()
        self._news.concluded(inquiry)

    # --- looking up ---

    def _forget_last(self) -> None:
        self._last_scheme = self._last_host = ""

    def _look_up(self, opened: Open) -> Identity:
        standing = self._verdicts.standing(origin_of(opened))
        if standing is None:
            return self._identities["local"]
        if math.isinf(standing.asked_at) and standing.due:
            self._inquirer.wake()  # it is new
        identity = self._identities[standing.mode]
        self._last_scheme, self._last_host = opened.scheme, opened.host
        self._last_identity = identity
        return identity
