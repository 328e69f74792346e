"""The options of a claim: what the server does for one name alone (docs/protocol.md 11.1).

A server that ignored an option would publish an app without what its owner relies on. So all that a
claim carries must be known, and right.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_network
from typing import Final, NamedTuple

from protocol.errors import TunnelError

# Below it the sweeps, which look once a second, could not keep to it. More than
# a day is as good as none.
WS_KEEPALIVE_MIN_S: Final = 1
WS_KEEPALIVE_MAX_S: Final = 86_400

NETWORKS_MAX: Final = 64  # of each list: each costs every request half a microsecond
_NETWORK_MAX_CHARS: Final = 64  # the longest has 43, and an interface's name is no part of one


class OptionError(TunnelError):
    """An option that a server has to refuse.

    Attributes:
        code: `unknown-option` or `option-invalid`.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Options(NamedTuple):
    """The options of one claim; a field's default is what its absence means."""

    ws_keepalive_s: int = 0  # when an idle WebSocket is pinged; 0 for never
    release: bool = False  # the name is given up instead, and refused with `name-released`
    allow_ip: tuple[str, ...] = ()  # networks whose visitors alone may see the app; none: all
    deny_ip: tuple[str, ...] = ()  # those whose visitors may not

    def as_map(self) -> dict[str, object]:
        """Return what a claim carries: every option that differs from its default."""
        return {
            option.name: list(value) if isinstance(value, tuple) else value
            for option, value in zip(OPTIONS, self, strict=True)
            if value != option.default
        }


class SecondsWithin(NamedTuple):
    """A kind: an integer within limits."""

    least: int
    most: int

    def __str__(self) -> str:
        return f"a whole number of seconds, {self.least} to {self.most}"

    def allows(self, value: object) -> bool:
        """Whether a value is of this kind. A bool is an int to Python, and none to us."""
        return type(value) is int and self.least <= value <= self.most


class Yes(NamedTuple):
    """A kind: `true`; for no there is the absence."""

    def __str__(self) -> str:
        return "true, or absent"

    def allows(self, value: object) -> bool:
        """Whether a value is of this kind."""
        return value is True


class Networks(NamedTuple):
    """A kind: a list of networks, by their addresses and prefixes."""

    most: int

    def __str__(self) -> str:
        return f"a list of 1 to {self.most} networks, such as 192.0.2.0/24"

    def allows(self, value: object) -> bool:
        """Whether a value is of this kind."""
        if not isinstance(value, list | tuple) or not 1 <= len(value) <= self.most:
            return False
        return all(isinstance(each, str) and is_network(each) for each in value)


class Option(NamedTuple):
    """A row of the table: one option that this version knows."""

    name: str  # in a claim's map
    kind: SecondsWithin | Yes | Networks
    default: object  # without it in the map; it need not be of the kind

    def read(self, value: object) -> object:
        """Return a value that came. Raises OptionError if it is not of the option's kind."""
        if not self.kind.allows(value):
            raise OptionError("option-invalid", f"{self.name!r} is {self.kind}")
        return tuple(value) if isinstance(value, list) else value


# One row for each field of Options, in the same order.
OPTIONS: Final = (
    Option("ws-keepalive", SecondsWithin(WS_KEEPALIVE_MIN_S, WS_KEEPALIVE_MAX_S), default=0),
    Option("release", Yes(), default=False),
    Option("allow-ip", Networks(NETWORKS_MAX), default=()),
    Option("deny-ip", Networks(NETWORKS_MAX), default=()),
)


_NAMES: Final = frozenset(option.name for option in OPTIONS)
_DEFAULTS: Final = Options()


def is_network(text: str) -> bool:
    """Whether it is a network: an address and a prefix, or an address alone. No bit is too many."""
    if len(text) > _NETWORK_MAX_CHARS or "%" in text:
        return False
    try:
        ip_network(text)
    except ValueError:
        return False
    return True


def read_options(options: Mapping[str, object]) -> Options:
    """Read a claim's map.

    Raises:
        OptionError: an option is not known, the first by name; or one is not right.
    """
    if not options:  # which is most claims
        return _DEFAULTS
    if unknown := options.keys() - _NAMES:
        raise OptionError("unknown-option", f"this server has no option {min(unknown)!r}")
    return Options._make(
        option.read(options[option.name]) if option.name in options else option.default
        for option in OPTIONS
    )
