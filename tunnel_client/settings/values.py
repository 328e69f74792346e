"""The readers of single settings. Each takes a value and the name that an error uses.

The rows name these functions, so what is heavy to load is loaded when there is a value: --help
needs no TLS.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Final, Literal

from protocol.errors import ConfigError
from protocol.options import NETWORKS_MAX, is_network
from protocol.program.kinds import path_of

if TYPE_CHECKING:
    from pathlib import Path

    from tunnel_client.settings.addresses import Address, ServerUrl

# As repr() writes a float, too: so the file's numbers come.
_NUMBER: Final = re.compile(r"-?[0-9]{1,9}(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,2})?")

Mode = Literal["local", "public"]
"""As whom the app is asked: as itself, or by its public name."""

IdentityChoice = Literal["auto", "local", "public"]
"""The same as a setting: `auto` is found out by asking the app."""


def dns_label(value: str, key: str) -> str:
    """The label in lower case."""
    from protocol.names import NAME_RULE, is_legal_name

    # isascii: the lower case of the Kelvin sign is a k.
    if not (value.isascii() and is_legal_name(label := value.lower())):
        meant = re.sub(r"[^a-z0-9]+", "-", value.lower().partition(".")[0]).strip("-")
        hint = f"; did you mean {meant}?" if is_legal_name(meant) else ""
        raise ConfigError(key, f"takes a DNS label: {NAME_RULE}; not {value!r}{hint}")
    return label


def seconds(
    value: str | float, key: str, *, least: float, most: float, zero_is_off: bool = False
) -> float:
    """A number of seconds, both ends included.

    Args:
        zero_is_off: 0 is allowed too, which is how a flag takes back what the file says.
    """
    # Matched before it is converted: float() takes "1_0", "+5" and " 5 ", too.
    number = float(value) if _NUMBER.fullmatch(str(value)) else math.nan
    if zero_is_off and number == 0:
        return 0.0
    if not least <= number <= most:  # false for nan as well
        raise ConfigError(key, f"takes {between(least, most, zero_is_off)}, not {value!r}")
    return number


INSPECT_MEMORY_MIN_MIB: Final = 4  # a body of 1 MiB, and heads beside it
INSPECT_MEMORY_MAX_MIB: Final = 4096  # more than a developer's machine has to spare
INSPECT_MEMORY_LIMITS: Final = (
    f"a whole number from {INSPECT_MEMORY_MIN_MIB} to {INSPECT_MEMORY_MAX_MIB}"
)


def inspect_memory_mib(value: str, key: str) -> int:
    """A number of MiB, both ends included."""
    number = int(value) if re.fullmatch("[0-9]{1,9}", value) else -1
    if not INSPECT_MEMORY_MIN_MIB <= number <= INSPECT_MEMORY_MAX_MIB:
        raise ConfigError(key, f"takes {INSPECT_MEMORY_LIMITS}, not {value!r}")
    return number


def between(least: float, most: float, zero_is_off: bool) -> str:
    """Return what `seconds` allows, for people."""
    return (
        f"a number of seconds from {least:g} to {most:g}{', or 0 for off' if zero_is_off else ''}"
    )


def server_url(value: str, key: str) -> ServerUrl:
    """The address of a server."""
    from tunnel_client.settings.addresses import ServerUrl

    try:
        return ServerUrl.parse(value)
    except ValueError as error:
        raise ConfigError(key, str(error)) from None


def host_value(value: str, key: str) -> str:
    """Return the value of Host, if it may stand there."""
    from protocol.http.grammar import HOST

    if not (value.isascii() and HOST.fullmatch(value.encode("ascii"))):
        raise ConfigError(key, f"takes a host, or host:port, not {value!r}")
    return value


NETWORKS_LIMITS: Final = (
    f"a network such as 192.0.2.0/24, or an address; {NETWORKS_MAX} at most, commas between them"
)


def networks(texts: tuple[str, ...], key: str) -> tuple[str, ...]:
    """Networks, of one text or several."""
    entries = tuple(entry.strip() for text in texts for entry in text.split(","))
    for entry in entries:
        if not is_network(entry):
            shown = f", not {entry!r}" if len(entry) <= 64 else ""
            raise ConfigError(key, f"takes {NETWORKS_LIMITS}{shown}")
    if len(entries) > NETWORKS_MAX:
        raise ConfigError(key, f"takes {NETWORKS_MAX} networks at most, not {len(entries)}")
    return entries


def pem_file(value: str, key: str) -> Path:
    """A file with at least one certificate, in PEM form."""
    import ssl

    path = path_of(value, key)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except ssl.SSLError:  # an OSError too, and has to come first
        raise ConfigError(key, f"{path} holds no certificate in PEM form") from None
    except OSError as error:
        raise ConfigError(key, f"{path} cannot be read: {error.strerror}") from None
    return path


def inspect_address(value: str, key: str) -> bool | Address:
    """Return the address of the inspector: `4040`, `127.0.0.1:4040`, `[::1]:0`; True: the usual."""
    from tunnel_client.settings.addresses import is_address, parse_authority, parse_port

    if value == "true":
        return True
    host_text, _, port_text = value.rpartition(":")
    try:
        host, _ = parse_authority(host_text or LOOPBACK)
        host = LOOPBACK if host == "localhost" else host
        if is_address(host):
            return host, 0 if port_text == "0" else parse_port(port_text)
    except ValueError:
        pass
    said = "takes a port, or an address and a port, as 127.0.0.1:4040; nothing: 4040 or the next"
    raise ConfigError(key, f"{said}, not {value!r}")


def host_name(value: str, key: str) -> str:
    """Return a host without a port, in lower case."""
    from tunnel_client.settings.addresses import parse_host

    try:
        return parse_host(value)
    except ValueError as error:
        raise ConfigError(key, f"{error}, not {value!r}") from None


LOOPBACK: Final = "127.0.0.1"
