"""The server's flags, from text to values: a `ServerConfig`, or the ConfigError that says why not.

Numbers are matched before they are converted: int() and float() alone take `+80`, `8_0` and `nan`.
"""

from __future__ import annotations

import re
from ipaddress import ip_network
from pathlib import Path
from typing import Final

from protocol.errors import ConfigError
from protocol.names import is_legal_domain
from tunnel_server.settings.config import (
    BIND,
    CONNECTIONS,
    DEFAULT_PORTS,
    DRAIN,
    HEARTBEAT,
    HOLD,
    PUBLIC_URL,
    Network,
    PublicUrl,
    refuse,
)

NETWORKS: Final = "takes networks with commas between, such as 10.0.0.0/8,192.0.2.7,fd00::/8"


def parse_bind(value: str) -> tuple[str, int]:
    """`HOST:PORT` as (IP address without brackets, port); `localhost` is 127.0.0.1."""
    host, _, port = value.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        refuse("--bind", f"{BIND} (IPv6 in brackets)", value)
    if not host or not re.fullmatch("[0-9]{1,5}", port):
        refuse("--bind", BIND, value)
    # One address and not all of the name's: with port 0 each would get a port of its own.
    host = "127.0.0.1" if host == "localhost" else host
    return host, int(port)


def parse_domain(value: str) -> str:
    """A domain in lower case, without the dot at its end."""
    return _lower(value).removesuffix(".")


def parse_public_url(value: str) -> PublicUrl:
    """`https://example.com[:port]`; one slash at its end is taken and dropped."""
    match = re.fullmatch(r"(https?)://([a-z0-9.-]+?)\.?(?::([0-9]{1,5}))?/?", _lower(value))
    if match is None or not is_legal_domain(match[2]):
        refuse("--public-url", PUBLIC_URL, value)
    return PublicUrl(match[1], match[2], int(match[3] or DEFAULT_PORTS[match[1]]))


def parse_networks(value: str) -> tuple[Network, ...]:
    """`CIDR,...`; an address alone is a network of one."""
    try:
        return tuple(ip_network(entry.strip()) for entry in value.split(","))
    except ValueError as error:
        raise ConfigError("--trusted-proxies", f"{NETWORKS} ({error})") from None


def parse_max_connections(value: str) -> int:
    """A whole number; its range is ServerConfig's matter."""
    if not re.fullmatch(r"[0-9]{1,9}", value):
        refuse("--max-connections", CONNECTIONS, value)
    return int(value)


def parse_drain_timeout(value: str) -> float:
    """Seconds, as a plain decimal number; its range is ServerConfig's matter."""
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", value):
        refuse("--drain-timeout", DRAIN, value)
    return float(value)


def parse_hold(value: str) -> int:
    """Whole seconds, as the wire says them."""
    if not re.fullmatch(r"[0-9]{1,6}", value):
        refuse("--hold", HOLD, value)
    return int(value)


def parse_heartbeat(value: str) -> tuple[int, int]:
    """`INTERVAL,TIMEOUT` in whole seconds."""
    match = re.fullmatch(r"([0-9]{1,6}),([0-9]{1,6})", value)
    if match is None:
        refuse("--heartbeat", HEARTBEAT, value)
    return int(match[1]), int(match[2])


def parse_path(flag: str, value: str) -> Path:
    """A path; `~` is the home folder, which no shell expands in `--flag=~/file`."""
    if not value or "\0" in value:
        refuse(flag, "takes a path", value)
    return Path(value).expanduser()


def _lower(value: str) -> str:
    # str.lower() makes an ordinary k of the Kelvin sign; what is not ASCII is refused later.
    return value.lower() if value.isascii() else value
