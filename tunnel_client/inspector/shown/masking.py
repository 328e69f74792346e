"""Masks of captured values: `••••` and a tag that is equal for equal values of one run.

The names are those of `observing/masks.py`. A tag says whether two values differ, and nothing of
them: it is an HMAC with a key that is made at the start and never leaves the program.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from typing import Final

from tunnel_client.observing.masks import is_secret, is_secret_name, masked_query

MASK: Final = "••••"
TAG_DIGITS: Final = 4  # two values in 65,536 look alike, and nobody finds a value by trying

_COOKIES: Final = frozenset({"cookie", "set-cookie"})
_SCHEMED: Final = frozenset({"authorization", "proxy-authorization"})


class Masks:
    """Masks values, and counts them.

    Args:
        key: of this run; at least 16 random bytes.
        is_on: without it all is shown as it is, as somebody has asked for.

    Attributes:
        count: the values that were masked.
    """

    def __init__(self, key: bytes, *, is_on: bool = True) -> None:
        assert len(key) >= 16
        self.count = 0
        self._key = key
        self._is_on = is_on

    def __repr__(self) -> str:
        return f"<Masks {'on' if self._is_on else 'off'}, {self.count} values>"

    @property
    def is_on(self) -> bool:
        """Whether values are masked."""
        return self._is_on

    def beside(self) -> Masks:
        """Return masks alike that count by themselves: for what is said twice."""
        return Masks(self._key, is_on=self._is_on)

    def off(self) -> Masks:
        """Return masks that show all as it is, for what is not to be shown."""
        return Masks(self._key, is_on=False)

    def mask(self, value: str) -> str:
        """Return what is shown in place of a value."""
        if not self._is_on:
            return value
        self.count += 1
        data = value.encode("utf-8", "surrogatepass")
        digest = hmac.new(self._key, data, hashlib.sha256).hexdigest()
        return MASK + digest[:TAG_DIGITS]

    def value(self, name: str, value: str, siblings: Iterable[str] = ()) -> str:
        """Return a value as it is shown under its name."""
        return self.mask(value) if is_secret(name, value, siblings) else value

    def query(self, target: str) -> str:
        """Return a target or a URL as it is shown."""
        return masked_query(target, self.mask) if self._is_on else target

    def field(self, name: str, value: str) -> str:
        """Return the value of a field as it is shown.

        The scheme of Authorization, and names and attributes of cookies, are no secrets; a Referer
        or a Location may have one in its query.
        """
        plain = name.lower()
        if plain in _COOKIES:
            return self._cookies(value, only_first=plain == "set-cookie")
        if plain in _SCHEMED:
            scheme, space, rest = value.partition(" ")
            return scheme + space + self.value(name, rest) if space else self.value(name, value)
        if is_secret_name(name):
            return self.value(name, value)
        return self.query(value) if "?" in value or "#" in value else value

    def _cookies(self, value: str, *, only_first: bool) -> str:
        pairs = value.split(";")
        secret = pairs[:1] if only_first else pairs
        return ";".join([*map(self._cookie, secret), *pairs[len(secret) :]])

    def _cookie(self, pair: str) -> str:
        name, equals, value = pair.partition("=")
        return name + equals + self.value("cookie", value)
