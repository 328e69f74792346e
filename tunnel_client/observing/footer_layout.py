"""Plain: the lines of the footer, for a terminal of so many columns and rows.

    ----------------------------------------------------------------------------
    GET /video.mp4  41 %  12.3 MB/s
    https://brisk-otter-k3v9q2mz.tunnel.example.com -> localhost:3000
    connected, 41 ms | 1,234 requests, 2 open | inspect http://127.0.0.1:4040

All lines but the URL's fit into the columns: what is long is broken at spaces, and a path is cut.
The URL is whole, so that it can be copied where it takes several rows, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from tunnel_client.observing.footer import Shown
from tunnel_client.observing.painter import FooterLine, footer_rows
from tunnel_client.observing.styles import CYAN, FAINT, YELLOW
from tunnel_client.observing.widths import cut, width, wrapped

# Lines of one sentence: that of a state, whose reason is cut before, fits into 40 columns whole.
_SENTENCE_LINES_MAX: Final = 6
# That the newest request is still seen above it, and the cursor's row stands below.
_ROWS_FOR_OTHERS: Final = 3
_BETWEEN: Final = " | "


def lay_out(shown: Shown, columns: int, rows: int) -> tuple[FooterLine, ...]:
    """Return the footer; on a low terminal parts of it, in the end none."""
    usable = columns - 1  # the last column makes some terminals wrap at once
    if usable < 1:
        return ()
    rule = [FooterLine("-" * usable, FAINT)]
    transfers = [FooterLine(_named(*each, usable), CYAN) for each in shown.transfers]
    url = [FooterLine(_url(shown, usable))] if shown.url else []
    below = [*_state(shown, usable), *_alerts(shown, usable)]
    parts = (rule, transfers, url, below), (rule, (), url, below), ((), (), url, below), (url,)
    for chosen in parts:
        lines = tuple(line for part in chosen for line in part)
        if footer_rows(lines, columns) + _ROWS_FOR_OTHERS <= rows:
            return lines
    return ()


def _url(shown: Shown, usable: int) -> str:
    whole = f"{shown.url} -> {shown.target}"
    return whole if width(whole) <= usable else shown.url


def _named(name: str, numbers: str, usable: int) -> str:
    """A name cut so far that the numbers behind it fit."""
    room = usable - width(numbers) - 2
    return f"{cut(name, max(room, 0))}  {numbers}" if room > 0 else cut(numbers, usable)


def _state(shown: Shown, usable: int) -> Iterator[FooterLine]:
    """The state, and as many of the facts on its line as fit; the others below."""
    parts = list(shown.facts)
    lines = wrapped(shown.state, usable, _SENTENCE_LINES_MAX)
    styles = [shown.style] * len(lines)
    for part in parts:
        joined = f"{lines[-1]}{_BETWEEN}{part}"
        if width(joined) <= usable:
            lines[-1] = joined
        else:
            lines.append(cut(part, usable))
            styles.append("")
    yield from map(FooterLine, lines, styles)


def _alerts(shown: Shown, usable: int) -> Sequence[FooterLine]:
    texts = [line for alert in shown.alerts for line in wrapped(alert, usable, _SENTENCE_LINES_MAX)]
    return [FooterLine(text, YELLOW) for text in texts]
