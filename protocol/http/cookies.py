"""Cookies that a tunnel's app may not set for others than its own host.

An app at NAME.DOMAIN that says `Domain=DOMAIN` would set a cookie for every other tunnel there: for
fixation, or to make their requests too large. A browser takes that from it (RFC 6265, 5.3) unless
the domain stands in its Public Suffix List, which a company's own seldom does.
"""

from __future__ import annotations

import re
from typing import Final

from protocol.http.fields import Fields

# The attribute, with the semicolon before it. A value may have tens of thousands of others.
_DOMAIN: Final = re.compile(rb";[ \t]*domain[ \t]*=([^;]*)", re.IGNORECASE)

# What no host name has: browsers unescape, fold and unquote a Domain in ways of their own.
_ODD: Final = re.compile(rb"[^a-z0-9._-]")


def without_wide_domains(fields: Fields, *hosts: bytes) -> Fields:
    """The fields, in which no Set-Cookie names a domain above one of the hosts.

    Of a cookie that does, each such Domain is taken out, so that it is the host's alone; the rest
    of it stays as it came.

    Args:
        fields: of an answer.
        hosts: by which the app is reached, in any case, with or without a port: what the request
            says, and what the browser has asked for where a proxy between has put another there.
    """
    if not names_a_domain(fields):
        return fields
    names = tuple(host.lower().partition(b":")[0].removesuffix(b".") for host in hosts)
    return tuple(
        (name, _narrowed(value, names)) if _is_wide_cookie(name, value) else (name, value)
        for name, value in fields
    )


def names_a_domain(fields: Fields) -> bool:
    """Whether a cookie of an answer names a domain at all."""
    # Each answer is asked, and of most fields the length alone says that there is no need to look.
    return any(len(name) == 10 and _is_wide_cookie(name, value) for name, value in fields)


def _is_wide_cookie(name: bytes, value: bytes) -> bool:
    """Whether it is a cookie that names a domain at all."""
    return len(name) == 10 and name.lower() == b"set-cookie" and b"domain" in value.lower()


def _narrowed(value: bytes, hosts: tuple[bytes, ...]) -> bytes:
    def kept(attribute: re.Match[bytes]) -> bytes:
        domain = attribute[1].strip(b" \t").lower().strip(b".")
        wide = _ODD.search(domain) or any(host.endswith(b"." + domain) for host in hosts)
        return b"" if wide else attribute[0]

    return _DOMAIN.sub(kept, value)
