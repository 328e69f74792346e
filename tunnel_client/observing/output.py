"""The client's output as a whole: JSON, lines, or lines and a footer; and where its log goes.

A footer shares its terminal with the log where stderr is the same one, and then both go through its
screen. A log that is sent elsewhere goes there as ever.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple, Protocol

from protocol.program.line_writer import STDERR, STDOUT, write_to_stderr
from tunnel_client.observing.footer import Footer
from tunnel_client.observing.lines import JsonLines, Lines, PlainLines
from tunnel_client.observing.look import PLAIN, Look, is_same_terminal, is_terminal, look_of
from tunnel_client.observing.qr_code import qr_lines
from tunnel_client.observing.report import Report
from tunnel_client.observing.screen import Screen


class OutputChoice(Protocol):
    """The part of the config that says how the output is."""

    @property
    def json(self) -> bool:
        """Events as JSON."""

    @property
    def plain(self) -> bool:
        """As into a pipe."""

    @property
    def qr(self) -> bool:
        """The public URL as a QR code, too."""

    @property
    def target(self) -> object:
        """The app, which that leads to; printed as its text."""


class ClientOutput(NamedTuple):
    """The places of the client's events and its log.

    Fields:
        lines: the form of the events.
        screen: the terminal of the footer; None: there is none.
        footer: what it says; None likewise.
        write_log: takes whole lines of the log.
    """

    lines: Lines
    screen: Screen | None
    footer: Footer | None
    write_log: Callable[[bytes], None]

    @property
    def shares_log(self) -> bool:
        """Whether the log goes above the footer."""
        return self.screen is not None and self.write_log == self.screen.log

    def report(self) -> Report:
        """Return the report, to be run once."""
        return Report(lines=self.lines, screen=self.screen, footer=self.footer)

    @contextmanager
    def drawn_anew(self) -> Iterator[None]:
        """For this block, in the main thread: after a Ctrl-Z the footer is drawn anew, below."""
        number = getattr(signal, "SIGCONT", None)
        if self.screen is None or number is None:
            yield
            return
        screen = self.screen
        before = signal.signal(number, lambda *_: screen.forget())
        try:
            yield
        finally:
            signal.signal(number, before)


def output_for(
    chosen: OutputChoice, environ: Mapping[str, str], inspector: str | None = None
) -> ClientOutput:
    """Return the output that was asked for, on the stdout and stderr that there are.

    Args:
        chosen: says what was asked for.
        environ: that of the process.
        inspector: the link that opens it; its token stands behind a `#`. None: there is none.
    """
    if chosen.json:
        return ClientOutput(JsonLines(), None, None, write_to_stderr)
    on_terminal, target = is_terminal(STDOUT), str(chosen.target)
    look = PLAIN if chosen.plain else look_of(environ, is_terminal=on_terminal)
    qr = _qr(look, on_terminal) if chosen.qr else None
    lines = PlainLines(target, colour=look.colour, qr=qr, inspector=inspector)
    if not look.footer:
        return ClientOutput(lines, None, None, write_to_stderr)
    screen = Screen()
    is_shared = is_same_terminal(STDOUT, STDERR)
    footer = Footer(target)
    footer.inspector = inspector and inspector.partition("#")[0]
    return ClientOutput(lines, screen, footer, screen.log if is_shared else write_to_stderr)


def _qr(look: Look, on_terminal: bool) -> Callable[[str], list[str]]:
    # On a terminal that has a footer it has colours, too: NO_COLOR is about text.
    columns = (os.get_terminal_size(STDOUT).columns or None) if on_terminal else None
    return partial(qr_lines, colour=look.colour or look.footer, columns=columns)
