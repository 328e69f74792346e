"""URLs in fields that hold JSON: HX-Location of htmx, and Report-To.

The URLs alone are changed, in place: an object that was written anew would have other spaces, other
numbers and other escapes.
"""

from __future__ import annotations

import json
import re
from typing import Final

from tunnel_client.identity.own_urls import UrlTranslation

_STRING: Final = rb'"((?:[^"\\]|\\.)*+)"'
# A brace; or a string, with the string that is its value behind it if it is the name of one.
_PIECE: Final = re.compile(rb"([{}])|%b(?:[ \t]*+:[ \t]*+%b)?+" % (_STRING, _STRING))


def hx_location(value: bytes, to: UrlTranslation) -> bytes:
    """An URL, or an object with an URL as its `path` (and data of the app beside it)."""
    if not value.startswith(b"{"):
        return to.url(value)
    return _translated(value, to, b"path", depth=1) if _is_json(value) else value


def report_to(value: bytes, to: UrlTranslation) -> bytes:
    """Objects with commas between them, each with a list of endpoints (Reporting API of 2018)."""
    return _translated(value, to, b"url", depth=2) if _is_json(b"[%b]" % value) else value


def _is_json(text: bytes) -> bool:
    """Whether it is JSON. What is nested too deeply for Python's reader counts as none."""
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _translated(value: bytes, to: UrlTranslation, name: bytes, *, depth: int) -> bytes:
    """The JSON with these members translated.

    Args:
        name: theirs.
        depth: so many objects they are in.
    """
    parts = []
    taken = inside = 0
    for found in _PIECE.finditer(value):
        if found[1] is not None:
            inside += 1 if found[1] == b"{" else -1
        elif inside == depth and found[2] == name and found[3] is not None:
            parts += [value[taken : found.start(3)], _string(found[3], to)]
            taken = found.end(3)
    return b"".join([*parts, value[taken:]])


def _string(raw: bytes, to: UrlTranslation) -> bytes:
    """The inside of a string that is an URL. PHP writes each slash of it as `\\/`."""
    escaped = raw.count(rb"\/")
    if not escaped:
        return to.url(raw)
    if rb"\\" in raw or escaped != raw.count(b"/"):
        return raw  # it could not be written as it was
    plain = raw.replace(rb"\/", b"/")
    return to.url(plain).replace(b"/", rb"\/")
