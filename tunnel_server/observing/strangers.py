"""Records that strangers cause: few of each kind and source, and the rest as a count.

Whoever reaches the server has it log a line for each refusal, without a token and as fast as it
likes. So a record that says whose it is (`extra=by_stranger(address)`) is told once a minute for
each kind and source, and a hundred are told a minute in all. What was left out follows as a count.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from ipaddress import IPv6Address, ip_address
from typing import Final

import trio

log = logging.getLogger(__name__)

KINDS_MAX: Final = 100  # of one minute: lines, and what is remembered of them
MINUTE_S: Final = 60.0
_LOOK_EVERY_S: Final = 1.0

_Key = tuple[str, str, str | None]


def crowd_key(address: str) -> str | None:
    """Return what an address is counted with: an IPv4 address or an IPv6 network of 64 bits.

    No owner is called so: names of tokens have no slash. None is this machine: a proxy on it that
    is not named in --trusted-proxies.
    """
    try:
        parsed = ip_address(address)
    except ValueError:
        return f"{address}/"
    if isinstance(parsed, IPv6Address):
        parsed = parsed.ipv4_mapped or parsed
    if parsed.is_loopback:
        return None
    if isinstance(parsed, IPv6Address):
        return f"{parsed.packed[:8].hex(':', 2)}::/64"
    return f"{parsed}/32"


def by_stranger(address: str, kind: str = "") -> Mapping[str, object]:
    """The `extra` of a record that somebody without a right caused.

    Args:
        address: of the peer; all of an IPv6 network of 64 bits are one.
        kind: what tells it from others of the same text.
    """
    return {"stranger": (kind, crowd_key(address))}


class _Told:
    """A kind of record that was told.

    Attributes:
        text: what it said.
        at: when.
        more: how many have come since.
    """

    __slots__ = ("at", "more", "text")

    def __init__(self, text: str, at: float) -> None:
        self.text = text
        self.at = at
        self.more = 0

    def __repr__(self) -> str:
        return f"<_Told {self.text!r} at {self.at:.0f} and {self.more} more>"


class Sparing(logging.Filter):
    """Lets few records of strangers pass; all others do. Its clock is trio's."""

    def __init__(self) -> None:
        super().__init__()
        self._told: dict[_Key, _Told] = {}
        self._left_out = 0  # of kinds that are not remembered
        self._left_out_since = 0.0

    def __repr__(self) -> str:
        return f"<Sparing {len(self._told)} kinds, {self._left_out} left out>"

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record is told; see logging.Filter. An operator has asked for the lowest."""
        stranger = getattr(record, "stranger", None)
        if stranger is None or record.levelno < logging.INFO:
            return True
        return self.may_tell(record, stranger, trio.current_time())

    def may_tell(
        self, record: logging.LogRecord, stranger: tuple[str, str | None], now: float
    ) -> bool:
        """Whether a stranger's record is told; if not, it is counted."""
        key = (record.msg, *stranger)
        if (told := self._told.get(key)) is not None:
            told.more += 1
        elif len(self._told) < KINDS_MAX:
            self._told[key] = _Told(record.getMessage(), now)
            return True
        else:
            self._left_out_since = self._left_out_since if self._left_out else now
            self._left_out += 1
        return False

    def sweep(self, now: float) -> list[str]:
        """Lines about what was left out in the minutes that are over by now."""
        said = []
        over = [key for key, told in self._told.items() if now - told.at >= MINUTE_S]
        for key in over:
            told = self._told[key]
            if not told.more:
                del self._told[key]
                continue
            text = told.text.removesuffix(".")
            said.append(f"{text}; {told.more} more like it in a minute")
            told.at, told.more = now, 0
        if self._left_out and now - self._left_out_since >= MINUTE_S:
            said.append(f"{self._left_out} lines about other strangers were left out in a minute")
            self._left_out = 0
        return said

    async def run(self) -> None:
        """Log these lines as their time comes; cancelled, what is left of them at once."""
        try:
            while True:
                await trio.sleep(_LOOK_EVERY_S)
                self._tell(trio.current_time())
        finally:
            self._tell(trio.current_time() + MINUTE_S)

    def _tell(self, now: float) -> None:
        for line in self.sweep(now):
            log.info("%s", line)
