"""The time at which a webhook was signed: its exact bytes are taken until that is too old.

Nothing is verified, as that needs the secret. The limits are those that the senders' own libraries
and pages say; an app may have another.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

from protocol.program.text import duration

_SECONDS: Final = re.compile(r"[0-9]{1,10}")
_MILLISECONDS: Final = re.compile(r"[0-9]{13}")
_STRIPE: Final = re.compile(r"(?:\A|,)\s*t=([0-9]{1,10})(?=,|\s*\Z)")
_RFC_3339: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.[0-9]{1,9})?Z"
)


class SignedTime(NamedTuple):
    """The signature of a webhook.

    Fields:
        by: the sender whose form it has.
        signed_s: when, in seconds since the epoch; None: it signs no time, or none can be read.
        limit_s: so old it may be at most; None: it may have any age.
    """

    by: str
    signed_s: float | None
    limit_s: int | None

    def is_stale(self, now_s: float) -> bool:
        """Whether it is refused for its age."""
        if self.signed_s is None or self.limit_s is None:
            return False
        return now_s - self.signed_s > self.limit_s

    def message(self, now_s: float) -> str | None:
        """Say that it is refused for its age; None: it is not."""
        if self.signed_s is None or self.limit_s is None or not self.is_stale(now_s):
            return None
        age = duration(now_s - self.signed_s)
        return f"signed {age} ago; {self.by}'s libraries refuse after {duration(self.limit_s)}"


class _Form(NamedTuple):
    by: str
    signature: str
    time: str
    limit_s: int | None
    read: Callable[[str], float | None]


def signed_time(fields: Sequence[tuple[str, str]]) -> SignedTime | None:
    """Return the signature of a request; None: it has none that is known."""
    values = {name.lower(): value for name, value in fields}
    for form in _FORMS:
        if form.signature in values:
            at = form.read(values.get(form.time, "").strip())
            return SignedTime(form.by, at, form.limit_s)
    return None


def _seconds(said: str) -> float | None:
    return float(said) if _SECONDS.fullmatch(said) else None


def _seconds_or_ms(said: str) -> float | None:
    return int(said) / 1000 if _MILLISECONDS.fullmatch(said) else _seconds(said)


def _stripe(said: str) -> float | None:
    found = _STRIPE.search(said)
    return None if found is None else float(found[1])


def _rfc_3339(said: str) -> float | None:
    found = _RFC_3339.fullmatch(said)
    if found is None:
        return None
    try:
        return datetime.fromisoformat(found[1]).replace(tzinfo=UTC).timestamp()
    except ValueError:  # a month has no 32nd day
        return None


def _no_time(_: str) -> float | None:
    return None


_TWITCH: Final = "twitch-eventsub-message"
_FORMS: Final = (
    _Form("Stripe", "stripe-signature", "stripe-signature", 300, _stripe),
    _Form("Slack", "x-slack-signature", "x-slack-request-timestamp", 300, _seconds),
    _Form("Twitch", f"{_TWITCH}-signature", f"{_TWITCH}-timestamp", 600, _rfc_3339),
    _Form("Zoom", "x-zm-signature", "x-zm-request-timestamp", 300, _seconds_or_ms),
    _Form("Svix", "svix-signature", "svix-timestamp", 300, _seconds),
    _Form("Standard Webhooks", "webhook-signature", "webhook-timestamp", 300, _seconds),
    _Form("GitHub", "x-hub-signature-256", "", None, _no_time),
    _Form("Shopify", "x-shopify-hmac-sha256", "", None, _no_time),
)
