"""Tokens: how they look, and how a request shows one.

A token is `tt_` and 43 base64url characters, 256 random bits. The server keeps only its SHA-256,
which is enough: nobody can guess 256 bits, so a slow hash would only slow the server down. For the
same reason digests are looked up in a dictionary: what one learns from how long that takes is
something about a digest, which nobody can steer. Nothing in here prints a token or puts one into an
error, a log or a repr.
"""

from __future__ import annotations

import hashlib
import re
from base64 import urlsafe_b64encode
from typing import Final

from protocol.http.fields import values_of
from protocol.http.heads import RequestHead

TOKEN_RANDOM_BYTES: Final = 32
_BEARER: Final = re.compile(rb"[Bb][Ee][Aa][Rr][Ee][Rr] +([A-Za-z0-9._~+/-]+=*) *")  # RFC 6750, 2.1


def make_token(random_bytes: bytes) -> str:
    """A token of exactly TOKEN_RANDOM_BYTES random bytes.

    Raises:
        ValueError: another number of bytes.
    """
    if len(random_bytes) != TOKEN_RANDOM_BYTES:
        raise ValueError(f"a token takes {TOKEN_RANDOM_BYTES} random bytes")
    return "tt_" + urlsafe_b64encode(random_bytes).decode("ascii").rstrip("=")


def authorization_of(head: RequestHead) -> bytes | None:
    """The one Authorization of a request; several are none."""
    values = values_of(head.fields, b"authorization")
    return values[0] if len(values) == 1 else None


def bearer_token(authorization: bytes) -> str | None:
    """The credentials in a value of Authorization, or None if it is not a well-formed Bearer."""
    match = _BEARER.fullmatch(authorization)
    return match[1].decode("ascii") if match else None


def fingerprint_of(digest: bytes) -> str:
    """The eight characters by which people tell tokens apart; they give nothing away."""
    return digest[:4].hex()


def digest_of(token: str) -> bytes:
    """The SHA-256 of a token, or of whatever somebody shows in its place."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
