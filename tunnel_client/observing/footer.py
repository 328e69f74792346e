"""The footer: what holds now, under the lines that tell what happened.

Its words follow from the events that the lines follow from, and from a few numbers that it asks for
when it is to be drawn: nothing is told it for each request, or for each piece of a body.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple, Protocol

from protocol.program.observing import plain_text
from protocol.program.text import duration, printable, size
from tunnel_client.observing.events import (
    ClientEvent,
    ClientStopping,
    OriginCameUp,
    OriginWentDown,
    ProgramStopped,
    Reconnecting,
    SessionResumed,
    TunnelReady,
    TunnelRefused,
)
from tunnel_client.observing.lines import as_clause, waits_for_app
from tunnel_client.observing.request_lines import shown_path
from tunnel_client.observing.styles import GREEN, YELLOW
from tunnel_client.observing.widths import cut

# The line has the whole reason; what happens next must stand here even on 40 columns.
REASON_COLUMNS_MAX: Final = 100
_WHOLE_SECONDS_TO_S: Final = 120  # what counts down is told in seconds up to there


class Transfer(NamedTuple):
    """A body on its way for a while.

    Fields:
        method: of its request.
        path: the request's target as it came.
        done_bytes: of the body that is on its way, the request's or the answer's.
        of_bytes: its length; None: it says none.
        rate: bytes a second.
    """

    method: bytes
    path: bytes
    done_bytes: int
    of_bytes: int | None
    rate: float


class FooterNumbers(NamedTuple):
    """The numbers that the footer shows.

    Fields:
        round_trip_s: of the connection to the server; None: it is not known.
        requests: since the start of the program.
        open: of those, under way.
        transfers: the oldest of those that take long.
    """

    round_trip_s: float | None = None
    requests: int = 0
    open: int = 0
    transfers: tuple[Transfer, ...] = ()


class Sight(Protocol):
    """The place where the footer looks for its numbers."""

    def numbers(self) -> FooterNumbers:
        """Return them as they are now; never waits, never raises."""


class Shown(NamedTuple):
    """The words of a footer, of printable text; how they stand is up to the layout.

    Fields:
        url: the public one, never cut; "": there is none yet.
        target: where it leads to.
        state: of the connection.
        style: the state's.
        facts: short ones, in the order in which they matter.
        alerts: sentences about what does not work, or waits.
        transfers: what has passed of long ones, each one a path and its numbers.
    """

    url: str
    target: str
    state: str
    style: str
    facts: tuple[str, ...]
    alerts: tuple[str, ...]
    transfers: tuple[tuple[str, str], ...]


class Footer:
    """The words of the footer, from the first event that tells of the tunnel to the last one.

    Args:
        target: where the public URL leads to.

    Attributes:
        sight: where it looks for numbers; None: it shows none.
        inspector: the address of that, without its token; None: there is none.
    """

    def __init__(self, target: str) -> None:
        self.sight: Sight | None = None
        self.inspector: str | None = None
        self._target = target.removeprefix("http://")
        self._ready: TunnelReady | None = None
        self._offline: tuple[float, float, Reconnecting] | None = None  # since, told at, what
        self._down: OriginWentDown | None = None
        self._stopping: tuple[float, ClientStopping] | None = None
        self._over = False

    def __repr__(self) -> str:
        state = "over" if self._over else "offline" if self._offline else "connected"
        return f"<Footer {state if self._ready else 'not ready'}, down={self._down is not None}>"

    def heard(self, at: float, event: ClientEvent) -> None:
        """Take what was told, and when."""
        match event:
            case TunnelReady():
                self._ready, self._offline = event, None
            case SessionResumed():
                self._offline = None
            case Reconnecting():
                since = at if self._offline is None else self._offline[0]
                self._offline = since, at, event
            case OriginWentDown():
                self._down = event
            case OriginCameUp():
                self._down = None
            case ClientStopping():
                self._stopping = at, event
            case TunnelRefused() | ProgramStopped():
                self._over = True
            case _:
                pass

    def shown(self, now: float) -> Shown | None:
        """Return the words as they are now; None: there is no footer."""
        if self._over or (self._ready is None and self._offline is None):
            return None
        numbers = FooterNumbers() if self.sight is None else self.sight.numbers()
        return Shown(
            url=printable(self._ready.url) if self._ready else "",
            target=printable(self._target),
            state=printable(self._state(now, numbers.round_trip_s)),
            style=GREEN if self._offline is None else YELLOW,
            facts=self._facts(numbers),
            alerts=tuple(map(printable, self._alerts(now))),
            transfers=tuple(map(_transfer, numbers.transfers)),
        )

    def _state(self, now: float, round_trip_s: float | None) -> str:
        if self._offline is None:
            return "connected" if round_trip_s is None else f"connected, {_ms(round_trip_s)}"
        since, told_at, told = self._offline
        for_s = f"offline for {_seconds(now - since)}" if self._ready else "not connected yet"
        left_s = told_at + told.wait_s - now
        when = f"next try in {_seconds(math.ceil(left_s))}" if left_s > 0 else "trying now"
        how_long = "until it works"
        if told.give_up_in_s is not None:
            how_long = f"for {_seconds(max(0, told_at + told.give_up_in_s - now))} more"
        return f"{for_s}: {cut(as_clause(told.reason), REASON_COLUMNS_MAX)} {when}, {how_long}"

    def _facts(self, numbers: FooterNumbers) -> tuple[str, ...]:
        requests = "1 request" if numbers.requests == 1 else f"{numbers.requests:,} requests"
        counts = [f"{requests}, {numbers.open:,} open"] if self.sight else []
        inspector = [f"inspect {printable(self.inspector)}"] if self.inspector else []
        return (*counts, *inspector)

    def _alerts(self, now: float) -> list[str]:
        alerts = []
        if self._down is not None:
            alerts.append(waits_for_app(self._down))
        if self._stopping is not None:
            at, told = self._stopping
            left_s = max(0, math.ceil(at + told.wait_s - now))
            alerts.append(f"stopping within {left_s} s; Ctrl-C again ends it now")
        return alerts


def _transfer(transfer: Transfer) -> tuple[str, str]:
    name = f"{plain_text(transfer.method)} {shown_path(transfer.path)}"
    far = size(transfer.done_bytes)
    if transfer.of_bytes:
        far = f"{100 * min(transfer.done_bytes, transfer.of_bytes) // transfer.of_bytes} %"
    return printable(name), f"{far}  {size(round(transfer.rate))}/s"


def _ms(seconds_s: float) -> str:
    ms = seconds_s * 1000
    return f"{ms:.1f} ms" if ms < 9.95 else f"{ms:.0f} ms"


def _seconds(seconds_s: float) -> str:
    return f"{int(seconds_s)} s" if seconds_s < _WHOLE_SECONDS_TO_S else duration(seconds_s)
