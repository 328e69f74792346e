"""The addresses by which the service is reached decide who must show a token.

Every address counts: what is listened on, the domain, the public URL, and the proxies that are
trusted, since a proxy is there for somebody else. One of them beyond this machine is enough. Of
names only `localhost` and its subdomains are this machine's (RFC 6761, 6.3); those under `.local`
are other machines' (RFC 6762), and what `.test` means is decided by a resolver that is not ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv6Address, ip_address

from tunnel_server.settings.values import Network, PublicUrl


def made_public_by(
    bind_host: str,
    domain: str,
    public_url: PublicUrl | None,
    trusted_proxies: Sequence[Network],
) -> str | None:
    """The first address by which others than this machine may reach the service.

    Args:
        bind_host: the IP address that is listened on; of several, one that is not loopback.
        domain: tunnels are labels in front of it.
        public_url: the apex as visitors see it.
        trusted_proxies: whose forwarding fields are believed.

    Returns: words for a person that follow "since", or None: this machine alone reaches it.
    """
    if not is_loopback(bind_host):
        return f"it listens on {bind_host}"
    if not is_this_machine(domain):
        return f"its domain is {domain}"
    if public_url is not None and not is_this_machine(public_url.host):
        return f"its public URL is {public_url}"
    if trusted_proxies:
        return f"a proxy is trusted, {trusted_proxies[0]}"
    return None


def is_loopback(host: str) -> bool:
    """Whether an IP address is this machine's alone."""
    address = ip_address(host)
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped  # what a socket that was passed may say
    return address.is_loopback


def is_this_machine(domain: str) -> bool:
    """Whether a name is this machine's on every machine."""
    return domain == "localhost" or domain.endswith(".localhost")
