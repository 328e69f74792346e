"""The gate by address: networks that are let in, and networks that are not.

A denied address is out, whatever else lets it in. Where there is a list of those that are let in,
all others are out, and so is a visitor of whom nobody can say the address.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final

from protocol.options import Options
from tunnel_server.answers.refusal import Refusal

_KEPT_MAX: Final = 1_024  # as many sessions as a server has by default


class AddressGate:
    """Says which visitors may see one tunnel.

    Args:
        options: of its claim.
    """

    __slots__ = ("_allowed", "_denied")

    def __init__(self, options: Options) -> None:
        self._allowed = tuple(map(ip_network, options.allow_ip))
        self._denied = tuple(map(ip_network, options.deny_ip))

    def __repr__(self) -> str:
        return f"<AddressGate {len(self._allowed)} allowed, {len(self._denied)} denied>"

    def refusal(self, address: str, *, is_named: bool) -> Refusal | None:
        """Say why a visitor may not see it; None: it may.

        Args:
            address: of the visitor.
            is_named: the address is the visitor's own; else that of a proxy that names none.
        """
        if is_named and self._lets(address):
            return None
        return Refusal("forbidden", case="gate")

    def _lets(self, address: str) -> bool:
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        if isinstance(parsed, IPv6Address):
            parsed = parsed.ipv4_mapped or parsed
        if any(parsed in network for network in self._denied):
            return False
        return not self._allowed or any(parsed in network for network in self._allowed)


@lru_cache(maxsize=_KEPT_MAX)
def address_gate(options: Options) -> AddressGate:
    """The gate of a claim. It is made once for those that ask alike: a network takes 10 us."""
    return AddressGate(options)
