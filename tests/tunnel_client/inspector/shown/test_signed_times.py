from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from tunnel_client.inspector.shown.signed_times import SignedTime, signed_time

AT = 1_800_000_000
TWITCH = "Twitch-Eventsub-Message-"


@pytest.mark.parametrize(
    ("by", "fields", "limit_s"),
    [
        ("Stripe", [("Stripe-Signature", f"t={AT},v1=ab,v0=cd")], 300),
        ("Stripe", [("stripe-signature", f"v1=ab, t={AT}")], 300),
        ("Slack", [("X-Slack-Signature", "v0"), ("X-Slack-Request-Timestamp", f"{AT}")], 300),
        (
            "Twitch",
            [(f"{TWITCH}Signature", "a"), (f"{TWITCH}Timestamp", "2027-01-15T08:00:00.123456789Z")],
            600,
        ),
        ("Zoom", [("X-Zm-Signature", "v0"), ("X-Zm-Request-Timestamp", f"{AT}")], 300),
        ("Zoom", [("X-Zm-Signature", "v0"), ("X-Zm-Request-Timestamp", f"{AT}000")], 300),
        ("Svix", [("svix-signature", "v1"), ("svix-timestamp", f"{AT}")], 300),
        ("Standard Webhooks", [("webhook-signature", "v1"), ("webhook-timestamp", f"{AT}")], 300),
    ],
)
def test_at_the_limit_it_holds_and_a_second_later_not(
    by: str, fields: list[tuple[str, str]], limit_s: int
) -> None:
    found = signed_time(fields)
    assert found is not None
    assert found == SignedTime(by, AT, limit_s)
    assert found.message(AT + limit_s) is None
    assert found.is_stale(AT + limit_s + 1)


def test_people_read_how_old_it_is() -> None:
    found = signed_time([("Stripe-Signature", f"t={AT},v1=ab")])
    assert found is not None
    said = found.message(AT + 720)
    assert said == "signed 12 min ago; Stripe's libraries refuse after 5 min"


@pytest.mark.parametrize("name", ["X-Hub-Signature-256", "X-Shopify-Hmac-SHA256"])
def test_what_signs_no_time_is_never_too_old(name: str) -> None:
    found = signed_time([(name, "sha256=ab")])
    assert found is not None
    assert (found.signed_s, found.message(1e12)) == (None, None)


@pytest.mark.parametrize("said", ["", "v1=a", "t=", "t=x", "xt=1", "t=12345678901", "t=1x,v1=a"])
def test_a_time_that_cannot_be_read_is_none(said: str) -> None:
    found = signed_time([("Stripe-Signature", said)])
    assert found is not None
    assert (found.signed_s, found.is_stale(1e12)) == (None, False)


def test_a_day_that_no_month_has_is_none() -> None:
    fields = [(f"{TWITCH}Signature", "a"), (f"{TWITCH}Timestamp", "2027-02-30T00:00:00Z")]
    found = signed_time(fields)
    assert found is not None
    assert found.signed_s is None


def test_other_requests_have_none() -> None:
    assert signed_time([("Host", "a"), ("X-Slack-Request-Timestamp", "1")]) is None


@given(st.sampled_from(["stripe-signature", "x-zm-request-timestamp"]), st.text())
def test_any_value_is_taken(name: str, value: str) -> None:
    signed_time([("x-zm-signature", "a"), (name, value)])
