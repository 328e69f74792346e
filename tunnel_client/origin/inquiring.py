"""Inquiries at work: asks the app whatever is due, beside serving.

One task asks, and only one question is under way at a time. Whatever fails is `local` and a word in
the log: the tunnel never hears of it. A visitor waits for a verdict only where its page would else
have links that lead nowhere, and a second at most.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Final

import trio

from protocol.errors import HttpError
from protocol.mux.messages import Open
from tunnel_client.identity.inquiry import Inquiry
from tunnel_client.identity.rewriting import Identity
from tunnel_client.identity.verdicts import Verdicts, origin_of
from tunnel_client.origin.asking import Asker
from tunnel_client.origin.connection import OriginClosed
from tunnel_client.origin.dial import OriginDown, OriginRefused, OriginStream
from tunnel_client.origin.first_look import FirstLook
from tunnel_client.origin.pages import is_navigation
from tunnel_client.settings.values import Mode

log = logging.getLogger(__name__)

FIRST_S: Final = 10.0  # a dev server compiles its page when it is first asked for
REST_S: Final = 5.0  # for all other questions of an inquiry
VISITOR_WAITS_S: Final = 1.0  # a verdict takes a tenth of that, where the app is not busy


class HeldVisitors:
    """Visitors that wait for the verdict that is under way.

    Attributes:
        origin: the public origin of those that wait; None: nobody does.
    """

    def __init__(self) -> None:
        self.origin: str | None = None
        self._decided = trio.Event()

    def __repr__(self) -> str:
        return f"<HeldVisitors of {self.origin}>"

    def keeps_waiting(self, opened: Open) -> bool:
        """Whether a request is better off after `wait`."""
        return self.origin == origin_of(opened) and is_navigation(opened)

    async def wait(self) -> None:
        """Wait for the verdict, for a second at most."""
        if self.origin is not None:
            with trio.move_on_after(VISITOR_WAITS_S):
                await self._decided.wait()

    def hold(self, origin: str) -> None:
        """From now on those of this origin wait."""
        self.origin, self._decided = origin, trio.Event()

    def let_go(self) -> None:
        """The verdict stands, or will not come."""
        self.origin = None
        self._decided.set()


class Inquirer:
    """Conducts the inquiries of one app.

    Args:
        verdicts: say what is due, and have what came of it stand.
        identities: the app as itself, and by its public name.
        agent: what the app is asked by.
        first_look: is told how the first question went.
        held: the visitors for which an inquiry may be worth waiting for.
        on_verdict: is called with each inquiry that has one.
    """

    def __init__(
        self,
        verdicts: Verdicts,
        identities: dict[Mode, Identity],
        agent: str,
        first_look: FirstLook,
        held: HeldVisitors,
        on_verdict: Callable[[Inquiry], None],
    ) -> None:
        self._verdicts = verdicts
        self._identities = identities
        self._agent = agent
        self._first_look = first_look
        self._held = held
        self._on_verdict = on_verdict
        self._news = trio.Event()

    def __repr__(self) -> str:
        return f"<Inquirer due at {self._verdicts.due_at()}, {self._held!r}>"

    def wake(self) -> None:
        """Something may be due."""
        self._news.set()

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
            self._held.let_go()
        if inquiry.verdict is None:
            inquiry.failed("its answers took too long")
        if not self._verdicts.repeats(inquiry):
            self._verdicts.conclude(inquiry)
            self._on_verdict(inquiry)

    async def _ask_all(self, inquiry: Inquiry, asker: Asker, scope: trio.CancelScope) -> None:
        began_rest = False
        while inquiry.question is not None:
            answer = await asker.ask(inquiry.question, inquiry.origins.public)
            inquiry.answered(answer)
            self._first_look.saw(answer.status, answer.body)
            if inquiry.is_answered and not began_rest:
                began_rest = True
                scope.deadline = trio.current_time() + REST_S
            if inquiry.found_own and self._held.origin is None:
                self._hold_visitors(inquiry.origins.public)

    def _hold_visitors(self, origin: str) -> None:
        standing = self._verdicts.standing(origin)
        if standing is not None and standing.mode == "local":
            self._held.hold(origin)
