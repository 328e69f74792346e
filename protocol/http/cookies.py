"""Cookies that a tunnel's app may not set for others than its own host.

An app at NAME.DOMAIN that says `Domain=DOMAIN` would set a cookie for every other tunnel there: for
fixation, or to make their requests too large. A browser takes that from it (RFC 6265, 5.3) unless
the domain stands in its Public Suffix List, which a company's own seldom does.
"""

from __future__ import annotations

import re
from typing import Final

from protocol.http.fields import Fields

# What no host name has: browsers unescape, fold and unquote a Domain in ways of their own.
_ODD: Final = re.compile(rb"[^a-z0-9._-]")


def without_wide_domains(fields: Fields, host: bytes) -> Fields:
    """The fields, in which no Set-Cookie names a domain above the host.

    Of a cookie that does, each such Domain is taken out, so that it is the host's alone; the rest
    of it stays as it came.

    Args:
        fields: of an answer.
        host: that was asked for, in any case, with or without a port.
    """
    if not any(_is_wide_cookie(name, value) for name, value in fields):
        return fields
    name_of_host = host.lower().partition(b":")[0].removesuffix(b".")
    return tuple(
        (name, _narrowed(value, name_of_host)) if _is_wide_cookie(name, value) else (name, value)
        for name, value in fields
    )


def _is_wide_cookie(name: bytes, value: bytes) -> bool:
    """Whether it is a cookie that names a domain at all."""
    return len(name) == 10 and name.lower() == b"set-cookie" and b"domain" in value.lower()


def _narrowed(value: bytes, host: bytes) -> bytes:
    cookie, *attributes = value.split(b";")
    kept = [attribute for attribute in attributes if not _names_more(attribute, host)]
    return b";".join([cookie, *kept])


def _names_more(attribute: bytes, host: bytes) -> bool:
    name, _, domain = attribute.partition(b"=")
    if name.strip(b" \t").lower() != b"domain":
        return False
    domain = domain.strip(b" \t").lower().strip(b".")
    return bool(_ODD.search(domain)) or host.endswith(b"." + domain)
