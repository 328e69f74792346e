"""The server says what is wrong, and this what a person can do about it."""

from __future__ import annotations

from typing import Final

_SEE: Final = "whoever runs the server can see whose it is"
_STEPS: Final = {
    "name-taken": f"choose another with --subdomain; {_SEE}",
    "name-reserved": "choose another with --subdomain",
    "too-many-tunnels": "stop another client of yours first, or ask whoever runs the server",
    "name-not-allowed": "choose another with --subdomain, or ask whoever runs the server",
}
_WITHOUT_ONE: Final = "no token was given: --token-file FILE"
_UNKNOWN: Final = "whoever runs the server makes a new one (tunnel-server token create NAME)"


def while_trying(code: str, message: str) -> str:
    """The reason why a client tries again, and what may help meanwhile.

    Args:
        code: of the refusal.
        message: of the server.
    """
    return f"{message.removesuffix('.')}; {_SEE}" if code == "name-taken" else message


def with_next_step(code: str, message: str, *, has_token: bool) -> str:
    """The server's message, and what to do next where that is known.

    Args:
        code: of the refusal.
        message: of the server.
        has_token: whether a token was given; else the server was shown an install key.
    """
    step = _STEPS.get(code, "")
    if code == "unauthorized":
        step = _UNKNOWN if has_token else _WITHOUT_ONE
    return f"{message.removesuffix('.')}; {step}" if step else message
