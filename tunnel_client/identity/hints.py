"""Hints for the developer of an app whose links lead visitors to its own machine.

One is given only where an own origin stands in a link: a page that shows its URL as text works.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from tunnel_client.settings.target import Target

REFUSES_FORWARDED: Final = (
    "The app refuses requests with X-Forwarded-For (400), which says who the visitor is: have it"
    " trust this machine as a proxy, or use --request-header-remove X-Forwarded-For."
)
TRY_LOCAL: Final = "If it works on localhost: --identity local."
_TRUST: Final = "turn on ProxyFix, trust proxy or SECURE_PROXY_SSL_HEADER"
SHOWN_CHARS: Final = 160  # of a path: about two rows of a terminal
RELOAD: Final = "A page that is open already needs a reload."


class Page(NamedTuple):
    """The page that was looked at.

    Fields:
        in_links: an own origin stands in one of its links.
    """

    path: bytes
    target: Target
    in_links: bool

    def refused(self, status: int, path: bytes = b"") -> str | None:
        """By its public name the app answers with another status, the page or another path."""
        at = f" at {_plain(path)}" if path not in (b"", self.path) else ""
        if status < 400:
            return self._hint(f"Asked by its public name{at} the app answers {status}.")
        return self._hint(
            f"The app refuses its public name{at} ({status}): allow it there and use"
            " --identity public."
        )

    def wrong_scheme(self) -> str | None:
        """Its links have the public host and the wrong scheme."""
        return self._hint(
            f"It does not believe X-Forwarded-Proto: {_TRUST}, then --identity public."
        )

    def mixed(self, public: str) -> str:
        """Likewise, of an app that has no page at all but by that name."""
        wrong = public.replace("https:", "http:", 1)
        return (
            f"The page {_plain(self.path)} names {wrong} for {public}, which browsers block or warn"
            f" of: {_TRUST}."
        )

    def pinned(self) -> str | None:
        """Its links are the same by whatever name it is asked."""
        return self._hint("They come from a setting of the app.")

    def _hint(self, why: str) -> str | None:
        if not self.in_links:
            return None
        scheme, authority = self.target.scheme, self.target.authority
        where = f"Links on {_plain(self.path)} name {scheme}://{authority}"
        return f"{where}, which visitors cannot reach. {why}"


def refused_post(method: bytes, path: bytes, status: int) -> str:
    """Return the hint for a request that a page of the app sent, and the app refused."""
    return f"{_plain(method)} {_plain(path)} was refused ({status}). {TRY_LOCAL}"


def _plain(data: bytes) -> str:
    """Text that a visitor may have written, at a length for a person."""
    text = data.decode("ascii", "backslashreplace")
    return text if len(text) <= SHOWN_CHARS else f"{text[:SHOWN_CHARS]}..."
