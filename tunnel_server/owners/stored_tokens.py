"""Tokens as the store has them: whose each is, what it may do, and until when.

A token has secrets: the one that was made last, and those before it that a rotation let live on for
a while. The secrets of a token that was deleted stay known, as ones that are good for nothing: an
old auth file, or a backup of one, makes them good no more.

Names of tokens and owners are compared exactly as they were written.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Final, Literal, NamedTuple

TOKEN_NAMES_MAX: Final = 16  # patterns of one token, each of which a claim is compared with
NAMES_RULE: Final = (
    f"1 to {TOKEN_NAMES_MAX} names with commas between them, of letters, digits and -, in which *"
    " stands for anything and ? for one character"
)
_PATTERN: Final = re.compile(r"[a-z0-9*?-]{1,63}")

TokenState = Literal["good", "expired", "revoked"]


class StoredToken(NamedTuple):
    """A token. Times are in seconds since the epoch.

    Fields:
        id: its number in the store, which no other ever has.
        names: patterns of the names that it may claim; none: any name.
        limits: as `--limit` takes them; "": none of its own.
        expires_at, revoked_at: None: never.
        last_used_on: the date, as `2026-01-31`; "": never.
    """

    id: int
    name: str
    owner: str
    names: tuple[str, ...]
    limits: str
    created_at: int
    expires_at: int | None
    revoked_at: int | None
    last_used_on: str

    def state(self, now: float) -> TokenState:
        """Whether it is good at this time, and why not."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if _is_past(self.expires_at, now) else "good"


class Secret(NamedTuple):
    """The digest of a secret, the number of its token, and when it ends; None: with the token."""

    digest: bytes
    token: int
    ends_at: int | None

    def __repr__(self) -> str:
        return f"<Secret of token {self.token}, ends_at={self.ends_at}>"


class StoredTokens(NamedTuple):
    """All that the store knows of tokens."""

    tokens: tuple[StoredToken, ...] = ()
    secrets: tuple[Secret, ...] = ()

    def __repr__(self) -> str:
        return f"<StoredTokens {len(self.tokens)} tokens, {len(self.secrets)} secrets>"

    def secrets_of(self, token: StoredToken) -> list[Secret]:
        """The secrets of a token, the newest last."""
        mine = [secret for secret in self.secrets if secret.token == token.id]
        return sorted(mine, key=lambda each: math.inf if each.ends_at is None else each.ends_at)


class TokenBook:
    """The tokens of the store, in memory.

    Attributes:
        revision: grows whenever a token may be good no more, or has become so.
    """

    def __init__(self) -> None:
        self.revision = 0
        self._read: StoredTokens = StoredTokens()
        self._tokens: Mapping[int, StoredToken] = {}
        self._secrets: Mapping[bytes, Secret] = {}
        self._next_end = math.inf

    def __repr__(self) -> str:
        return f"<TokenBook {self._read!r} revision={self.revision}>"

    def __len__(self) -> int:
        return len(self._tokens)

    def read(self, stored: StoredTokens, now: float) -> None:
        """Take what the store has now."""
        if stored == self._read:
            return
        self._read = stored
        self._tokens = {token.id: token for token in stored.tokens}
        self._secrets = {secret.digest: secret for secret in stored.secrets}
        self._next_end = self._end_after(now)
        self.revision += 1

    def look(self, now: float) -> None:
        """See whether one has ended by itself. It costs a comparison, but when one has."""
        if now >= self._next_end:
            self._next_end = self._end_after(now)
            self.revision += 1

    def knows(self, digest: bytes) -> bool:
        """Whether a secret is known here, good or not: then no other source is asked about it."""
        return digest in self._secrets

    def find(self, digest: bytes, now: float) -> StoredToken | None:
        """The token of a secret that is good at this time."""
        secret = self._secrets.get(digest)
        if secret is None or _is_past(secret.ends_at, now):
            return None
        token = self._tokens.get(secret.token)
        return token if token is not None and token.state(now) == "good" else None

    def has_owner(self, owner: str, now: float) -> bool:
        """Whether a token of this owner is good; it looks at all of them."""
        return any(each.owner == owner and each.state(now) == "good" for each in self._read.tokens)

    def _end_after(self, now: float) -> float:
        ends: Iterable[int | None] = (
            *(token.expires_at for token in self._read.tokens),
            *(secret.ends_at for secret in self._read.secrets),
        )
        return min((end for end in ends if end is not None and end > now), default=math.inf)


def parse_names(text: str) -> tuple[str, ...]:
    """Patterns of names, as an operator writes them: `demo-*,api`. Raises ValueError."""
    patterns = tuple(part.strip().lower() for part in text.split(","))
    if len(patterns) > TOKEN_NAMES_MAX or not all(map(_PATTERN.fullmatch, patterns)):
        raise ValueError(f"takes {NAMES_RULE}")
    return patterns


def may_have(patterns: tuple[str, ...], name: str) -> bool:
    """Whether one of these patterns, if there are any, lets a name through."""
    return not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)


def filled(patterns: tuple[str, ...], stem: str) -> list[str]:
    """The names that patterns come to, with `stem` for the first `*`, and none where one is left.

    They may be illegal.
    """
    names = (pattern.replace("*", stem, 1) for pattern in patterns)
    return [name for name in names if not {"*", "?"} & set(name)]


def _is_past(end: int | None, now: float) -> bool:
    return end is not None and now >= end
