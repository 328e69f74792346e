"""The options of a claim: what the server does for one name alone (docs/protocol.md 11.1).

A server that ignored an option would publish an app without what its owner relies on. So all that a
claim carries must be known, and right.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from protocol.errors import TunnelError

WS_KEEPALIVE: Final = "ws-keepalive"

# Below it the sweeps, which look once a second, could not keep to it. A day: whoever wants more
# wants none.
WS_KEEPALIVE_MIN_S: Final = 1
WS_KEEPALIVE_MAX_S: Final = 86_400


class OptionError(TunnelError):
    """An option that a server has to refuse.

    Attributes:
        code: `unknown-option` or `option-invalid`.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Options(NamedTuple):
    """What a claim asks for. Each default stands for an option that is not there."""

    ws_keepalive_s: int = 0  # when an idle WebSocket is pinged; 0 for never

    def as_map(self) -> dict[str, object]:
        """As a claim carries them."""
        return {WS_KEEPALIVE: self.ws_keepalive_s} if self.ws_keepalive_s else {}


def read_options(options: Mapping[str, object]) -> Options:
    """What a claim's map says.

    Raises:
        OptionError: the first option, by name, that is not known or not right.
    """
    for name in sorted(options):
        if name != WS_KEEPALIVE:
            raise OptionError("unknown-option", f"this server has no option {name!r}")
    return Options(_ws_keepalive_s(options[WS_KEEPALIVE]) if WS_KEEPALIVE in options else 0)


def _ws_keepalive_s(value: object) -> int:
    # type(): a bool is an int to Python.
    if type(value) is int and WS_KEEPALIVE_MIN_S <= value <= WS_KEEPALIVE_MAX_S:
        return value
    allowed = f"{WS_KEEPALIVE_MIN_S} to {WS_KEEPALIVE_MAX_S}"
    raise OptionError("option-invalid", f"{WS_KEEPALIVE!r} is a whole number of seconds, {allowed}")
