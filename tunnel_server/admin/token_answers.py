"""The answers of commands about tokens: plain JSON, in which no secret stands."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from tunnel_server.owners.stored_tokens import StoredToken, StoredTokens
from tunnel_server.owners.tokens import fingerprint_of

Answer = dict[str, Any]

UNUSED_S: Final = 90 * 86_400.0  # so long without a session: it may be nobody's any more
_OF_THE_STORE_ALONE: Final = ("created", "expires", "revoked", "last_used", "unused")


class TokenInFile(NamedTuple):
    """A token of an auth file, where it has the name of its owner."""

    name: str
    digest: bytes

    def __repr__(self) -> str:
        return f"<TokenInFile {self.name}>"


def stored_row(token: StoredToken, stored: StoredTokens, now: float) -> Answer:
    """A token of the store, with the fingerprint of its newest secret."""
    return {
        "name": token.name,
        "owner": token.owner,
        "fingerprint": fingerprint_of(stored.secrets_of(token)[-1].digest),
        "state": token.state(now),
        "names": list(token.names),
        "limits": token.limits,
        "created": utc(token.created_at),
        "expires": utc(token.expires_at),
        "revoked": utc(token.revoked_at),
        "last_used": token.last_used_on or None,
        "unused": _is_unused(token, now),
        "from": "store",
    }


def file_row(each: TokenInFile, file: Path) -> Answer:
    """The same of a token in a file, of which nothing else is known."""
    return {
        "name": each.name,
        "owner": each.name,
        "fingerprint": fingerprint_of(each.digest),
        "state": "good",
        "names": [],
        "limits": "",
        **dict.fromkeys(_OF_THE_STORE_ALONE),
        "from": str(file),
    }


def utc(at: int | None) -> str | None:
    """Seconds since the epoch as `2026-01-31T10:24:03Z`; None stays None."""
    if at is None:
        return None
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _is_unused(token: StoredToken, now: float) -> bool:
    """Whether a good one was used by nobody for long; one that is young nobody could use."""
    last = float(token.created_at)
    if token.last_used_on:
        used = date.fromisoformat(token.last_used_on)
        last = datetime(used.year, used.month, used.day, tzinfo=UTC).timestamp()
    return token.state(now) == "good" and now - last >= UNUSED_S
