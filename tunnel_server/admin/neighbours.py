"""Other servers of this machine with the same state folder."""

from __future__ import annotations

import logging
from typing import Final

from tunnel_server.admin.control_socket import places_in
from tunnel_server.listening.local import PlaceError, is_served
from tunnel_server.settings.config import ServerConfig

log = logging.getLogger(__name__)

_NEIGHBOUR: Final = (
    "the server on %s has the same state folder: if it has the domain %s, too, one name may have "
    "two owners; give each a --state-dir"
)


def warn_of_neighbours(config: ServerConfig) -> None:
    """Say it where another server that runs writes the names of the same domain into the store.

    On servers of this machine alone names go by the port, too.
    """
    if config.public_by is None or not config.keep_names_s:
        return
    try:
        others = places_in(config.state_dir, trusted=config.trust_state_dir)
    except PlaceError:  # then it has no store, and no place for sockets: both are told already
        return
    for other, place in others.items():
        if other != config.bind and is_served(place):
            log.warning(_NEIGHBOUR, other, config.apex)
