from __future__ import annotations

import pytest

from tunnel_client.uplink.next_steps import while_trying, with_next_step


@pytest.mark.parametrize(
    ("code", "message", "has_token", "text"),
    [
        (
            "name-taken",
            "shop is another owner's",
            True,
            "shop is another owner's; choose another with --subdomain; "
            "whoever runs the server can see whose it is",
        ),
        (
            "unauthorized",
            "A valid token is needed.",
            True,
            "A valid token is needed; "
            "whoever runs the server makes a new one (tunnel-server token create NAME)",
        ),
        (
            "unauthorized",
            "A valid token is needed.",
            False,
            "A valid token is needed; no token was given: --token-file FILE",
        ),
        ("too-many-claims", "sixteen are enough.", False, "sixteen are enough."),
    ],
)
def test_a_refusal_goes_on_with_what_can_be_done(
    code: str, message: str, has_token: bool, text: str
) -> None:
    assert with_next_step(code, message, has_token=has_token) == text


@pytest.mark.parametrize("message", ["shop is another owner's", "shop is another owner's."])
def test_while_it_is_tried_again_a_name_that_is_taken_says_who_can_help(message: str) -> None:
    assert while_trying("name-taken", message) == (
        "shop is another owner's; whoever runs the server can see whose it is"
    )
    assert while_trying("draining", "The server stops.") == "The server stops."
