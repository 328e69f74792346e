"""The stable name: what a tunnel is called that nobody has given a name.

The same app, shared from the same folder through the same server, has the same URL after each
start: for a webhook, a bookmark or a cookie. It is made of what does not change, so that nothing
has to be kept but the install key, and nobody who lacks that key can guess it: beside two words
it has 40 bits. A test vector fixes it: another result would change everybody's URLs.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from dataclasses import replace
from pathlib import Path
from typing import Final

from protocol.errors import ConfigError
from protocol.names import NAME_RANDOM_BYTES, generate_name
from tunnel_client.settings.addresses import ServerUrl, is_loopback
from tunnel_client.settings.install_key import NOWHERE, install_key
from tunnel_client.settings.target import Target

# Of what the key is asked for beside: so no server gets the bytes of which a name is made.
_PURPOSE: Final = b"trio-tunnel name"


def origin_of(server: ServerUrl) -> str:
    """The server's origin. All names of this machine are one."""
    return str(replace(server, host="localhost") if is_loopback(server.host) else server)


def stable_name(key: str, server: ServerUrl, folder: Path, target: Target) -> str:
    """`word-word-xxxxxxxx`, of the HMAC-SHA256 (RFC 2104) over what the four are.

    Args:
        key: the install key.
        folder: absolute, without symlinks.
        target: as the first line shows it: 3000 and localhost:3000 are the same.
    """
    parts = (origin_of(server).encode(), os.fsencode(folder), str(target).encode())
    mac = hmac.digest(key.encode(), b"\0".join((_PURPOSE, *parts)), hashlib.sha256)
    return generate_name(mac[:NAME_RANDOM_BYTES])


def choose_stable_name(
    state_folder: Path, server: ServerUrl, folder: Path, target: Target
) -> tuple[str, str]:
    """The name, and a warning or "". The name is "" where no key can be kept."""
    try:
        key = install_key(state_folder)
    except ConfigError as error:
        return "", f"{error}; until then the tunnel has another name at each start"
    if not key.is_kept:
        where = "here" if state_folder == NOWHERE else f"in {state_folder}"
        return "", f"nothing can be kept {where}: the tunnel has a new name at each start"
    return stable_name(key.key, server, folder, target), ""


def current_folder() -> Path | None:
    """The current folder, resolved; None: it was deleted, or may not be seen."""
    try:
        return Path.cwd().resolve()
    except OSError:
        return None
