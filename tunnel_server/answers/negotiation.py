"""In which form an answer of ours is written: what a visitor's Accept likes best."""

from __future__ import annotations

import re
from enum import Enum
from typing import Final

from protocol.http.heads import RequestHead

# What the page of a Vite dev server (4 and 5) sends while its server is away. It takes any answer
# for its server's, a 502 of ours too, and then loads itself again: onto our error. Newer ones open
# a WebSocket instead, which only the app's own 101 opens.
_VITE_PING: Final = b"text/x-vite-ping"

# Accept may have 32 KiB of ranges. Real ones have five; the rest is not worth the time.
MAX_ACCEPT_RANGES: Final = 32

_QVALUE: Final = re.compile(rb"0(\.[0-9]{0,3})?|1(\.0{0,3})?")  # RFC 9110, 12.4.2


class Form(Enum):
    """The form of an answer; the value is its Content-Type."""

    TEXT = b"text/plain; charset=utf-8"
    JSON = b"application/json"
    HTML = b"text/html; charset=utf-8"


def accept_of(head: RequestHead | None) -> bytes:
    """The visitor's Accept, for the form of an answer of ours; b"" where no head could be read."""
    fields = head.fields if head is not None else ()
    return b",".join([value for name, value in fields if name.lower() == b"accept"])


def is_ping(accept: bytes) -> bool:
    """Whether a page asks, in vain if it gets any answer of ours, whether its app is back."""
    return accept == _VITE_PING


def preferred_form(accept: bytes) -> Form:
    """Return the form that a value of Accept likes best; text for no preference (RFC 9110, 12.5.1).

    So a browser that navigates gets HTML, `Accept: application/json` JSON, and curl, an image or a
    script element text. Ranges that are not well-formed are passed over, and where nothing fits it
    is text all the same: an error that can be read is better than a 406.
    """
    parts = accept.split(b",", MAX_ACCEPT_RANGES)[:MAX_ACCEPT_RANGES]
    ranges = [_media_range(part) for part in parts]
    best, best_rank = Form.TEXT, (0.0, 0, 0)
    for form in Form:
        # Of the ranges that match the most specific counts; of equal forms the one named first.
        matches = [
            (_specificity(media, form), -place, quality)
            for place, (media, quality) in enumerate(ranges)
        ]
        specificity, place, quality = max(matches)
        rank = (quality, specificity, place)
        if specificity and quality and rank > best_rank:
            best, best_rank = form, rank
    return best


def _media_range(part: bytes) -> tuple[bytes, float]:
    """A range in lower case and its quality; 0 if that is not well-formed."""
    media, *parameters = (piece.strip().lower() for piece in part.split(b";"))
    quality = 1.0
    for parameter in parameters:
        if parameter.startswith(b"q="):
            value = parameter[2:]
            quality = float(value) if _QVALUE.fullmatch(value) else 0.0
    return media, quality


def _specificity(media: bytes, form: Form) -> int:
    """Return how closely a range means a form: 3 its very type, 1 anything, 0 not at all."""
    exact = form.value.partition(b";")[0]
    if media == exact or (form is Form.JSON and media.endswith(b"+json")):
        return 3
    if media == exact.partition(b"/")[0] + b"/*":
        return 2
    return 1 if media == b"*/*" else 0
