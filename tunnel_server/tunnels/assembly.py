"""A directory with what it stands on: kept names, their registry, and what writes them down."""

from __future__ import annotations

import os
from functools import partial

from protocol.program.process import version
from tunnel_server.owners.authenticator import KEY
from tunnel_server.owners.names import Change, Kept, KeptNames
from tunnel_server.owners.ownership import Ownership
from tunnel_server.owners.store import Store, first_names
from tunnel_server.owners.store_writer import StoreWriter
from tunnel_server.settings.config import ServerConfig
from tunnel_server.tunnels.directory import Directory
from tunnel_server.tunnels.registry import Registry


def build_directory(
    config: ServerConfig, ownership: Ownership, store: Store | None
) -> tuple[Directory, StoreWriter | None]:
    """Names, their registry and what writes them down; nothing does without a store."""

    def read(written: dict[str, Kept]) -> None:
        # What an install key holds nobody may claim, and nobody need fear, where tokens are needed.
        if config.authentication_required:
            written = {n: kept for n, kept in written.items() if not kept.owner.startswith(KEY)}
        names.read(written)
        directory.read_again()

    def changed(name: str, change: Change) -> None:
        if change is None:
            registry.forget(name)
        directory.changed_hands(name)
        if writer is not None:
            writer.changed(name, change)

    written = {} if store is None else first_names(store, config.names_key)
    writer = None if store is None else StoreWriter(store, config.names_key, read, written)
    url_of = partial(config.public_url_for, port=config.bind_port)
    registry = Registry(
        url_of,
        os.urandom,
        lambda name: names.get(name) is not None,
        lambda carrier: directory.address_of(carrier),
    )
    names = KeptNames(config.keep_names_s, lambda name: registry.find(name) is not None, changed)
    directory = Directory(config, ownership, registry, names, version=version())
    read(written)
    return directory, writer
