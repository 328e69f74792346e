"""The limits that an operator sets, as `--limit visitor.requests=500/5000`; there are no others."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from protocol.errors import ConfigError
from protocol.program.kinds import Texts, Value

# What a burst is where nobody says it: a page of a dev server asks for thousands of files at once.
BURST_S: Final = 10
_MOST: Final = 1_000_000  # a second; more is no limit
_NUMBER: Final = re.compile(r"[0-9]{1,9}(\.[0-9]{1,3})?")
REQUESTS: Final = ("visitor.requests", "tunnel.requests", "owner.requests")
TUNNELS: Final = "owner.tunnels"
LIMIT_FORMS: Final = (
    f"{', '.join(REQUESTS)}=PER_SECOND[/BURST] or {TUNNELS}=NUMBER, such as"
    " visitor.requests=500/5000"
)


class RequestRate(NamedTuple):
    """Requests: so many in a second, and so many at once."""

    per_s: float
    burst: float


class Limits(NamedTuple):
    """The limits of a server.

    Fields:
        requests: by `visitor`, `tunnel` and `owner`.
        tunnels: names that an owner may hold at a time; None: any number.
    """

    requests: Mapping[str, RequestRate]
    tunnels: int | None


NO_LIMITS: Final = Limits({}, None)


class LimitTexts(Texts):
    """Limits, one a flag; in the file a table, in which `visitor.requests = 5` makes another."""

    in_file = 'a table, such as `visitor.requests = "500/5000"`, or a list of strings'

    def from_file(self, value: object, key: str) -> Value:
        if isinstance(value, list):
            return super().from_file(value, key)
        if not isinstance(value, dict) or not all(
            isinstance(each, dict) for each in value.values()
        ):
            raise self.of_another_type(value, key)
        return tuple(
            f"{scope}.{what}={said}" for scope, of in value.items() for what, said in of.items()
        )

    def read(self, value: Value, key: str) -> object:
        texts = value if isinstance(value, tuple) else (str(value),)
        return parse_limits(texts, key)


def parse_limits(texts: tuple[str, ...], key: str) -> Limits:
    """Read limits. Raises ConfigError, which quotes the one that is not allowed."""
    requests: dict[str, RequestRate] = {}
    tunnels: int | None = None
    for text in texts:
        what, equals, said = text.partition("=")
        if equals and what in REQUESTS:
            requests[what.partition(".")[0]] = _rate(said, text, key)
        elif equals and what == TUNNELS:
            tunnels = int(_number(said, text, key, whole=True))
        else:
            raise _refused(text, key)
    return Limits(requests, tunnels)


def _rate(said: str, text: str, key: str) -> RequestRate:
    rate, slash, burst = said.partition("/")
    per_s = _number(rate, text, key)
    at_once = _number(burst, text, key) if slash else math.ceil(per_s * BURST_S)
    if at_once < 1:
        raise _refused(text, key)
    return RequestRate(per_s, at_once)


def _number(said: str, text: str, key: str, *, whole: bool = False) -> float:
    if not _NUMBER.fullmatch(said) or (whole and "." in said) or not 0 < float(said) <= _MOST:
        raise _refused(text, key)
    return float(said)


def _refused(text: str, key: str) -> ConfigError:
    shown = f", not {text!r}" if len(text) <= 60 else ""
    return ConfigError(key, f"takes {LIMIT_FORMS}{shown}")
