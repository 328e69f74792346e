"""The two forms of the client's events: JSON for programs, lines for people."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, Protocol

from protocol.program.observing import JsonForm, plain_text
from protocol.program.text import duration, printable, progress
from tunnel_client.observing.events import (
    JSON_NAMES,
    ClientEvent,
    ClientStopping,
    IdentityChosen,
    OriginCameUp,
    OriginWentDown,
    ProgramStopped,
    Reconnecting,
    RequestEnded,
    RequestOpened,
    SessionResumed,
    TunnelReady,
    TunnelRefused,
    Warned,
    WebSocketOpened,
)
from tunnel_client.observing.outage import Outage
from tunnel_client.observing.request_lines import opened_line, request_line, shown_path
from tunnel_client.observing.styles import styled

# On a line of its own: behind an URL it is broken in the middle of a word at 80 columns.
_KEPT: Final = "               the same next time, for this folder and port"


class Lines(Protocol):
    """One form of output."""

    def text(self, at: float, event: ClientEvent, dropped: int) -> str:
        """The whole lines for an event.

        Args:
            at: when it was told, in seconds since the epoch.
            dropped: so many `opened` and `request` before it were not told.
        """


class JsonLines:
    """One object a line."""

    def __init__(self) -> None:
        self._form = JsonForm(JSON_NAMES)

    def __repr__(self) -> str:
        return f"<JsonLines {self._form!r}>"

    def text(self, at: float, event: ClientEvent, dropped: int) -> str:
        """See Lines."""
        more = {"dropped": dropped} if dropped else {}
        said = self._form.text(event, at, **more)
        return said and said + "\n"


class PlainLines:
    """For people.

    Args:
        target: where the public URL leads to, as the first lines say.
        colour: statuses and what needs a look have colours.
        qr: makes the lines that show a public URL as a QR code; None: it is not shown as one.
        inspector: the link that opens it, with its token; it is said once. None: it is off.
    """

    def __init__(
        self,
        target: str,
        *,
        colour: bool = False,
        qr: Callable[[str], list[str]] | None = None,
        inspector: str | None = None,
    ) -> None:
        self._target = target
        self._colour = colour
        self._qr = qr
        self._inspector = inspector
        self._url = ""
        self._public: set[str] = set()  # the origins that the app is asked by
        self._outage = Outage()

    def __repr__(self) -> str:
        return f"<PlainLines {self._target} url={self._url!r}>"

    def text(self, at: float, event: ClientEvent, dropped: int) -> str:
        """See Lines."""
        lines = "".join(f"{line}\n" for line in self._lines(at, event))
        return f"{_not_shown(dropped)}\n{lines}" if dropped else lines

    def _lines(self, at: float, event: ClientEvent) -> list[str]:
        if isinstance(event, TunnelReady) and event.url != self._url:
            self._url = event.url
            self._outage.over()
            code = [] if self._qr is None else self._qr(event.url)
            return [*(printable(line) for line in self._banner(event)), *code, *[""][: len(code)]]
        said = printable(self._said(at, event))
        if not said:
            return []
        clock = time.strftime("%H:%M:%S", time.localtime(at))
        return [f"{clock} {styled(event, said) if self._colour else said}"]

    def _banner(self, ready: TunnelReady) -> list[str]:
        note = [f"  note         {ready.note}"] if ready.note else []
        return [
            "",
            f"  Public URL   {ready.url}",
            *([_KEPT] if ready.name_from == "folder" else []),
            f"  leads to     {self._target}",
            f"  through      {ready.server}",
            *note,
            *self._inspector_line(),
            "",
            "  Ctrl-C stops it. Requests:",
            "",
        ]

    def _inspector_line(self) -> list[str]:
        link, self._inspector = self._inspector, None
        return [f"  inspect      {link}"] if link else []

    def _identity(self, event: IdentityChosen) -> str:
        """The part that is news to a person: `local` is what everybody expects."""
        was_public, is_public = event.origin in self._public, event.mode == "public"
        if is_public == was_public:
            return event.hint or ""
        own = self._target.partition("://")[2] or "itself"
        if not is_public:
            self._public.discard(event.origin)
            said = f"The app is asked as {own} again: {event.reason}."
        else:
            self._public.add(event.origin)
            public = event.origin.partition("://")[2]
            said = f"The app is asked as {public} (--identity local: as {own}): {event.reason}."
        return f"{said} {event.hint}" if event.hint else said

    def _origin(self, event: OriginWentDown | OriginCameUp) -> str:
        if isinstance(event, OriginCameUp):
            return f"{self._target} is back"
        return waits_for_app(event)

    def _said(self, at: float, event: ClientEvent) -> str:
        match event:
            case RequestOpened():
                return ""
            case RequestEnded():
                return request_line(event)
            case WebSocketOpened():
                return opened_line(event)
            case IdentityChosen():
                return self._identity(event)
            case TunnelReady():
                self._outage.over()
                return f"connected again: {event.url}{f' ({event.note})' if event.note else ''}"
            case Reconnecting():
                why = self._outage.says(at, event)
                return "" if why is None else _reconnecting(event, why)
            case SessionResumed():
                self._outage.over()
                return f"resumed after {duration(event.away_s)}; nothing was lost"
            case OriginWentDown() | OriginCameUp():
                return self._origin(event)
            case _:
                return _of_program(event)


def waits_for_app(event: OriginWentDown) -> str:
    """The app's absence, and what requests do meanwhile."""
    waits = f"; requests wait for it, {event.wait_s:g} s each" if event.wait_s else ""
    return f"{event.why}{waits}"


def as_clause(reason: str) -> str:
    """A reason, which may be whole sentences of the server's, with what parts it from the next."""
    reason = reason.removesuffix(".")
    return reason if reason.endswith("?") else f"{reason};"


def _not_shown(dropped: int) -> str:
    requests = "1 request is" if dropped == 1 else f"{dropped} requests are"
    return f"         ({requests} not shown: the terminal was slow)"


def _of_program(event: Warned | TunnelRefused | ClientStopping | ProgramStopped) -> str:
    match event:
        case Warned():
            return f"warning: {event.message}"
        case TunnelRefused():
            return f"refused by the server ({event.code}): {event.message}"
        case ClientStopping():
            return _stopping(event)
        case ProgramStopped():
            says_it = event.reason.startswith("stopped")
            return event.reason if says_it else f"stopped: {event.reason}"


def _stopping(event: ClientStopping) -> str:
    requests = "1 request" if event.under_way == 1 else f"{event.under_way} requests"
    shown = f"{plain_text(event.method)} {shown_path(event.path)}"
    far = f"{progress(event.bytes_out, event.length_out)} down"
    if event.bytes_in or event.length_in:
        far = f"{progress(event.bytes_in, event.length_in)} up, {far}"
    oldest = f"the oldest is {shown}, {far}, {duration(event.ms / 1000)}"
    return f"stopping: up to {event.wait_s:g} s for {requests}; {oldest}. Ctrl-C again ends it now"


def _reconnecting(event: Reconnecting, why: str) -> str:
    when = f"in {event.wait_s:.1f} s" if event.wait_s else "now"
    # Nobody should wonder whether it will still be trying after lunch.
    left = "until it works"
    if event.give_up_in_s is not None:
        left = f"for {duration(event.give_up_in_s)} more"
    return f"{as_clause(why)} trying again {when} (attempt {event.attempt}), {left}"
