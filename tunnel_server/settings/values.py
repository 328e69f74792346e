"""The server's settings, from text to values, or the ConfigError that says why not.

Numbers are matched before they are converted: int() and float() alone take `+80`, `8_0` and `nan`.
Each reader takes the text and the name that an error uses.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Final, NamedTuple, NoReturn

from protocol.errors import ConfigError
from protocol.http.fields import is_forwarding_name
from protocol.names import APEX, MAX_DOMAIN_LENGTH, is_legal_domain

DEFAULT_PORTS: Final = {"http": 80, "https": 443}
DEFAULT_BIND_HOST: Final = "127.0.0.1"
DEFAULT_BIND_PORT: Final = 8080
DEFAULT_DOMAIN: Final = "localhost"
DEFAULT_KEEP_NAMES_S: Final = 30 * 86_400
DEFAULT_DRAIN_TIMEOUT_S: Final = 8  # service managers kill after 10 s (Docker) or later

MAX_CONNECTIONS: Final = 1_000_000  # more than a process can have
MAX_SESSIONS: Final = 100_000  # the same
MAX_DRAIN_TIMEOUT_S: Final = 86_400  # longer is a slip of the keyboard
MAX_WIRE_S: Final = 86_400  # what the wire's welcome can say

# What each flag takes, as its complaint says it.
BIND: Final = (
    "takes an IP address and a port, such as 127.0.0.1:8080, 0.0.0.0:80 or [::1]:8080"
    " (localhost is 127.0.0.1)"
)
PUBLIC_URL: Final = "takes http:// or https://, a domain and maybe a port, without a path"
DOMAIN: Final = f"takes a domain name of at most {MAX_DOMAIN_LENGTH} characters, no IP address"
HOLD: Final = f"takes whole seconds, 0 to {MAX_WIRE_S}"
HEARTBEAT: Final = f"takes two whole numbers of seconds, INTERVAL,TIMEOUT, 1 to {MAX_WIRE_S}"
CONNECTIONS: Final = f"takes a whole number, 1 to {MAX_CONNECTIONS:,}"
SESSIONS: Final = f"takes a whole number, 1 to {MAX_SESSIONS:,}"
DRAIN: Final = f"takes seconds, 0 to {MAX_DRAIN_TIMEOUT_S:.0f}"
FIELDS: Final = "takes names of forwarding fields with commas between, such as X-Forwarded-User"
NETWORKS: Final = "takes networks with commas between, such as 10.0.0.0/8,192.0.2.7,fd00::/8"

Network = IPv4Network | IPv6Network


class PublicUrl(NamedTuple):
    """An origin as visitors see it; str() spells it as browsers do, without a default port."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        if self.port == DEFAULT_PORTS[self.scheme]:
            return f"{self.scheme}://{self.host}"
        return f"{self.scheme}://{self.host}:{self.port}"

    def of_tunnel(self, name: str) -> PublicUrl:
        return self if name == APEX else self._replace(host=f"{name}.{self.host}")


def refuse(key: str, allowed: str, value: str) -> NoReturn:
    """Raises the ConfigError that names the flag, what it takes, and what came."""
    raise ConfigError(key, f"{allowed}, not {value!r}")


def parse_bind(value: str, key: str) -> tuple[str, int]:
    """`HOST:PORT` as (IP address without brackets, port); `localhost` is 127.0.0.1."""
    host, _, port = value.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        refuse(key, f"{BIND} (IPv6 in brackets)", value)
    if not host or not re.fullmatch("[0-9]{1,5}", port):
        refuse(key, BIND, value)
    # One address and not all of the name's: with port 0 each would get a port of its own.
    host = "127.0.0.1" if host == "localhost" else host
    return host, int(port)


def parse_domain(value: str, key: str) -> str:
    """A domain in lower case, without the dot at its end."""
    return _lower(value).removesuffix(".")


def parse_public_url(value: str, key: str) -> PublicUrl:
    """`https://example.com[:port]`; one slash at its end is taken and dropped."""
    match = re.fullmatch(r"(https?)://([a-z0-9.-]+?)\.?(?::([0-9]{1,5}))?/?", _lower(value))
    if match is None or not is_legal_domain(match[2]):
        refuse(key, PUBLIC_URL, value)
    return PublicUrl(match[1], match[2], int(match[3] or DEFAULT_PORTS[match[1]]))


def parse_networks(value: str, key: str) -> tuple[Network, ...]:
    """`CIDR,...`; an address alone is a network of one."""
    try:
        return tuple(ip_network(entry.strip()) for entry in value.split(","))
    except ValueError as error:
        raise ConfigError(key, f"{NETWORKS} ({error})") from None


def parse_fields(value: str, key: str) -> frozenset[bytes]:
    """`NAME,...` of fields that would be dropped, in lower case."""
    names = [entry.strip() for entry in value.split(",")]
    if "" in names:
        refuse(key, f"{FIELDS} (there is a comma too many)", value)
    for name in names:
        sane = re.fullmatch("[a-zA-Z0-9-]+", name)
        if not sane or not is_forwarding_name(name.encode()):
            refuse(key, f"{FIELDS} (others pass by themselves)", name)
    return frozenset(name.lower().encode() for name in names)


def parse_max_connections(value: str, key: str) -> int:
    """A whole number; its range is ServerConfig's matter."""
    return _whole_number(value, key, CONNECTIONS)


def parse_max_sessions(value: str, key: str) -> int:
    """Likewise."""
    return _whole_number(value, key, SESSIONS)


def _whole_number(value: str, key: str, allowed: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", value):
        refuse(key, allowed, value)
    return int(value)


def parse_drain_timeout(value: str, key: str) -> float:
    """Seconds, as a plain decimal number; its range is ServerConfig's matter."""
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", value):
        refuse(key, DRAIN, value)
    return float(value)


def parse_hold(value: str, key: str) -> int:
    """Whole seconds, as the wire says them."""
    if not re.fullmatch(r"[0-9]{1,6}", value):
        refuse(key, HOLD, value)
    return int(value)


def parse_heartbeat(value: str, key: str) -> tuple[int, int]:
    """`INTERVAL,TIMEOUT` in whole seconds."""
    match = re.fullmatch(r"([0-9]{1,6}),([0-9]{1,6})", value)
    if match is None:
        refuse(key, HEARTBEAT, value)
    return int(match[1]), int(match[2])


def _lower(value: str) -> str:
    # str.lower() makes an ordinary k of the Kelvin sign; what is not ASCII is refused later.
    return value.lower() if value.isascii() else value
