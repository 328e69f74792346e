"""Content-Security-Policy: the places that a page may load from, send to and be framed by.

A page that names its own place by host (`connect-src ws://localhost:3000`) would forbid itself to
its visitors. Only host sources of the app are translated, in the directives that list sources, and
the URLs of `report-uri`; names of endpoints, hashes and keywords are none (CSP 3, 2.2 and 2.3).
Feature-Policy is written like it, of features in the place of directives.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from tunnel_client.identity.own_urls import ToPublic

# A policy is directives with `;` between them, and a field policies with `,`.
_DIRECTIVE: Final = re.compile(rb"([^;, \t]++)([^;,]*+)")
_WORD: Final = re.compile(rb"[^ \t]++")

_SOURCE_LISTS: Final = frozenset(
    name.encode("ascii")
    for name in (
        "base-uri child-src connect-src default-src fenced-frame-src font-src form-action"
        " frame-ancestors frame-src img-src manifest-src media-src navigate-to object-src"
        " prefetch-src script-src script-src-attr script-src-elem style-src style-src-attr"
        " style-src-elem worker-src"
    ).split()
)


def policy(value: bytes, to: ToPublic) -> bytes:
    """The policies with the public origin in the place of the app's own."""

    def directive(found: re.Match[bytes]) -> bytes:
        name = found[1].lower()
        if name in _SOURCE_LISTS:
            return found[1] + _each_word(found[2], to.source)
        if name == b"report-uri":
            return found[1] + _each_word(found[2], to.url)
        return found[0]

    return _DIRECTIVE.sub(directive, value)


def features(value: bytes, to: ToPublic) -> bytes:
    """The same of Feature-Policy, which Permissions-Policy has replaced: each directive lists."""
    return _DIRECTIVE.sub(lambda found: found[1] + _each_word(found[2], to.source), value)


def _each_word(text: bytes, translate: Callable[[bytes], bytes]) -> bytes:
    """The text with its words translated. Each is asked about once.

    Most texts stay as they are. A head has room for sixteen thousand words, and nobody is served
    while they are looked at.
    """
    words = set(_WORD.findall(text))
    changed = {word: new for word in words if (new := translate(word)) != word}
    if not changed:
        return text
    return _WORD.sub(lambda word: changed.get(word[0], word[0]), text)
