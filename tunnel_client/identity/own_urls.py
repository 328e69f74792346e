"""The names by which an app calls itself, and the two ways between them and the public origin.

Only an URL that names the app itself becomes public: its host in any spelling that reaches it from
this machine, and its port. Whether it says http or https does not matter: an app that was told that
its visitors come by https writes `https://localhost:3000`, and one on port 80 or a unix socket
`https://localhost`: where the target's port is a default one, both default ports are its own. On
the way to the app only an URL under the public origin changes.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple, Protocol

from tunnel_client.settings.addresses import DEFAULT_PORTS, format_authority
from tunnel_client.settings.target import Target

_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
# An app that listens on all addresses takes one of these for its own (Next does). No visitor can
# reach anything else by it.
_UNSPECIFIED: Final = ("0.0.0.0", "::")  # noqa: S104  # nothing is bound

# An URL with an authority: what stands before that, the authority, and the rest.
_URL: Final = re.compile(rb"((?:[Hh][Tt][Tt][Pp][Ss]?:)?//)([^/?#]*+)(.*+)", re.DOTALL)
# What an Origin is made of: scheme and authority, and nothing behind it.
_ORIGIN: Final = re.compile(rb"(https?)://([^/?#@]++)")
# A host source (CSP 3, 2.3.1): scheme, host, port, path. A wildcard for a host is no app's name.
_SOURCE: Final = re.compile(
    rb"((?:https?|wss?)://)?+([a-z0-9._-]++)(:[0-9]++|:\*)?+(/[^?#]*+)?+", re.IGNORECASE
)
_ANY_PORT: Final = b":*"
_KEEPS_SECURE: Final = (b"__secure-", b"__host-")


class OwnUrls:
    """The names by which the app calls itself.

    Args:
        target: the app.
        host: what it takes its host, and port, for; None: those of the target.
    """

    def __init__(self, target: Target, host: str | None = None) -> None:
        authority = target.authority if host is None else host.lower()
        self.origin: Final = spelled(f"{target.scheme}://{authority}".encode("ascii"))
        self._is_https = target.scheme == "https"
        names = {target.host, *(_LOOPBACK if target.host in _LOOPBACK else ())}
        self._hosts = frozenset(name.encode("ascii") for name in (*names, _without_port(authority)))
        authorities = {
            format_authority(scheme, name, target.port)
            for name in names.union(_UNSPECIFIED)
            for scheme in DEFAULT_PORTS
        }
        self._authorities = frozenset(a.encode("ascii") for a in (*authorities, authority))
        self._url_hosts = frozenset(map(_host_of, self._authorities))

    def __repr__(self) -> str:
        return f"<OwnUrls {self.origin.decode()}>"

    def has_authority(self, authority: bytes) -> bool:
        """Whether an authority is the app's: its host in any spelling, and its port."""
        return authority.lower() in self._authorities

    def has_host(self, host: bytes) -> bool:
        """Whether the host of an authority is the app's, whatever the port."""
        return host.lower() in self._url_hosts

    def translate_cookie(self, cookie: bytes, public: bytes) -> bytes:
        """A Set-Cookie for the public host.

        Its Domain becomes the public host where it covered the app's. Secure goes where the app
        speaks TLS and the visitor does not, since the browser would drop the cookie; but never when
        the cookie's name or SameSite=None asks for it.
        """
        name, *attributes = cookie.split(b";")
        kept = [self._translate_domain(attribute, public) for attribute in attributes]
        drops_secure = self._is_https and public.startswith(b"http://")
        if drops_secure and not _needs_secure(name, attributes):
            kept = [attribute for attribute in kept if _name_of(attribute) != b"secure"]
        return b";".join([name, *kept])

    def _translate_domain(self, attribute: bytes, public: bytes) -> bytes:
        if _name_of(attribute) != b"domain":
            return attribute
        before, _, domain = attribute.partition(b"=")
        if not self._is_covered_by(domain.strip(b" \t")):
            return attribute
        return before + b"=" + _host_of(public.partition(b"://")[2])

    def _is_covered_by(self, domain: bytes) -> bool:
        """Whether a browser would take this Domain from the app (RFC 6265 5.1.3)."""
        domain = domain.lower().removeprefix(b".")
        inside = b"." + domain
        return any(host == domain or host.endswith(inside) for host in self._hosts if domain)


class UrlTranslation(Protocol):
    """One way between the app's own origin and the public one, as grammars of fields need it."""

    def url(self, url: bytes) -> bytes:
        """The URL with the other origin in the place of this one; else the very same.

        Args:
            url: as it stands in a field; relative ones stay.
        """


class ToPublic(NamedTuple):
    """The way of an answer: what names the app comes to name the public origin.

    Fields:
        own: the app's names.
        public: the public origin, as browsers spell it.
    """

    own: OwnUrls
    public: bytes

    def url(self, url: bytes) -> bytes:
        """See UrlTranslation."""
        found = _URL.fullmatch(url)
        if found is None or not self.own.has_authority(found[2]):
            return url
        if found[1] == b"//":
            return self.public[self.public.index(b"//") :] + found[3]
        return self.public + found[3]

    def source(self, source: bytes) -> bytes:
        """The same for a host source of a Content-Security-Policy, which may lack its scheme."""
        found = _SOURCE.fullmatch(source)
        if found is None:
            return source
        before, host, port, path = found.groups(b"")
        is_any_port = port == _ANY_PORT and self.own.has_host(host)
        if not (is_any_port or self.own.has_authority(host + port)):
            return source
        scheme, _, authority = self.public.partition(b"://")
        if is_any_port:
            authority = _host_of(authority) + _ANY_PORT
        if before:
            is_socket = before[:1] in b"wW"
            before = (scheme.replace(b"http", b"ws") if is_socket else scheme) + b"://"
        return before + authority + path


class ToOwn(NamedTuple):
    """The way of a request: what is under the public origin comes under the app's own.

    Fields: as those of ToPublic.
    """

    own: OwnUrls
    public: bytes

    def url(self, url: bytes) -> bytes:
        """See UrlTranslation."""
        path = len(self.public)
        if url.startswith(self.public) and url[path : path + 1] in b"/?#":  # nearly every Referer
            return self.own.origin + url[path:]
        found = _URL.fullmatch(url)
        if found is None or spelled(found[1] + found[2]) != self.public:
            return url
        return self.own.origin + found[3]


def spelled(origin: bytes) -> bytes:
    """An Origin as browsers spell it: lower case, no default port (RFC 6454 6.2)."""
    lower = origin.lower()
    found = _ORIGIN.fullmatch(lower)
    if found is None:
        return lower
    scheme, authority = found.groups()
    default = b":80" if scheme == b"http" else b":443"
    return scheme + b"://" + bytes(authority).removesuffix(default)


def _name_of(attribute: bytes) -> bytes:
    """A cookie's attribute's, in lower case (RFC 6265 5.2)."""
    return attribute.partition(b"=")[0].strip(b" \t").lower()


def _needs_secure(name: bytes, attributes: list[bytes]) -> bool:
    if _name_of(name).startswith(_KEEPS_SECURE):
        return True
    said = [attribute.partition(b"=")[2].strip(b" \t").lower() for attribute in attributes]
    sites = zip(map(_name_of, attributes), said, strict=True)
    return (b"samesite", b"none") in sites


def _host_of(authority: bytes) -> bytes:
    return _without_port(authority.decode("ascii")).encode("ascii")


def _without_port(authority: str) -> str:
    host, colon, port = authority.rpartition(":")
    return host if colon and port.isdigit() else authority
