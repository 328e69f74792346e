"""The names that a client wants of a session, and what became of each.

Claims are asked one after the other, since the server takes one at a time. Where one is refused the
others go on: only when none is held and none can be any more is there no use for the session.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import Final, NamedTuple

import trio

from protocol.drivers.session import Session
from protocol.drivers.session_log import SessionLog
from protocol.errors import ConfigError, LocalProtocolError
from protocol.limits import CLAIMS_MAX
from protocol.mux.messages import Claim, Claimed, Refused, Release
from protocol.options import Options
from tunnel_client.settings.config import ClientConfig
from tunnel_client.uplink.opening import FOR_NOW

log = logging.getLogger(__name__)


class ClaimState(IntEnum):
    """The state of a claim: how far the client is with one name."""

    WANTED = 1  # and not asked for in this session yet
    ASKED = 2
    HELD = 3
    PUT_OFF = 4  # refused in this session; the next may have it
    REFUSED = 5  # for good, or taken away again


class ClaimEvent(IntEnum):
    """An event that changes the state of a claim."""

    ASK = 1
    GRANT = 2
    PUT_OFF = 3
    REFUSAL = 4
    RELEASE = 5
    NEW_SESSION = 6  # the server has the one before no more, nor its claims


TRANSITIONS: Final = {
    (ClaimState.WANTED, ClaimEvent.ASK): ClaimState.ASKED,
    (ClaimState.WANTED, ClaimEvent.NEW_SESSION): ClaimState.WANTED,
    (ClaimState.ASKED, ClaimEvent.GRANT): ClaimState.HELD,
    (ClaimState.ASKED, ClaimEvent.PUT_OFF): ClaimState.PUT_OFF,
    (ClaimState.ASKED, ClaimEvent.REFUSAL): ClaimState.REFUSED,
    (ClaimState.ASKED, ClaimEvent.NEW_SESSION): ClaimState.WANTED,
    (ClaimState.HELD, ClaimEvent.RELEASE): ClaimState.REFUSED,
    (ClaimState.HELD, ClaimEvent.NEW_SESSION): ClaimState.WANTED,
    (ClaimState.PUT_OFF, ClaimEvent.NEW_SESSION): ClaimState.WANTED,
    (ClaimState.REFUSED, ClaimEvent.NEW_SESSION): ClaimState.REFUSED,
}
"""The whole table. A pair that is not in it is a fault of ours: LocalProtocolError, no change."""


class WantedName(NamedTuple):
    """A name to ask for.

    Fields:
        name: empty: the server makes one up.
        start: a person started the program; false once the name was held.
        default: the name that it would be if nobody chose one; once the server has made one up,
            that one.
    """

    name: str
    start: bool = True
    default: str = ""


class NameClaim:
    """One name of a session.

    Attributes:
        number: of the claim, by which the server speaks of it.
        wanted: the name, once it is held that which the server gave.
        why: what the server said when it refused the name or took it away.
    """

    __slots__ = ("number", "state", "wanted", "why")

    def __init__(self, number: int, wanted: WantedName) -> None:
        self.number = number
        self.wanted = wanted
        self.state = ClaimState.WANTED
        self.why: Refused | Release | None = None

    def __repr__(self) -> str:
        return f"<NameClaim {self.number} {self.wanted.name or 'any name'} {self.state.name}>"

    def happened(self, event: ClaimEvent) -> None:
        """Change the state. Raises LocalProtocolError: the table has no such pair."""
        try:
            self.state = TRANSITIONS[self.state, event]
        except KeyError:
            message = f"{event.name} of a claim that is {self.state.name}"
            raise LocalProtocolError(message) from None


class Claims:
    """All names of one link.

    Args:
        names: which, in the order in which they are asked for.
        instance: this process's own number.
        config: what the server is asked to do for them.
        on_claimed: is told of each name that is held, and its URL.

    Raises:
        ConfigError: these are more names than a session may hold, or one stands twice.
    """

    def __init__(
        self,
        names: Sequence[WantedName],
        instance: bytes,
        config: ClientConfig,
        on_claimed: Callable[[Claimed], None],
    ) -> None:
        _check([wanted.name for wanted in names])
        # Whole seconds cross, rounded down: rather a ping too early than one too late.
        options = Options(
            ws_keepalive_s=math.floor(config.ws_keepalive_s),
            allow_ip=config.allow_ip,
            deny_ip=config.deny_ip,
        )
        self._claims = {
            number: NameClaim(number, wanted) for number, wanted in enumerate(names, start=1)
        }
        self._instance = instance
        self._options = options.as_map()
        self._on_claimed = on_claimed
        self._log: logging.Logger | SessionLog = log  # of the session that was asked last
        self._all_answered = trio.Event()

    def __repr__(self) -> str:
        return f"<Claims {list(self._claims.values())}>"

    @property
    def is_of_use(self) -> bool:
        """Whether a name is held, or the server has still to answer."""
        return any(claim.state <= ClaimState.HELD for claim in self._claims.values())

    @property
    def refusal(self) -> Refused | Release | None:
        """The reason why the server gives no name for good; None while it gives or may give one."""
        claims = self._claims.values()
        if any(claim.state is not ClaimState.REFUSED for claim in claims):
            return None
        return next((claim.why for claim in claims), None)

    def wanted_next(self) -> list[WantedName]:
        """The names to ask another session for: all that were not refused for good."""
        claims = self._claims.values()
        return [claim.wanted for claim in claims if claim.state is not ClaimState.REFUSED]

    def begin(self, session: Session) -> None:
        """Ask a session that has just begun for all of them."""
        self._log = session.log.by(log)
        self._all_answered = trio.Event()
        for claim in self._claims.values():
            claim.happened(ClaimEvent.NEW_SESSION)
        self._ask_next(session)

    async def wait_answered(self) -> None:
        """Wait until the server has answered all of them."""
        await self._all_answered.wait()

    def answered(self, session: Session, answer: Claimed | Refused) -> None:
        """The server has answered the claim that was asked; asks the next one."""
        claim = self._claims[answer.claim]
        if isinstance(answer, Claimed):
            claim.happened(ClaimEvent.GRANT)
            default = claim.wanted.default if claim.wanted.name else answer.name
            claim.wanted = WantedName(answer.name, start=False, default=default)
            self._on_claimed(answer)
        else:
            claim.why = answer
            claim.happened(_meaning_of(answer, claim.wanted))
            self._log.debug("the server refuses %r: %s", claim, answer.message)
        self._ask_next(session)

    def released(self, release: Release) -> None:
        """The server has taken a name away."""
        claim = self._claims[release.claim]
        claim.happened(ClaimEvent.RELEASE)
        claim.why = release
        if self.is_of_use:
            self._log.warning("%s is not ours any more: %s", claim.wanted.name, release.message)

    def _ask_next(self, session: Session) -> None:
        for claim in self._claims.values():
            if claim.state is ClaimState.WANTED:
                claim.happened(ClaimEvent.ASK)
                name, start, default = claim.wanted
                asked = Claim(claim.number, name, self._instance, start, self._options, default)
                session.claim(asked)
                return
        self._all_answered.set()


def _check(names: list[str]) -> None:
    if len(names) > CLAIMS_MAX:
        raise ConfigError(
            "", f"{len(names)} names are too many: a session holds {CLAIMS_MAX} at most"
        )
    for name in names:
        if name and names.count(name) > 1:
            raise ConfigError("", f"the name {name} is asked for twice")


def _meaning_of(answer: Refused, wanted: WantedName) -> ClaimEvent:
    """Whether a refusal is for good. A name that was held may still be our own lost session's."""
    for_now = answer.code in FOR_NOW or (answer.code == "name-taken" and not wanted.start)
    return ClaimEvent.PUT_OFF if for_now else ClaimEvent.REFUSAL
