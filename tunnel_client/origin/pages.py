"""Pages on their way to visitors, looked at for an origin of the app's own.

Only what the first page does not show is found here: an app that is mounted below a path, a page
behind a login. The page itself crosses untouched.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from typing import Final

from protocol.http.fields import Fields, values_of
from protocol.mux.messages import Open
from tunnel_client.identity.own_origins import own_origins, unescaped

LOOKED_AT_BYTES: Final = 256 * 1024  # unpacked; Gradio's settings stand in the first 100 KiB
_KEPT_BYTES: Final = 1024  # of one piece for the next; the longest origin has 270
_GZIP: Final = 16 + zlib.MAX_WBITS


def is_navigation(opened: Open) -> bool:
    """Whether a person opens a page: a GET that wants HTML."""
    if opened.method != b"GET" or opened.kind != "http":
        return False
    return any(b"text/html" in value for value in values_of(opened.fields, b"accept"))


class PageLook:
    """One page.

    Args:
        pattern: what an own origin is.
        on_found: is called once, when there is one; neither raises nor blocks.
        gzip: the page comes so.
    """

    __slots__ = ("_kept", "_left", "_on_found", "_pattern", "_unpacker")

    def __init__(
        self, pattern: re.Pattern[bytes], on_found: Callable[[], None], *, gzip: bool
    ) -> None:
        self._pattern = pattern
        self._on_found = on_found
        self._unpacker = zlib.decompressobj(_GZIP) if gzip else None
        self._kept = b""
        self._left = LOOKED_AT_BYTES

    def __repr__(self) -> str:
        return f"<PageLook {self._left} bytes left>"

    def feed(self, data: bytes) -> bool:
        """Look at the next piece; whether the next one is of interest."""
        try:
            text = self._unpacked(data)
        except zlib.error:  # the browser's to complain about
            return False
        self._left -= len(text)
        text = unescaped(self._kept + text)
        if any(True for _ in own_origins(self._pattern, text)):
            self._on_found()
            return False
        self._kept = text[-_KEPT_BYTES:]
        return self._left > 0

    def _unpacked(self, data: bytes) -> bytes:
        """Never more than is looked at: a few bytes of gzip may be a gigabyte."""
        if self._unpacker is None:
            return data[: self._left]
        return self._unpacker.decompress(data, self._left)


def look_at(
    fields: Fields, pattern: re.Pattern[bytes], on_found: Callable[[], None]
) -> PageLook | None:
    """Return what looks at the page that follows this head, if it can be read.

    Args:
        fields: of the answer.
    """
    if not b"".join(values_of(fields, b"content-type")[:1]).lower().startswith(b"text/html"):
        return None
    coding = b",".join(values_of(fields, b"content-encoding")).strip(b" \t").lower()
    if coding not in (b"", b"identity", b"gzip", b"x-gzip"):
        return None
    return PageLook(pattern, on_found, gzip=coding.endswith(b"gzip"))
