"""The app's own URLs and cookies, found in what it says, and turned into the public ones.

Only an URL that names the app itself is translated: its host in any spelling that reaches it from
this machine, and its port. Whether it says http or https does not matter: an app that was told that
its visitors come by https writes `https://localhost:3000`.
"""

from __future__ import annotations

import re
from typing import Final

from tunnel_client.settings.addresses import DEFAULT_PORTS, format_authority
from tunnel_client.settings.target import Target

_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")

# An URL with an authority: what stands before that, the authority, and the rest.
_URL: Final = re.compile(rb"((?:[Hh][Tt][Tt][Pp][Ss]?:)?//)([^/?#]*+)(.*+)", re.DOTALL)
# What an Origin is made of: scheme and authority, and nothing behind it.
_ORIGIN: Final = re.compile(rb"(https?)://([^/?#@]++)")
# `5; url="..."`, as the HTML standard reads it: what stands before the URL, the URL, the rest.
_REFRESH: Final = re.compile(
    rb"([ \t]*[0-9.]++[ \t]*[;,]?[ \t]*(?:[Uu][Rr][Ll][ \t]*=[ \t]*)?[\"']?)([^\"']*+)(.*+)",
    re.DOTALL,
)
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
        hosts = {target.host, *(_LOOPBACK if target.host in _LOOPBACK else ())}
        authorities = {
            format_authority(scheme, name, target.port)
            for name in hosts
            for scheme in DEFAULT_PORTS
        }
        self._authorities = frozenset(a.encode("ascii") for a in (*authorities, authority))
        self._hosts = frozenset(name.encode("ascii") for name in (*hosts, _without_port(authority)))

    def __repr__(self) -> str:
        return f"<OwnUrls {self.origin.decode()}>"

    def referer(self, value: bytes, public: bytes) -> bytes:
        """The value with the app's origin in the place of the public one; else the value."""
        found = _URL.fullmatch(value)
        if found is None or spelled(found[1] + found[2]) != public:
            return value
        return self.origin + found[3]

    def translate(self, url: bytes, public: bytes) -> bytes:
        """The URL with the public origin in the place of the app's own; else the URL.

        Args:
            url: as it stands in a field; relative ones stay.
            public: the public origin.
        """
        found = _URL.fullmatch(url)
        if found is None or found[2].lower() not in self._authorities:
            return url
        if found[1] == b"//":
            return public[public.index(b"//") :] + found[3]
        return public + found[3]

    def translate_refresh(self, value: bytes, public: bytes) -> bytes:
        """The same for the URL in a Refresh."""
        found = _REFRESH.fullmatch(value)
        return found[1] + self.translate(found[2], public) + found[3] if found else value

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
        host = public.partition(b"://")[2]
        return before + b"=" + _without_port(host.decode("ascii")).encode("ascii")

    def _is_covered_by(self, domain: bytes) -> bool:
        """Whether a browser would take this Domain from the app (RFC 6265 5.1.3)."""
        domain = domain.lower().removeprefix(b".")
        inside = b"." + domain
        return any(host == domain or host.endswith(inside) for host in self._hosts if domain)


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


def _without_port(authority: str) -> str:
    host, colon, port = authority.rpartition(":")
    return host if colon and port.isdigit() else authority
