"""An app's origins in what it says: its own, the public one, and that with a wrong scheme.

Pages, scripts and fields are searched as bytes, also where a slash is written `\\/` or `\\u002F`,
as JSON in a page has it. Only a whole origin counts: `http://localhost:30001` is not the app on
3000.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import Final, NamedTuple
from urllib.parse import urljoin, urlsplit

from tunnel_client.settings.addresses import DEFAULT_PORTS, Scheme, format_authority, format_host
from tunnel_client.settings.target import Target

# 0.0.0.0 and ::, what an app that listens on every address may write of itself.
THIS_MACHINE: Final = ("localhost", "127.0.0.1", "::1", "0.0.0.0", "::")  # noqa: S104  # only looked for
# Looked for behind the host: a page may name it 50,000 times, and few of these are no URL. Python's
# look-behind wants one length for each.
_SCHEME_BEFORE: Final = b"(?:%b)" % b"|".join(
    rb"(?<=(?i:%b)://)" % scheme for scheme in (b"http", b"https", b"ws", b"wss")
)
_IN_A_LINK: Final = re.compile(rb"(?:href|src|action)\s*=\s*[\"']?(?:https?|wss?)$", re.IGNORECASE)
_LINK_MAX_BYTES: Final = 64  # an attribute, spaces and a scheme; nobody writes more before a URL
# A MiB has room for 50,000; they are counted to say yes or no, and to look for one in a link.
COUNTED_MAX: Final = 100
# A name may stand at the end of a longer one, and a port may have more digits.
_END: Final = rb"(?![\w.:-])"
# Of a page and of its WebSockets, by the scheme that visitors have.
_PUBLIC_SCHEMES: Final = {"http": (b"http", b"ws"), "https": (b"https", b"wss")}
_WRONG_SCHEMES: Final = {"http": _PUBLIC_SCHEMES["https"], "https": _PUBLIC_SCHEMES["http"]}


class OriginsSaid(NamedTuple):
    """The number of times that an answer names each origin, up to COUNTED_MAX.

    Fields:
        own: the app's own, in any spelling that reaches it from this machine.
        public: the public one, exactly, or that of its WebSockets.
        other_scheme: the same with the other scheme, which browsers refuse as mixed.
        in_links: one of these own ones stands in an href, src or action.
    """

    own: int
    public: int
    other_scheme: int
    in_links: bool


class AppOrigins:
    """The origins to look for.

    Args:
        target: the app.
        public: the public origin, as browsers spell it.
    """

    def __init__(self, target: Target, public: str) -> None:
        self.target: Final = target
        self.public: Final = public
        scheme, _, authority = public.partition("://")
        self._own = own_origin_pattern(target)
        self._public = _public_pattern(_PUBLIC_SCHEMES[scheme], authority)
        self._wrong = _public_pattern(_WRONG_SCHEMES[scheme], authority)
        self._authorities = frozenset(
            format_authority(target.scheme, host, target.port) for host in _hosts(target)
        )
        self._own_schemes = {target.scheme} | {scheme} & {"https"}

    def __repr__(self) -> str:
        return f"<AppOrigins {self.target} {self.public}>"

    def said(self, text: bytes) -> OriginsSaid:
        """Count them in a body and what else belongs to it."""
        text = unescaped(text)
        own = list(islice(own_origins(self._own, text), COUNTED_MAX))
        return OriginsSaid(
            len(own),
            _count(self._public, text),
            _count(self._wrong, text),
            any(_is_in_a_link(text, at) for at in own),
        )

    def own_path(self, location: bytes, asked: bytes) -> bytes | None:
        """The target to which a redirect leads at the app itself; None if it leads elsewhere.

        Its own https is itself as well where visitors come by https: they are led back here.

        Args:
            location: as the app wrote it, perhaps relative.
            asked: the target that it answers.
        """
        found = self._resolved(location, asked)
        if found is None or found[0] not in self._own_schemes or found[1] not in self._authorities:
            return None
        return found[2]

    def is_own_https(self, location: bytes, asked: bytes) -> bool:
        """Whether it leads to the very same target by https, from where visitors are led back."""
        found = self._resolved(location, asked)
        is_https = found is not None and found[0] == "https" != self.target.scheme
        return is_https and self.own_path(location, asked) == asked

    def public_path(self, link: bytes, page: bytes) -> bytes | None:
        """The target of a link of a page that was asked by its public name; None: elsewhere."""
        found = _resolved(self.public, link, page)
        if found is None or f"{found[0]}://{found[1]}" != self.public:
            return None
        return found[2]

    def _resolved(self, location: bytes, asked: bytes) -> tuple[str, str, bytes] | None:
        return _resolved(f"{self.target.scheme}://{self.target.authority}", location, asked)


def own_origin_pattern(target: Target) -> re.Pattern[bytes]:
    """Return what an own origin is, behind its scheme; `own_origins` looks for it."""
    hosts = b"|".join(re.escape(format_host(host).encode()) for host in _hosts(target))
    port = rb":%d(?!\d)" % target.port
    if target.port == DEFAULT_PORTS[target.scheme]:
        port = rb"(?::%d)?" % target.port + _END
    # It begins with bytes, which are searched for many times faster than a choice of schemes is.
    return re.compile(rb"://(?=(?i:%b)%b)%b" % (hosts, port, _SCHEME_BEFORE))


def own_origins(pattern: re.Pattern[bytes], text: bytes) -> Iterator[int]:
    """Yield where own origins stand in a text, at the end of their schemes; looks no further."""
    return (match.start() for match in pattern.finditer(text))


def unescaped(text: bytes) -> bytes:
    """The text with plain slashes."""
    if b"\\" not in text:
        return text
    return text.replace(b"\\/", b"/").replace(b"\\u002F", b"/").replace(b"\\u002f", b"/")


def _hosts(target: Target) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*THIS_MACHINE, target.host)))


def _public_pattern(schemes: tuple[bytes, ...], authority: str) -> re.Pattern[bytes]:
    """The public origin with one of these schemes, likewise from the end of that."""
    host = re.escape(authority.encode())
    before = b"|".join(b"(?<=%b://%b)" % (scheme, host) for scheme in schemes)
    return re.compile(b"://%b(?:%b)%b" % (host, before, _END))


def _count(pattern: re.Pattern[bytes], text: bytes) -> int:
    return sum(1 for _ in islice(pattern.finditer(text), COUNTED_MAX))


def _is_in_a_link(text: bytes, at: int) -> bool:
    return _IN_A_LINK.search(text[max(0, at - _LINK_MAX_BYTES) : at]) is not None


def _resolved(origin: str, link: bytes, page: bytes) -> tuple[str, str, bytes] | None:
    """Scheme, authority without a default port, and target of a link; None if it is no URL."""
    try:
        url = urljoin(origin + page.decode("latin-1"), link.decode("latin-1").strip())
        scheme, authority, path, query, _ = urlsplit(url)
    except ValueError:
        return None
    scheme_of: dict[str, Scheme] = {"http": "http", "https": "https"}
    if scheme in scheme_of:
        authority = authority.lower().removesuffix(f":{DEFAULT_PORTS[scheme_of[scheme]]}")
    target = (path or "/") + (f"?{query}" if query else "")
    return scheme, authority, target.encode("latin-1", "replace")
